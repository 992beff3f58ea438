/** The RTO waterfall: each segment of the outage where it lies, with its bounds, under the total. A segment that could not be seen is merged, never drawn as zero. Pure. */
import type { Interval, PredictedFailover, RtoMeasurement } from '../model/measurement';
import { predictedBand } from '../core/segment-bands';
import { markup, type Markup } from './markup';
import { GUTTER, WIDTH, drawing, laneLabel, round, timeGrid, xOf } from './svg';
import type { TimeAxis } from './time-axis';
import { formatInterval } from './words';

const ROW = 26;
const GAP = 8;
const TOP = 8;

interface Row {
  readonly name: string;
  readonly from: Interval;
  readonly to: Interval;
  readonly ms: Interval;
  readonly look: string;
  readonly band: Interval | null;
}

/** Null if there was no outage to take apart. `predicted`: drawn as an envelope beside each bar. */
export function waterfallChart(rto: RtoMeasurement, base: TimeAxis, predicted: PredictedFailover | null): Markup | null {
  const first = rto.outages[0];
  const end = rto.outages.at(-1)?.tRec;
  if (first === undefined || end === null || end === undefined || rto.rto === null) return null;
  const room = (end.highMs - first.t0.lowMs) * 0.02;
  // Room at the right for the figures that do not fit into their bars.
  const axis: TimeAxis = {
    ...base,
    fromMs: first.t0.lowMs - room,
    toMs: end.highMs + (end.highMs - first.t0.lowMs) * 0.16,
    zeroMs: first.t0.lowMs,
  };
  const rows = [
    ...rto.segments.map(({ name, from, to, ms }, at) => ({
      name,
      from,
      to,
      ms,
      look: `seg seg${at % 5}`,
      band: predicted === null ? null : predictedBand(name, predicted),
    })),
    { name: 'RTO', from: first.t0, to: end, ms: rto.rto, look: 'seg total', band: predicted },
  ];
  const bottom = TOP + rows.length * (ROW + GAP);
  const body = rows.map((row, at) => bar(axis, row, TOP + at * (ROW + GAP)));
  const words = rows.map(({ name, ms, band }) => `${name} ${formatInterval(ms)}${bandText(band)}`).join('; ');
  return drawing('waterfall', bottom + 26, 'Where the recovery time went', words, [timeGrid(axis, TOP, bottom), ...body]);
}

/** Solid where the segment certainly was; whiskers over what is uncertain at both ends. */
function bar(axis: TimeAxis, { name, from, to, ms, look, band }: Row, y: number): Markup {
  const [x0, x1, x2, x3] = [xOf(axis, from.lowMs), xOf(axis, from.highMs), xOf(axis, to.lowMs), xOf(axis, to.highMs)];
  const middle = y + ROW / 2;
  return markup`<g>${laneLabel(name, y, ROW)}<line class="base" x1="${GUTTER}" x2="${WIDTH - 12}" y1="${y + ROW + GAP / 2}" y2="${y + ROW + GAP / 2}"/>
<rect class="${look}" x="${x0}" y="${y + 4}" width="${Math.max(2, round(x3 - x0))}" height="${ROW - 8}" rx="3"/>
<path class="whisker" d="M${x0} ${middle}H${x1}M${x2} ${middle}H${x3}M${x0} ${y + 8}V${y + ROW - 8}M${x3} ${y + 8}V${y + ROW - 8}"/>
<text class="figure" x="${x3 + 8}" y="${middle + 4}">${formatInterval(ms)}${bandText(band)}</text>${band === null ? null : envelope(axis, from, band, y)}</g>`;
}

const bandText = (band: Interval | null): string => (band === null ? '' : `, predicted ${formatInterval(band)}`);

/** Where the segment should end by the settings, counted from the latest instant at which it may have begun; cut off at the chart's end. */
function envelope(axis: TimeAxis, from: Interval, band: Interval, y: number): Markup {
  const [low, high] = [from.lowMs + band.lowMs, from.highMs + band.highMs].map((at) => xOf(axis, Math.min(at, axis.toMs))) as [
    number,
    number,
  ];
  return markup`<path class="envelope" d="M${low} ${y + 2}V${y + ROW - 2}M${high} ${y + 2}V${y + ROW - 2}M${low} ${y + ROW - 2}H${high}"/>`;
}
