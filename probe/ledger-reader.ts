/**
 * Reads a ledger back, block by block, in bounded memory; and pairs intents with their outcomes.
 * A torn tail is tolerated, anything else that does not match its CRC is refused: a judge never works on guessed bytes.
 */
import { open, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { crc32 } from 'node:zlib';
import { GamedayError, messageOf } from '../core/errors';
import {
  BLOCK_HEADER_BYTES,
  decodeEntries,
  readBlockHeader,
  SEGMENT_FILE,
  type Entry,
  type EntryFilter,
  type OutcomeName,
  type SegmentEntry,
} from './ledger-format';

const READ_BYTES = 4 * 1024 * 1024;

/** A ledger that can be read more than once. Entries come in batches, in the order in which they were written. */
export interface LedgerSource {
  batches(filter?: EntryFilter): AsyncIterable<readonly Entry[]>;
}

/** The ledger in a directory. Reading throws `file_unreadable` if there is none, `object_corrupt` if a block inside it is damaged. */
export function ledgerIn(dir: string): LedgerSource {
  return { batches: (filter = {}) => readDirectory(dir, filter) };
}

/** A ledger in memory, for histories made by hand. */
export function ledgerOf(entries: readonly Entry[]): LedgerSource {
  return {
    batches: async function* (filter = {}) {
      yield entries.filter((entry) => {
        const operation = entry.kind === 'intent' || entry.kind === 'outcome' || entry.kind === 'missed';
        return operation ? filter.stream === undefined || entry.stream === filter.stream : filter.operationsOnly !== true;
      });
    },
  };
}

async function* readDirectory(dir: string, filter: EntryFilter): AsyncIterable<readonly Entry[]> {
  let names: string[];
  try {
    names = (await readdir(dir)).filter((name) => SEGMENT_FILE.test(name)).sort();
  } catch (error) {
    throw new GamedayError('file_unreadable', `ledger ${dir}: ${messageOf(error)}`, null, { cause: error });
  }
  if (names.length === 0) throw new GamedayError('file_unreadable', `ledger ${dir} holds no segment`);
  for (const [at, name] of names.entries()) {
    if (Number(SEGMENT_FILE.exec(name)?.[1]) !== at + 1)
      throw new GamedayError('object_corrupt', `ledger ${dir}: segment ${at + 1} is missing`);
    yield* readSegment(join(dir, name), at === names.length - 1, filter);
  }
}

async function* readSegment(path: string, last: boolean, filter: EntryFilter): AsyncIterable<readonly Entry[]> {
  const file = await open(path, 'r');
  try {
    let pending: Buffer = Buffer.alloc(0);
    let offset = 0;
    for (;;) {
      const chunk = Buffer.allocUnsafe(READ_BYTES);
      const { bytesRead } = await file.read(chunk, 0, READ_BYTES, offset);
      offset += bytesRead;
      pending = pending.length === 0 ? chunk.subarray(0, bytesRead) : Buffer.concat([pending, chunk.subarray(0, bytesRead)]);
      const { entries, used, damaged } = decodeBlocks(pending, filter);
      if (entries.length > 0) yield entries;
      pending = pending.subarray(used);
      const ended = bytesRead === 0;
      // Damage counts as a torn tail only if nothing follows it in the last segment.
      if (damaged !== null && (!last || damaged.followed))
        throw new GamedayError('object_corrupt', `${path}: block at byte ${offset - pending.length} does not match its CRC`);
      if (damaged !== null && ended) return;
      if (ended && pending.length > 0 && !last)
        throw new GamedayError('object_corrupt', `${path} ends inside a block, but a later segment exists`);
      if (ended) return;
    }
  } finally {
    await file.close();
  }
}

function decodeBlocks(
  from: Buffer,
  filter: EntryFilter,
): { readonly entries: Entry[]; readonly used: number; readonly damaged: { readonly followed: boolean } | null } {
  const entries: Entry[] = [];
  let at = 0;
  for (;;) {
    if (at + BLOCK_HEADER_BYTES > from.length) return { entries, used: at, damaged: null };
    const header = readBlockHeader(from, at);
    if (header === null) return { entries, used: at, damaged: { followed: hasBlockAfter(from, at + 1) } };
    const end = at + BLOCK_HEADER_BYTES + header.length;
    if (end > from.length) return { entries, used: at, damaged: null };
    const payload = from.subarray(at + BLOCK_HEADER_BYTES, end);
    if (crc32(payload) !== header.crc) return { entries, used: at, damaged: { followed: end < from.length } };
    for (const entry of decodeEntries(payload, filter)) entries.push(entry);
    at = end;
  }
}

function hasBlockAfter(from: Buffer, start: number): boolean {
  for (let at = from.indexOf('GDL1', start, 'latin1'); at !== -1; at = from.indexOf('GDL1', at + 1, 'latin1')) {
    const header = readBlockHeader(from, at);
    if (header === null) continue;
    const end = at + BLOCK_HEADER_BYTES + header.length;
    if (end <= from.length && crc32(from.subarray(at + BLOCK_HEADER_BYTES, end)) === header.crc) return true;
  }
  return false;
}

/** The first entry of the first segment. */
export async function readHeader(source: LedgerSource): Promise<SegmentEntry> {
  for await (const batch of source.batches()) {
    const [first] = batch;
    if (first?.kind === 'segment') return first;
    break;
  }
  throw new GamedayError('object_corrupt', 'the ledger does not start with a segment entry');
}

/** One attempted operation. Without an outcome in the ledger it is indeterminate and `doneNs` is null. */
export interface Attempt {
  readonly stream: number;
  readonly seq: number;
  readonly dueNs: number;
  readonly sentNs: number;
  readonly outcome: OutcomeName;
  readonly doneNs: number | null;
  readonly sqlstate: string | null;
  readonly xid: number | null;
  readonly lsn: number | null;
  readonly timeline: number | null;
}

/** Attempts of one stream in the order of their sequence numbers, in batches. Memory: the operations in flight. */
export async function* attemptsOf(source: LedgerSource, stream: number): AsyncIterable<readonly Attempt[]> {
  type Open = { attempt: Attempt; settled: boolean };
  const open = new Map<number, Open>();
  for await (const batch of source.batches({ stream, operationsOnly: true })) {
    const ready: Attempt[] = [];
    for (const entry of batch) {
      if (entry.kind === 'intent') {
        const { seq, dueNs, sentNs } = entry;
        open.set(seq, {
          attempt: {
            stream,
            seq,
            dueNs,
            sentNs,
            outcome: 'indeterminate',
            doneNs: null,
            sqlstate: null,
            xid: null,
            lsn: null,
            timeline: null,
          },
          settled: false,
        });
      } else if (entry.kind === 'outcome') {
        const found = open.get(entry.seq);
        if (found === undefined)
          throw new GamedayError('object_corrupt', `the ledger holds an outcome without an intent: stream ${stream}, seq ${entry.seq}`);
        const { outcome, doneNs, sqlstate, xid, lsn, timeline } = entry;
        found.attempt = { ...found.attempt, outcome, doneNs, sqlstate, xid, lsn, timeline };
        found.settled = true;
      }
    }
    // A map keeps insertion order, so its first entries are the oldest intents.
    for (const [seq, { attempt, settled }] of open) {
      if (!settled) break;
      ready.push(attempt);
      open.delete(seq);
    }
    if (ready.length > 0) yield ready;
  }
  if (open.size > 0) yield [...open.values()].map(({ attempt }) => attempt);
}
