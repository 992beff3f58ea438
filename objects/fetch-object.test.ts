import { Readable } from 'node:stream';
import { GamedayError } from '../core/errors';
import { fetchObject } from './fetch-object';
import type { ObjectStore } from './store';

const CONTENT = Buffer.from(Array.from({ length: 10_000 }, (_, at) => (at * 31) % 251));
const fast = { attempts: 4, firstDelayMs: 0, random: () => 0 };
const never = new AbortController().signal;
const reset = (): Error => Object.assign(new Error('read'), { code: 'ECONNRESET' });

type Body = AsyncIterable<Uint8Array>;
/** A stream is read by its events, anything else by its iterator. */
const WAYS: readonly (readonly [string, (body: Body) => Body])[] = [
  ['an iterator', (body) => body],
  ['a stream', (body) => Readable.from(body)],
];

describe.each(WAYS)('from %s', (_, wrap) => {
  /** Sends `pieces` bytes per answer and then breaks as told; `asked` holds where each request began. */
  function storeOf(
    content: Buffer,
    cutAfter: number | null,
    fail: () => Error | null = reset,
  ): { store: Pick<ObjectStore, 'read' | 'description'>; asked: number[] } {
    const asked: number[] = [];
    const read: ObjectStore['read'] = async (_key, range) => {
      const [start, end] = [range?.start ?? 0, range?.end ?? content.length - 1];
      asked.push(start);
      if (start >= content.length) throw new GamedayError('object_corrupt', 'ends before');
      return wrap(
        (async function* () {
          const until = cutAfter === null ? end + 1 : Math.min(start + cutAfter, end + 1);
          for (let at = start; at < Math.min(until, content.length); at += 700) yield content.subarray(at, Math.min(at + 700, until));
          const error = until <= end ? fail() : null;
          if (error !== null) throw error;
        })(),
      );
    };
    return { store: { read, description: 'a store' }, asked };
  }

  test('a connection that breaks again and again yields the object whole, each byte fetched once', async () => {
    const { store, asked } = storeOf(CONTENT, 3_000);
    expect((await fetchObject(store, 'k', CONTENT.length, never, fast)).equals(CONTENT)).toBe(true);
    expect(asked).toEqual([0, 3_000, 6_000, 9_000]);
  });

  test('an answer that ends early without an error is no end either', async () => {
    const { store, asked } = storeOf(CONTENT, 6_000, () => null);
    expect((await fetchObject(store, 'k', CONTENT.length, never, fast)).equals(CONTENT)).toBe(true);
    expect(asked).toEqual([0, 6_000]);
  });

  test('an object that is shorter than its backup says is corrupt', async () => {
    const { store } = storeOf(CONTENT.subarray(0, 4_000), null);
    await expect(fetchObject(store, 'k', CONTENT.length, never, fast)).rejects.toMatchObject({ code: 'object_corrupt' });
  });

  test('without progress it gives up and says where it stood', async () => {
    const { store, asked } = storeOf(CONTENT, 0);
    await expect(fetchObject(store, 'k', CONTENT.length, never, fast)).rejects.toThrow(
      'stopped at byte 0 of 10000 after 4 connection reset',
    );
    expect(asked).toHaveLength(4);
  });

  test('a connection that carries one byte at a time is given up as well', async () => {
    const { store, asked } = storeOf(CONTENT, 1);
    await expect(fetchObject(store, 'k', CONTENT.length, never, fast)).rejects.toMatchObject({ code: 'store_unreachable' });
    expect(asked).toHaveLength(200);
  });

  test('it stops when asked to', async () => {
    const stop = new AbortController();
    const { store } = storeOf(CONTENT, 10, () => (stop.abort(new Error('enough')), reset()));
    await expect(fetchObject(store, 'k', CONTENT.length, stop.signal, fast)).rejects.toThrow('enough');
  });
});
