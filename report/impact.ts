/** The section "Hurt beside what was meant" of both reports: what was seen outside the declared reach of the faults, or on what "none seen" rests. Pure. */
import type { DrillRecord } from '../model/record';
import { markup, type Markup } from './markup';
import { textTable } from './table';
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
  const rows = impactRows(record);
  return markup`${rows.length === 0 ? null : textTable(IMPACT_COLUMNS, rows)}${impactNotes(record).map((text) => markup`<p>${text}</p>`)}`;
}
