/** Tables of the HTML report: each in a frame that scrolls by itself where the page is narrow. Pure. */
import { markup, type Markup } from './markup';

export type Row = readonly string[];

/** `rows`: whole `<tr>` elements. */
export function tableOf(head: Row, rows: readonly Markup[]): Markup {
  return markup`<div class="scroll"><table><thead><tr>${head.map((name) => markup`<th scope="col">${name}</th>`)}</tr></thead><tbody>${rows}</tbody></table></div>`;
}

/** Of text alone; the first cell names its row. */
export function textTable(head: Row, rows: readonly Row[]): Markup {
  return tableOf(
    head,
    rows.map(([first = '', ...rest]) => markup`<tr><th scope="row">${first}</th>${rest.map((cell) => markup`<td>${cell}</td>`)}</tr>`),
  );
}
