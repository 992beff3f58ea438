/** Which controls a drill is relevant to, with what it does not show for each: the wording is "evidence relevant to", never more. Pure. */
import type { ControlEvidence, DrillRecord } from '../model/record';
import { markup, type Markup } from './markup';

export const CONTROLS_NOTE =
  'This drill is evidence relevant to the controls below. Whether a control is met is for those to judge who know all the rest.';
export const NO_CONTROLS = 'No control is named: the drill touched nothing, or its record was made without a mapping.';

/** Rows by framework, in the record's order. */
export function byFramework(record: DrillRecord): readonly (readonly [string, readonly ControlEvidence[]])[] {
  const groups = new Map<string, ControlEvidence[]>();
  for (const row of record.controls) groups.set(row.title, [...(groups.get(row.title) ?? []), row]);
  return [...groups];
}

/** What weakens the evidence is the same for every control of a drill. */
export function controlLimits({ controls }: DrillRecord): readonly string[] {
  return controls[0]?.limits ?? [];
}

export function controlsSection(record: DrillRecord): Markup {
  if (record.controls.length === 0) return markup`<p>${NO_CONTROLS}</p>`;
  const limits = controlLimits(record);
  const groups = byFramework(record).map(([title, rows]) => {
    const cells = rows.map(
      ({ control, name, evidences, not }) =>
        markup`<tr><th scope="row">${control}<small>${name}</small></th><td>${evidences}</td><td>${not}</td></tr>`,
    );
    return markup`<h3>${title}</h3><div class="scroll"><table><thead><tr><th scope="col">Control</th><th scope="col">What this drill shows for it</th><th scope="col">What it does not show</th></tr></thead><tbody>${cells}</tbody></table></div>`;
  });
  return markup`<p>${CONTROLS_NOTE}</p>${
    limits.length === 0 ? null : markup`<ul class="limits">${limits.map((text) => markup`<li>For every control: ${text}.</li>`)}</ul>`
  }${groups}`;
}
