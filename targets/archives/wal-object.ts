/**
 * How a WAL file stands in the object store: its key, its compressed form that carries the SHA-256 of the plain bytes, and the check
 * that the bytes are the segment that the name says. Pure but for zlib; it never guesses about bytes that do not check out.
 */
import { createHash } from 'node:crypto';
import { open } from 'node:fs/promises';
import { pipeline } from 'node:stream/promises';
import { promisify } from 'node:util';
import { createGunzip, gzip, gunzip } from 'node:zlib';
import { GamedayError, messageOf } from '../../core/errors';
import { formatLsn, parseWalSegmentName, WAL_SEGMENT_BYTES } from '../../core/lsn';

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
  const packed = await compress(plain, { level: 1 });
  const header = Buffer.from(packed.subarray(0, HEADER_BYTES));
  header[3] = 0x04;
  return Buffer.concat([header, EXTRA_HEADER, createHash('sha256').update(plain).digest(), packed.subarray(HEADER_BYTES)]);
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
    plain = await decompress(packed, { maxOutputLength: SEGMENT_BYTES });
  } catch (error) {
    throw new GamedayError('object_corrupt', `archived WAL file ${name} does not decompress: ${messageOf(error)}`, null, { cause: error });
  }
  const found = createHash('sha256').update(plain).digest('hex');
  if (found !== expected)
    throw new GamedayError('object_corrupt', `archived WAL file ${name} has SHA-256 ${found.slice(0, 12)}…, not ${expected.slice(0, 12)}…`);
  return plain;
}

/** Unpacked this much at a time: memory of one stream is a few times this, whatever the file's size. */
const PIECE_BYTES = 1024 * 1024;

export interface UnpackedWal {
  readonly bytes: number;
}

/**
 * The plain bytes written to `path` (made anew), verified against the sum inside, and for a segment against its name and the cluster. The file counts only if
 * this resolves: whoever asked moves it to where it is used. Throws `object_corrupt`.
 */
export async function unpackWalInto(name: string, packed: Uint8Array, path: string, systemIdentifier: string): Promise<UnpackedWal> {
  const expected = packedSha256(packed);
  const kind = walFileKind(name);
  const hash = createHash('sha256');
  const file = await open(path, 'w', 0o600);
  let bytes = 0;
  try {
    const gunzipping = createGunzip({ chunkSize: PIECE_BYTES });
    const writing = pipeline(gunzipping, async (pieces: AsyncIterable<Buffer>) => {
      for await (const piece of pieces) {
        if (bytes + piece.length > SEGMENT_BYTES)
          throw new GamedayError('object_corrupt', `archived WAL file ${name} is larger than a segment`);
        if (bytes === 0 && (kind === 'segment' || kind === 'partial')) checkFirstPage(name, piece, systemIdentifier);
        hash.update(piece);
        bytes += piece.length;
        await file.writeFile(piece);
      }
    });
    gunzipping.end(packed);
    await writing;
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (error instanceof GamedayError || !/^(Z_|ERR_)/.test(code ?? '')) throw error;
    throw new GamedayError('object_corrupt', `archived WAL file ${name} does not decompress: ${messageOf(error)}`, null, { cause: error });
  } finally {
    await file.close();
  }
  const found = hash.digest('hex');
  if (found !== expected)
    throw new GamedayError('object_corrupt', `archived WAL file ${name} has SHA-256 ${found.slice(0, 12)}…, not ${expected.slice(0, 12)}…`);
  if ((kind === 'segment' || kind === 'partial') && bytes !== SEGMENT_BYTES)
    throw new GamedayError('object_corrupt', `WAL segment ${name} has ${bytes} bytes, not ${SEGMENT_BYTES}`);
  return { bytes };
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
