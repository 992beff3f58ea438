/**
 * A second judge, for the tests of the first: slow, obvious, written from docs/MEASUREMENT.md and not from judge.ts. It walks everything for everything.
 * Where the judge narrows a bound by what usually happens (the later end of t0, the earlier end of t_first), the reference has no opinion and takes the
 * judge's; simulated-clients.test-data.ts shows whether that bound holds. Prober's starvation is left out but for what it blocks.
 */
import type { Interval, Outage, ProbeView, RtoMeasurement } from '../model/measurement';
import type { JudgeRequest, ReceiptName } from './contract';
import type { Entry, OutcomeName, ReceiptEntry, StarvedEntry, WatchEntry } from './ledger-format';

export interface ReferenceOp {
  readonly due: number;
  /** Null: never sent. */
  readonly sent: number | null;
  /** ∞: never answered. */
  readonly done: number;
  readonly state: OutcomeName | 'missed' | 'excused';
}

interface Span {
  readonly from: number;
  readonly to: number;
}

const ms = (ns: number): number => ns / 1e6;
const kindOf = <K extends Entry['kind']>(entries: readonly Entry[], kind: K): Extract<Entry, { kind: K }>[] =>
  entries.filter((entry): entry is Extract<Entry, { kind: K }> => entry.kind === kind);
const ascending = (values: readonly number[]): number[] => [...values].sort((a, b) => a - b);

/** Operations of a view in the order of their due instants. */
export function referenceOps(entries: readonly Entry[], view: ProbeView): ReferenceOp[] {
  const streams = streamsOf(entries, view);
  const outcomes = kindOf(entries, 'outcome');
  const sent = kindOf(entries, 'intent')
    .filter(({ stream }) => streams.includes(stream))
    .map((intent): ReferenceOp => {
      const outcome = outcomes.find(({ stream, seq }) => stream === intent.stream && seq === intent.seq);
      const done = outcome === undefined ? Infinity : ms(outcome.doneNs);
      return { due: ms(intent.dueNs), sent: ms(intent.sentNs), done, state: outcome?.outcome ?? 'indeterminate' };
    });
  const missed = kindOf(entries, 'missed')
    .filter(({ stream }) => streams.includes(stream))
    .map(({ dueNs, atNs, cause }): ReferenceOp => {
      return { due: ms(dueNs), sent: null, done: ms(atNs), state: cause === 'starved' ? 'excused' : 'missed' };
    });
  return [...sent, ...missed].sort((a, b) => a.due - b.due);
}

function streamsOf(entries: readonly Entry[], view: ProbeView): number[] {
  const infos = kindOf(entries, 'segment')[0]?.streams ?? [];
  return infos.flatMap(({ kind, path, client }, at) => (kind === view.kind && path === view.path && client === view.client ? [at] : []));
}

/** The last instant that any entry stamps. */
export function lastInstant(entries: readonly Entry[]): number {
  const stamps = entries.map((entry) => {
    if (entry.kind === 'intent') return entry.sentNs;
    if (entry.kind === 'outcome') return entry.doneNs;
    if (entry.kind === 'sample' || entry.kind === 'controller') return entry.answeredNs;
    return entry.kind === 'starved' ? entry.toNs : entry.atNs;
  });
  return ms(Math.max(...stamps));
}

interface Frame {
  readonly measured: Span;
  readonly baseline: Span;
  readonly injections: readonly { readonly step: string; readonly about: number; readonly done: number }[];
}

function referenceFrame(entries: readonly Entry[], ops: readonly ReferenceOp[], request: JudgeRequest): Frame {
  const receipts = kindOf(entries, 'receipt');
  const first = (name: ReceiptName, phase: ReceiptEntry['phase'], subject: string): number | undefined =>
    receipts.filter((r) => r.name === name && r.phase === phase && r.subject === subject).map((r) => ms(r.atNs))[0];
  const to = Math.min(request.toMs ?? Infinity, lastInstant(entries));
  const injections = request.faults.flatMap(({ step }) => {
    const about = first('inject', 'about-to', step);
    return about === undefined ? [] : [{ step, about, done: first('inject', 'done', step) ?? to }];
  });
  const floor = request.fromMs ?? 0;
  const latest = injections.at(-1)?.about ?? to;
  const retaken = receipts.filter((r) => r.name === 'baseline' && r.phase === 'done' && ms(r.atNs) <= latest && ms(r.atNs) >= floor).at(-1);
  const ends = [injections[0]?.about, retaken === undefined ? undefined : ms(retaken.atNs)].filter((each) => each !== undefined);
  const window = request.steady.windowMs;
  const end = Math.max(...ends, 0) || Math.min(to, (ops[0]?.due ?? 0) + window);
  const baseline = { from: Math.max(floor, end - window), to: end };
  const begin = injections[0] === undefined ? baseline.from : Math.min(baseline.from, injections[0].about - window);
  return { measured: { from: Math.max(floor, begin), to }, baseline, injections };
}

/** An outage as it must be found, before any bound is narrowed. */
export interface ReferenceOutage {
  /** The newest instant at which something was sent that was acknowledged before. */
  readonly t0Low: number;
  readonly lastAck: number;
  /** Null: nothing was acknowledged after. */
  readonly firstAck: number | null;
  readonly unsuccessful: number;
  /** Nothing failed in it: the ledger ends before it is known. */
  readonly isPending: boolean;
}

export interface ReferenceOutages {
  readonly outages: readonly ReferenceOutage[];
  readonly unsuccessfulOutside: number;
  readonly longestStallMs: number;
}

/** Maximal spans between acknowledgements, longer than 2δ, in which an operation was under way that did not succeed. Each such operation counts once. */
export function referenceOutages(ops: readonly ReferenceOp[], periodMs: number, { from, to }: Span): ReferenceOutages {
  const acked = ops.filter((op) => op.state === 'acked' && op.done >= from && op.done <= to);
  const failed = ops.filter((op) => op.state !== 'acked' && op.state !== 'excused' && op.due <= to && op.done >= from);
  const instants = ascending([...new Set(acked.map((op) => op.done))]);
  const outages: ReferenceOutage[] = [];
  let longestStallMs = 0;
  const counted = new Set<ReferenceOp>();
  for (const [at, lastAck] of instants.entries()) {
    const firstAck = instants[at + 1] ?? null;
    const end = firstAck ?? to;
    const inside = failed.filter((op) => !counted.has(op) && op.done > lastAck && (firstAck === null ? op.due <= end : op.due < end));
    if (end - lastAck > 2 * periodMs && inside.length > 0) {
      for (const op of inside) counted.add(op);
      const isPending = firstAck === null && inside.every((op) => op.done === Infinity);
      const before = acked.filter((op) => op.done <= lastAck);
      outages.push({
        t0Low: Math.max(...before.map((op) => op.sent ?? -Infinity)),
        lastAck,
        firstAck,
        unsuccessful: inside.length,
        isPending,
      });
    } else if (firstAck !== null) {
      longestStallMs = Math.max(longestStallMs, end - lastAck);
    }
  }
  return { outages, unsuccessfulOutside: failed.length - counted.size, longestStallMs };
}

/** The value below or at which 99 of 100 lie: nearest rank. Null for none. */
export function referenceP99(latencies: readonly number[]): number | null {
  return ascending(latencies).find((value) => latencies.filter((each) => each <= value).length >= 0.99 * latencies.length) ?? null;
}

const dueWithin = (ops: readonly ReferenceOp[], { from, to }: Span): ReferenceOp[] =>
  ops.filter((op) => op.state !== 'excused' && op.due >= from && op.due <= to);
const latenciesOf = (ops: readonly ReferenceOp[]): number[] => ops.filter((op) => op.state === 'acked').map((op) => op.done - op.due);

/** Tries every acknowledged operation since the outage as the start of a good window. `high` null: none was, up to the end. */
export function referenceRecovery(
  ops: readonly ReferenceOp[],
  outage: ReferenceOutage,
  tFirstLow: number,
  limitMs: number | null,
  { recoveryWindowMs, successRatio }: JudgeRequest['steady'],
  toMs: number,
): { readonly low: number; readonly high: number | null } {
  const { firstAck } = outage;
  if (firstAck === null) return { low: toMs, high: null };
  if (limitMs === null) return { low: tFirstLow, high: null };
  let low = tFirstLow;
  let isCertain = true;
  const candidates = ops.filter((op) => op.state === 'acked' && op.due >= outage.t0Low && op.done >= firstAck);
  for (const op of candidates) {
    if (op.due + recoveryWindowMs > toMs) break;
    const window = ops.filter((each) => each.state !== 'excused' && each.due >= op.due && each.due < op.due + recoveryWindowMs);
    const latencies = latenciesOf(window);
    const p99 = referenceP99(latencies);
    if (latencies.length >= successRatio * window.length && p99 !== null && p99 <= limitMs) {
      // The first candidate of all: clients were well as soon as anything succeeded.
      return { low, high: op === candidates[0] ? firstAck : Math.max(firstAck, op.done) };
    }
    // What the prober could not send might have been answered: a window that this would have made good disproves nothing, nor do those after it.
    const excused = ops.filter((each) => each.state === 'excused' && each.due >= op.due && each.due < op.due + recoveryWindowMs);
    const best = [...latencies, ...excused.map(() => 0)];
    const bestP99 = referenceP99(best);
    if (best.length >= successRatio * (window.length + excused.length) && bestP99 !== null && bestP99 <= limitMs) isCertain = false;
    if (isCertain) low = Math.max(tFirstLow, op.due);
  }
  return { low, high: null };
}

const minus = (a: Interval, b: Interval): Interval => ({ lowMs: Math.max(0, a.lowMs - b.highMs), highMs: Math.max(0, a.highMs - b.lowMs) });

/** What the judge must say of a ledger without starved spans. `judged` lends the two bounds on which the reference has no opinion. */
export function referenceRto(
  entries: readonly Entry[],
  request: JudgeRequest,
  view: ProbeView,
  judged: RtoMeasurement,
): Omit<RtoMeasurement, 'segments' | 'latencies' | 'contradictions' | 'inconclusive'> {
  const ops = referenceOps(entries, view);
  const { measured, baseline, injections } = referenceFrame(entries, ops, request);
  const periodMs = kindOf(entries, 'segment')[0]?.streams[streamsOf(entries, view)[0] ?? -1]?.periodMs ?? NaN;
  const found = referenceOutages(ops, periodMs, measured);
  const baselineP99Ms = referenceP99(latenciesOf(dueWithin(ops, baseline)));
  const { recoveryFactor, recoveryFloorMs } = request.steady;
  const limit = baselineP99Ms === null ? null : Math.max(recoveryFactor * baselineP99Ms, recoveryFloorMs);
  const notBefore: number[] = [];
  const begun: number[] = [];
  const outages = found.outages.map((outage, at): Outage => {
    const lent = judged.outages[at];
    const t0 = { lowMs: outage.t0Low, highMs: lent?.t0.highMs ?? NaN };
    const tFirst = outage.firstAck === null ? null : { lowMs: lent?.tFirst?.lowMs ?? NaN, highMs: outage.firstAck };
    const { low, high } = referenceRecovery(ops, outage, tFirst?.lowMs ?? NaN, limit, request.steady, measured.to);
    const tRec = high === null ? null : { lowMs: low, highMs: high };
    if (!outage.isPending) {
      notBefore.push(low);
      begun.push(t0.highMs);
    }
    return {
      t0,
      tFirst,
      tRec,
      down: tFirst === null ? null : minus(tFirst, t0),
      duration: tRec === null ? null : minus(tRec, t0),
      unsuccessful: outage.unsuccessful,
    };
  });
  const [first] = outages;
  const ends = outages.flatMap(({ tRec }) => (tRec === null ? [] : [tRec]));
  const over = outages.length > 0 && ends.length === outages.length;
  const recovered = over
    ? { lowMs: Math.max(...ends.map(({ lowMs }) => lowMs)), highMs: Math.max(...ends.map(({ highMs }) => highMs)) }
    : null;
  const injection = injections.filter(({ about }) => first !== undefined && about <= first.t0.highMs).at(-1);
  const due = dueWithin(ops, measured);
  const counted = (state: ReferenceOp['state']): number => due.filter((op) => op.state === state).length;
  const downs = outages.flatMap(({ down }) => (down === null ? [] : [down]));
  const sum = (values: readonly number[]): number => values.reduce((total, value) => total + value, 0);
  const lastWatch = kindOf(entries, 'watch').at(-1);
  return {
    rto: first === undefined || recovered === null ? null : minus(recovered, first.t0),
    // From the first outage that is proven; none is: zero.
    rtoAtLeastMs: first === undefined || over ? null : Math.max(0, Math.max(...notBefore) - Math.min(...begun)),
    noOutageAboveMs: outages.length === 0 && counted('acked') > 0 ? 2 * periodMs : null,
    fromInjection:
      recovered === null || injection === undefined ? null : minus(recovered, { lowMs: injection.about, highMs: injection.done }),
    firstAck: first?.tFirst == null ? null : minus(first.tFirst, first.t0),
    // No history here says when it was verified.
    untilVerified: null,
    // Nor that anybody declared it.
    declared: null,
    fromDeclaration: null,
    outages,
    downMs:
      downs.length < outages.length
        ? null
        : { lowMs: sum(downs.map(({ lowMs }) => lowMs)), highMs: sum(downs.map(({ highMs }) => highMs)) },
    unsuccessfulOutside: found.unsuccessfulOutside,
    longestStallMs: found.longestStallMs,
    baselineP99Ms,
    recoveryLimitP99Ms: limit,
    writesDue: due.length,
    counts: {
      acked: counted('acked'),
      rejected: counted('rejected'),
      indeterminate: counted('indeterminate'),
      missed: counted('missed'),
    },
    starvedMs: 0,
    onTimeRatio: lastWatch === undefined || lastWatch.due === 0 ? 0 : lastWatch.onTime / lastWatch.due,
  };
}

export type Doubt =
  | 'unconfirmed'
  | 'ended early'
  | 'no receipt'
  | 'no baseline'
  | 'unsteady'
  | 'before the fault'
  | 'not recovered'
  | 'starved'
  | 'absent'
  | 'too few';

/** Why nothing may pass, one word a reason. */
export function referenceDoubts(
  entries: readonly Entry[],
  request: JudgeRequest,
  view: ProbeView,
  judged: RtoMeasurement,
  headline: boolean,
): Set<Doubt> {
  const ops = referenceOps(entries, view);
  const { measured, baseline, injections } = referenceFrame(entries, ops, request);
  const doubts = new Set<Doubt>();
  for (const { step, confirmed, endedEarly } of request.faults) {
    if (!confirmed) doubts.add('unconfirmed');
    if (endedEarly) doubts.add('ended early');
    if (injections.every((injection) => injection.step !== step)) doubts.add('no receipt');
  }
  const before = dueWithin(ops, baseline);
  const latencies = latenciesOf(before);
  const p99 = referenceP99(latencies);
  if (p99 === null) doubts.add('no baseline');
  else if (latencies.length / before.length < request.steady.successRatio || p99 > request.steady.maxP99Ms) doubts.add('unsteady');
  const [first] = judged.outages;
  if (first !== undefined && injections[0] !== undefined && first.t0.highMs < injections[0].about) doubts.add('before the fault');
  if (judged.outages.some(({ tRec }) => tRec === null)) doubts.add('not recovered');
  const span = blindSpan(entries, judged, { from: Math.min(measured.from, baseline.from), to: measured.to });
  const starved = kindOf(entries, 'starved').map((each) => overlap(each, span));
  const total = starved.reduce((sum, each) => sum + each, 0);
  if (total > 0.05 * Math.max(1, span.to - span.from) || Math.max(0, ...starved) > request.settings.clientDeadlineMs) doubts.add('starved');
  if (longestSilence(kindOf(entries, 'watch'), span) > 3_000) doubts.add('absent');
  if (headline && dueWithin(ops, measured).length < request.settings.minWritesDue) doubts.add('too few');
  return doubts;
}

/** In which the prober must have seen clearly: up to the recovery or the last heal, whichever is later; all of it where nobody recovered. */
function blindSpan(entries: readonly Entry[], { outages }: RtoMeasurement, all: Span): Span {
  const ends = outages.flatMap(({ tRec }) => (tRec === null ? [] : [tRec.highMs]));
  if (outages.length === 0 || ends.length < outages.length) return all;
  const heals = kindOf(entries, 'receipt').filter((r) => r.name === 'heal' && r.phase === 'done');
  return { from: all.from, to: Math.min(all.to, Math.max(...ends, ...heals.map((r) => ms(r.atNs)))) };
}

const overlap = ({ fromNs, toNs }: StarvedEntry, span: Span): number =>
  Math.max(0, Math.min(ms(toNs), span.to) - Math.max(ms(fromNs), span.from));

function longestSilence(watches: readonly WatchEntry[], { from, to }: Span): number {
  const marks = ascending([from, to, ...watches.map(({ atNs }) => ms(atNs)).filter((at) => at > from && at < to)]);
  return Math.max(0, ...marks.slice(1).map((mark, at) => mark - (marks[at] ?? mark)));
}

const DOUBT_WORDS: readonly (readonly [RegExp, Doubt])[] = [
  [/was not confirmed to bite/, 'unconfirmed'],
  [/ended before its time/, 'ended early'],
  [/no injection receipt/, 'no receipt'],
  [/no baseline was measured/, 'no baseline'],
  [/baseline was not steady/, 'unsteady'],
  [/began before the fault/, 'before the fault'],
  [/had not recovered/, 'not recovered'],
  [/prober was starved/, 'starved'],
  [/prober was absent/, 'absent'],
  [/writes were due/, 'too few'],
];

/** The judge's sentences as those words; throws on a sentence that is not known here. */
export function doubtsSaid(sentences: readonly string[]): Set<Doubt> {
  return new Set(
    sentences.map((sentence) => {
      const word = DOUBT_WORDS.find(([pattern]) => pattern.test(sentence))?.[1];
      if (word === undefined) throw new Error(`no doubt known to the reference: ${sentence}`);
      return word;
    }),
  );
}
