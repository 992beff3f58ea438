/** One fact in the evidence chain. Whoever did the thing writes it, idempotently, under `(drill, writer, step, kind, attempt)`. */
import type { Json } from './json';

/** `halt`: whoever halts, from the command line, whether or not the drill or anybody else could be told. */
export type Writer = 'workflow' | 'guardian' | 'prober' | 'operator' | 'halt';

export interface EventKey {
  readonly drill: string;
  readonly writer: Writer;
  /** Step id, or the phase's name for what belongs to no step. */
  readonly step: string;
  readonly kind: string;
  readonly attempt: number;
}

export interface EventBody extends EventKey {
  /** RFC 3339 UTC, nanoseconds where known. */
  readonly at: string;
  /** Who did it: `workflow`, `guardian`, or a person's id. */
  readonly actor: string;
  /** One sentence for people. */
  readonly text: string;
  readonly facts: { readonly [name: string]: Json };
}

/** As stored: the body, its place in the writer's chain, and the SHA-256 of the writer's event before (64 zeros for the first). */
export interface ChainedEvent extends EventBody {
  readonly n: number;
  readonly previousSha256: string;
}
