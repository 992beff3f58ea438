/**
 * Decompression in pieces of one size: memory of one size is used again, where larger and unequal pieces leave holes that the allocator keeps.
 * gzip's own CRC-32 is not computed where a restore waits, which would be a fifth of the work: whoever asks holds the SHA-256 of these bytes, packed or plain.
 */
import { createGunzip, createInflateRaw } from 'node:zlib';

const PIECE_BYTES = 1024 * 1024;
/** RFC 1952: the fixed part of a member's header, the method that alone is defined, and the flag of an extra field. */
const HEADER_BYTES = 10;
const DEFLATE = 8;
const FEXTRA = 4;
const TRAILER_BYTES = 8;
/** What gzip's trailer counts the plain bytes to (ISIZE). */
export const ISIZE_MODULUS = 2 ** 32;

/** Length of the header of a gzip member as the archive writes them: with an extra field or without, and with no name. Throws at anything else. */
function headerBytes(packed: Uint8Array): number {
  const [first, second, method, flags = 0] = packed;
  if (packed.length <= HEADER_BYTES || first !== 0x1f || second !== 0x8b || method !== DEFLATE || (flags & ~FEXTRA) !== 0)
    throw new Error('not a gzip member as the archive writes them');
  if (flags === 0) return HEADER_BYTES;
  return HEADER_BYTES + 2 + (packed[HEADER_BYTES] ?? 0) + 256 * (packed[HEADER_BYTES + 1] ?? 0);
}

/** The plain bytes of a gzip member in order, decompressed in threads of Node's pool. Throws unless it is one member, whole, of the length that it states. */
export async function* plainPieces(packed: Uint8Array): AsyncGenerator<Buffer> {
  const deflated = packed.subarray(headerBytes(packed));
  const inflate = createInflateRaw({ chunkSize: PIECE_BYTES });
  inflate.end(deflated);
  let bytes = 0;
  for await (const piece of inflate as AsyncIterable<Buffer>) {
    bytes += piece.length;
    yield piece;
  }
  // What was not consumed: CRC-32 and length, four bytes each.
  const trailer = Buffer.from(deflated.subarray(inflate.bytesWritten));
  if (trailer.length !== TRAILER_BYTES) throw new Error(`${trailer.length} bytes follow the compressed data, not ${TRAILER_BYTES}`);
  if (trailer.readUInt32LE(4) !== bytes % ISIZE_MODULUS)
    throw new Error(`it states ${trailer.readUInt32LE(4)} plain bytes and holds ${bytes}`);
}

/** The same with gzip's CRC-32: what was damaged while it was packed, before anybody took a SHA-256 of it, is found by this alone. */
export function summedPieces(packed: Uint8Array): AsyncIterable<Buffer> {
  const gunzip = createGunzip({ chunkSize: PIECE_BYTES });
  gunzip.end(packed);
  return gunzip;
}
