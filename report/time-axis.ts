/** One axis for every chart: milliseconds of the prober's clock, shown relative to the beginning of the outage. Pure. */
import type { DrillRecord } from '../model/record';
import { isNotRecorded } from './words';

export interface TimeAxis {
  /** Wall clock, in ms since 1970, of the prober's zero. */
  readonly epochMs: number;
  /** What is drawn, in ms since the prober's zero. */
  readonly fromMs: number;
  readonly toMs: number;
  /** Where the axis says 0. */
  readonly zeroMs: number;
  /** What stands there, for the caption. */
  readonly zeroIs: string;
}

const TICK_STEPS_S = [0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1_200, 1_800, 3_600, 7_200, 14_400, 43_200, 86_400];

/** From the drill's start to its end, zero at t0 of the first outage; without one at the first injection, else at the start. */
export function axisOf(record: DrillRecord): TimeAxis {
  const start = Date.parse(record.startedAt);
  const epochMs = isNotRecorded(record.probeEpoch) ? start : Date.parse(record.probeEpoch);
  const bins = record.series;
  const last = bins.at(-1);
  const fromMs = Math.min(start - epochMs, bins[0]?.atMs ?? start - epochMs);
  const toMs = Math.max(Date.parse(record.endedAt) - epochMs, last === undefined ? fromMs + 1_000 : last.atMs + 1_000, fromMs + 1_000);
  const outage = isNotRecorded(record.rto) ? undefined : record.rto.outages[0];
  if (outage !== undefined)
    return { epochMs, fromMs, toMs, zeroMs: outage.t0.lowMs, zeroIs: 't0, the end of the last successful write before the outage' };
  const injected = record.faults
    .map(({ injectedAt }) => (isNotRecorded(injectedAt) ? NaN : Date.parse(injectedAt)))
    .filter((at) => !Number.isNaN(at));
  if (injected.length > 0)
    return { epochMs, fromMs, toMs, zeroMs: Math.min(...injected) - epochMs, zeroIs: 'the first injection (no outage)' };
  return { epochMs, fromMs, toMs, zeroMs: fromMs, zeroIs: 'the start of the drill' };
}

/** The same axis around the outages, with some room; null where that would show little more than the whole. */
export function closeUp(record: DrillRecord, axis: TimeAxis): TimeAxis | null {
  if (isNotRecorded(record.rto)) return null;
  const [first] = record.rto.outages;
  const last = record.rto.outages.at(-1);
  if (first === undefined || last === undefined) return null;
  const end = (last.tRec ?? last.tFirst)?.highMs;
  if (end === undefined) return null;
  const room = Math.max(250, (end - first.t0.lowMs) * 0.35);
  const closer = { ...axis, fromMs: Math.max(axis.fromMs, first.t0.lowMs - room), toMs: Math.min(axis.toMs, end + room) };
  return closer.toMs - closer.fromMs < (axis.toMs - axis.fromMs) / 4 ? closer : null;
}

/** Wall-clock text to ms on the axis; null if there is none or it cannot be read. */
export function wallToMs(axis: TimeAxis, at: string | null): number | null {
  const time = at === null ? NaN : Date.parse(at);
  return Number.isNaN(time) ? null : time - axis.epochMs;
}

/** Round instants relative to zero, at most about ten. */
export function ticksOf(axis: TimeAxis): readonly { readonly atMs: number; readonly label: string }[] {
  const spanS = (axis.toMs - axis.fromMs) / 1_000;
  const stepS = TICK_STEPS_S.find((step) => spanS / step <= 10) ?? spanS / 10;
  const first = Math.ceil((axis.fromMs - axis.zeroMs) / 1_000 / stepS - 1e-9);
  const last = Math.floor((axis.toMs - axis.zeroMs) / 1_000 / stepS + 1e-9);
  const ticks: { atMs: number; label: string }[] = [];
  for (let n = first; n <= last && ticks.length < 50; n += 1)
    ticks.push({ atMs: axis.zeroMs + n * stepS * 1_000, label: tickLabel(n * stepS, stepS) });
  return ticks;
}

function tickLabel(seconds: number, stepS: number): string {
  if (Math.abs(seconds) < stepS / 2) return '0';
  const sign = seconds < 0 ? '−' : '+';
  const abs = Math.abs(seconds);
  if (stepS < 1) return `${sign}${abs.toFixed(stepS < 0.1 ? 2 : 1)} s`;
  if (stepS < 60)
    return abs < 120 ? `${sign}${Math.round(abs)} s` : `${sign}${Math.floor(abs / 60)}:${String(Math.round(abs % 60)).padStart(2, '0')}`;
  return stepS < 3_600 ? `${sign}${Math.round(abs / 60)} min` : `${sign}${(abs / 3_600).toFixed(0)} h`;
}
