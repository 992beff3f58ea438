/** The hash chain of one writer's events: each names the SHA-256 of the one before. Shared by all writers and by whoever verifies. Node only. */
import type { ChainedEvent, EventBody } from '../model/event';
import { canonicalJson } from './canonical-json';
import { sha256Hex } from './files';

export const CHAIN_START = '0'.repeat(64);

/** SHA-256 over the event's canonical JSON. */
export function eventSha256(event: ChainedEvent): string {
  return sha256Hex(canonicalJson(event));
}

/** The body as the successor of `previous` (null: the writer's first). */
export function chainEvent(body: EventBody, previous: ChainedEvent | null): ChainedEvent {
  return { ...body, n: previous === null ? 0 : previous.n + 1, previousSha256: previous === null ? CHAIN_START : eventSha256(previous) };
}

/** Index of the first event that does not follow its predecessor, or null if the chain holds. */
export function findChainBreak(events: readonly ChainedEvent[]): number | null {
  let expected = CHAIN_START;
  for (const [at, event] of events.entries()) {
    if (event.n !== at || event.previousSha256 !== expected) return at;
    expected = eventSha256(event);
  }
  return null;
}
