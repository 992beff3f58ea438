/** Decompression in pieces of one size: memory of one size is used again, where larger and unequal pieces leave holes that the allocator keeps. */
import { createGunzip } from 'node:zlib';

const PIECE_BYTES = 1024 * 1024;

/** The plain bytes of a gzip member in order, decompressed in threads of Node's pool. Rejects as zlib does. */
export function plainPieces(packed: Uint8Array): AsyncIterable<Buffer> {
  const gunzip = createGunzip({ chunkSize: PIECE_BYTES });
  gunzip.end(packed);
  return gunzip;
}
