/**
 * What is asked of a running prober twice a second: totals, the last second, and whether the window that ends now was good.
 * Keeps the newest writes in memory, bounded; the ledger, not this, is what is judged.
 */
import type { WindowAnswer, WindowRequest } from './contract';
import type { OutcomeName } from './ledger-format';
import { percentile } from './percentiles';

const KEEP_ROWS = 400_000;
const FIRST_ROWS = 16_384;

/** The newest rows in columns: an object for every operation would keep the garbage collector busy. */
class Rows {
  private dueNs = new Float64Array(FIRST_ROWS);
  private endNs = new Float64Array(FIRST_ROWS);
  private acked = new Uint8Array(FIRST_ROWS);
  private count = 0;

  add(dueNs: number, endNs: number, acked: boolean): void {
    if (this.count === this.dueNs.length && this.count < KEEP_ROWS) this.grow();
    const at = this.count % this.dueNs.length;
    this.dueNs[at] = dueNs;
    this.endNs[at] = endNs;
    this.acked[at] = acked ? 1 : 0;
    this.count += 1;
  }

  /** Of those that ended and were due no earlier than the instants given: how many there are, and the latencies of the acknowledged ones, ascending. */
  since(endFromNs: number, dueFromNs: number): { readonly finished: number; readonly latenciesMs: Float64Array } {
    const latencies: number[] = [];
    const oldest = Math.max(0, this.count - this.dueNs.length);
    let finished = 0;
    for (let row = this.count - 1; row >= oldest; row -= 1) {
      const at = row % this.dueNs.length;
      const [dueNs, endNs] = [this.dueNs[at] as number, this.endNs[at] as number];
      if (endNs < endFromNs) break;
      if (dueNs < dueFromNs) continue;
      finished += 1;
      if (this.acked[at] === 1) latencies.push((endNs - dueNs) / 1e6);
    }
    return { finished, latenciesMs: Float64Array.from(latencies).sort() };
  }

  private grow(): void {
    const rows = Math.min(2 * this.dueNs.length, KEEP_ROWS);
    const { dueNs, endNs, acked } = this;
    this.dueNs = new Float64Array(rows);
    this.endNs = new Float64Array(rows);
    this.acked = new Uint8Array(rows);
    this.dueNs.set(dueNs);
    this.endNs.set(endNs);
    this.acked.set(acked);
  }
}

export class LiveFigures {
  readonly totals = { due: 0, acked: 0, rejected: 0, indeterminate: 0, missed: 0 };
  private readonly rows = new Rows();
  private lastAckNs: number | null = null;
  private failuresSinceAck = 0;

  constructor(private readonly periodMs: number) {}

  /** One finished write. `due` is counted when the operation ends, so that the totals always add up. */
  add(dueNs: number, endNs: number, outcome: OutcomeName | 'missed'): void {
    this.totals.due += 1;
    if (outcome === 'acked') {
      this.totals.acked += 1;
      this.lastAckNs = endNs;
      this.failuresSinceAck = 0;
    } else {
      this.totals[outcome] += 1;
      this.failuresSinceAck += 1;
    }
    this.rows.add(dueNs, endNs, outcome === 'acked');
  }

  lastSecond(nowNs: number): {
    readonly due: number;
    readonly acked: number;
    readonly p50Ms: number | null;
    readonly p99Ms: number | null;
  } {
    const { finished, latenciesMs } = this.rows.since(nowNs - 1e9, -Infinity);
    return { due: finished, acked: latenciesMs.length, p50Ms: percentile(latenciesMs, 0.5), p99Ms: percentile(latenciesMs, 0.99) };
  }

  /** Time since the last acknowledged write, if since then something failed and more than 2δ have passed. */
  outageMs(nowNs: number): number | null {
    if (this.lastAckNs === null || this.failuresSinceAck === 0) return null;
    const ms = (nowNs - this.lastAckNs) / 1e6;
    return ms > 2 * this.periodMs ? ms : null;
  }

  /** `pendingDue`: due instants of writes not yet answered; those older than the latency limit count as failed. `notBeforeNs`: instant of the receipt, or null. */
  window(request: WindowRequest, nowNs: number, startedNs: number, notBeforeNs: number | null, pendingDue: Iterable<number>): WindowAnswer {
    const fromNs = nowNs - request.windowMs * 1e6;
    const { finished, latenciesMs } = this.rows.since(fromNs, fromNs);
    let due = finished;
    for (const dueNs of pendingDue) if (dueNs >= fromNs && nowNs - dueNs > request.maxP99Ms * 1e6) due += 1;
    const succeeded = latenciesMs.length;
    const p99Ms = percentile(latenciesMs, 0.99);
    const answer = (good: boolean, reason: string): WindowAnswer => ({ good, reason, due, succeeded, p99Ms });
    const seconds = (request.windowMs / 1e3).toFixed(1);
    if (fromNs < startedNs) return answer(false, `the prober has not run for ${seconds} s yet`);
    if (notBeforeNs !== null && fromNs < notBeforeNs) return answer(false, `${seconds} s have not passed since the receipt asked for`);
    if (due === 0) return answer(false, 'no write was due');
    if (succeeded / due < request.successRatio)
      return answer(false, `${succeeded} of ${due} writes succeeded, ${(request.successRatio * 100).toFixed(1)} % are needed`);
    if (p99Ms === null || p99Ms > request.maxP99Ms) return answer(false, `p99 ${p99Ms?.toFixed(1)} ms is above ${request.maxP99Ms} ms`);
    return answer(true, `${succeeded} of ${due} writes succeeded, p99 ${p99Ms.toFixed(1)} ms`);
  }
}
