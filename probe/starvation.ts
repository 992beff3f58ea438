/** When the prober itself was late, so that what it saw then may be of its own making. Pure. Instants in ms since the prober's start. */
import type { StarvedEntry } from './ledger-format';

export class Starvation {
  private readonly from: Float64Array;
  private readonly to: Float64Array;
  /** Starved time before each span. */
  private readonly before: Float64Array;

  /** Spans in order of time, disjoint, as the prober writes them. */
  constructor(spans: readonly StarvedEntry[]) {
    this.from = Float64Array.from(spans, ({ fromNs }) => fromNs / 1e6);
    this.to = Float64Array.from(spans, ({ toNs }) => toNs / 1e6);
    this.before = new Float64Array(spans.length);
    for (let at = 1; at < spans.length; at += 1) this.before[at] = this.upTo(this.to[at - 1] as number, at - 1);
  }

  /** How long the prober was starved between two instants. */
  withinMs(fromMs: number, toMs: number): number {
    if (this.from.length === 0 || toMs <= fromMs) return 0;
    return this.until(toMs) - this.until(fromMs);
  }

  /** Starved time up to an instant. */
  private until(atMs: number): number {
    let low = 0;
    let high = this.from.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.from[middle] as number) < atMs) low = middle + 1;
      else high = middle;
    }
    return low === 0 ? 0 : this.upTo(atMs, low - 1);
  }

  /** Starved time up to an instant in or after the span `at`, and before the next. */
  private upTo(atMs: number, at: number): number {
    return (this.before[at] as number) + Math.min(atMs, this.to[at] as number) - (this.from[at] as number);
  }
}
