/** The timeline in lanes: what was broken, what each node was, who led, what clients saw, what people did — on one axis. Pure. */
import { formatMs } from '../core/units';
import type { Outage } from '../model/measurement';
import type { DrillRecord, SeriesBin } from '../model/record';
import { markup, type Markup } from './markup';
import { GUTTER, WIDTH, drawing, laneLabel, round, spanShape, timeGrid, xOf, type Span } from './svg';
import { wallToMs, type TimeAxis } from './time-axis';
import { formatInterval, isNotRecorded } from './words';

const LANE = 24;
const GAP = 8;
const TOP = 26;

interface Lane {
  readonly name: string;
  readonly spans: readonly Span[];
  readonly marks: readonly { readonly atMs: number; readonly title: string }[];
}

/** One drawing of the part of the drill that `axis` covers. `id` must be unique in the document. */
export function lanesChart(record: DrillRecord, axis: TimeAxis, id: string): Markup {
  const lanes: readonly Lane[] = [
    ...faultLanes(record, axis).filter(({ spans }) => spans.some(({ fromMs, toMs }) => toMs >= axis.fromMs && fromMs <= axis.toMs)),
    ...nodeLanes(record),
    leaderLane(record),
    clientLane(record, axis),
    stepLane(record, axis),
    peopleLane(record, axis),
  ];
  const bottom = TOP + lanes.length * (LANE + GAP);
  const body = lanes.map((lane, at) => {
    const y = TOP + at * (LANE + GAP);
    const marks = lane.marks
      .filter(({ atMs }) => atMs >= axis.fromMs && atMs <= axis.toMs)
      .map(
        ({ atMs, title }) => markup`<g><title>${title}</title><path class="mark" d="M${xOf(axis, atMs)} ${y + 3}l8 9l-8 9l-8 -9z"/></g>`,
      );
    return markup`<g>${laneLabel(lane.name, y, LANE)}<line class="base" x1="${GUTTER}" x2="${WIDTH - 12}" y1="${y + LANE + GAP / 2}" y2="${y + LANE + GAP / 2}"/>${lane.spans.map(
      (span) => spanShape(axis, span, y, LANE),
    )}${marks}</g>`;
  });
  return drawing(id, bottom + 26, `Timeline of ${record.drill}`, describe(record), [
    timeGrid(axis, TOP - 6, bottom),
    ...body,
    instants(record, axis, bottom),
  ]);
}

/** The same facts in words, for those who cannot see the drawing. */
function describe(record: DrillRecord): string {
  const faults = record.faults.map(({ fault, step }) => `${fault} (${step})`).join(', ');
  const outages = isNotRecorded(record.rto) ? 'outages not recorded' : `${record.rto.outages.length} outages of client writes`;
  return `Faults: ${faults || 'none'}. ${outages}. Nodes: ${record.target.nodes.join(', ')}. The tables below hold the same instants.`;
}

function faultLanes(record: DrillRecord, axis: TimeAxis): readonly Lane[] {
  return record.faults.map((fault) => {
    const from = isNotRecorded(fault.injectedAt) ? null : wallToMs(axis, fault.injectedAt);
    const removed = isNotRecorded(fault.removedAt) ? null : wallToMs(axis, fault.removedAt);
    const spans: Span[] = [];
    if (from !== null) {
      const label = `${fault.fault}${fault.confirmed ? '' : ' · not confirmed'}${removed === null ? ' · removal not recorded' : ''}`;
      spans.push({
        fromMs: from,
        toMs: removed ?? axis.toMs,
        look: fault.confirmed ? 'fault' : 'unsure',
        label,
        title: `${fault.preview}; ${label}`,
      });
    }
    return { name: fault.step, spans, marks: [] };
  });
}

function nodeLanes(record: DrillRecord): readonly Lane[] {
  return record.target.nodes.map((node) => ({
    name: node,
    marks: [],
    spans: record.nodeSpans
      .filter((span) => span.node === node)
      .map(({ role, timeline, fromMs, toMs }) => {
        const label = role === 'down' ? 'down' : `${role}${timeline === null ? '' : ` · TL ${timeline}`}`;
        return { fromMs, toMs, look: role, label, title: `${node}: ${label} for ${formatMs(toMs - fromMs)}` };
      }),
  }));
}

function leaderLane(record: DrillRecord): Lane {
  const spans = record.nodeSpans
    .filter(({ role }) => role === 'primary')
    .map(({ node, fromMs, toMs, timeline }) => ({
      fromMs,
      toMs,
      look: 'leader',
      label: node,
      title: `${node} leads${timeline === null ? '' : ` on timeline ${timeline}`}`,
    }));
  return { name: 'Leader', spans, marks: [] };
}

function clientLane(record: DrillRecord, axis: TimeAxis): Lane {
  const outages = isNotRecorded(record.rto) ? [] : record.rto.outages;
  const spans: Span[] = runs(record.series, outages).map(({ fromMs, toMs, look, title }) => ({ fromMs, toMs, look, label: '', title }));
  for (const { t0, tRec, tFirst, duration, unsuccessful } of outages) {
    const toMs = (tRec ?? tFirst)?.highMs ?? axis.toMs;
    const label = duration === null ? 'outage, not recovered' : `outage ${formatInterval(duration)}`;
    spans.push({ fromMs: t0.lowMs, toMs, look: 'outage', label, title: `${label}, ${unsuccessful} unsuccessful writes` });
  }
  return { name: 'Client writes', spans, marks: [] };
}

function stepLane(record: DrillRecord, axis: TimeAxis): Lane {
  const spans: Span[] = [];
  for (const step of record.steps) {
    const from = wallToMs(axis, step.startedAt);
    const to = wallToMs(axis, step.endedAt);
    // A parallel step only holds others; they are drawn themselves.
    if (from === null || to === null || step.kind === 'parallel') continue;
    spans.push({
      fromMs: from,
      toMs: to,
      look: step.outcome === 'done' ? 'step' : 'unsure',
      label: step.title,
      title: `${step.title} (${step.kind}): ${step.outcome}, ${formatMs(to - from)}`,
    });
  }
  return { name: 'Steps', spans, marks: [] };
}

function peopleLane(record: DrillRecord, axis: TimeAxis): Lane {
  const marks = record.people.flatMap(({ id, step, answer, at }) => {
    const atMs = wallToMs(axis, at);
    return atMs === null ? [] : [{ atMs, title: `${id} answered ${answer} to ${step}` }];
  });
  return { name: 'People', spans: [], marks };
}

/**
 * Neighbouring seconds that look the same become one bar. A second without any due write is a gap and stays empty. In a second that an outage
 * shares, the failures are the outage's: up to t0 and from t_rec on writes succeeded by definition, and the outage is drawn on top to the millisecond.
 */
function runs(
  series: readonly SeriesBin[],
  outages: readonly Outage[],
): readonly { fromMs: number; toMs: number; look: string; title: string }[] {
  const found: { fromMs: number; toMs: number; look: string; title: string }[] = [];
  for (const { atMs, due, acked } of series) {
    if (due === 0) continue;
    const shared = outages.some(({ t0, tRec }) => tRec !== null && t0.lowMs < atMs + 1_000 && tRec.highMs > atMs);
    const look = shared || acked === due ? 'good' : acked / due >= 0.5 ? 'partly' : 'bad';
    const before = found.at(-1);
    if (before !== undefined && before.look === look && Math.abs(before.toMs - atMs) < 1) before.toMs = atMs + 1_000;
    else
      found.push({
        fromMs: atMs,
        toMs: atMs + 1_000,
        look,
        title: { good: 'all writes acknowledged', partly: 'some writes failed', bad: 'most writes failed' }[look] ?? '',
      });
  }
  return found;
}

/** t0 and t_rec as lines through all lanes. */
function instants(record: DrillRecord, axis: TimeAxis, bottom: number): Markup | null {
  if (isNotRecorded(record.rto)) return null;
  const first = record.rto.outages[0];
  const last = record.rto.outages.at(-1);
  const lines = [
    { atMs: first?.t0.lowMs ?? null, label: 't0', anchor: 'end', shift: -4 },
    { atMs: last?.tRec?.highMs ?? null, label: 't_rec', anchor: 'start', shift: 4 },
  ];
  return markup`<g class="instant">${lines.map(({ atMs, label, anchor, shift }) => {
    if (atMs === null || atMs < axis.fromMs || atMs > axis.toMs) return null;
    const x = xOf(axis, atMs);
    return markup`<line x1="${x}" x2="${x}" y1="${TOP - 10}" y2="${bottom}"/><text x="${round(x + shift)}" y="${TOP - 12}" text-anchor="${anchor}">${label}</text>`;
  })}</g>`;
}
