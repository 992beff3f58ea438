/**
 * The ledger's format, version 1: append-only segments `ledger-000001.gdl`, `ledger-000002.gdl`, … in one directory. Pure; this file never touches a disk.
 * Nothing is ever rewritten, and an entry that was acknowledged to anybody has been handed to the kernel before.
 *
 * All numbers are little-endian. A segment is a sequence of blocks; one block is what one write() appended:
 *
 *     u32 magic 0x314c4447 ("GDL1") · u32 payload length (≤ 16 MiB) · u32 CRC-32 of the payload (zlib) · payload
 *
 * A payload is a sequence of records, each starting with its type:
 *
 *     0x01 intent   u8 type · u16 stream · u48 seq · f64 due · f64 sent · u32 connection                                          29 bytes
 *     0x02 outcome  u8 type · u16 stream · u48 seq · u8 outcome (1 acked, 2 rejected, 3 indeterminate) · f64 done ·
 *                   5 × ASCII SQLSTATE (zeros: none) · f64 xid (-1: unknown) · f64 lsn (-1: unknown) · u32 timeline (0: unknown) ·
 *                   u16 server (0: unknown; else the number of a `server` entry that stands before)                         45 bytes
 *     0x03 missed   u8 type · u16 stream · f64 due · f64 at · u8 cause (1 no connection, 2 all connections stuck, 3 starved)      20 bytes
 *     0x10 JSON     u8 type · u32 length · UTF-8 JSON of one of the other entries below
 *
 * Instants are whole nanoseconds of the monotonic clock since the prober's start, held exactly in f64 (below 2^53: 104 days). `xid` is the full 64-bit
 * transaction id, `lsn` the insert position after the row. The first record of every segment is a `segment` entry with wall clock and monotonic anchor.
 * Within one stream, intents come in the order of their sequence numbers; outcomes come in the order in which they were observed. An intent without
 * an outcome is indeterminate. A block that is cut short or whose CRC differs ends the ledger if it is the last thing written (torn tail); elsewhere it is corruption.
 */
import { crc32 } from 'node:zlib';
import { assert, unreachable } from '../core/assert';
import type { JsonObject } from '../model/json';
import type { ProbeView } from '../model/measurement';
import type { ProbeSettings } from '../model/plan';
import type { Receipt } from './contract';

export const LEDGER_VERSION = 1;
export const BLOCK_HEADER_BYTES = 12;
export const MAX_BLOCK_BYTES = 16 * 1024 * 1024;
const BLOCK_MAGIC = 0x314c4447;
const INTENT_BYTES = 29;
const OUTCOME_BYTES = 45;
const MISSED_BYTES = 20;

export type OutcomeName = 'acked' | 'rejected' | 'indeterminate';
export type MissedCause = 'no-connection' | 'stuck' | 'starved';
export type NodeRole = 'primary' | 'standby' | 'down';
const OUTCOMES: readonly (OutcomeName | null)[] = [null, 'acked', 'rejected', 'indeterminate'];
const CAUSES: readonly (MissedCause | null)[] = [null, 'no-connection', 'stuck', 'starved'];

/** What one stream does, by which path, and how it behaves when nobody answers. */
export interface StreamInfo extends ProbeView {
  readonly periodMs: number;
}

/** First in every segment: all that is needed to read it alone. */
export interface SegmentEntry {
  readonly kind: 'segment';
  readonly version: number;
  readonly segment: number;
  readonly drill: string;
  readonly table: string;
  readonly settings: ProbeSettings;
  readonly nodes: readonly string[];
  /** By stream number. Those of one view (kind, path, client) are judged together. */
  readonly streams: readonly StreamInfo[];
  /** RFC 3339 UTC at `atNs`; and what the machine's monotonic clock said at ns 0. */
  readonly wallClock: string;
  readonly atNs: number;
  readonly monotonicZeroNs: string;
  readonly pid: number;
}
export interface IntentEntry {
  readonly kind: 'intent';
  readonly stream: number;
  readonly seq: number;
  readonly dueNs: number;
  readonly sentNs: number;
  readonly connection: number;
}
export interface OutcomeEntry {
  readonly kind: 'outcome';
  readonly stream: number;
  readonly seq: number;
  readonly outcome: OutcomeName;
  readonly doneNs: number;
  readonly sqlstate: string | null;
  readonly xid: number | null;
  readonly lsn: number | null;
  readonly timeline: number | null;
  /** Number of the `server` entry that says who answered. */
  readonly server: number | null;
}
/** A server that has answered: stands in the ledger before the first outcome that names it. */
export interface ServerEntry {
  readonly kind: 'server';
  readonly server: number;
  /** As the server prints it, with its time zone. */
  readonly postmasterStart: string;
  /** Null through a unix socket. Behind a pooler or router it is still the server's own. */
  readonly address: string | null;
  readonly atNs: number;
}
export interface MissedEntry {
  readonly kind: 'missed';
  readonly stream: number;
  readonly dueNs: number;
  readonly atNs: number;
  readonly cause: MissedCause;
}
export interface ReceiptEntry extends Receipt {
  readonly kind: 'receipt';
  readonly atNs: number;
  readonly facts: JsonObject;
}
/** What one node said of itself; true at some instant between asked and answered. */
export interface SampleEntry {
  readonly kind: 'sample';
  readonly node: string;
  readonly askedNs: number;
  readonly answeredNs: number;
  readonly role: NodeRole;
  readonly timeline: number | null;
  readonly lsn: string | null;
}
/** Once a second: due instants so far, and those at which the prober was on time (late by at most δ). */
export interface WatchEntry {
  readonly kind: 'watch';
  readonly atNs: number;
  readonly due: number;
  readonly onTime: number;
}
/** The prober itself was late by more than δ: what clients would have seen here is not known. */
export interface StarvedEntry {
  readonly kind: 'starved';
  readonly fromNs: number;
  readonly toNs: number;
}
export interface ConnectionEntry {
  readonly kind: 'connection';
  readonly connection: number;
  readonly stream: number;
  readonly event: 'opened' | 'failed' | 'lost';
  /** When the attempt to connect began. */
  readonly startedNs: number;
  readonly atNs: number;
  readonly error: string | null;
}
/** Whom the controller, asked 10 times a second, holds for the primary; null: nobody, or it did not answer (`error` says which). */
export interface ControllerEntry {
  readonly kind: 'controller';
  readonly askedNs: number;
  readonly answeredNs: number;
  readonly primary: string | null;
  readonly error: string | null;
}
/** The prober ended on purpose; without it, it was killed. */
export interface EndEntry {
  readonly kind: 'end';
  readonly atNs: number;
  readonly reason: string;
}
export type JsonEntry =
  SegmentEntry | ReceiptEntry | SampleEntry | WatchEntry | StarvedEntry | ConnectionEntry | ServerEntry | ControllerEntry | EndEntry;
export type Entry = IntentEntry | OutcomeEntry | MissedEntry | JsonEntry;

export function segmentFileName(segment: number): string {
  return `ledger-${String(segment).padStart(6, '0')}.gdl`;
}
export const SEGMENT_FILE = /^ledger-([0-9]{6})\.gdl$/;

/** Bytes that `encodeEntry` will need at most. */
export function encodedBytes(entry: Entry): number {
  if (entry.kind === 'intent') return INTENT_BYTES;
  if (entry.kind === 'outcome') return OUTCOME_BYTES;
  if (entry.kind === 'missed') return MISSED_BYTES;
  return 5 + Buffer.byteLength(JSON.stringify(entry));
}

/** Writes one record at `at`; returns the offset after it. */
export function encodeEntry(entry: Entry, into: Buffer, at: number): number {
  switch (entry.kind) {
    case 'intent':
      return encodeIntent(entry, into, at);
    case 'outcome':
      return encodeOutcome(entry, into, at);
    case 'missed':
      return encodeMissed(entry, into, at);
    case 'segment':
    case 'receipt':
    case 'sample':
    case 'watch':
    case 'starved':
    case 'connection':
    case 'server':
    case 'controller':
    case 'end': {
      const bytes = into.write(JSON.stringify(entry), at + 5, 'utf8');
      into.writeUInt8(0x10, at);
      into.writeUInt32LE(bytes, at + 1);
      return at + 5 + bytes;
    }
    default:
      return unreachable(entry, 'ledger entry');
  }
}

export function encodeIntent(entry: IntentEntry, into: Buffer, at: number): number {
  into[at] = 0x01;
  into.writeUInt16LE(entry.stream, at + 1);
  into.writeUIntLE(entry.seq, at + 3, 6);
  into.writeDoubleLE(entry.dueNs, at + 9);
  into.writeDoubleLE(entry.sentNs, at + 17);
  into.writeUInt32LE(entry.connection, at + 25);
  return at + INTENT_BYTES;
}

export function encodeOutcome(entry: OutcomeEntry, into: Buffer, at: number): number {
  const { sqlstate } = entry;
  into[at] = 0x02;
  into.writeUInt16LE(entry.stream, at + 1);
  into.writeUIntLE(entry.seq, at + 3, 6);
  into[at + 9] = entry.outcome === 'acked' ? 1 : OUTCOMES.indexOf(entry.outcome);
  into.writeDoubleLE(entry.doneNs, at + 10);
  for (let character = 0; character < 5; character += 1)
    into[at + 18 + character] = sqlstate !== null && character < sqlstate.length ? sqlstate.charCodeAt(character) : 0;
  into.writeDoubleLE(entry.xid ?? -1, at + 23);
  into.writeDoubleLE(entry.lsn ?? -1, at + 31);
  into.writeUInt32LE(entry.timeline ?? 0, at + 39);
  into.writeUInt16LE(entry.server ?? 0, at + 43);
  return at + OUTCOME_BYTES;
}

export function encodeMissed(entry: MissedEntry, into: Buffer, at: number): number {
  into[at] = 0x03;
  into.writeUInt16LE(entry.stream, at + 1);
  into.writeDoubleLE(entry.dueNs, at + 3);
  into.writeDoubleLE(entry.atNs, at + 11);
  into[at + 19] = CAUSES.indexOf(entry.cause);
  return at + MISSED_BYTES;
}

/** The header of a block over `payload`. */
export function writeBlockHeader(into: Buffer, payload: Buffer): void {
  assert(payload.length <= MAX_BLOCK_BYTES, 'a ledger block is at most 16 MiB');
  into.writeUInt32LE(BLOCK_MAGIC, 0);
  into.writeUInt32LE(payload.length, 4);
  into.writeUInt32LE(crc32(payload), 8);
}

/** Payload length and CRC of the block at `at`, or null if no block starts there. */
export function readBlockHeader(from: Buffer, at: number): { readonly length: number; readonly crc: number } | null {
  if (at + BLOCK_HEADER_BYTES > from.length || from.readUInt32LE(at) !== BLOCK_MAGIC) return null;
  const length = from.readUInt32LE(at + 4);
  return length > MAX_BLOCK_BYTES ? null : { length, crc: from.readUInt32LE(at + 8) };
}

/** Which records a reader wants; others are skipped without being decoded. */
export interface EntryFilter {
  /** Only intents, outcomes and misses of this stream. */
  readonly stream?: number;
  /** Skip everything that is no intent, outcome or miss. */
  readonly operationsOnly?: boolean;
}

const sqlstateAt = (from: Buffer, at: number): string | null => (from[at] === 0 ? null : from.toString('latin1', at, at + 5));
const known = (value: number): number | null => (value < 0 ? null : value);

function decodeOutcome(from: Buffer, at: number): OutcomeEntry {
  const outcome = OUTCOMES[from.readUInt8(at + 9)];
  assert(outcome !== null && outcome !== undefined, 'the ledger holds a known outcome');
  return {
    kind: 'outcome',
    stream: from.readUInt16LE(at + 1),
    seq: from.readUIntLE(at + 3, 6),
    outcome,
    doneNs: from.readDoubleLE(at + 10),
    sqlstate: sqlstateAt(from, at + 18),
    xid: known(from.readDoubleLE(at + 23)),
    lsn: known(from.readDoubleLE(at + 31)),
    timeline: from.readUInt32LE(at + 39) || null,
    server: from.readUInt16LE(at + 43) || null,
  };
}

/** All records of one payload whose CRC was right. Fails on an unknown type: a newer format is never half-read. */
export function decodeEntries(payload: Buffer, filter: EntryFilter = {}): Entry[] {
  const entries: Entry[] = [];
  const wanted = (at: number): boolean => filter.stream === undefined || payload.readUInt16LE(at + 1) === filter.stream;
  let at = 0;
  while (at < payload.length) {
    const type = payload.readUInt8(at);
    if (type === 0x01) {
      if (wanted(at)) {
        entries.push({
          kind: 'intent',
          stream: payload.readUInt16LE(at + 1),
          seq: payload.readUIntLE(at + 3, 6),
          dueNs: payload.readDoubleLE(at + 9),
          sentNs: payload.readDoubleLE(at + 17),
          connection: payload.readUInt32LE(at + 25),
        });
      }
      at += INTENT_BYTES;
    } else if (type === 0x02) {
      if (wanted(at)) entries.push(decodeOutcome(payload, at));
      at += OUTCOME_BYTES;
    } else if (type === 0x03) {
      const cause = CAUSES[payload.readUInt8(at + 19)];
      assert(cause !== null && cause !== undefined, 'the ledger holds a known cause');
      if (wanted(at)) {
        entries.push({
          kind: 'missed',
          stream: payload.readUInt16LE(at + 1),
          dueNs: payload.readDoubleLE(at + 3),
          atNs: payload.readDoubleLE(at + 11),
          cause,
        });
      }
      at += MISSED_BYTES;
    } else {
      assert(type === 0x10, `ledger record type ${type} is known`);
      const length = payload.readUInt32LE(at + 1);
      if (filter.operationsOnly !== true) entries.push(JSON.parse(payload.toString('utf8', at + 5, at + 5 + length)) as JsonEntry);
      at += 5 + length;
    }
  }
  return entries;
}
