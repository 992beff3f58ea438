/**
 * Whether the bytes of a WAL segment are the segment that its name says: every page header, and every record's CRC-32C, as recovery would read them
 * (PostgreSQL: src/include/access/xlog_internal.h, xlogrecord.h, src/backend/access/transam/xlogreader.c). Pure; it never repairs nor guesses.
 */
import { formatLsn } from '../../../core/lsn';

const PAGE_BYTES = 8_192;
const SHORT_HEADER_BYTES = 24;
const LONG_HEADER_BYTES = 40;
const RECORD_HEADER_BYTES = 24;
const CRC_OFFSET = 20;
/** XLogRecordMaxSize. */
const RECORD_LIMIT_BYTES = 1_020 * 1024 * 1024;
const EMPTY = Buffer.alloc(PAGE_BYTES);

const IS_CONTINUATION = 0x0001;
const HAS_LONG_HEADER = 0x0002;
const OVERWROTE_CONTINUATION = 0x0008;

/** XLOG_PAGE_MAGIC by major version. A newer one is told by the family of its high byte alone. */
const MAGIC_OF_VERSION: { readonly [version: number]: number } = {
  10: 0xd097,
  11: 0xd098,
  12: 0xd101,
  13: 0xd106,
  14: 0xd10d,
  15: 0xd110,
  16: 0xd113,
  17: 0xd116,
  18: 0xd118,
};

/** What the first page says of the archive as a whole. */
export interface SegmentIdentity {
  readonly systemIdentifier: string;
  readonly segmentBytes: number;
  readonly magic: number;
  readonly serverVersion: number | null;
}

/** Null where the bytes begin no WAL segment. */
export function identityOf(first: Buffer): SegmentIdentity | null {
  if (first.length < LONG_HEADER_BYTES) return null;
  const magic = first.readUInt16LE(0);
  const segmentBytes = first.readUInt32LE(32);
  if (!isMagic(magic) || (first.readUInt16LE(2) & HAS_LONG_HEADER) === 0 || !isSegmentSize(segmentBytes)) return null;
  return { systemIdentifier: first.readBigUInt64LE(24).toString(), segmentBytes, magic, serverVersion: versionOf(magic) };
}

const isMagic = (magic: number): boolean => magic >> 8 === 0xd0 || magic >> 8 === 0xd1;

/** A power of two from 1 MB to 1 GB. */
export const isSegmentSize = (bytes: number): boolean => bytes >= 1 << 20 && bytes <= 1 << 30 && (bytes & (bytes - 1)) === 0;

function versionOf(magic: number): number | null {
  const found = Object.entries(MAGIC_OF_VERSION).find(([, each]) => each === magic)?.[0];
  return found === undefined ? null : Number(found);
}

export interface ExpectedSegment {
  readonly timeline: number;
  readonly start: bigint;
  readonly segmentBytes: number;
  /** Null where nobody says. */
  readonly systemIdentifier: string | null;
  readonly serverVersion: number | null;
}

/** Null if all is well, else the first thing that does not fit, in words, with its position. */
export function segmentProblem(data: Buffer, expected: ExpectedSegment): string | null {
  if (data.length !== expected.segmentBytes) return `has ${data.length} bytes, not ${expected.segmentBytes}`;
  return headersProblem(data, expected) ?? recordsProblem(data, expected.start);
}

function headersProblem(data: Buffer, expected: ExpectedSegment): string | null {
  const first = firstPageProblem(data, expected);
  if (first !== null) return first;
  const magic = data.readUInt16LE(0);
  let timeline = data.readUInt32LE(4);
  let zeroFrom: bigint | null = null;
  for (let at = PAGE_BYTES; at < data.length; at += PAGE_BYTES) {
    const address = expected.start + BigInt(at);
    // After a switch of WAL the rest of a segment is zero, page headers included.
    if (data.readUInt16LE(at) === 0 && data.readUInt32LE(at + 4) === 0 && data.readBigUInt64LE(at + 8) === 0n) {
      zeroFrom ??= address;
      continue;
    }
    if (zeroFrom !== null) return `the page at ${formatLsn(zeroFrom)} is empty, and pages after it are not`;
    if (data.readUInt16LE(at) !== magic)
      return `the page at ${formatLsn(address)} begins with 0x${data.readUInt16LE(at).toString(16)}, no WAL page`;
    if (data.readBigUInt64LE(at + 8) !== address)
      return `the page at ${formatLsn(address)} says that it is ${formatLsn(data.readBigUInt64LE(at + 8))}`;
    const found = data.readUInt32LE(at + 4);
    if (found < timeline || found > expected.timeline) return `the page at ${formatLsn(address)} is of timeline ${found}`;
    timeline = found;
  }
  return null;
}

/** The timeline on it may be older than the name's: a new timeline's first segment begins with a copy of its parent's. */
function firstPageProblem(data: Buffer, expected: ExpectedSegment): string | null {
  const magic = data.readUInt16LE(0);
  const wanted = expected.serverVersion === null ? undefined : MAGIC_OF_VERSION[expected.serverVersion];
  if (!isMagic(magic) || (wanted !== undefined && magic !== wanted))
    return `begins with 0x${magic.toString(16)}, ${isMagic(magic) ? `which is not of PostgreSQL ${expected.serverVersion}` : 'which is no WAL page'}`;
  if ((data.readUInt16LE(2) & HAS_LONG_HEADER) === 0) return 'has no long page header';
  const address = data.readBigUInt64LE(8);
  if (address !== expected.start) return `says that it is ${formatLsn(address)}, not ${formatLsn(expected.start)}`;
  const timeline = data.readUInt32LE(4);
  if (timeline === 0 || timeline > expected.timeline) return `its first page is of timeline ${timeline}`;
  const system = data.readBigUInt64LE(24).toString();
  if (expected.systemIdentifier !== null && system !== expected.systemIdentifier)
    return `belongs to system ${system}, not ${expected.systemIdentifier}`;
  const size = data.readUInt32LE(32);
  if (size !== expected.segmentBytes) return `states a segment size of ${size} bytes`;
  const pageBytes = data.readUInt32LE(36);
  return pageBytes === PAGE_BYTES ? null : `states a WAL page size of ${pageBytes} bytes`;
}

const CRC32C_TABLE = Uint32Array.from({ length: 256 }, (_, byte) => {
  let value = byte;
  for (let bit = 0; bit < 8; bit += 1) value = (value & 1) === 1 ? (value >>> 1) ^ 0x82f63b78 : value >>> 1;
  return value >>> 0;
});

function crc32c(crc: number, data: Buffer, from: number, to: number): number {
  let value = crc;
  for (let at = from; at < to; at += 1) value = (CRC32C_TABLE[(value ^ (data[at] ?? 0)) & 0xff] ?? 0) ^ (value >>> 8);
  return value;
}

const headerBytes = (at: number): number => (at === 0 ? LONG_HEADER_BYTES : SHORT_HEADER_BYTES);
const align8 = (value: number): number => Math.ceil(value / 8) * 8;

/** Of the record itself: data first, then its header up to the sum, as PostgreSQL makes it. Exported for those who make segments. */
export function recordCrc(record: Buffer): number {
  const body = crc32c(0xffffffff, record, RECORD_HEADER_BYTES, record.length);
  return (crc32c(body, record, 0, CRC_OFFSET) ^ 0xffffffff) >>> 0;
}

/** Walks the records from the first that begins in the segment to the last that ends in it. */
function recordsProblem(data: Buffer, start: bigint): string | null {
  const lsn = (at: number): string => formatLsn(start + BigInt(at));
  const [remaining, flags] = [data.readUInt32LE(16), data.readUInt16LE(2)];
  let at: number | null = (flags & IS_CONTINUATION) === 0 ? LONG_HEADER_BYTES : skipContinuation(data, remaining);
  let before: number | null = null;
  while (at !== null && at < data.length) {
    // A page's remainder that holds no whole length field does not exist: records begin at multiples of 8.
    if (at % PAGE_BYTES === 0) {
      at += headerBytes(at);
      continue;
    }
    const total = data.readUInt32LE(at);
    if (total === 0) return restIsEmpty(data, at) ? null : `no record begins at ${lsn(at)}, and bytes after it are not empty`;
    if (total < RECORD_HEADER_BYTES || total > RECORD_LIMIT_BYTES) return `the record at ${lsn(at)} has a length of ${total} bytes`;
    if (before !== null && at % PAGE_BYTES <= PAGE_BYTES - RECORD_HEADER_BYTES && data.readBigUInt64LE(at + 8) !== start + BigInt(before))
      return `the record at ${lsn(at)} names another record before it`;
    const read = readRecord(data, at, total);
    if (read === 'beyond') return null;
    if (typeof read === 'string') return `the record at ${lsn(at)} ${read}`;
    if ('overwrittenAt' in read) {
      at = read.overwrittenAt + headerBytes(read.overwrittenAt);
      before = null;
      continue;
    }
    if (read.record.readUInt32LE(CRC_OFFSET) !== recordCrc(read.record))
      return `the record at ${lsn(at)} has another checksum than it states`;
    before = at;
    at = read.next;
  }
  return null;
}

/** Position behind what a record of the segment before goes on with; null if that fills the segment. */
function skipContinuation(data: Buffer, remaining: number): number | null {
  let left = remaining;
  for (let page = 0; page < data.length; page += PAGE_BYTES) {
    const room = PAGE_BYTES - headerBytes(page);
    if (left < room) return page + align8(headerBytes(page) + left);
    left -= room;
    if (left === 0) return page + PAGE_BYTES;
  }
  return null;
}

type ReadRecord = { readonly record: Buffer; readonly next: number } | { readonly overwrittenAt: number } | string;

/** `beyond`: it goes on in the next segment. */
function readRecord(data: Buffer, from: number, total: number): ReadRecord {
  const parts: Buffer[] = [];
  let [at, left] = [from, total];
  for (;;) {
    const pageEnd = (Math.floor(at / PAGE_BYTES) + 1) * PAGE_BYTES;
    const here = Math.min(left, pageEnd - at);
    parts.push(data.subarray(at, at + here));
    left -= here;
    if (left === 0) return { record: parts.length === 1 ? (parts[0] ?? Buffer.alloc(0)) : Buffer.concat(parts), next: align8(at + here) };
    if (pageEnd >= data.length) return 'beyond';
    const flags = data.readUInt16LE(pageEnd + 2);
    // Of a record that never became whole before a crash; PostgreSQL says so on the page that follows.
    if ((flags & OVERWROTE_CONTINUATION) !== 0) return { overwrittenAt: pageEnd };
    if ((flags & IS_CONTINUATION) === 0) return 'is not continued on the page after it';
    if (data.readUInt32LE(pageEnd + 16) !== left) return `goes on with ${data.readUInt32LE(pageEnd + 16)} bytes where ${left} are due`;
    at = pageEnd + SHORT_HEADER_BYTES;
  }
}

/** Behind the last record nothing stands but page headers. */
function restIsEmpty(data: Buffer, from: number): boolean {
  const isEmpty = (start: number, end: number): boolean => data.subarray(start, end).equals(EMPTY.subarray(0, end - start));
  const page = Math.ceil(from / PAGE_BYTES) * PAGE_BYTES;
  if (!isEmpty(from, page)) return false;
  for (let at = page; at < data.length; at += PAGE_BYTES) if (!isEmpty(at + SHORT_HEADER_BYTES, at + PAGE_BYTES)) return false;
  return true;
}
