/**
 * Finds outages in a history of operations. Pure.
 *
 * An outage is a maximal span between two acknowledgements that is longer than 2δ and in which at least one due operation was unsuccessful. A span
 * in which every due operation succeeded, only late, is a stall: it shows in the latencies, which count from the due instant, and in `longestStallMs`.
 *
 *      sent  done        first failure                last failed attempt   sent  done
 *       │──ack─│  ✗ ✗ ✗ … │ ✗ ✗ ✗ ✗ ✗ ✗ ✗ ✗ ✗ ✗ ✗ ✗ ✗ ✗ ✗ │ ✗            │──ack─│
 *       └───── t0 ────────┘                            └────── t_first ────────┘
 *
 * What was sent and merely stays unanswered is evidence too. With L the longest that an answer took just before: something sent at s that is not
 * answered would have been by s + L, so the outage began before that; and what hung through the outage is answered within L of its end.
 */
import type { Interval } from '../model/measurement';
import { ACKED, EXCUSED, firstDueAtOrAfter, type Ops } from './ops-table';
import type { Starvation } from './starvation';

export interface Gap {
  readonly t0: Interval;
  /** Null: no operation was acknowledged any more. */
  readonly tFirst: Interval | null;
  readonly unsuccessful: number;
  /** No more is known than that the ledger ends before something was answered: whoever kills the prober makes such a gap. */
  readonly isPending: boolean;
}

export interface GapRules {
  readonly periodMs: number;
  readonly fromMs: number;
  readonly toMs: number;
  readonly starvation: Starvation;
  /** In order of their end. */
  readonly connections: readonly ConnectionSpan[];
}

/** `failed`: the attempt failed at `endedMs`; `opened`: it succeeded then; `lost`: an open connection broke then. */
export interface ConnectionSpan {
  readonly event: 'opened' | 'failed' | 'lost';
  readonly startedMs: number;
  readonly endedMs: number;
}

export interface Gaps {
  /** In order of time. */
  readonly gaps: readonly Gap[];
  /** Unsuccessful operations that belong to none of them: failures beside successes. */
  readonly unsuccessfulOutside: number;
  /** Longest span between two acknowledgements that is no outage; 0 with fewer than two. */
  readonly longestStallMs: number;
}

/** Acknowledgements that tell how long an answer usually takes. */
const USUAL_ACKS = 200;
/** Beyond the longest of them, because the next one may be longer still. */
const USUAL_MARGIN = 2;
/** A stall of this length is ordinary; and after a silence, when everybody comes back at once, the first answer may take this much longer. */
const RUSH_MS = 250;

/** Outages whose last acknowledgement before lies in [fromMs, toMs]. */
export function findGaps(ops: Ops, rules: GapRules): Gaps {
  const acks = acksByDone(ops, rules);
  const spans: Span[] = [];
  let longestStallMs = 0;
  for (let at = 0; at < acks.length; at += 1) {
    const last = acks[at] as number;
    const next = acks[at + 1];
    const start = ops.done[last] as number;
    const end = next === undefined ? rules.toMs : (ops.done[next] as number);
    if (end - start > 2 * rules.periodMs) spans.push({ at, start, end, isLast: next === undefined, inside: [] });
    else if (next !== undefined) longestStallMs = Math.max(longestStallMs, end - start);
  }
  const unsuccessfulOutside = shareOut(ops, rules, spans);
  for (const span of spans) {
    if (span.inside.length === 0 && !span.isLast) longestStallMs = Math.max(longestStallMs, span.end - span.start);
  }
  const gaps = spans.flatMap((span, index) =>
    span.inside.length === 0 ? [] : [boundGap(ops, rules, acks, span, spans[index - 1]?.end ?? -Infinity)],
  );
  return { gaps, unsuccessfulOutside, longestStallMs };
}

/** A span without success between two acknowledgements, or after the last. */
interface Span {
  readonly at: number;
  readonly start: number;
  readonly end: number;
  readonly isLast: boolean;
  readonly inside: number[];
}

function acksByDone(ops: Ops, rules: GapRules): Uint32Array {
  const acks: number[] = [];
  for (let op = 0; op < ops.count; op += 1) {
    const done = ops.done[op] as number;
    if (ops.state[op] === ACKED && done >= rules.fromMs && done <= rules.toMs) acks.push(op);
  }
  return Uint32Array.from(acks).sort((a, b) => (ops.done[a] as number) - (ops.done[b] as number) || a - b);
}

/**
 * Gives every unsuccessful operation to the first span in which it was under way (due before its end, not over before its start), so that none counts
 * twice; returns how many belong to none. Operations come in order of due, spans in order of time.
 */
function shareOut(ops: Ops, rules: GapRules, spans: readonly Span[]): number {
  let outside = 0;
  let first = 0;
  for (let op = 0; op < ops.count; op += 1) {
    const state = ops.state[op];
    const due = ops.due[op] as number;
    const done = ops.done[op] as number;
    if (state === ACKED || state === EXCUSED || due > rules.toMs || done < rules.fromMs) continue;
    // The last one has no acknowledgement at its end: what is due at that very instant belongs to it.
    while (first < spans.length && !(spans[first] as Span).isLast && (spans[first] as Span).end <= due) first += 1;
    const span = spans[first];
    if (span !== undefined && span.start < done) span.inside.push(op);
    else outside += 1;
  }
  return outside;
}

function boundGap(ops: Ops, rules: GapRules, acks: Uint32Array, span: Span, quietBeforeMs: number): Gap {
  const { start, end } = span;
  const usualMs = usualLatencyMs(ops, rules, acks, span.at, quietBeforeMs);
  let firstErrorMs = end;
  let firstSpoiltMs = end;
  let firstMissMs = end;
  let lastFailedAttemptMs = start;
  for (const op of span.inside) {
    const sent = ops.sent[op] as number;
    const done = ops.done[op] as number;
    if (isSpoilt(rules, ops.due[op] as number, Math.min(done, end), usualMs)) {
      if (done > start) firstSpoiltMs = Math.min(firstSpoiltMs, done);
      continue;
    }
    if (done > start && Number.isNaN(sent)) firstMissMs = Math.min(firstMissMs, done);
    else if (done > start) firstErrorMs = Math.min(firstErrorMs, done);
    if (sent < end) lastFailedAttemptMs = Math.max(lastFailedAttemptMs, sent);
  }
  for (const { event, startedMs, endedMs } of rules.connections) {
    if (event === 'opened' || endedMs <= start) continue;
    // A loss takes no time: it is when it was noticed that matters.
    if (isSpoilt(rules, event === 'lost' ? endedMs - usualMs : startedMs, endedMs, usualMs)) {
      firstSpoiltMs = Math.min(firstSpoiltMs, endedMs);
      continue;
    }
    if (endedMs <= end) firstErrorMs = Math.min(firstErrorMs, endedMs);
    if (event === 'failed' && startedMs < end) lastFailedAttemptMs = Math.max(lastFailedAttemptMs, startedMs);
  }
  const silentMs = firstPendingMs(ops, rules, span, usualMs) + usualMs;
  // An error that was seen beats what silence suggests (a stall may come before the outage), unless it came much later: after a deadline.
  const beginsBy = (errorMs: number): number => (errorMs <= silentMs + RUSH_MS ? errorMs : silentMs);
  // An error that the prober spoilt may have been none, or it may have been the first: what allows more holds.
  const high = Math.min(firstMissMs, Math.max(beginsBy(firstErrorMs), beginsBy(Math.min(firstErrorMs, firstSpoiltMs))));
  return {
    t0: { lowMs: newestSent(ops, acks, span), highMs: Math.max(high, start) },
    tFirst: span.isLast
      ? null
      : { lowMs: Math.min(Math.max(lastFailedAttemptMs, hungUntilMs(ops, rules, acks, span, usualMs)), end), highMs: end },
    unsuccessful: span.inside.length,
    isPending: span.isLast && span.inside.every((op) => ops.done[op] === Infinity),
  };
}

/** The prober was starved meanwhile, and without that it would have taken no longer than usual: its failure may be the prober's own, and bounds nothing. */
function isSpoilt({ starvation }: GapRules, fromMs: number, toMs: number, usualMs: number): boolean {
  const starvedMs = starvation.withinMs(fromMs, toMs);
  return starvedMs > 0 && toMs - fromMs - starvedMs <= usualMs;
}

/** When the first operation was sent that was not answered in time, leaving out those that were overdue before the span began. */
function firstPendingMs(ops: Ops, rules: GapRules, { start, end }: Span, usualMs: number): number {
  const LONGEST_QUEUE_MS = 1_000;
  let firstMs = Infinity;
  for (let op = firstDueAtOrAfter(ops, start - usualMs - LONGEST_QUEUE_MS); op < ops.count && (ops.due[op] as number) < end; op += 1) {
    const sent = ops.sent[op] as number;
    const done = ops.done[op] as number;
    const isOverdue = sent >= start - usualMs && sent < end && (done >= end || done > sent + usualMs);
    if (isOverdue && !isSpoilt(rules, sent, Math.min(done, end), usualMs)) firstMs = Math.min(firstMs, sent);
  }
  return firstMs;
}

/**
 * An operation, or an attempt to connect, that hung and was then answered: the outage lasted until shortly before that answer. How shortly depends on
 * the rush in which everybody comes back, so this bound is generous; a failed attempt gives a closer one.
 */
function hungUntilMs(ops: Ops, rules: GapRules, acks: Uint32Array, { at, start, end }: Span, usualMs: number): number {
  const rushMs = usualMs + RUSH_MS;
  const hung = (startedMs: number, endedMs: number): boolean =>
    endedMs > start && endedMs <= end && endedMs - startedMs - rules.starvation.withinMs(startedMs, endedMs) > rushMs;
  const answered = hung(ops.sent[acks[at + 1] as number] as number, end);
  const opened = rules.connections.some((each) => each.event === 'opened' && hung(each.startedMs, each.endedMs));
  // Starved until then, the prober may have noticed that answer late.
  return answered || opened ? end - rushMs - rules.starvation.withinMs(end - rushMs, end) : -Infinity;
}

/** L: the longest of the last answers before the span, with a margin, and δ. Answers that hung through the quiet before do not count. */
function usualLatencyMs(ops: Ops, rules: GapRules, acks: Uint32Array, at: number, quietBeforeMs: number): number {
  let longest = 0;
  for (let back = at; back >= 0 && back > at - USUAL_ACKS; back -= 1) {
    const op = acks[back] as number;
    if ((ops.sent[op] as number) > quietBeforeMs || back === at)
      longest = Math.max(longest, (ops.done[op] as number) - (ops.sent[op] as number));
  }
  return USUAL_MARGIN * longest + rules.periodMs;
}

/** The latest instant at which an operation was sent that was acknowledged before the outage: surely the database still worked then. */
function newestSent(ops: Ops, acks: Uint32Array, span: Span): number {
  let newest = -Infinity;
  for (let at = span.at; at >= 0; at -= 1) {
    const op = acks[at] as number;
    // Nothing that was answered earlier was sent later.
    if ((ops.done[op] as number) < newest) break;
    newest = Math.max(newest, ops.sent[op] as number);
  }
  return newest;
}
