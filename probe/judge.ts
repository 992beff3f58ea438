/**
 * The judge of time: a ledger in, RTO with bounds, segments and doubts out. A pure function of the ledger and the request: it reads no clock, and
 * what it cannot know it calls inconclusive. The rules are `docs/MEASUREMENT.md`; the verdict over a whole drill is `verdict.ts`.
 */
import type { Interval, Outage, PhaseLatency, RtoMeasurement, Segment } from '../model/measurement';
import type { SeriesBin } from '../model/record';
import type { JudgeRequest, LedgerJudgement, Receipt } from './contract';
import type { ReceiptEntry } from './ledger-format';
import { ledgerIn, type LedgerSource } from './ledger-reader';
import { nodeSpans, promotions, splitBrainSpans } from './nodes';
import { ACKED, EXCUSED, INDETERMINATE, loadLedger, MISSED, REJECTED, type LoadedLedger } from './ops-table';
import { findGaps } from './outages';
import { percentile, percentilesOf } from './percentiles';
import { findRecovery, firstDueAtOrAfter } from './recovery';
import { segmentsOf } from './segments';

/** Share of the measured window that may be starved before nothing can pass. Less than this widens the bounds it touches, and what "no outage above" says. */
const MAX_STARVED_SHARE = 0.05;
/** Watch entries come every second; more than this between two means that the prober was absent. */
const MAX_SILENCE_MS = 3_000;

/** Judges the ledger in a directory, or one in memory. Throws `file_unreadable`, `object_corrupt`. */
export async function judgeLedger(ledger: string | LedgerSource, request: JudgeRequest): Promise<LedgerJudgement> {
  const loaded = await loadLedger(typeof ledger === 'string' ? ledgerIn(ledger) : ledger);
  const epochMs = Date.parse(loaded.header.wallClock) - loaded.header.atNs / 1e6;
  const rto = judgeRto(loaded, request);
  return {
    rto,
    splitBrain: splitBrainSpans(loaded.samples),
    latencies: rto.latencies,
    series: seriesOf(loaded),
    nodeSpans: nodeSpans(loaded.samples),
    epoch: new Date(epochMs).toISOString(),
    receipts: loaded.receipts.map(({ name, phase, subject, atNs }) => ({ name, phase, subject, atMs: atNs / 1e6 })),
  };
}

interface Span {
  readonly fromMs: number;
  readonly toMs: number;
}

/** Where things stand in time: what is measured, and the baseline it is measured against. */
interface Frame {
  readonly measured: Span;
  readonly baseline: Span;
  /** About-to and done of every measured injection, in order. */
  readonly injections: readonly { readonly step: string; readonly at: Interval }[];
}

function frameOf(loaded: LoadedLedger, request: JudgeRequest): Frame {
  const toMs = Math.min(request.toMs ?? Infinity, loaded.endMs);
  const floorMs = request.fromMs ?? 0;
  const injections = request.faults.flatMap(({ step }) => {
    const about = findReceipt(loaded.receipts, { name: 'inject', phase: 'about-to', subject: step });
    const done = findReceipt(loaded.receipts, { name: 'inject', phase: 'done', subject: step });
    return about === null ? [] : [{ step, at: { lowMs: about, highMs: done ?? toMs } }];
  });
  const first = injections[0]?.at.lowMs ?? null;
  const last = injections.at(-1)?.at.lowMs ?? null;
  // A baseline taken again under a fault that stands on purpose replaces the one before.
  const retaken = loaded.receipts
    .filter((r) => r.name === 'baseline' && r.phase === 'done' && r.atNs / 1e6 <= (last ?? toMs) && r.atNs / 1e6 >= floorMs)
    .at(-1);
  const retakenMs = retaken === undefined ? null : retaken.atNs / 1e6;
  const firstDue = loaded.writes.due[0] ?? 0;
  const baselineEnd = Math.max(retakenMs ?? 0, first ?? 0) || Math.min(toMs, firstDue + request.steady.windowMs);
  const baselineStart = Math.max(floorMs, baselineEnd - request.steady.windowMs);
  const measuredFrom = Math.max(floorMs, Math.min(baselineStart, first === null ? baselineStart : first - request.steady.windowMs));
  return { measured: { fromMs: measuredFrom, toMs }, baseline: { fromMs: baselineStart, toMs: baselineEnd }, injections };
}

function findReceipt(receipts: readonly ReceiptEntry[], wanted: Receipt): number | null {
  const found = receipts.find((r) => r.name === wanted.name && r.phase === wanted.phase && r.subject === wanted.subject);
  return found === undefined ? null : found.atNs / 1e6;
}

function judgeRto(loaded: LoadedLedger, request: JudgeRequest): RtoMeasurement {
  const { settings, steady } = request;
  const frame = frameOf(loaded, request);
  const baseline = tally(loaded, frame.baseline);
  const baselineP99Ms = percentile(baseline.latencies.slice().sort(), 0.99);
  const limit = baselineP99Ms === null ? null : Math.max(steady.recoveryFactor * baselineP99Ms, steady.recoveryFloorMs);
  const failures = loaded.losses.map((loss) => ({
    startedMs: loss.startedNs / 1e6,
    endedMs: loss.atNs / 1e6,
    attempt: loss.event === 'failed',
  }));
  const gaps = findGaps(loaded.writes, { periodMs: settings.periodMs, usualLatencyMs: baselineP99Ms ?? 0, ...frame.measured, failures });
  const outages = gaps.map((gap): Outage => {
    const tRec = limit === null ? null : findRecovery(loaded.writes, gap, steady, limit, frame.measured.toMs);
    const [t0, widened] = [widen(gap.t0, loaded), tRec === null ? null : widen(tRec, loaded)];
    return {
      t0,
      tFirst: gap.tFirst,
      tRec: widened,
      duration: widened === null ? null : minus(widened, t0),
      unsuccessful: gap.unsuccessful,
    };
  });
  const firstOutage = outages[0] ?? null;
  const recovered = latestRecovery(outages);
  const rto = firstOutage !== null && recovered !== null ? minus(recovered, firstOutage.t0) : null;
  const injection = firstOutage === null ? null : (frame.injections.filter((i) => i.at.lowMs <= firstOutage.t0.highMs).at(-1) ?? null);
  // Up to the last heal, not the last recovery: a prober that was blind under a later fault has not shown that nothing happened.
  const healedMs = loaded.receipts.reduce((last, r) => (r.name === 'heal' && r.phase === 'done' ? Math.max(last, r.atNs / 1e6) : last), 0);
  const span = {
    fromMs: Math.min(frame.measured.fromMs, frame.baseline.fromMs),
    toMs: recovered === null ? frame.measured.toMs : Math.min(frame.measured.toMs, Math.max(recovered.highMs, healedMs)),
  };
  const starvedMs = starvedWithin(loaded, span);
  const longestStarved = Math.max(0, ...loaded.starved.map((s) => overlapMs({ fromMs: s.fromNs / 1e6, toMs: s.toNs / 1e6 }, span)));
  const segments =
    firstOutage !== null && recovered !== null ? segmentsOf(firstOutage.t0, recovered, loaded.receipts, promotions(loaded.samples)) : [];
  const latencies = phasesOf(loaded, frame, firstOutage?.t0.lowMs ?? null, recovered?.highMs ?? null);
  const measuredCount = tally(loaded, frame.measured);
  return {
    rto,
    noOutageAboveMs:
      outages.length === 0 && measuredCount.acked > 0
        ? Math.max(2 * settings.periodMs, longestStarved + 2 * settings.periodMs * Number(longestStarved > 0))
        : null,
    fromInjection: recovered !== null && injection !== null ? minus(recovered, injection.at) : null,
    firstAck: firstOutage?.tFirst == null ? null : minus(firstOutage.tFirst, firstOutage.t0),
    outages,
    segments,
    baselineP99Ms,
    recoveryLimitP99Ms: limit,
    latencies,
    writesDue: measuredCount.due,
    starvedMs,
    onTimeRatio: onTimeRatio(loaded),
    contradictions: contradictions(loaded, settings.periodMs, firstOutage, recovered, rto, segments),
    inconclusive: doubts(loaded, request, frame, {
      baseline,
      baselineP99Ms,
      outages,
      starvedMs,
      longestStarved,
      span,
      writesDue: measuredCount.due,
    }),
  };
}

/** When all of them were over: outages that overlap in their bounds need not recover in the order in which they began. Null while one is not over. */
function latestRecovery(outages: readonly Outage[]): Interval | null {
  const ends: Interval[] = [];
  for (const { tRec } of outages) {
    if (tRec === null) return null;
    ends.push(tRec);
  }
  return ends.length === 0
    ? null
    : { lowMs: Math.max(...ends.map((end) => end.lowMs)), highMs: Math.max(...ends.map((end) => end.highMs)) };
}

/** a − b, never below zero. */
function minus(a: Interval, b: Interval): Interval {
  return { lowMs: Math.max(0, a.lowMs - b.highMs), highMs: Math.max(0, a.highMs - b.lowMs) };
}

/** While the prober was starved it observed nothing: an instant whose bounds touch such a span may lie anywhere in it. */
function widen(instant: Interval, loaded: LoadedLedger): Interval {
  let { lowMs, highMs } = instant;
  for (const { fromNs, toNs } of loaded.starved) {
    if (fromNs / 1e6 > highMs || toNs / 1e6 < lowMs) continue;
    lowMs = Math.min(lowMs, fromNs / 1e6);
    highMs = Math.max(highMs, toNs / 1e6);
  }
  return { lowMs, highMs };
}

interface Tally {
  readonly due: number;
  readonly acked: number;
  readonly latencies: Float64Array;
}

/** Writes due within the span. Excused ones (the prober's own fault) are left out. */
function tally(loaded: LoadedLedger, span: Span): Tally {
  const { writes } = loaded;
  const latencies: number[] = [];
  let due = 0;
  for (let op = firstDueAtOrAfter(writes, span.fromMs); op < writes.count && (writes.due[op] as number) <= span.toMs; op += 1) {
    if (writes.state[op] === EXCUSED) continue;
    due += 1;
    if (writes.state[op] === ACKED) latencies.push((writes.done[op] as number) - (writes.due[op] as number));
  }
  return { due, acked: latencies.length, latencies: Float64Array.from(latencies) };
}

function overlapMs(a: Span, b: Span): number {
  return Math.max(0, Math.min(a.toMs, b.toMs) - Math.max(a.fromMs, b.fromMs));
}

function starvedWithin(loaded: LoadedLedger, span: Span): number {
  let sum = 0;
  for (const { fromNs, toNs } of loaded.starved) sum += overlapMs({ fromMs: fromNs / 1e6, toMs: toNs / 1e6 }, span);
  return sum;
}

function onTimeRatio(loaded: LoadedLedger): number {
  const last = loaded.watches.at(-1);
  return last === undefined || last.due === 0 ? 0 : last.onTime / last.due;
}

/** before: up to the fault · during: fault to recovery (or to the heal, where clients saw no outage) · after: the rest. */
function phasesOf(loaded: LoadedLedger, frame: Frame, outageMs: number | null, recoveredMs: number | null): PhaseLatency[] {
  const { fromMs, toMs } = frame.measured;
  const faultMs = frame.injections[0]?.at.lowMs ?? outageMs;
  if (faultMs === null) return [phaseOf(loaded, 'before', { fromMs, toMs })];
  const healed = loaded.receipts.find((r) => r.name === 'heal' && r.phase === 'done' && r.atNs / 1e6 > faultMs);
  const overMs = Math.min(toMs, recoveredMs ?? (outageMs === null && healed !== undefined ? healed.atNs / 1e6 : toMs));
  return [
    phaseOf(loaded, 'before', { fromMs, toMs: faultMs }),
    phaseOf(loaded, 'during', { fromMs: faultMs, toMs: overMs }),
    phaseOf(loaded, 'after', { fromMs: overMs, toMs }),
  ];
}

function phaseOf(loaded: LoadedLedger, phase: PhaseLatency['phase'], span: Span): PhaseLatency {
  const { due, acked, latencies } = tally(loaded, span);
  return { phase, due, succeeded: acked, latency: percentilesOf(latencies) };
}

function contradictions(
  loaded: LoadedLedger,
  periodMs: number,
  first: Outage | null,
  recovered: Interval | null,
  rto: Interval | null,
  segments: readonly Segment[],
): string[] {
  if (first === null || recovered === null || rto === null) return [];
  const found: string[] = [];
  const wallMs = loaded.endMs - (loaded.writes.due[0] ?? 0);
  if (wallMs < rto.lowMs) found.push(`the ledger spans ${wallMs.toFixed(1)} ms, less than the RTO of at least ${rto.lowMs.toFixed(1)} ms`);
  const streams = loaded.header.streams.filter((kind) => kind === 'write').length;
  let unsuccessful = 0;
  const { writes } = loaded;
  for (let op = firstDueAtOrAfter(writes, first.t0.lowMs); op < writes.count && (writes.due[op] as number) <= recovered.highMs; op += 1) {
    if (writes.state[op] !== ACKED && writes.state[op] !== EXCUSED) unsuccessful += 1;
  }
  const lossMs = (unsuccessful * periodMs) / Math.max(streams, 1);
  if (lossMs > rto.highMs + 2 * periodMs)
    found.push(`availability lost (${lossMs.toFixed(1)} ms) exceeds the RTO of at most ${rto.highMs.toFixed(1)} ms`);
  const [low, high] = segments.reduce(([l, h], s) => [l + s.ms.lowMs, h + s.ms.highMs], [0, 0]);
  if (segments.length > 0 && (low > rto.highMs + 1e-6 || high < rto.lowMs - 1e-6)) {
    found.push(
      `segments sum to [${low.toFixed(1)}, ${high.toFixed(1)}] ms, the RTO is [${rto.lowMs.toFixed(1)}, ${rto.highMs.toFixed(1)}] ms`,
    );
  }
  return found;
}

interface Evidence {
  readonly baseline: Tally;
  readonly baselineP99Ms: number | null;
  readonly outages: readonly Outage[];
  readonly starvedMs: number;
  readonly longestStarved: number;
  readonly span: Span;
  readonly writesDue: number;
}

/** Every reason why nothing may pass. */
function doubts(loaded: LoadedLedger, request: JudgeRequest, frame: Frame, evidence: Evidence): string[] {
  const { steady, settings } = request;
  const { baseline, baselineP99Ms, outages, starvedMs, longestStarved, span, writesDue } = evidence;
  const found: string[] = [];
  for (const fault of request.faults) {
    if (!fault.confirmed) found.push(`fault "${fault.step}" was not confirmed to bite`);
    if (fault.endedEarly) found.push(`fault "${fault.step}" ended before its time`);
    if (!frame.injections.some((i) => i.step === fault.step)) found.push(`the ledger holds no injection receipt of "${fault.step}"`);
  }
  if (baseline.due === 0 || baselineP99Ms === null) found.push('no baseline was measured');
  else if (baseline.acked / baseline.due < steady.successRatio)
    found.push(`the baseline was not steady: ${baseline.acked} of ${baseline.due} writes succeeded`);
  else if (baselineP99Ms > steady.maxP99Ms)
    found.push(`the baseline was not steady: p99 ${baselineP99Ms.toFixed(1)} ms is above ${steady.maxP99Ms} ms`);
  const [firstInjection] = frame.injections;
  const [firstOutage] = outages;
  if (firstInjection !== undefined && firstOutage !== undefined && firstOutage.t0.highMs < firstInjection.at.lowMs)
    found.push('an outage began before the fault was injected');
  if (outages.some((outage) => outage.tRec === null)) found.push('clients had not recovered when the measured span ended');
  const spanMs = Math.max(1, span.toMs - span.fromMs);
  if (starvedMs > MAX_STARVED_SHARE * spanMs || longestStarved > settings.clientDeadlineMs) {
    found.push(`the prober was starved for ${starvedMs.toFixed(1)} ms of ${spanMs.toFixed(0)} ms`);
  }
  const absent = longestSilenceMs(loaded, span);
  if (absent > MAX_SILENCE_MS) found.push(`the prober was absent for ${(absent / 1e3).toFixed(1)} s`);
  if (writesDue < settings.minWritesDue) found.push(`only ${writesDue} writes were due, the plan requires ${settings.minWritesDue}`);
  return found;
}

function longestSilenceMs(loaded: LoadedLedger, span: Span): number {
  const inside = loaded.watches.map((watch) => watch.atNs / 1e6).filter((at) => at > span.fromMs && at < span.toMs);
  const marks = [span.fromMs, ...inside, span.toMs];
  let longest = 0;
  for (let at = 1; at < marks.length; at += 1) longest = Math.max(longest, (marks[at] as number) - (marks[at - 1] as number));
  return longest;
}

/** Bins of one second by due instant; percentiles exact. */
function seriesOf(loaded: LoadedLedger): SeriesBin[] {
  const { writes } = loaded;
  const bins: SeriesBin[] = [];
  let op = 0;
  while (op < writes.count) {
    const atMs = Math.floor((writes.due[op] as number) / 1_000) * 1_000;
    const counts = [0, 0, 0, 0, 0];
    const latencies: number[] = [];
    for (; op < writes.count && (writes.due[op] as number) < atMs + 1_000; op += 1) {
      const state = writes.state[op] as number;
      counts[state] = (counts[state] ?? 0) + 1;
      if (state === ACKED) latencies.push((writes.done[op] as number) - (writes.due[op] as number));
    }
    const sorted = Float64Array.from(latencies).sort();
    const [acked = 0, rejected = 0, indeterminate = 0, missed = 0, excused = 0] = [
      counts[ACKED],
      counts[REJECTED],
      counts[INDETERMINATE],
      counts[MISSED],
      counts[EXCUSED],
    ];
    const due = acked + rejected + indeterminate + missed + excused;
    bins.push({
      atMs,
      due,
      acked,
      rejected,
      indeterminate,
      missed: missed + excused,
      p50Ms: percentile(sorted, 0.5),
      p99Ms: percentile(sorted, 0.99),
    });
  }
  return bins;
}
