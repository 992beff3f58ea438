/**
 * The judge of time: a ledger in, RTO with bounds, segments and doubts out. A pure function of the ledger and the request: it reads no clock, and
 * what it cannot know it calls inconclusive. The rules are `docs/MEASUREMENT.md`; the verdict over a whole drill is `verdict.ts`.
 */
import { formatMs } from '../core/units';
import type { ControllerLog, Interval, Outage, OutcomeCounts, PhaseLatency, RtoMeasurement, Segment } from '../model/measurement';
import type { SeriesBin } from '../model/record';
import type { JudgeRequest, LedgerJudgement, Receipt } from './contract';
import { readControllerLog, weighControllerLog, type LogReading } from './controller-log';
import type { ReceiptEntry } from './ledger-format';
import { noSafeCandidate } from './candidates';
import { ledgerIn, type LedgerSource } from './ledger-reader';
import { nodeSpans, promotions, splitBrainSpans, unlockedSpans } from './nodes';
import { replicaLag, replicaStaleness } from './staleness';
import {
  ACKED,
  EXCUSED,
  firstDueAtOrAfter,
  INDETERMINATE,
  loadLedger,
  MISSED,
  OP_STATES,
  REJECTED,
  type LoadedLedger,
  type LoadedView,
  type Ops,
} from './ops-table';
import { findGaps, type Gap } from './outages';
import { percentile, percentilesOf } from './percentiles';
import { rebuildsOf } from './rebuilds';
import { findRecovery, type RecoveryRules } from './recovery';
import { leaderBefore, segmentsOf, watchedBoundaries } from './segments';

/** Share of the measured window that may be starved before nothing can pass. Less than this widens the bounds it touches, and what "no outage above" says. */
const MAX_STARVED_SHARE = 0.05;
/** Watch entries come every second; more than this between two means that the prober was absent. */
const MAX_SILENCE_MS = 3_000;

/** Judges the ledger in a directory, or one in memory. Throws `file_unreadable`, `object_corrupt`. */
export async function judgeLedger(ledger: string | LedgerSource, request: JudgeRequest): Promise<LedgerJudgement> {
  const loaded = await loadLedger(typeof ledger === 'string' ? ledgerIn(ledger) : ledger);
  const epochMs = Date.parse(loaded.header.wallClock) - loaded.header.atNs / 1e6;
  const [headline, ...others] = loaded.views;
  const rto = judgeRto(loaded, headline, request);
  const receipts = loaded.receipts.map(({ name, phase, subject, atNs }) => ({ name, phase, subject, atMs: atNs / 1e6 }));
  const controllerLog = controllerLogOf(loaded, rto.outages, request);
  return {
    rto,
    ...(controllerLog === undefined ? {} : { controllerLog }),
    views: others.map((each) => ({ ...each.view, rto: judgeRto(loaded, each, request) })),
    splitBrain: splitBrainSpans(loaded.samples),
    unlocked: unlockedSpans(loaded.samples, loaded.controller),
    replicaStaleness: replicaStaleness(loaded.samples),
    replicaLag: replicaLag(loaded.samples),
    noSafeCandidate: noSafeCandidate(loaded.samples, loaded.acks, loaded.header.nodes),
    latencies: rto.latencies,
    series: seriesOf(headline.ops),
    nodeSpans: nodeSpans(loaded.samples),
    epoch: new Date(epochMs).toISOString(),
    rebuilds: rebuildsOf(receipts),
    receipts,
  };
}

const NO_OUTAGE: Interval = { lowMs: Infinity, highMs: Infinity };

function readLog(loaded: LoadedLedger, t0: Interval, untilMs: number, { agentLogs }: JudgeRequest): LogReading | undefined {
  if (agentLogs === undefined) return undefined;
  return readControllerLog(agentLogs, { t0, untilMs, epoch: loaded.epoch, leader: leaderBefore(t0, loaded.controller) });
}

/** Of the headline's outages, from the first t0 to the last recovery; without an outage no line falls into it. */
function controllerLogOf(loaded: LoadedLedger, outages: readonly Outage[], request: JudgeRequest): ControllerLog | undefined {
  const t0 = outages[0]?.t0 ?? NO_OUTAGE;
  const untilMs = Math.max(0, ...outages.map(({ tRec }) => tRec?.highMs ?? loaded.endMs));
  const log = readLog(loaded, t0, untilMs, request);
  if (log === undefined) return undefined;
  return weighControllerLog(log, watchedBoundaries(t0, { lowMs: untilMs, highMs: untilMs }, loaded.controller));
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

function frameOf(loaded: LoadedLedger, ops: Ops, request: JudgeRequest): Frame {
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
  const firstDue = ops.due[0] ?? 0;
  const baselineEnd = Math.max(retakenMs ?? 0, first ?? 0) || Math.min(toMs, firstDue + request.steady.windowMs);
  const baselineStart = Math.max(floorMs, baselineEnd - request.steady.windowMs);
  const measuredFrom = Math.max(floorMs, Math.min(baselineStart, first === null ? baselineStart : first - request.steady.windowMs));
  return { measured: { fromMs: measuredFrom, toMs }, baseline: { fromMs: baselineStart, toMs: baselineEnd }, injections };
}

function findReceipt(receipts: readonly ReceiptEntry[], wanted: Receipt): number | null {
  const found = receipts.find((r) => r.name === wanted.name && r.phase === wanted.phase && r.subject === wanted.subject);
  return found === undefined ? null : found.atNs / 1e6;
}

/** The newest receipt counts: what was found well before a later disturbance was not the end of it. */
function untilVerified(receipts: readonly ReceiptEntry[], first: Outage | null): Interval | null {
  const done = receipts.findLast((r) => r.name === 'verified' && r.phase === 'done');
  const about = receipts.findLast((r) => r.name === 'verified' && r.phase === 'about-to' && r.atNs <= (done?.atNs ?? 0));
  if (done === undefined || about === undefined || first === null || done.atNs / 1e6 < first.t0.lowMs) return null;
  return minus({ lowMs: about.atNs / 1e6, highMs: done.atNs / 1e6 }, first.t0);
}

/**
 * When the incident was declared. `done` says that the answer is in. It was not before the newest `about-to` that another one follows: the next is stamped
 * only once the question was seen to be open still. The newest of all may have come after the answer; the only one stands before the question.
 */
export function declaredAt(receipts: readonly ReceiptEntry[]): Interval | null {
  const done = receipts.find((r) => r.name === 'declare' && r.phase === 'done');
  if (done === undefined) return null;
  const asked = receipts.filter((r) => r.name === 'declare' && r.phase === 'about-to' && r.subject === done.subject && r.atNs <= done.atNs);
  const before = asked.at(-2) ?? asked[0];
  return before === undefined ? null : { lowMs: before.atNs / 1e6, highMs: done.atNs / 1e6 };
}

function judgeRto(loaded: LoadedLedger, { view, ops, connections, periodMs, streams }: LoadedView, request: JudgeRequest): RtoMeasurement {
  const { steady } = request;
  const frame = frameOf(loaded, ops, request);
  const baseline = tally(ops, frame.baseline);
  const baselineP99Ms = percentile(baseline.latencies.slice().sort(), 0.99);
  const limit = baselineP99Ms === null ? null : Math.max(steady.recoveryFactor * baselineP99Ms, steady.recoveryFloorMs);
  const { starvation } = loaded;
  const { gaps, unsuccessfulOutside, longestStallMs } = findGaps(ops, { periodMs, ...frame.measured, starvation, connections });
  const rules = { steady, limitP99Ms: limit, starvation, toMs: frame.measured.toMs };
  const { outages, recovered, rto, rtoAtLeastMs } = courseOf(gaps.map((gap) => followGap(gap, loaded, ops, rules)));
  const [firstOutage = null] = outages;
  const injection = firstOutage === null ? null : (frame.injections.filter((i) => i.at.lowMs <= firstOutage.t0.highMs).at(-1) ?? null);
  // Up to the last heal, not the last recovery: a prober that was blind under a later fault has not shown that nothing happened.
  const healedMs = loaded.receipts.reduce((last, r) => (r.name === 'heal' && r.phase === 'done' ? Math.max(last, r.atNs / 1e6) : last), 0);
  const span = {
    fromMs: Math.min(frame.measured.fromMs, frame.baseline.fromMs),
    toMs: recovered === null ? frame.measured.toMs : Math.min(frame.measured.toMs, Math.max(recovered.highMs, healedMs)),
  };
  const starvedMs = starvation.withinMs(span.fromMs, span.toMs);
  const longestStarved = Math.max(0, ...loaded.starved.map((s) => overlapMs({ fromMs: s.fromNs / 1e6, toMs: s.toNs / 1e6 }, span)));
  const segments =
    firstOutage !== null && recovered !== null
      ? segmentsOf(
          firstOutage.t0,
          recovered,
          loaded.receipts,
          promotions(loaded.samples),
          loaded.controller,
          readLog(loaded, firstOutage.t0, recovered.highMs, request),
        )
      : [];
  const measured = tally(ops, frame.measured);
  const declared = declaredAt(loaded.receipts);
  return {
    rto,
    rtoAtLeastMs,
    noOutageAboveMs:
      outages.length === 0 && measured.acked > 0
        ? Math.max(2 * periodMs, longestStarved + 2 * periodMs * Number(longestStarved > 0))
        : null,
    fromInjection: recovered !== null && injection !== null ? minus(recovered, injection.at) : null,
    firstAck: firstOutage?.tFirst == null ? null : minus(firstOutage.tFirst, firstOutage.t0),
    untilVerified: untilVerified(loaded.receipts, firstOutage),
    declared,
    // Who declared what was over already shortened nothing: no span, and surely not one of zero.
    fromDeclaration: recovered !== null && declared !== null && declared.lowMs < recovered.highMs ? minus(recovered, declared) : null,
    outages,
    downMs: sumOfDown(outages),
    unsuccessfulOutside,
    longestStallMs,
    segments,
    baselineP99Ms,
    recoveryLimitP99Ms: limit,
    latencies: phasesOf(loaded, ops, frame, firstOutage?.t0.lowMs ?? null, recovered?.highMs ?? null),
    writesDue: measured.due,
    counts: measured.counts,
    starvedMs,
    onTimeRatio: onTimeRatio(loaded),
    contradictions: contradictions(loaded, ops, { periodMs, streams, first: firstOutage, recovered, rto, segments }),
    inconclusive: doubts(loaded, request, frame, {
      baseline,
      baselineP99Ms,
      outages,
      starvedMs,
      longestStarved,
      span,
      // The plan's least number is about the headline; other views are slower on purpose.
      writesDue: view === loaded.views[0].view ? measured.due : null,
    }),
  };
}

/** Time without a success, over all outages; null while one has not ended. Zero where there was none. */
function sumOfDown(outages: readonly Outage[]): Interval | null {
  let sum: Interval = { lowMs: 0, highMs: 0 };
  for (const { down } of outages) {
    if (down === null) return null;
    sum = { lowMs: sum.lowMs + down.lowMs, highMs: sum.highMs + down.highMs };
  }
  return sum;
}

interface Followed {
  readonly outage: Outage;
  /** Clients had surely not recovered before, in ms. */
  readonly notBeforeMs: number;
  /** False: all of it may be of the prober's own making. It widens the RTO upwards, and is no proof of any. */
  readonly proven: boolean;
}

function followGap(gap: Gap, loaded: LoadedLedger, ops: Ops, rules: RecoveryRules): Followed {
  const t0 = widen(gap.t0, loaded);
  const tFirst = gap.tFirst === null ? null : widen(gap.tFirst, loaded);
  const { lowMs, highMs } = findRecovery(ops, gap, rules);
  const tRec = highMs === null ? null : widen({ lowMs, highMs }, loaded);
  const down = tFirst === null ? null : minus(tFirst, t0);
  const duration = tRec === null ? null : minus(tRec, t0);
  const isBlurred = loaded.starvation.withinMs(t0.lowMs, (tFirst ?? t0).highMs) > 0;
  return {
    outage: { t0, tFirst, tRec, down, duration, unsuccessful: gap.unsuccessful },
    notBeforeMs: widen({ lowMs, highMs: lowMs }, loaded).lowMs,
    proven: !gap.isPending && !(isBlurred && down?.lowMs === 0),
  };
}

/** What all outages together say. They need not recover in the order in which they began, for their bounds may overlap. */
function courseOf(
  followed: readonly Followed[],
): Pick<RtoMeasurement, 'outages' | 'rto' | 'rtoAtLeastMs'> & { readonly recovered: Interval | null } {
  const outages = followed.map(({ outage }) => outage);
  const [first] = outages;
  if (first === undefined) return { outages, recovered: null, rto: null, rtoAtLeastMs: null };
  const proven = followed.filter((each) => each.proven);
  const begunMs = proven[0]?.outage.t0.highMs ?? Infinity;
  const ends = outages.flatMap(({ tRec }) => (tRec === null ? [] : [tRec]));
  const notBeforeMs = Math.max(...(proven.length > 0 ? proven : followed).map((each) => each.notBeforeMs));
  const atLeastMs = Math.max(0, notBeforeMs - begunMs);
  if (ends.length < outages.length) return { outages, recovered: null, rto: null, rtoAtLeastMs: atLeastMs };
  const recovered = { lowMs: notBeforeMs, highMs: Math.max(...ends.map((end) => end.highMs)) };
  return { outages, recovered, rto: { lowMs: atLeastMs, highMs: minus(recovered, first.t0).highMs }, rtoAtLeastMs: null };
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
  readonly counts: OutcomeCounts;
  readonly latencies: Float64Array;
}

/** Operations due within the span. Excused ones (the prober's own fault) are left out. */
function tally(ops: Ops, span: Span): Tally {
  const latencies: number[] = [];
  const counts = { acked: 0, rejected: 0, indeterminate: 0, missed: 0 };
  let due = 0;
  for (let op = firstDueAtOrAfter(ops, span.fromMs); op < ops.count && (ops.due[op] as number) <= span.toMs; op += 1) {
    const state = OP_STATES[ops.state[op] as number];
    if (state === undefined || state === 'excused') continue;
    due += 1;
    counts[state] += 1;
    if (state === 'acked') latencies.push((ops.done[op] as number) - (ops.due[op] as number));
  }
  return { due, acked: counts.acked, counts, latencies: Float64Array.from(latencies) };
}

function overlapMs(a: Span, b: Span): number {
  return Math.max(0, Math.min(a.toMs, b.toMs) - Math.max(a.fromMs, b.fromMs));
}

function onTimeRatio(loaded: LoadedLedger): number {
  const last = loaded.watches.at(-1);
  return last === undefined || last.due === 0 ? 0 : last.onTime / last.due;
}

/** before: up to the fault · during: fault to recovery (or to the heal, where clients saw no outage) · after: the rest. */
function phasesOf(loaded: LoadedLedger, ops: Ops, frame: Frame, outageMs: number | null, recoveredMs: number | null): PhaseLatency[] {
  const { fromMs, toMs } = frame.measured;
  const faultMs = frame.injections[0]?.at.lowMs ?? outageMs;
  if (faultMs === null) return [phaseOf(ops, 'before', { fromMs, toMs })];
  const healed = loaded.receipts.find((r) => r.name === 'heal' && r.phase === 'done' && r.atNs / 1e6 > faultMs);
  const overMs = Math.min(toMs, recoveredMs ?? (outageMs === null && healed !== undefined ? healed.atNs / 1e6 : toMs));
  return [
    phaseOf(ops, 'before', { fromMs, toMs: faultMs }),
    phaseOf(ops, 'during', { fromMs: faultMs, toMs: overMs }),
    phaseOf(ops, 'after', { fromMs: overMs, toMs }),
  ];
}

function phaseOf(ops: Ops, phase: PhaseLatency['phase'], span: Span): PhaseLatency {
  const { due, acked, latencies } = tally(ops, span);
  return { phase, due, succeeded: acked, latency: percentilesOf(latencies) };
}

interface Told {
  readonly periodMs: number;
  readonly streams: number;
  readonly first: Outage | null;
  readonly recovered: Interval | null;
  readonly rto: Interval | null;
  readonly segments: readonly Segment[];
}

/** What cannot be true together: each is a defect in us, and makes the drill inconclusive. */
function contradictions(loaded: LoadedLedger, ops: Ops, { periodMs, streams, first, recovered, rto, segments }: Told): string[] {
  if (first === null || recovered === null || rto === null) return [];
  const found: string[] = [];
  const wallMs = loaded.endMs - (ops.due[0] ?? 0);
  if (wallMs < rto.lowMs) found.push(`the ledger spans ${wallMs.toFixed(1)} ms, less than the RTO of at least ${rto.lowMs.toFixed(1)} ms`);
  let unsuccessful = 0;
  for (let op = firstDueAtOrAfter(ops, first.t0.lowMs); op < ops.count && (ops.due[op] as number) <= recovered.highMs; op += 1) {
    if (ops.state[op] !== ACKED && ops.state[op] !== EXCUSED) unsuccessful += 1;
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
  /** Null: not asked for. */
  readonly writesDue: number | null;
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
  const open = outages.find((outage) => outage.tRec === null);
  if (open !== undefined) {
    const beforeEndMs = frame.measured.toMs - open.t0.highMs;
    found.push(`clients had not recovered when the measured span ended, ${formatMs(beforeEndMs)} after an outage began`);
  }
  const spanMs = Math.max(1, span.toMs - span.fromMs);
  if (starvedMs > MAX_STARVED_SHARE * spanMs || longestStarved > settings.clientDeadlineMs) {
    found.push(`the prober was starved for ${starvedMs.toFixed(1)} ms of ${spanMs.toFixed(0)} ms`);
  }
  const absent = longestSilenceMs(loaded, span);
  if (absent > MAX_SILENCE_MS) found.push(`the prober was absent for ${(absent / 1e3).toFixed(1)} s`);
  if (writesDue !== null && writesDue < settings.minWritesDue)
    found.push(`only ${writesDue} writes were due, the plan requires ${settings.minWritesDue}`);
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
function seriesOf(ops: Ops): SeriesBin[] {
  const bins: SeriesBin[] = [];
  let op = 0;
  while (op < ops.count) {
    const atMs = Math.floor((ops.due[op] as number) / 1_000) * 1_000;
    const counts = [0, 0, 0, 0, 0];
    const latencies: number[] = [];
    for (; op < ops.count && (ops.due[op] as number) < atMs + 1_000; op += 1) {
      const state = ops.state[op] as number;
      counts[state] = (counts[state] ?? 0) + 1;
      if (state === ACKED) latencies.push((ops.done[op] as number) - (ops.due[op] as number));
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
