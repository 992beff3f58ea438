/**
 * The record's durations as CSV (RFC 4180), one row a figure: what a spreadsheet or a notebook needs to set many drills beside one another.
 * An empty cell is "not recorded"; it is never a zero. Pure.
 */
import { predictedBand } from '../core/segment-bands';
import type { Interval } from '../model/measurement';
import type { DrillRecord } from '../model/record';
import { isNotRecorded } from './words';

export const CSV_COLUMNS = [
  'target',
  'drill',
  'scenario',
  'started_at',
  'state',
  'verdict',
  'kind',
  'name',
  'low_ms',
  'high_ms',
  'predicted_low_ms',
  'predicted_high_ms',
  'target_ms',
  'bytes',
] as const;

type Row = Readonly<Partial<Record<(typeof CSV_COLUMNS)[number], string | number>>>;

/** With the header line, lines ended by CRLF. */
export function renderCsv(record: DrillRecord): string {
  return [CSV_COLUMNS.join(','), ...rowsOf(record).map(line)].map((text) => `${text}\r\n`).join('');
}

/** A cell as RFC 4180 wants it. What a spreadsheet would take for a formula is kept from being one by a leading apostrophe. */
export function csvCell(value: string | number): string {
  if (typeof value === 'number') return String(value);
  const safe = /^[=+\-@\t\r]/.test(value) ? `'${value}` : value;
  return /[",\r\n]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
}

function line(row: Row): string {
  return CSV_COLUMNS.map((column) => csvCell(row[column] ?? '')).join(',');
}

function rowsOf(record: DrillRecord): readonly Row[] {
  const base = {
    target: record.target.name,
    drill: record.drill,
    scenario: record.scenario.name,
    started_at: record.startedAt,
    state: record.state,
    verdict: record.verdict,
  };
  return [...clientRows(record), ...restoreRows(record), ...stepRows(record)].map((row) => ({ ...base, ...row }));
}

const bounds = (interval: Interval): Row => ({ low_ms: interval.lowMs, high_ms: interval.highMs });
const predicted = (band: Interval | null): Row => (band === null ? {} : { predicted_low_ms: band.lowMs, predicted_high_ms: band.highMs });

function clientRows({ rto, predicted: band, judgement, rpo }: DrillRecord): readonly Row[] {
  const rows: Row[] = [];
  if (!isNotRecorded(rto)) {
    const whole = isNotRecorded(band) ? null : band;
    const target = judgement.objectives.find(({ objective }) => objective.name === 'rto' && objective.path === undefined);
    const goal: Row = target === undefined ? {} : { target_ms: target.objective.target };
    if (rto.rto !== null) rows.push({ kind: 'rto', name: 'RTO', ...bounds(rto.rto), ...predicted(whole), ...goal });
    if (rto.fromInjection !== null) rows.push({ kind: 'rto', name: 'from injection', ...bounds(rto.fromInjection) });
    if (rto.firstAck !== null) rows.push({ kind: 'rto', name: 'first acknowledged write', ...bounds(rto.firstAck) });
    for (const { name, ms } of rto.segments)
      rows.push({ kind: 'segment', name, ...bounds(ms), ...predicted(whole === null ? null : predictedBand(name, whole)) });
  }
  if (!isNotRecorded(rpo)) rows.push({ kind: 'rpo', name: 'RPO time', ...bounds(rpo.rpoTimeMs) });
  return rows;
}

function restoreRows({ restores }: DrillRecord): readonly Row[] {
  return restores.flatMap(({ step, totalMs, phases, bytes }) => [
    { kind: 'restore', name: step, ...bounds(totalMs), bytes },
    ...phases.map((phase) => ({
      kind: 'restore phase',
      name: `${step}: ${phase.name}`,
      low_ms: phase.ms,
      high_ms: phase.ms,
      ...(phase.bytes === null ? {} : { bytes: phase.bytes }),
    })),
  ]);
}

function stepRows({ steps }: DrillRecord): readonly Row[] {
  return steps.map(({ id, startedAt, endedAt }) => {
    if (startedAt === null || endedAt === null) return { kind: 'step', name: id };
    const ms = Date.parse(endedAt) - Date.parse(startedAt);
    return { kind: 'step', name: id, low_ms: ms, high_ms: ms };
  });
}
