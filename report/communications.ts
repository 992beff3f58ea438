/** The section "Who was told what" of both reports. What people wrote is marked as theirs; what is missing says why. Pure. */
import type { DrillRecord } from '../model/record';
import { markup, type Markup } from './markup';
import { tableOf } from './table';
import { formatTime, isNotRecorded, NOT_KEPT, textOf } from './words';

export const COMMUNICATION_COLUMNS = ['When', 'From', 'To', 'What', 'By which way', 'What came of it'] as const;

type Row = readonly [when: string, from: string, to: string, what: string, by: string, result: string];

export function communicationRows({ communications }: DrillRecord): readonly Row[] {
  if (communications === undefined || isNotRecorded(communications.told)) return [];
  return communications.told.map(({ at, from, to, kind, text, by, result }) => [
    isNotRecorded(at) ? textOf(at) : formatTime(at),
    from,
    to,
    `${kind}: ${text}`,
    textOf(by),
    textOf(result),
  ]);
}

/** What stands in the place of rows where there are none, and what no record can hold. */
export function communicationNotes({ communications }: DrillRecord): readonly string[] {
  if (communications === undefined) return [`Communications not recorded: ${NOT_KEPT.notRecorded}.`];
  const { told, afterSeal } = communications;
  return [...(isNotRecorded(told) ? [`Not recorded: ${told.notRecorded}.`] : []), `After the seal: ${afterSeal}.`];
}

export function communicationsSection(record: DrillRecord): Markup {
  const rows = communicationRows(record).map(
    ([when, from, to, what, by, result]) =>
      markup`<tr><th scope="row">${when}</th><td>${from}</td><td>${to}</td><td class="${from === 'gameday' ? 'told' : 'said'}">${what}</td><td>${by}</td><td>${result}</td></tr>`,
  );
  return markup`${rows.length === 0 ? null : tableOf(COMMUNICATION_COLUMNS, rows)}${communicationNotes(record).map((text) => markup`<p class="note">${text}</p>`)}`;
}
