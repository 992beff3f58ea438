/**
 * A whole object of known size, over a connection that may break: it goes on from the byte where it was cut, and waits out a store that is overloaded.
 * It never returns other than `bytes` bytes, holds no more than them, and says nothing about their content: whoever asked holds the sum.
 */
import { Readable } from 'node:stream';
import { finished } from 'node:stream/promises';
import { sleep } from '../core/clock';
import { GamedayError, messageOf } from '../core/errors';
import type { ObjectStore } from './store';
import { classifyFailure, delayMs, PATIENT_RETRY, type RetryPolicy } from './store-retry';

/** Of one object, however much came in between: a connection that breaks every few bytes is no connection. */
const CUTS_LIMIT = 200;

/**
 * Reads `bytes` bytes of `key`. Attempts count anew whenever bytes arrived. Throws `object_missing`, `object_corrupt` if the object is shorter,
 * `store_unreachable` when `policy` is used up, or the signal's reason.
 */
export async function fetchObject(
  store: Pick<ObjectStore, 'read' | 'description'>,
  key: string,
  bytes: number,
  signal: AbortSignal,
  policy: RetryPolicy = PATIENT_RETRY,
): Promise<Buffer> {
  // Of its own, not a slice of Node's pool: it goes back whole.
  const data = Buffer.allocUnsafeSlow(bytes);
  const kinds = new Map<string, number>();
  let [at, cuts] = [0, 0];
  for (let attempt = 1; at < bytes; attempt += 1) {
    signal.throwIfAborted();
    const before = at;
    let failure: unknown = null;
    try {
      await eachChunk(await store.read(key, { start: at, end: bytes - 1 }, signal), (chunk) => {
        if (at + chunk.length > bytes)
          throw new GamedayError('object_corrupt', `${store.description}: ${key} sent more bytes than asked for`);
        data.set(chunk, at);
        at += chunk.length;
      });
    } catch (error) {
      signal.throwIfAborted();
      if (error instanceof GamedayError) throw error;
      failure = error;
    }
    if (at === bytes) break;
    if (at > before) attempt = 1;
    const { kind, retryable } = failure === null ? { kind: 'cut short', retryable: true } : classifyFailure(failure);
    kinds.set(kind, (kinds.get(kind) ?? 0) + 1);
    cuts += 1;
    if (!retryable || attempt >= policy.attempts || cuts >= CUTS_LIMIT)
      throw new GamedayError(
        'store_unreachable',
        `${store.description}: get ${key}: stopped at byte ${at} of ${bytes} after ${[...kinds].map(([name, count]) => `${count} ${name}`).join(', ')}${failure === null ? '' : ` (${messageOf(failure)})`}`,
      );
    await sleep(delayMs(policy, attempt), signal);
  }
  return data;
}

/** Resolves when `body` has ended. A stream's chunks are taken as they come: an iterator would cost a promise or three for each, which are 16 kB at most under TLS. */
async function eachChunk(body: AsyncIterable<Uint8Array>, take: (chunk: Uint8Array) => void): Promise<void> {
  if (!(body instanceof Readable)) {
    for await (const chunk of body) take(chunk);
    return;
  }
  body.on('data', (chunk: Uint8Array) => {
    try {
      take(chunk);
    } catch (error) {
      body.destroy(error as Error);
    }
  });
  await finished(body, { writable: false });
}
