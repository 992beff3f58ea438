/**
 * Finds outages in a history of writes. Pure.
 *
 * An outage is a maximal span between two acknowledgements that is longer than 2δ and in which at least one due write was unsuccessful. A span
 * in which every due write succeeded, only late, is a stall: it shows in the latencies, which count from the due instant, and not here.
 *
 *      sent  done        first failure                last failed attempt   sent  done
 *       │──ack─│  ✗ ✗ ✗ … │ ✗ ✗ ✗ ✗ ✗ ✗ ✗ ✗ ✗ ✗ ✗ ✗ ✗ ✗ ✗ │ ✗            │──ack─│
 *       └───── t0 ────────┘                            └────── t_first ────────┘
 */
import type { Interval } from '../model/measurement';
import { ACKED, EXCUSED, type Writes } from './ops-table';

export interface Gap {
  readonly t0: Interval;
  /** Null: no write was acknowledged any more. */
  readonly tFirst: Interval | null;
  readonly unsuccessful: number;
}

export interface GapRules {
  readonly periodMs: number;
  /** Time within which a write is normally answered: what was sent this long before the fault would have been acknowledged. */
  readonly usualLatencyMs: number;
  readonly fromMs: number;
  readonly toMs: number;
  /** Failed or lost connections: [start of the attempt, end]. */
  readonly failures: readonly { readonly startedMs: number; readonly endedMs: number; readonly attempt: boolean }[];
}

/** Outages whose last acknowledgement before lies in [fromMs, toMs], in order of time. */
export function findGaps(writes: Writes, rules: GapRules): readonly Gap[] {
  const acks = acksByDone(writes, rules);
  const gaps: Gap[] = [];
  const unsuccessful = unsuccessfulByDue(writes, rules);
  for (let at = 0; at < acks.length; at += 1) {
    const last = acks[at] as number;
    const next = acks[at + 1];
    const start = writes.done[last] as number;
    const end = next === undefined ? rules.toMs : (writes.done[next] as number);
    if (end - start <= 2 * rules.periodMs) continue;
    const inside = unsuccessful.filter((op) => isInside(writes, op, start, end));
    if (inside.length === 0) continue;
    gaps.push(boundGap(writes, rules, { last, next: next ?? null, start, end, inside, acks, at }));
  }
  return gaps;
}

function acksByDone(writes: Writes, rules: GapRules): Uint32Array {
  const acks: number[] = [];
  for (let op = 0; op < writes.count; op += 1) {
    const done = writes.done[op] as number;
    if (writes.state[op] === ACKED && done >= rules.fromMs && done <= rules.toMs) acks.push(op);
  }
  return Uint32Array.from(acks).sort((a, b) => (writes.done[a] as number) - (writes.done[b] as number) || a - b);
}

function unsuccessfulByDue(writes: Writes, rules: GapRules): number[] {
  const found: number[] = [];
  for (let op = 0; op < writes.count; op += 1) {
    const state = writes.state[op];
    if (state !== ACKED && state !== EXCUSED && (writes.due[op] as number) <= rules.toMs && (writes.done[op] as number) >= rules.fromMs)
      found.push(op);
  }
  return found;
}

/** A failed write belongs to the span in which it was under way: due before its end, and not over before its start. */
function isInside(writes: Writes, op: number, start: number, end: number): boolean {
  return (writes.due[op] as number) < end && (writes.done[op] as number) > start;
}

interface RawGap {
  readonly last: number;
  readonly next: number | null;
  readonly start: number;
  readonly end: number;
  readonly inside: readonly number[];
  readonly acks: Uint32Array;
  readonly at: number;
}

function boundGap(writes: Writes, rules: GapRules, gap: RawGap): Gap {
  const { start, end, inside } = gap;
  let firstFailureMs = Infinity;
  let firstUnansweredMs = Infinity;
  let lastFailedAttemptMs = start;
  for (const op of inside) {
    const sent = writes.sent[op] as number;
    const done = writes.done[op] as number;
    if (done > start) firstFailureMs = Math.min(firstFailureMs, done);
    if (Number.isNaN(sent)) continue;
    firstUnansweredMs = Math.min(firstUnansweredMs, sent);
    if (sent < end) lastFailedAttemptMs = Math.max(lastFailedAttemptMs, sent);
  }
  for (const failure of rules.failures) {
    if (failure.endedMs > start && failure.endedMs <= end) firstFailureMs = Math.min(firstFailureMs, failure.endedMs);
    if (failure.attempt && failure.startedMs < end && failure.endedMs > start)
      lastFailedAttemptMs = Math.max(lastFailedAttemptMs, failure.startedMs);
  }
  const high = Math.min(firstFailureMs, Math.max(firstUnansweredMs + Math.max(rules.usualLatencyMs, rules.periodMs), start), end);
  return {
    t0: { lowMs: newestSent(writes, gap), highMs: Math.max(high, start) },
    tFirst: gap.next === null ? null : { lowMs: Math.min(lastFailedAttemptMs, end), highMs: end },
    unsuccessful: inside.length,
  };
}

/** The latest instant at which a write was sent that was acknowledged before the outage: surely the database still worked then. */
function newestSent(writes: Writes, gap: RawGap): number {
  let newest = -Infinity;
  // Writes in flight together are few; looking back over the last acknowledgements of half a second is enough.
  for (let at = gap.at; at >= 0; at -= 1) {
    const op = gap.acks[at] as number;
    if ((writes.done[op] as number) < gap.start - 500 && newest > -Infinity) break;
    newest = Math.max(newest, writes.sent[op] as number);
  }
  return newest;
}
