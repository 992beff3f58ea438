/** When clients had recovered: the first window in which enough writes succeeded, fast enough. Pure. */
import type { Interval } from '../model/measurement';
import type { SteadyState } from '../model/plan';
import type { Gap } from './outages';
import { ACKED, EXCUSED, type Writes } from './ops-table';

/**
 * t_rec: start of the first window of `recoveryWindowMs` that begins with a successful write after the outage, in which success ≥ `successRatio`
 * and p99 ≤ `limitP99Ms`. The window must end by `toMs`. Null: there was none.
 */
export function findRecovery(writes: Writes, gap: Gap, steady: SteadyState, limitP99Ms: number, toMs: number): Interval | null {
  if (gap.tFirst === null) return null;
  const firstAckMs = gap.tFirst.highMs;
  const latency = (op: number): number => (writes.done[op] as number) - (writes.due[op] as number);
  const counts = { total: 0, acked: 0, quick: 0 };
  const count = (op: number, sign: 1 | -1): void => {
    if (writes.state[op] === EXCUSED) return;
    counts.total += sign;
    if (writes.state[op] !== ACKED) return;
    counts.acked += sign;
    if (latency(op) <= limitP99Ms) counts.quick += sign;
  };
  let from = firstDueAtOrAfter(writes, gap.t0.lowMs);
  let to = from;
  let previousCandidateMs: number | null = null;
  for (; from < writes.count; count(from, -1), from += 1) {
    const startMs = writes.due[from] as number;
    if (startMs + steady.recoveryWindowMs > toMs) return null;
    while (to < writes.count && (writes.due[to] as number) < startMs + steady.recoveryWindowMs) count(to++, 1);
    if (writes.state[from] !== ACKED || (writes.done[from] as number) < firstAckMs) continue;
    // p99 by nearest rank is within the limit exactly if that many writes were.
    const good = counts.acked >= steady.successRatio * counts.total && counts.quick >= Math.ceil(0.99 * counts.acked);
    if (good) {
      if (previousCandidateMs === null) return { lowMs: gap.tFirst.lowMs, highMs: firstAckMs };
      return { lowMs: Math.max(gap.tFirst.lowMs, previousCandidateMs), highMs: Math.max(firstAckMs, writes.done[from] as number) };
    }
    previousCandidateMs = startMs;
  }
  return null;
}

export function firstDueAtOrAfter(writes: Writes, ms: number): number {
  let low = 0;
  let high = writes.count;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((writes.due[middle] as number) < ms) low = middle + 1;
    else high = middle;
  }
  return low;
}
