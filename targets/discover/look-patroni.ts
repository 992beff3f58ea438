/** What one member of Patroni says of itself, for `gameday check`: of which cluster it is, and what its tags make of it. Asks its REST API, orders nothing. */
import { readTags, type PatroniTags } from '../controllers/patroni-rest';

const TIMEOUT_MS = 3_000;

export interface PatroniLook {
  readonly scope: string | null;
  readonly version: string | null;
  readonly role: string | null;
  readonly state: string | null;
  readonly tags: PatroniTags;
}

const textOf = (value: unknown): string | null => (typeof value === 'string' && value !== '' ? value : null);

/** `url`: base of its REST API. Rejects where it does not answer in time, or not with JSON. */
export async function lookAtPatroni(url: string): Promise<PatroniLook> {
  const answer = await fetch(`${url.replace(/\/$/, '')}/patroni`, { signal: AbortSignal.timeout(TIMEOUT_MS) });
  const { role, state, tags, patroni } = (await answer.json()) as { readonly [name: string]: unknown };
  const { scope, version } = (patroni ?? {}) as { readonly [name: string]: unknown };
  return { scope: textOf(scope), version: textOf(version), role: textOf(role), state: textOf(state), tags: readTags(tags) };
}
