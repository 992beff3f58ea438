/**
 * Reads a ledger back, segment by segment, in bounded memory, whether its segments are plain (`.gdl`) or packed (`.gdl.gz`).
 * A torn tail is tolerated, anything else that does not match its CRC is refused: a judge never works on guessed bytes.
 */
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { GamedayError, messageOf } from '../core/errors';
import { readBlocks, type BlockGroup } from './block-reader';
import { decodeEntries, encodedBytes, encodeEntry, type Entry, type EntryFilter, type SegmentEntry } from './ledger-format';

const SEGMENT_NAME = /^ledger-([0-9]{6})\.gdl(\.gz)?$/;

/** A ledger that can be read more than once, in the order in which it was written. */
export interface LedgerSource {
  /** As batches of entries: an object each. */
  batches(filter?: EntryFilter): AsyncIterable<readonly Entry[]>;
  /** As verified bytes, for readers that need no objects. */
  blocks(): AsyncIterable<BlockGroup>;
}

/** The ledger in a directory. Reading throws `file_unreadable` if there is none, `object_corrupt` if a block inside it is damaged. */
export function ledgerIn(dir: string): LedgerSource {
  const blocks = (): AsyncIterable<BlockGroup> => readDirectory(dir);
  return { blocks, batches: (filter = {}) => decodeGroups(blocks(), filter) };
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
    blocks: async function* () {
      const bytes = Buffer.alloc(entries.reduce((sum, entry) => sum + encodedBytes(entry), 0));
      let end = 0;
      for (const entry of entries) end = encodeEntry(entry, bytes, end);
      const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
      yield { bytes, view, count: 1, from: Uint32Array.of(0), to: Uint32Array.of(end) };
    },
  };
}

async function* decodeGroups(groups: AsyncIterable<BlockGroup>, filter: EntryFilter): AsyncIterable<readonly Entry[]> {
  for await (const { bytes, count, from, to } of groups) {
    const entries: Entry[] = [];
    for (let at = 0; at < count; at += 1) for (const entry of decodeEntries(bytes.subarray(from[at], to[at]), filter)) entries.push(entry);
    if (entries.length > 0) yield entries;
  }
}

async function* readDirectory(dir: string): AsyncIterable<BlockGroup> {
  const paths = await segmentPaths(dir);
  for (const [at, path] of paths.entries()) yield* readBlocks(path, at === paths.length - 1);
}

/** The files of a ledger in order; of a segment that is there twice, because packing it was interrupted, the plain one. */
async function segmentPaths(dir: string): Promise<readonly string[]> {
  let names: string[];
  try {
    names = await readdir(dir);
  } catch (error) {
    throw new GamedayError('file_unreadable', `ledger ${dir}: ${messageOf(error)}`, null, { cause: error });
  }
  const byNumber = new Map<number, string>();
  // Sorted, a plain name comes before its packed one.
  for (const name of names.sort()) {
    const number = Number(SEGMENT_NAME.exec(name)?.[1] ?? NaN);
    if (!Number.isNaN(number) && !byNumber.has(number)) byNumber.set(number, name);
  }
  if (byNumber.size === 0) throw new GamedayError('file_unreadable', `ledger ${dir} holds no segment`);
  const found = [...byNumber];
  for (const [at, [number]] of found.entries())
    if (number !== at + 1) throw new GamedayError('object_corrupt', `ledger ${dir}: segment ${at + 1} is missing`);
  return found.map(([, name]) => join(dir, name));
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
