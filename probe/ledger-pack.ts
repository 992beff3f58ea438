/**
 * Packs the segments of a ledger that nobody writes any more: `ledger-000001.gdl` becomes `ledger-000001.gdl.gz`, byte for byte the same when unpacked.
 * May be interrupted at any instruction and run again: a plain segment is removed only after its packed one is on disk under its name and was read back.
 */
import { createHash } from 'node:crypto';
import { createReadStream, existsSync, readdirSync, readFileSync, renameSync, rmSync, statSync } from 'node:fs';
import { open, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { createGunzip, createGzip } from 'node:zlib';
import { GamedayError, messageOf } from '../core/errors';
import { fsyncDirectory } from '../core/files';
import { readBlocks } from './block-reader';
import { decodeEntries, SEGMENT_FILE } from './ledger-format';

/** Packing is most of what sealing takes: 6 % more bytes than by level 4, in little more than half the time. */
const LEVEL = 1;
const CHUNK_BYTES = 1024 * 1024;
const AT_ONCE = 2;

export interface PackedLedger {
  readonly packed: readonly string[];
  /** Segments that a living prober still appends to: left as they are. */
  readonly left: readonly string[];
}

/** Idempotent; memory: a few chunks. Throws `object_corrupt` if what was packed does not read back, `disk_full`, `file_unreadable`. */
export async function packLedger(dir: string): Promise<PackedLedger> {
  const plain = readdirSync(dir)
    .filter((name) => SEGMENT_FILE.test(name))
    .sort();
  // Only the newest segment can still grow.
  const newest = plain.at(-1);
  const left = newest !== undefined && (await isBeingWritten(join(dir, newest))) ? [newest] : [];
  const closed = plain.filter((name) => !left.includes(name));
  await packSide(dir, closed);
  return { packed: closed.map((name) => `${name}.gz`), left };
}

/** zlib works beside us, so a second segment costs no more time than one where a second processor is free. A failure is thrown once all have ended. */
async function packSide(dir: string, names: readonly string[]): Promise<void> {
  const queue = [...names];
  const work = async (): Promise<void> => {
    for (let name = queue.shift(); name !== undefined; name = queue.shift()) await packSegment(dir, name);
  };
  const ended = await Promise.allSettled(Array.from({ length: AT_ONCE }, work));
  const failed = ended.find((one) => one.status === 'rejected');
  if (failed !== undefined) throw failed.reason;
}

async function packSegment(dir: string, name: string): Promise<void> {
  const plain = join(dir, name);
  const final = `${plain}.gz`;
  if (!existsSync(final) || (await sha256Unpacked(final)) !== (await sha256Of(createReadStream(plain, { highWaterMark: CHUNK_BYTES })))) {
    const beside = `${final}.new`;
    const sha256 = await writePacked(plain, beside);
    if ((await sha256Unpacked(beside)) !== sha256)
      throw new GamedayError('object_corrupt', `${beside} does not unpack to ${plain}; the plain segment was kept`);
    renameSync(beside, final);
    fsyncDirectory(dir);
  }
  rmSync(plain);
  fsyncDirectory(dir);
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

async function sha256Of(bytes: AsyncIterable<Buffer | string>): Promise<string> {
  const hash = createHash('sha256');
  for await (const chunk of bytes) hash.update(chunk);
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
