/** How old the data of each standby was over time, with bounds, a lane a standby. Seconds in which nothing could be told are gaps, drawn as gaps. Pure. */
import { formatMs } from '../core/units';
import type { ReplicaLag } from '../model/measurement';
import type { DrillRecord, Maybe } from '../model/record';
import { faultShading, MAX_POINTS } from './latency-chart';
import { markup, type Markup } from './markup';
import { GUTTER, WIDTH, drawing, laneLabel, round, timeGrid, xOf } from './svg';
import type { TimeAxis } from './time-axis';
import { formatInterval, isNotRecorded, NOT_KEPT } from './words';

const TOP = 14;
const LANE = 78;
const GAP = 14;
/** Below this the sampler's own pace is all that one sees. */
const LEAST_MS = 10;

type Bin = ReplicaLag['bins'][number];

export interface LagChart {
  readonly chart: Markup;
  /** Seconds that one point stands for. */
  readonly secondsPerPoint: number;
}

export function lagChart(record: DrillRecord, axis: TimeAxis): Maybe<LagChart> {
  const lag = record.replicaLag ?? NOT_KEPT;
  if (isNotRecorded(lag)) return lag;
  const seen = lag.filter(({ bins }) => bins.length > 0);
  if (seen.length === 0) return { notRecorded: 'no standby answered the sampler while a primary did' };
  const seconds = Math.max(...seen.map(({ bins }) => ((bins.at(-1)?.atMs ?? 0) - (bins[0]?.atMs ?? 0)) / 1_000 + 1));
  const secondsPerPoint = Math.max(1, Math.ceil(seconds / MAX_POINTS));
  const lanes = seen.map(({ node, bins }) => ({ node, bins: thinLag(bins, secondsPerPoint) }));
  const worst = Math.max(LEAST_MS * 10, ...lanes.flatMap(({ bins }) => bins.map(({ lowMs, highMs }) => highMs ?? lowMs)));
  const decades = Math.ceil(Math.log10(worst / LEAST_MS) - 1e-9);
  const bottom = TOP + lanes.length * (LANE + GAP) - GAP;
  const body = lanes.map((lane, at) => drawLane(axis, lane, { top: TOP + at * (LANE + GAP), decades, secondsPerPoint }));
  const description = `One lane a standby, logarithmic from ${formatMs(LEAST_MS)} to ${formatMs(LEAST_MS * 10 ** decades)}: how old its data was at most and at least. ${seen.map(wordsOf).join(' ')}`;
  return {
    chart: drawing('lag', bottom + 26, 'Staleness of standbys over time', description, [
      faultShading(record, axis, TOP, bottom),
      timeGrid(axis, TOP, bottom),
      ...body,
    ]),
    secondsPerPoint,
  };
}

/** The worst of every group of seconds, by the rule by which the judge finds the worst of a drill: each bound by itself, and none where one lacks it. */
export function thinLag(bins: readonly Bin[], every: number): readonly Bin[] {
  if (every === 1) return bins;
  const kept = new Map<number, Bin>();
  for (const bin of bins) {
    const atMs = Math.floor(bin.atMs / (every * 1_000)) * every * 1_000;
    const before = kept.get(atMs);
    const highMs =
      before === undefined ? bin.highMs : before.highMs === null || bin.highMs === null ? null : Math.max(before.highMs, bin.highMs);
    kept.set(atMs, { atMs, lowMs: Math.max(before?.lowMs ?? 0, bin.lowMs), highMs });
  }
  return [...kept.values()];
}

function wordsOf({ node, bins }: ReplicaLag): string {
  const lowMs = Math.max(...bins.map((bin) => bin.lowMs));
  const open = bins.some(({ highMs }) => highMs === null);
  return `${node} at worst ${open ? `at least ${formatMs(lowMs)}` : formatInterval({ lowMs, highMs: Math.max(...bins.map(({ highMs }) => highMs ?? 0)) })}.`;
}

interface Lane {
  readonly top: number;
  readonly decades: number;
  readonly secondsPerPoint: number;
}

function drawLane(axis: TimeAxis, { node, bins }: ReplicaLag, { top, decades, secondsPerPoint }: Lane): Markup {
  const y = (value: number): number => round(top + LANE * (1 - Math.log10(Math.max(value, LEAST_MS) / LEAST_MS) / decades));
  const rules = Array.from({ length: decades + 1 }, (_, at) => LEAST_MS * 10 ** at);
  const path = (pick: (bin: Bin) => number | null, look: string): Markup | null => {
    const d = pathOf(axis, bins, (bin) => (pick(bin) === null ? null : y(pick(bin) ?? 0)), secondsPerPoint);
    return d === '' ? null : markup`<path class="${look}" d="${d}"/>`;
  };
  return markup`<g>${laneLabel(node, top - 20, LANE)}<g class="grid">${rules.map(
    (value) =>
      markup`<line class="rule" x1="${GUTTER}" x2="${WIDTH - 12}" y1="${y(value)}" y2="${y(value)}"/>${
        value === rules[0] || value === rules.at(-1)
          ? markup`<text x="${GUTTER - 8}" y="${y(value) + 4}" text-anchor="end">${value === rules[0] ? '≤ ' : ''}${formatMs(value).replace('.0 ', ' ').replace('.00 ', ' ')}</text>`
          : null
      }`,
  )}</g>${path((bin) => (bin.highMs === null ? null : bin.lowMs), 'lag-low')}${path(({ highMs }) => highMs, 'lag')}${path(
    (bin) => (bin.highMs === null ? bin.lowMs : null),
    'lag-open',
  )}</g>`;
}

/** A lone second between two gaps is a short dash. */
function pathOf(axis: TimeAxis, bins: readonly Bin[], pick: (bin: Bin) => number | null, secondsPerPoint: number): string {
  let path = '';
  let before: number | null = null;
  for (const bin of bins) {
    const at = pick(bin);
    if (at === null) {
      before = null;
      continue;
    }
    const joined: boolean = before !== null && bin.atMs - before <= secondsPerPoint * 1_500;
    path += `${joined ? 'L' : 'M'}${xOf(axis, bin.atMs + 500 * secondsPerPoint)} ${at}${joined ? '' : 'h2'}`;
    before = bin.atMs;
  }
  return path;
}
