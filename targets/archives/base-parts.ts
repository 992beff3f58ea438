/**
 * The parts of a native base backup, fetched side by side and given out in order, within a budget of bytes on their way; and what is in one of them, each byte
 * held against its sum before anybody sees it.
 */
import { present } from '../../core/assert';
import { GamedayError, messageOf } from '../../core/errors';
import { sha256Hex } from '../../core/files';
import { fetchObject } from '../../objects/fetch-object';
import type { ObjectStore } from '../../objects/store';
import type { BackupPart } from './base-backup';
import { plainPieces } from './plain-pieces';

/** Requests under way: enough to hide 200 ms of latency behind the work of two cores. */
const REQUESTS = 12;
/** Of packed parts that are on their way or wait to be taken. */
const PACKED_BUDGET_BYTES = 16 * 1024 * 1024;

/** One part's plain bytes in order, as `piecesOf` unpacks them. Throws `object_corrupt`. */
export async function unpackPart(
  part: BackupPart,
  packed: Uint8Array,
  piecesOf: (packed: Uint8Array) => AsyncIterable<Buffer> = plainPieces,
): Promise<readonly Buffer[]> {
  const found = sha256Hex(packed);
  if (found !== part.sha256)
    throw new GamedayError('object_corrupt', `${part.key} has SHA-256 ${found.slice(0, 12)}…, not ${part.sha256.slice(0, 12)}…`);
  const pieces: Buffer[] = [];
  let bytes = 0;
  try {
    for await (const piece of piecesOf(packed)) {
      bytes += piece.length;
      if (bytes > part.plainBytes) break;
      pieces.push(piece);
    }
  } catch (error) {
    throw new GamedayError('object_corrupt', `${part.key} does not decompress: ${messageOf(error)}`, null, { cause: error });
  }
  if (bytes !== part.plainBytes) throw new GamedayError('object_corrupt', `${part.key} does not hold ${part.plainBytes} plain bytes`);
  return pieces;
}

export interface PackedPart {
  readonly part: BackupPart;
  readonly packed: Buffer;
}

/** The packed bytes of `parts` in order. Stops what is under way when whoever takes them goes away. */
export async function* packedParts(store: ObjectStore, parts: readonly BackupPart[], signal: AbortSignal): AsyncGenerator<PackedPart> {
  const gone = new AbortController();
  const both = AbortSignal.any([signal, gone.signal]);
  const flying: Promise<Buffer>[] = [];
  let [fetched, budget] = [0, 0];
  const fill = (): void => {
    for (let part = parts[fetched]; part !== undefined; part = parts[fetched]) {
      if (flying.length > 0 && (flying.length >= REQUESTS || budget + part.bytes > PACKED_BUDGET_BYTES)) break;
      const loading = fetchObject(store, part.key, part.bytes, both);
      // A later part may fail while an earlier one is still awaited; its error is raised when its turn comes.
      loading.catch(() => undefined);
      flying.push(loading);
      budget += part.bytes;
      fetched += 1;
    }
  };
  try {
    for (const part of parts) {
      fill();
      const packed = await present(flying[0], 'the part that comes next');
      void flying.shift();
      budget -= part.bytes;
      yield { part, packed };
    }
  } finally {
    gone.abort(new GamedayError('halted', 'nobody takes the parts any more'));
    await Promise.allSettled(flying);
  }
}
