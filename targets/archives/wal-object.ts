/**
 * How a WAL file stands in the object store: its key, its compressed form that carries the SHA-256 of the plain bytes, and the check
 * that the bytes are the segment that the name says. Pure but for zlib; it never guesses about bytes that do not check out.
 */
import { createHash } from 'node:crypto';
import { closeSync } from 'node:fs';
import { promisify } from 'node:util';
import { gzip, gunzip } from 'node:zlib';
import { GamedayError, messageOf } from '../../core/errors';
import { sha256OfBytes } from '../../core/files';
import { formatLsn, parseWalSegmentName, WAL_SEGMENT_BYTES } from '../../core/lsn';
import { openPlain, writePlain } from './plain-file';
import { plainPieces } from './plain-pieces';

const compress = promisify(gzip);
const decompress = promisify(gunzip);

const SEGMENT_BYTES = Number(WAL_SEGMENT_BYTES);
/** Of XLogLongPageHeaderData, as far as it is read here. */
const LONG_HEADER_BYTES = 36;

export type WalFileKind = 'segment' | 'partial' | 'history' | 'label';

/** Null for a name that PostgreSQL would never archive. */
export function walFileKind(name: string): WalFileKind | null {
  if (/^[0-9A-F]{24}$/.test(name)) return 'segment';
  if (/^[0-9A-F]{24}\.partial$/.test(name)) return 'partial';
  if (/^[0-9A-F]{8}\.history$/.test(name)) return 'history';
  if (/^[0-9A-F]{24}\.[0-9A-F]{8}\.backup$/.test(name)) return 'label';
  return null;
}

/** Key under the archive's prefix: `wal/00000001/000000010000000000000003.gz`; history files stand plain at `wal/00000002.history`. */
export function walKey(name: string): string {
  const kind = walFileKind(name);
  if (kind === null) throw new GamedayError('setting_invalid', `"${name}" is not the name of a WAL file`);
  return kind === 'history' ? `wal/${name}` : `wal/${name.slice(0, 8)}/${name}.gz`;
}

/** Where another node's version of a segment stands whose timeline was left there: never read by a restore, and never lost. */
export function forkKey(name: string, sha256: string): string {
  return `forks/${name}.${sha256.slice(0, 16)}.gz`;
}

/** The WAL file's name from its key; null for a key that holds none. */
export function walNameOfKey(key: string): string | null {
  const name = /^wal\/(?:[0-9A-F]{8}\/)?([0-9A-F.a-z]+?)(?:\.gz)?$/.exec(key)?.[1];
  return name !== undefined && walFileKind(name) !== null && walKey(name) === key ? name : null;
}

/**
 * Gzip with one extra field (RFC 1952, FLG.FEXTRA): id `GD`, 32 bytes, the SHA-256 of the plain bytes. `gunzip` reads it like any other;
 * we can tell content apart without decompressing, and the sum can't be separated from what it sums.
 */
const HEADER_BYTES = 10;
/** XLEN = 36, then the field's id and length (both little-endian). */
const EXTRA_HEADER = Buffer.from([36, 0, 0x47, 0x44, 32, 0]);
const EXTRA_BYTES = EXTRA_HEADER.length + 32;

export async function packWal(plain: Uint8Array): Promise<Buffer> {
  const [packed, sum] = await Promise.all([compress(plain, { level: 1 }), sha256OfBytes(plain)]);
  const header = Buffer.from(packed.subarray(0, HEADER_BYTES));
  header[3] = 0x04;
  return Buffer.concat([header, EXTRA_HEADER, Buffer.from(sum, 'hex'), packed.subarray(HEADER_BYTES)]);
}

/** SHA-256 (hex) of the plain content, as stated in the packed object; throws `object_corrupt` if it states none. */
export function packedSha256(packed: Uint8Array): string {
  const data = Buffer.from(packed.buffer, packed.byteOffset, packed.byteLength);
  const ours = data.subarray(HEADER_BYTES, HEADER_BYTES + EXTRA_HEADER.length).equals(EXTRA_HEADER);
  const ok = data.length > HEADER_BYTES + EXTRA_BYTES && data.readUInt16BE(0) === 0x1f8b && data[3] === 0x04 && ours;
  if (!ok) throw new GamedayError('object_corrupt', 'a WAL object has no checksum of its content');
  return data.toString('hex', HEADER_BYTES + EXTRA_HEADER.length, HEADER_BYTES + EXTRA_BYTES);
}

/** The plain bytes, verified against the sum inside. `name` is for the message. Throws `object_corrupt`. */
export async function unpackWal(name: string, packed: Uint8Array): Promise<Buffer> {
  const expected = packedSha256(packed);
  let plain: Buffer;
  try {
    // One piece of output: each further one is a round trip through the thread pool.
    const chunkSize = Math.max(64, Math.min(SEGMENT_BYTES, statedBytes(packed)) + 1);
    plain = await decompress(packed, { maxOutputLength: SEGMENT_BYTES, chunkSize });
  } catch (error) {
    throw new GamedayError('object_corrupt', `archived WAL file ${name} does not decompress: ${messageOf(error)}`, null, { cause: error });
  }
  requireSum(name, await sha256OfBytes(plain), expected);
  return plain;
}

function requireSum(name: string, found: string, expected: string): void {
  if (found !== expected)
    throw new GamedayError('object_corrupt', `archived WAL file ${name} has SHA-256 ${found.slice(0, 12)}…, not ${expected.slice(0, 12)}…`);
}

/** As gzip's trailer has it (RFC 1952, ISIZE): a hint for the size of a buffer, and not believed any further. */
function statedBytes(packed: Uint8Array): number {
  return Buffer.from(packed.buffer, packed.byteOffset, packed.byteLength).readUInt32LE(packed.byteLength - 4);
}

/**
 * The plain bytes written to `path` (made anew), verified against the sum inside, and for a segment against its name and the cluster. The file counts only if
 * this resolves with their number: whoever asked moves it to where it is used. Throws `object_corrupt`, `disk_full`, `restore_failed`.
 */
export async function unpackWalInto(name: string, packed: Uint8Array, path: string, systemIdentifier: string): Promise<number> {
  const expected = packedSha256(packed);
  const kind = walFileKind(name);
  const isSegment = kind === 'segment' || kind === 'partial';
  const hash = createHash('sha256');
  let bytes = 0;
  const fd = openPlain(path);
  try {
    for await (const piece of plainPieces(packed)) {
      if (bytes + piece.length > SEGMENT_BYTES)
        throw new GamedayError('object_corrupt', `archived WAL file ${name} is larger than a segment`);
      if (bytes === 0 && isSegment) checkFirstPage(name, piece, systemIdentifier);
      hash.update(piece);
      writePlain(fd, piece, bytes);
      bytes += piece.length;
    }
  } catch (error) {
    if (error instanceof GamedayError) throw error;
    throw new GamedayError('object_corrupt', `archived WAL file ${name} does not decompress: ${messageOf(error)}`, null, { cause: error });
  } finally {
    closeSync(fd);
  }
  requireSum(name, hash.digest('hex'), expected);
  if (isSegment && bytes !== SEGMENT_BYTES)
    throw new GamedayError('object_corrupt', `WAL segment ${name} has ${bytes} bytes, not ${SEGMENT_BYTES}`);
  return bytes;
}

/**
 * Checks a segment's first page header (XLogLongPageHeaderData, src/include/access/xlog_internal.h) against its name and the cluster.
 * The timeline on the page may be older than the name's: a new timeline's first segment begins with a copy of its parent's.
 * Throws `object_corrupt` with what does not fit.
 */
export function checkSegmentHeader(name: string, plain: Buffer, systemIdentifier: string): void {
  if (plain.length !== SEGMENT_BYTES)
    throw new GamedayError('object_corrupt', `WAL segment ${name}: has ${plain.length} bytes, not ${SEGMENT_BYTES}`);
  checkFirstPage(name, plain, systemIdentifier);
}

function checkFirstPage(name: string, plain: Buffer, systemIdentifier: string): void {
  const parsed = parseWalSegmentName(name.slice(0, 24));
  const wrong = (what: string): never => {
    throw new GamedayError('object_corrupt', `WAL segment ${name}: ${what}`);
  };
  if (parsed === null) return wrong('is not a segment name');
  if (plain.length < LONG_HEADER_BYTES) wrong(`has ${plain.length} bytes`);
  const magic = plain.readUInt16LE(0);
  if (magic >> 8 !== 0xd1) wrong(`begins with 0x${magic.toString(16)}, which is no WAL page`);
  if ((plain.readUInt16LE(2) & 0x0002) === 0) wrong('has no long page header');
  const timeline = plain.readUInt32LE(4);
  if (timeline === 0 || timeline > parsed.timeline) wrong(`its first page is of timeline ${timeline}`);
  const address = plain.readBigUInt64LE(8);
  if (address !== parsed.start) wrong(`its first page is ${formatLsn(address)}, not ${formatLsn(parsed.start)}`);
  const system = plain.readBigUInt64LE(24).toString();
  if (system !== systemIdentifier) wrong(`belongs to system ${system}, not ${systemIdentifier}`);
  const size = plain.readUInt32LE(32);
  if (size !== SEGMENT_BYTES) wrong(`states a segment size of ${size} bytes`);
}
