/** Exact percentiles by nearest rank, from raw data; never interpolated, never from buckets. Pure. */
import type { Percentiles } from '../model/measurement';

/** The value at rank ⌈q·n⌉ of ascending `sorted`; null if there is none. */
export function percentile(sorted: Float64Array, q: number): number | null {
  return sorted.length === 0 ? null : (sorted[Math.max(0, Math.ceil(q * sorted.length) - 1)] ?? null);
}

/** Sorts a copy. Null for no data. */
export function percentilesOf(latenciesMs: Float64Array): Percentiles | null {
  const sorted = Float64Array.from(latenciesMs).sort();
  const [p50Ms, p99Ms, maxMs] = [percentile(sorted, 0.5), percentile(sorted, 0.99), percentile(sorted, 1)];
  return p50Ms === null || p99Ms === null || maxMs === null ? null : { count: sorted.length, p50Ms, p99Ms, maxMs };
}
