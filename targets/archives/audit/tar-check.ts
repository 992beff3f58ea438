/**
 * Whether a packed tar archive can be read from end to end: the packing's checksums and every member's header. It streams, and writes nothing anywhere.
 */
import { Readable, type Duplex } from 'node:stream';
import { createBrotliDecompress, createGunzip } from 'node:zlib';
import { messageOf } from '../../../core/errors';
import type { Codec } from './unpack';

const BLOCK_BYTES = 512;
const EMPTY = Buffer.alloc(BLOCK_BYTES);

export type TarVerdict = { readonly kind: 'fine' } | { readonly kind: 'damaged' | 'not-examined'; readonly why: string };

/** gzip, brotli and plain archives; others are not examined. Rejects for a store that fails, not for damage. */
export async function tarProblem(packed: AsyncIterable<Uint8Array>, codec: Codec, signal: AbortSignal): Promise<TarVerdict> {
  const walk = new TarWalk();
  const through = codec === 'gzip' ? createGunzip() : codec === 'brotli' ? createBrotliDecompress() : null;
  if (through === null && codec !== 'plain') return { kind: 'not-examined', why: `nothing here streams ${codec}` };
  let storeFailed: unknown = null;
  const source = Readable.from(
    (async function* () {
      try {
        yield* packed;
      } catch (error) {
        storeFailed = error;
        throw error;
      }
    })(),
  );
  try {
    for await (const chunk of through === null ? source : piped(source, through)) {
      signal.throwIfAborted();
      walk.feed(chunk as Buffer);
    }
  } catch (error) {
    signal.throwIfAborted();
    if (storeFailed !== null) throw storeFailed instanceof Error ? storeFailed : new Error(messageOf(storeFailed));
    return { kind: 'damaged', why: `an archive of the backup cannot be read: ${messageOf(error)}` };
  }
  return walk.isWhole ? { kind: 'fine' } : { kind: 'damaged', why: 'an archive of the backup ends too early' };
}

function piped(source: Readable, through: Duplex): Duplex {
  source.on('error', (error) => through.destroy(error));
  return source.pipe(through);
}

/** Follows headers from member to member. */
class TarWalk {
  private pending: Buffer = Buffer.alloc(0);
  private skip = 0;
  private ended = false;

  /** A block of zeros was met where a header is due. */
  get isWhole(): boolean {
    return this.ended;
  }

  feed(chunk: Buffer): void {
    let data = this.pending.length === 0 ? chunk : Buffer.concat([this.pending, chunk]);
    while (!this.ended) {
      const skipped = Math.min(this.skip, data.length);
      this.skip -= skipped;
      data = data.subarray(skipped);
      if (this.skip > 0 || data.length < BLOCK_BYTES) break;
      this.readHeader(data.subarray(0, BLOCK_BYTES));
      data = data.subarray(BLOCK_BYTES);
    }
    this.pending = this.ended ? Buffer.alloc(0) : Buffer.from(data);
  }

  private readHeader(header: Buffer): void {
    if (header.equals(EMPTY)) {
      this.ended = true;
      return;
    }
    const stated = Number.parseInt(header.toString('latin1', 148, 156), 8);
    const sum = header.reduce((total, byte, at) => total + (at >= 148 && at < 156 ? 32 : byte), 0);
    if (sum !== stated) throw new Error('a member’s header has another checksum');
    // Sizes of 8 GB and more are binary, marked by the first bit.
    const bytes = (header[124] ?? 0) & 0x80 ? Number(header.readBigUInt64BE(128)) : Number.parseInt(header.toString('latin1', 124, 136), 8);
    this.skip = Math.ceil((Number.isNaN(bytes) ? 0 : bytes) / BLOCK_BYTES) * BLOCK_BYTES;
  }
}
