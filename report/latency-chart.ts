/** Commit latency and failures over time. Seconds without an acknowledged write are gaps, drawn as gaps; standing faults shade the ground. Pure. */
import { formatMs } from '../core/units';
import type { DrillRecord, SeriesBin } from '../model/record';
import { markup, type Markup } from './markup';
import { GUTTER, WIDTH, drawing, round, timeGrid, xOf } from './svg';
import { wallToMs, type TimeAxis } from './time-axis';
import { isNotRecorded } from './words';

const TOP = 14;
const PLOT = 170;
const ERRORS_TOP = TOP + PLOT + 26;
const ERRORS = 64;
const BOTTOM = ERRORS_TOP + ERRORS;
/** More points than pixels help nobody: beyond this, the second with the highest p99 stands for its neighbours. */
export const MAX_POINTS = 900;

export interface LatencyChart {
  readonly chart: Markup;
  /** Seconds that one point stands for. */
  readonly secondsPerPoint: number;
}

/** Null if the record has no series. */
export function latencyChart(record: DrillRecord, axis: TimeAxis): LatencyChart | null {
  if (record.series.length === 0) return null;
  const secondsPerPoint = Math.ceil(record.series.length / MAX_POINTS);
  const bins = thin(record.series, secondsPerPoint);
  const values = bins.flatMap(({ p50Ms, p99Ms }) => [p50Ms, p99Ms]).filter((value) => value !== null);
  const scale = logScale(Math.min(...values, 1), Math.max(...values, 10));
  const body = [
    faultShading(record, axis, TOP, BOTTOM),
    timeGrid(axis, TOP, BOTTOM),
    markup`<g class="grid">${scale.ticks.map((value) => {
      const y = scale.y(value);
      return markup`<line class="rule" x1="${GUTTER}" x2="${WIDTH - 12}" y1="${y}" y2="${y}"/><text x="${GUTTER - 8}" y="${y + 4}" text-anchor="end">${formatMs(value).replace('.0 ', ' ').replace('.00 ', ' ')}</text>`;
    })}</g>`,
    line(bins, axis, ({ p99Ms }) => p99Ms, scale.y, 'p99', secondsPerPoint),
    line(bins, axis, ({ p50Ms }) => p50Ms, scale.y, 'p50', secondsPerPoint),
    errors(bins, axis, secondsPerPoint),
  ];
  const description =
    'Upper part: p50 and p99 of acknowledged commits per second, logarithmic. Lower part: share of due writes that were rejected, indeterminate or missed.';
  return { chart: drawing('latency', BOTTOM + 26, 'Commit latency and failures over time', description, body), secondsPerPoint };
}

function thin(series: readonly SeriesBin[], every: number): readonly SeriesBin[] {
  if (every === 1) return series;
  const kept: SeriesBin[] = [];
  for (let at = 0; at < series.length; at += every) {
    const group = series.slice(at, at + every);
    const worst = group.reduce((a, b) => ((b.p99Ms ?? -1) > (a.p99Ms ?? -1) ? b : a));
    const sum = (pick: (bin: SeriesBin) => number): number => group.reduce((total, bin) => total + pick(bin), 0);
    kept.push({
      atMs: group[0]?.atMs ?? worst.atMs,
      due: sum((bin) => bin.due),
      acked: sum((bin) => bin.acked),
      rejected: sum((bin) => bin.rejected),
      indeterminate: sum((bin) => bin.indeterminate),
      missed: sum((bin) => bin.missed),
      p50Ms: worst.p50Ms,
      p99Ms: worst.p99Ms,
    });
  }
  return kept;
}

/** Decades that hold all values. */
function logScale(low: number, high: number): { readonly y: (value: number) => number; readonly ticks: readonly number[] } {
  const from = Math.floor(Math.log10(Math.max(low, 0.1)));
  const to = Math.max(from + 1, Math.ceil(Math.log10(high)));
  const y = (value: number): number => round(TOP + PLOT * (1 - (Math.log10(Math.max(value, 10 ** from)) - from) / (to - from)));
  return { y, ticks: Array.from({ length: to - from + 1 }, (_, at) => 10 ** (from + at)) };
}

function line(
  bins: readonly SeriesBin[],
  axis: TimeAxis,
  pick: (bin: SeriesBin) => number | null,
  y: (value: number) => number,
  look: string,
  secondsPerPoint: number,
): Markup {
  let path = '';
  let before: number | null = null;
  for (const bin of bins) {
    const value = pick(bin);
    if (value === null) {
      before = null;
      continue;
    }
    const joined: boolean = before !== null && bin.atMs - before <= secondsPerPoint * 1_500;
    // A lone second between two gaps is a dot: a line of no length with a round cap.
    path += `${joined ? 'L' : 'M'}${xOf(axis, bin.atMs + 500 * secondsPerPoint)} ${y(value)}${joined ? '' : 'h0'}`;
    before = bin.atMs;
  }
  return markup`<path class="${look}" d="${path}"/>`;
}

function errors(bins: readonly SeriesBin[], axis: TimeAxis, secondsPerPoint: number): Markup {
  const bars = bins.map(({ atMs, due, rejected, indeterminate, missed }) => {
    if (due === 0 || rejected + indeterminate + missed === 0) return null;
    const x = xOf(axis, atMs);
    const width = Math.max(1.5, round(xOf(axis, atMs + 1_000 * secondsPerPoint) - x));
    let top = BOTTOM;
    return [
      ['missed', missed],
      ['indeterminate', indeterminate],
      ['rejected', rejected],
    ].map(([look, count]) => {
      const height = round((ERRORS * Number(count)) / due);
      top = round(top - height);
      return height === 0
        ? null
        : markup`<rect class="e-${look ?? ''}" x="${x}" y="${top}" width="${width}" height="${height}"><title>${look ?? ''}: ${count ?? 0} of ${due}</title></rect>`;
    });
  });
  return markup`<g>${bars.flat()}<line class="base strong" x1="${GUTTER}" x2="${WIDTH - 12}" y1="${BOTTOM}" y2="${BOTTOM}"/>
<g class="grid"><text x="${GUTTER - 8}" y="${ERRORS_TOP + 8}" text-anchor="end">100 % failed</text><text x="${GUTTER - 8}" y="${BOTTOM}" text-anchor="end">0</text></g></g>`;
}

/** The ground behind a chart, from `top` to `bottom`, shaded while a fault stood. */
export function faultShading(record: DrillRecord, axis: TimeAxis, top: number, bottom: number): Markup {
  return markup`<g>${record.faults.map((fault) => {
    const from = isNotRecorded(fault.injectedAt) ? null : wallToMs(axis, fault.injectedAt);
    if (from === null) return null;
    const to = (isNotRecorded(fault.removedAt) ? null : wallToMs(axis, fault.removedAt)) ?? axis.toMs;
    const x = xOf(axis, from);
    return markup`<rect class="shade" x="${x}" y="${top}" width="${Math.max(2, round(xOf(axis, to) - x))}" height="${bottom - top}"><title>${fault.step}: ${fault.fault}</title></rect>`;
  })}</g>`;
}
