/**
 * Plain data as it travels through Temporal, the guardian's socket and the evidence bundle.
 * Nothing here may hold a function, a class instance, `undefined` inside an array, or an integer above 2^53 (those are strings).
 */
export type Json = null | boolean | number | string | readonly Json[] | { readonly [key: string]: Json };
export type JsonObject = { readonly [key: string]: Json };

/** An interval of the prober's monotonic clock, both ends in nanoseconds as decimal strings. `low` ≤ truth ≤ `high`. */
export interface Instant {
  readonly lowNs: string;
  readonly highNs: string;
}
