/**
 * The parts of a native base backup, fetched side by side and given out in order: each byte is held against its sum before anybody sees it.
 * Memory is bounded: a budget of packed bytes on their way, and few parts unpacked ahead of whoever takes them.
 */
import { promisify } from 'node:util';
import { gunzip } from 'node:zlib';
import { GamedayError, messageOf } from '../../core/errors';
import { fetchObject } from '../../objects/fetch-object';
import type { ObjectStore } from '../../objects/store';
import type { BackupPart } from './base-backup';

const decompress = promisify(gunzip);

/** Requests under way: enough to hide 200 ms of latency behind the work of two cores. */
const REQUESTS = 12;
/** Of packed parts that are on their way or wait to be unpacked. */
const PACKED_BUDGET_BYTES = 32 * 1024 * 1024;
/** Parts (8 MB each) unpacked at the same time, or waiting to be taken. */
const UNPACKED = 2;

/** Bytes of `data`'s SHA-256 in hex, summed in a thread of Node's pool. */
export async function sha256OfBytes(data: Uint8Array): Promise<string> {
  return Buffer.from(await crypto.subtle.digest('SHA-256', data)).toString('hex');
}

/** One part's plain bytes. Throws `object_missing`, `object_corrupt`, `store_unreachable`. */
export async function unpackPart(part: BackupPart, packed: Buffer): Promise<Buffer> {
  const found = await sha256OfBytes(packed);
  if (found !== part.sha256)
    throw new GamedayError('object_corrupt', `${part.key} has SHA-256 ${found.slice(0, 12)}…, not ${part.sha256.slice(0, 12)}…`);
  let plain: Buffer;
  try {
    // One piece of output: each further one is a round trip through the thread pool.
    plain = await decompress(packed, { maxOutputLength: Math.max(1, part.plainBytes), chunkSize: Math.max(64, part.plainBytes + 1) });
  } catch (error) {
    throw new GamedayError('object_corrupt', `${part.key} does not decompress: ${messageOf(error)}`, null, { cause: error });
  }
  if (plain.length !== part.plainBytes)
    throw new GamedayError('object_corrupt', `${part.key} holds ${plain.length} bytes, not ${part.plainBytes}`);
  return plain;
}

/** The plain bytes of `parts` in order. Stops what is under way when whoever takes them goes away. */
export async function* plainParts(store: ObjectStore, parts: readonly BackupPart[], signal: AbortSignal): AsyncGenerator<Buffer> {
  const gone = new AbortController();
  const both = AbortSignal.any([signal, gone.signal]);
  const packed: Promise<Buffer>[] = [];
  const plain: Promise<Buffer>[] = [];
  let [fetched, unpacked, given, budget] = [0, 0, 0, 0];
  const quiet = <T>(promise: Promise<T>): Promise<T> => {
    // A later part may fail while an earlier one is still awaited; its error is raised when its turn comes.
    promise.catch(() => undefined);
    return promise;
  };
  const fill = (): void => {
    for (let part = parts[fetched]; part !== undefined; part = parts[fetched]) {
      const first = packed.length === 0;
      if (!first && (fetched - unpacked >= REQUESTS || budget + part.bytes > PACKED_BUDGET_BYTES)) break;
      packed.push(quiet(fetchObject(store, part.key, part.bytes, both)));
      budget += part.bytes;
      fetched += 1;
    }
    while (unpacked - given < UNPACKED) {
      const [part, loading] = [parts[unpacked], packed.shift()];
      if (part === undefined || loading === undefined) break;
      const work = async (): Promise<Buffer> => {
        const data = await loading;
        try {
          return await unpackPart(part, data);
        } finally {
          budget -= part.bytes;
        }
      };
      plain.push(quiet(work()));
      unpacked += 1;
    }
  };
  try {
    for (fill(); plain.length > 0; fill()) {
      const next = await plain.shift();
      given += 1;
      fill();
      if (next !== undefined) yield next;
    }
  } finally {
    gone.abort(new GamedayError('halted', 'nobody takes the parts any more'));
    await Promise.allSettled([...packed, ...plain]);
  }
}
