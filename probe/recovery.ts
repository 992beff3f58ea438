/** When clients had recovered: the first window in which enough operations succeeded, fast enough. Pure. */
import type { SteadyState } from '../model/plan';
import type { Gap } from './outages';
import { ACKED, EXCUSED, firstDueAtOrAfter, type Ops } from './ops-table';

/** `highMs` null: clients had not recovered when the measured span ended; surely not before `lowMs`. */
export interface Recovery {
  readonly lowMs: number;
  readonly highMs: number | null;
}

/**
 * t_rec: start of the first window of `recoveryWindowMs` that begins with a successful operation after the outage, in which success ≥ `successRatio`
 * and p99 ≤ `limitP99Ms` (null: no limit is known, so nothing can be called recovered). The window must end by `toMs`.
 */
export function findRecovery(ops: Ops, gap: Gap, steady: SteadyState, limitP99Ms: number | null, toMs: number): Recovery {
  if (gap.tFirst === null) return { lowMs: toMs, highMs: null };
  if (limitP99Ms === null) return { lowMs: gap.tFirst.lowMs, highMs: null };
  const firstAckMs = gap.tFirst.highMs;
  const latency = (op: number): number => (ops.done[op] as number) - (ops.due[op] as number);
  const counts = { total: 0, acked: 0, quick: 0 };
  const count = (op: number, sign: 1 | -1): void => {
    if (ops.state[op] === EXCUSED) return;
    counts.total += sign;
    if (ops.state[op] !== ACKED) return;
    counts.acked += sign;
    if (latency(op) <= limitP99Ms) counts.quick += sign;
  };
  let from = firstDueAtOrAfter(ops, gap.t0.lowMs);
  let to = from;
  let previousCandidateMs: number | null = null;
  for (; from < ops.count; count(from, -1), from += 1) {
    const startMs = ops.due[from] as number;
    if (startMs + steady.recoveryWindowMs > toMs) break;
    while (to < ops.count && (ops.due[to] as number) < startMs + steady.recoveryWindowMs) count(to++, 1);
    if (ops.state[from] !== ACKED || (ops.done[from] as number) < firstAckMs) continue;
    // p99 by nearest rank is within the limit exactly if that many writes were.
    const good = counts.acked >= steady.successRatio * counts.total && counts.quick >= Math.ceil(0.99 * counts.acked);
    if (good) {
      if (previousCandidateMs === null) return { lowMs: gap.tFirst.lowMs, highMs: firstAckMs };
      return { lowMs: Math.max(gap.tFirst.lowMs, previousCandidateMs), highMs: Math.max(firstAckMs, ops.done[from] as number) };
    }
    previousCandidateMs = startMs;
  }
  return { lowMs: Math.max(gap.tFirst.lowMs, previousCandidateMs ?? -Infinity), highMs: null };
}
