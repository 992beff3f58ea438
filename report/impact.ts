/** The section "Hurt beside what was meant" of both reports: what was seen outside the declared reach of the faults, or on what "none seen" rests. Pure. */
import type { DrillRecord } from '../model/record';
import { markup, type Markup } from './markup';
import { isNotRecorded, NOT_KEPT } from './words';

export const IMPACT_COLUMNS = ['What', 'Of', 'Seen', 'Field of the record'] as const;

export function impactRows({ unintendedImpact = NOT_KEPT }: DrillRecord): readonly (readonly [string, string, string, string])[] {
  if (isNotRecorded(unintendedImpact)) return [];
  return unintendedImpact.seen.map(({ kind, subject, what, evidence }) => [kind, subject, what, evidence]);
}

/** What was watched, and beside whom; with no rows, what that says. */
export function impactNotes({ unintendedImpact = NOT_KEPT }: DrillRecord): readonly string[] {
  if (isNotRecorded(unintendedImpact)) return [`Unintended impact not recorded: ${unintendedImpact.notRecorded}.`];
  const { basis, reached, seen } = unintendedImpact;
  return [
    ...(seen.length === 0 ? ['None seen.'] : []),
    `On what this rests: ${basis}.`,
    `Within the declared reach of the faults: ${reached.join(', ') || 'no node and no service'}.`,
  ];
}

export function impactSection(record: DrillRecord): Markup {
  const rows = impactRows(record).map(
    ([kind, subject, what, evidence]) =>
      markup`<tr><th scope="row">${kind}</th><td>${subject}</td><td>${what}</td><td>${evidence}</td></tr>`,
  );
  const table =
    rows.length === 0
      ? null
      : markup`<div class="scroll"><table><thead><tr>${IMPACT_COLUMNS.map((name) => markup`<th scope="col">${name}</th>`)}</tr></thead><tbody>${rows}</tbody></table></div>`;
  return markup`${table}${impactNotes(record).map((text) => markup`<p>${text}</p>`)}`;
}
