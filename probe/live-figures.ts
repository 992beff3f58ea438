/**
 * What is asked of a running prober twice a second: totals, the last second, and whether the window that ends now was good.
 * Keeps the newest two minutes of writes in memory, bounded; the ledger, not this, is what is judged.
 */
import type { WindowAnswer, WindowRequest } from './contract';
import type { OutcomeName } from './ledger-format';
import { percentile } from './percentiles';

const KEEP_NS = 130e9;
const KEEP_ROWS = 400_000;

interface Row {
  readonly dueNs: number;
  readonly endNs: number;
  readonly outcome: OutcomeName | 'missed';
}

export class LiveFigures {
  readonly totals = { due: 0, acked: 0, rejected: 0, indeterminate: 0, missed: 0 };
  private rows: Row[] = [];
  private lastAckNs: number | null = null;
  private failuresSinceAck = 0;

  constructor(private readonly periodMs: number) {}

  /** One finished write. `due` is counted when the operation ends, so that the totals always add up. */
  add(row: Row): void {
    this.totals.due += 1;
    this.totals[row.outcome] += 1;
    if (row.outcome === 'acked') {
      this.lastAckNs = row.endNs;
      this.failuresSinceAck = 0;
    } else this.failuresSinceAck += 1;
    this.rows.push(row);
    if (this.rows.length > KEEP_ROWS || (this.rows.length % 4096 === 0 && (this.rows[0]?.endNs ?? 0) < row.endNs - 2 * KEEP_NS)) {
      this.rows = this.rows.filter((kept) => kept.endNs > row.endNs - KEEP_NS).slice(-KEEP_ROWS / 2);
    }
  }

  lastSecond(nowNs: number): {
    readonly due: number;
    readonly acked: number;
    readonly p50Ms: number | null;
    readonly p99Ms: number | null;
  } {
    const rows = this.ending(nowNs - 1e9);
    const latencies = latenciesMs(rows);
    return { due: rows.length, acked: latencies.length, p50Ms: percentile(latencies, 0.5), p99Ms: percentile(latencies, 0.99) };
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
    const rows = this.ending(fromNs).filter((row) => row.dueNs >= fromNs);
    let due = rows.length;
    for (const dueNs of pendingDue) if (dueNs >= fromNs && nowNs - dueNs > request.maxP99Ms * 1e6) due += 1;
    const latencies = latenciesMs(rows);
    const succeeded = latencies.length;
    const p99Ms = percentile(latencies, 0.99);
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

  private ending(fromNs: number): Row[] {
    let at = this.rows.length;
    while (at > 0 && (this.rows[at - 1]?.endNs ?? 0) >= fromNs) at -= 1;
    return this.rows.slice(at);
  }
}

function latenciesMs(rows: readonly Row[]): Float64Array {
  return Float64Array.from(rows.filter((row) => row.outcome === 'acked').map((row) => (row.endNs - row.dueNs) / 1e6)).sort();
}
