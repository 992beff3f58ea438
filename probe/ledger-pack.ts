/**
 * Packs the segments of a ledger that nobody writes any more: `ledger-000001.gdl` becomes `ledger-000001.gdl.gz`, byte for byte the same when unpacked.
 * May be interrupted at any instruction and run again: a plain segment is removed only after its packed one is on disk under its name and was read back.
 */
import { createHash } from 'node:crypto';
import { closeSync, createReadStream, openSync, readdirSync, readFileSync, readSync, renameSync, rmSync, statSync } from 'node:fs';
import { open, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { crc32, createGunzip, createGzip } from 'node:zlib';
import { GamedayError, messageOf } from '../core/errors';
import { fsyncDirectory } from '../core/files';
import { readBlocks } from './block-reader';
import { decodeEntries, SEGMENT_FILE } from './ledger-format';

/** 6 % more bytes than by level 4, in little more than half the time. */
const LEVEL = 1;
const CHUNK_BYTES = 1024 * 1024;
const AT_ONCE = 2;
/** CRC-32 and length of what was packed, both little-endian (RFC 1952, 2.3.1). */
const TRAILER_BYTES = 8;

export interface PackedLedger {
  readonly packed: readonly string[];
  /** Segments that a living prober still appends to: left as they are. */
  readonly left: readonly string[];
}

/** Idempotent; memory: a few chunks. Throws `object_corrupt` if what was packed does not read back, `disk_full`, `file_unreadable`. */
export function packLedger(dir: string): Promise<PackedLedger> {
  return inTurn(dir, async () => {
    const { closed, left } = await plainSegments(dir);
    await sideBySide(closed, async (name) => {
      await packSegment(dir, name);
      rmSync(join(dir, name));
      fsyncDirectory(dir);
    });
    return { packed: closed.map((name) => `${name}.gz`), left };
  });
}

const turns = new Map<string, Promise<void>>();

/** One after the other in one directory: an attempt that was given up goes on packing beside the next. */
function inTurn<T>(dir: string, work: () => Promise<T>): Promise<T> {
  const mine = (turns.get(dir) ?? Promise.resolve()).then(work);
  const over: Promise<void> = mine
    .then(
      () => undefined,
      () => undefined,
    )
    .finally(() => {
      if (turns.get(dir) === over) turns.delete(dir);
    });
  turns.set(dir, over);
  return mine;
}

/**
 * Waits for `work`, which may read the plain segments, and packs them meanwhile; they stay, and `packLedger` has little left to do. A judge keeps one
 * processor busy and people wait for the seal. Until then both forms are on disk. What cannot be packed now is told by whoever packs at last.
 */
export async function besidePacking<T>(dir: string, work: Promise<T>): Promise<T> {
  const packing = inTurn(dir, async () => {
    const { closed } = await plainSegments(dir);
    await sideBySide(closed, (name) => packSegment(dir, name));
  });
  const [done] = await Promise.allSettled([work, packing]);
  if (done.status === 'rejected') throw done.reason;
  return done.value;
}

async function plainSegments(dir: string): Promise<{ readonly closed: readonly string[]; readonly left: readonly string[] }> {
  const plain = readdirSync(dir)
    .filter((name) => SEGMENT_FILE.test(name))
    .sort();
  // Only the newest segment can still grow.
  const newest = plain.at(-1);
  const left = newest !== undefined && (await isBeingWritten(join(dir, newest))) ? [newest] : [];
  return { closed: plain.filter((name) => !left.includes(name)), left };
}

/** zlib works beside us, so a second segment costs no more time than one where a second processor is free. A failure is thrown once all have ended. */
async function sideBySide(names: readonly string[], pack: (name: string) => Promise<void>): Promise<void> {
  const queue = [...names];
  const work = async (): Promise<void> => {
    for (let name = queue.shift(); name !== undefined; name = queue.shift()) await pack(name);
  };
  const ended = await Promise.allSettled(Array.from({ length: AT_ONCE }, work));
  const failed = ended.find((one) => one.status === 'rejected');
  if (failed !== undefined) throw failed.reason;
}

/** The plain segment stays. */
async function packSegment(dir: string, name: string): Promise<void> {
  const plain = join(dir, name);
  const final = `${plain}.gz`;
  if (await isPacked(plain, final)) return;
  const beside = `${final}.new`;
  const sha256 = await writePacked(plain, beside);
  if ((await sha256Unpacked(beside)) !== sha256)
    throw new GamedayError('object_corrupt', `${beside} does not unpack to ${plain}; the plain segment was kept`);
  renameSync(beside, final);
  fsyncDirectory(dir);
}

/** A packed segment got its name after it had been read back; that it is this one's, and whole, is told by its end. */
async function isPacked(plain: string, final: string): Promise<boolean> {
  const trailer = readEnd(final, TRAILER_BYTES);
  if (trailer === null || trailer.readUInt32LE(4) !== statSync(plain).size % 2 ** 32) return false;
  let sum = 0;
  for await (const chunk of createReadStream(plain, { highWaterMark: CHUNK_BYTES })) sum = crc32(chunk as Buffer, sum);
  return trailer.readUInt32LE(0) === sum;
}

/** Null if there is no such file, or a shorter one. */
function readEnd(path: string, bytes: number): Buffer | null {
  const size = statSync(path, { throwIfNoEntry: false })?.size ?? 0;
  if (size < bytes) return null;
  const fd = openSync(path, 'r');
  try {
    const end = Buffer.alloc(bytes);
    return readSync(fd, end, 0, bytes, size - bytes) === bytes ? end : null;
  } finally {
    closeSync(fd);
  }
}

/** Returns the SHA-256 of what it read and packed. */
async function writePacked(from: string, to: string): Promise<string> {
  const hash = createHash('sha256');
  const file = await open(to, 'w', 0o600);
  try {
    const packer = createGzip({ level: LEVEL, chunkSize: CHUNK_BYTES });
    const plain = createReadStream(from, { highWaterMark: CHUNK_BYTES });
    plain.on('data', (chunk) => hash.update(chunk));
    await pipeline(plain, packer, (chunks: AsyncIterable<Buffer>) => writeFile(file, chunks));
    await file.sync();
    return hash.digest('hex');
  } catch (error) {
    // On a full disk nobody else may be kept waiting for the room that a half-packed segment takes.
    rmSync(to, { force: true });
    const code = (error as NodeJS.ErrnoException).code;
    if (code !== 'ENOSPC' && code !== 'EDQUOT') throw error;
    throw new GamedayError('disk_full', `packing ${from}: ${messageOf(error)}`, null, { cause: error });
  } finally {
    await file.close();
  }
}

/** Of what the file unpacks to; null if it does not unpack. */
async function sha256Unpacked(path: string): Promise<string | null> {
  const unpacker = createGunzip({ chunkSize: CHUNK_BYTES });
  const hash = createHash('sha256');
  try {
    await pipeline(createReadStream(path, { highWaterMark: CHUNK_BYTES }), unpacker, hash);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code?.startsWith('Z_') === true) return null;
    throw error;
  }
  return hash.digest('hex');
}

/** Is the prober that began this segment still there? One whose number another process has got by now is told apart by its command line. */
async function isBeingWritten(path: string): Promise<boolean> {
  if (statSync(path).size === 0) return false;
  for await (const { bytes, from, to } of readBlocks(path, true)) {
    const [first] = decodeEntries(bytes.subarray(from[0], to[0]));
    return first?.kind === 'segment' && isProber(first.pid);
  }
  return false;
}

function isProber(pid: number): boolean {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes('prober');
  } catch {
    return false;
  }
}
