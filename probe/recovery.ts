/** When clients had recovered: the first window in which enough operations succeeded, fast enough. Pure. */
import type { SteadyState } from '../model/plan';
import type { Gap } from './outages';
import { ACKED, EXCUSED, firstDueAtOrAfter, type Ops } from './ops-table';
import type { Starvation } from './starvation';

/** `highMs` null: clients had not recovered when the measured span ended; surely not before `lowMs`. */
export interface Recovery {
  readonly lowMs: number;
  readonly highMs: number | null;
}

export interface RecoveryRules {
  readonly steady: SteadyState;
  /** Null: none is known, so nothing can be called recovered. */
  readonly limitP99Ms: number | null;
  readonly starvation: Starvation;
  /** The window must end by then. */
  readonly toMs: number;
}

interface Tally {
  total: number;
  acked: number;
  quick: number;
}

/**
 * t_rec: start of the first window of `recoveryWindowMs` that begins with a successful operation after the outage, in which success ≥ `successRatio`
 * and p99 ≤ `limitP99Ms`.
 */
export function findRecovery(ops: Ops, gap: Gap, { steady, limitP99Ms, starvation, toMs }: RecoveryRules): Recovery {
  if (gap.tFirst === null) return { lowMs: toMs, highMs: null };
  let { lowMs } = gap.tFirst;
  if (limitP99Ms === null) return { lowMs, highMs: null };
  const firstAckMs = gap.tFirst.highMs;
  const seen: Tally = { total: 0, acked: 0, quick: 0 };
  const best: Tally = { total: 0, acked: 0, quick: 0 };
  const count = (op: number, sign: 1 | -1): void => {
    const [due, done] = [ops.due[op] as number, ops.done[op] as number];
    const starvedMs = starvation.withinMs(due, done);
    const isAcked = ops.state[op] === ACKED;
    // Without the prober's lateness it might have been answered at once.
    const mayBeQuick = ops.state[op] === EXCUSED || ((isAcked || starvedMs > 0) && done - due - starvedMs <= limitP99Ms);
    if (ops.state[op] !== EXCUSED) add(seen, sign, isAcked, isAcked && done - due <= limitP99Ms);
    add(best, sign, isAcked || mayBeQuick, mayBeQuick);
  };
  let from = firstDueAtOrAfter(ops, gap.t0.lowMs);
  let to = from;
  let isFirst = true;
  let isCertain = true;
  for (; from < ops.count; count(from, -1), from += 1) {
    const startMs = ops.due[from] as number;
    if (startMs + steady.recoveryWindowMs > toMs) break;
    while (to < ops.count && (ops.due[to] as number) < startMs + steady.recoveryWindowMs) count(to++, 1);
    if (ops.state[from] !== ACKED || (ops.done[from] as number) < firstAckMs) continue;
    // Where the first of all is good, clients were well as soon as anything succeeded.
    if (isGood(seen, steady)) return { lowMs, highMs: isFirst ? firstAckMs : Math.max(firstAckMs, ops.done[from] as number) };
    isFirst = false;
    // A window that only the prober's own lateness spoiled may have been good; from here on no later one says when clients were not yet well.
    isCertain &&= !isGood(best, steady);
    if (isCertain) lowMs = Math.max(lowMs, startMs);
  }
  return { lowMs, highMs: null };
}

function add(tally: Tally, sign: 1 | -1, isAcked: boolean, isQuick: boolean): void {
  tally.total += sign;
  if (isAcked) tally.acked += sign;
  if (isQuick) tally.quick += sign;
}

/** p99 by nearest rank is within the limit exactly if that many writes were. */
function isGood({ total, acked, quick }: Tally, { successRatio }: SteadyState): boolean {
  return acked >= successRatio * total && quick >= Math.ceil(0.99 * acked);
}
