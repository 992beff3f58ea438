/**
 * Reads one segment of a ledger, plain or gzipped, as groups of verified blocks in bounded memory. No byte leaves this file whose CRC did not match;
 * a torn tail ends the last segment quietly, and damage anywhere else is an error that names file and byte.
 */
import { createReadStream } from 'node:fs';
import { open } from 'node:fs/promises';
import { crc32, createGunzip } from 'node:zlib';
import { GamedayError, messageOf } from '../core/errors';
import { BLOCK_HEADER_BYTES, MAX_BLOCK_BYTES, readBlockHeader } from './ledger-format';

const FIRST_WINDOW_BYTES = 1024 * 1024;
/** Of this file's own: what is imported is looked up with every use, and this is used for every block. */
const HEADER_BYTES = BLOCK_HEADER_BYTES;
/** Up to here a CRC in JavaScript is quicker than the call into zlib; a prober's blocks are mostly 41 and 57 bytes. */
const SMALL_CRC_BYTES = 400;

/** Blocks that were read together: payload `i` is `bytes[from[i]] … bytes[to[i] - 1]`. Valid until the next group is asked for. */
export interface BlockGroup {
  readonly bytes: Buffer;
  /** Over the same bytes, with the same offsets. */
  readonly view: DataView;
  readonly count: number;
  readonly from: Uint32Array;
  readonly to: Uint32Array;
}

/** All intact blocks of a segment in order. `last`: no segment comes after it, so that its end may be torn. Throws `object_corrupt`, `file_unreadable`. */
export async function* readBlocks(path: string, last: boolean): AsyncGenerator<BlockGroup> {
  const source = path.endsWith('.gz') ? openGzip(path) : await openPlain(path);
  const window = new Window(path, source);
  try {
    for (;;) {
      const more = await window.fill();
      const { group, intact } = window.takeBlocks();
      if (group.count > 0) yield group;
      if (intact && more) continue;
      const where = `block at byte ${window.offset}`;
      if (!intact && (!last || (await window.holdsBlockLater()))) throw corrupt(path, `${where} does not match its CRC`);
      if (intact && window.pending > 0) {
        if (!last) throw corrupt(path, `ends inside the ${where}, but a later segment exists`);
        if (await window.holdsBlockLater()) throw corrupt(path, `${where} has a wrong length: intact blocks follow it`);
      }
      return;
    }
  } finally {
    await source.close();
  }
}

function corrupt(path: string, what: string): GamedayError {
  return new GamedayError('object_corrupt', `${path}: ${what}${path.endsWith('.gz') ? ' (of the unpacked segment)' : ''}`);
}

interface ByteSource {
  /** Bytes put into `into` from `at` on; 0 at the end. */
  read(into: Buffer, at: number): Promise<number>;
  close(): Promise<void>;
}

async function openPlain(path: string): Promise<ByteSource> {
  const file = await open(path, 'r');
  return {
    read: async (into, at) => (await file.read(into, at, into.length - at, null)).bytesRead,
    close: () => file.close(),
  };
}

function openGzip(path: string): ByteSource {
  const file = createReadStream(path, { highWaterMark: 256 * 1024 });
  const unpacked = createGunzip({ chunkSize: 256 * 1024 });
  file.on('error', (error) => unpacked.destroy(error));
  file.pipe(unpacked);
  const chunks = unpacked[Symbol.asyncIterator]() as AsyncIterator<Buffer>;
  let chunk: Buffer = Buffer.alloc(0);
  let passed = 0;
  return {
    read: async (into, at) => {
      if (chunk.length === 0) {
        const next = await chunks.next().catch((error: unknown) => {
          if ((error as NodeJS.ErrnoException).syscall !== undefined) throw error;
          throw corrupt(path, `does not unpack beyond byte ${passed}: ${messageOf(error)}`);
        });
        if (next.done === true) return 0;
        chunk = next.value;
      }
      const taken = chunk.copy(into, at);
      chunk = chunk.subarray(taken);
      passed += taken;
      return taken;
    },
    close: async () => {
      file.destroy();
      unpacked.destroy();
    },
  };
}

/** The part of the segment that is in memory: grows to hold one block, and slides on. */
class Window {
  private bytes = Buffer.allocUnsafe(FIRST_WINDOW_BYTES);
  private view = viewOf(this.bytes);
  private from = new Uint32Array(4_096);
  private to = new Uint32Array(4_096);
  private start = 0;
  private end = 0;
  private ended = false;
  /** Where in the segment `start` lies. */
  offset = 0;

  constructor(
    private readonly path: string,
    private readonly source: ByteSource,
  ) {}

  get pending(): number {
    return this.end - this.start;
  }

  /** Reads on behind what is pending. False at the end of the segment. */
  async fill(): Promise<boolean> {
    if (this.ended) return false;
    if (this.start > 0) {
      this.bytes.copyWithin(0, this.start, this.end);
      this.end -= this.start;
      this.start = 0;
    }
    if (this.end === this.bytes.length) {
      if (this.bytes.length > 4 * MAX_BLOCK_BYTES) throw corrupt(this.path, `block at byte ${this.offset} does not end`);
      const wider = Buffer.allocUnsafe(2 * this.bytes.length);
      this.bytes.copy(wider, 0, 0, this.end);
      this.bytes = wider;
      this.view = viewOf(wider);
    }
    const read = await this.source.read(this.bytes, this.end);
    this.end += read;
    this.ended = read === 0;
    return !this.ended;
  }

  /** Takes every whole block at the front. `intact` is false if what comes next is no block. */
  takeBlocks(): { readonly group: BlockGroup; readonly intact: boolean } {
    let count = 0;
    let intact = true;
    for (let at = this.start; ; at = this.start) {
      const end = this.blockEnd(at);
      if (end === null) intact = false;
      if (end === null || end > this.end) break;
      if (count === this.from.length) this.moreRoom();
      this.from[count] = at + HEADER_BYTES;
      this.to[count] = end;
      count += 1;
      this.advance(end - at);
    }
    return { group: { bytes: this.bytes, view: this.view, count, from: this.from, to: this.to }, intact };
  }

  /** Is there an intact block anywhere after the damaged one at the front? Then it was no torn tail. */
  async holdsBlockLater(): Promise<boolean> {
    for (;;) {
      // The magic's first byte is behind the damaged block's own.
      const found = this.bytes.subarray(0, this.end).indexOf('GDL1', this.start + 1, 'latin1');
      if (found === -1) {
        this.advance(Math.max(0, this.pending - 4));
        if (!(await this.fill())) return false;
        continue;
      }
      this.advance(found - this.start);
      let end = this.blockEnd(this.start);
      while (end !== null && end > this.end && (await this.fill())) end = this.blockEnd(this.start);
      if (end !== null && end <= this.end) return true;
    }
  }

  /** End of the block at `at`, which may lie beyond what is in memory; null if no intact block starts there. */
  private blockEnd(at: number): number | null {
    if (at + HEADER_BYTES > this.end) return this.end + 1;
    const header = readBlockHeader(this.bytes, at);
    if (header === null) return null;
    const payload = at + HEADER_BYTES;
    const end = payload + header.length;
    return end > this.end || crcOf(this.bytes, this.view, payload, end) === header.crc ? end : null;
  }

  private advance(bytes: number): void {
    this.start += bytes;
    this.offset += bytes;
  }

  private moreRoom(): void {
    const wider = (old: Uint32Array): Uint32Array<ArrayBuffer> => {
      const next = new Uint32Array(2 * old.length);
      next.set(old);
      return next;
    };
    this.from = wider(this.from);
    this.to = wider(this.to);
  }
}

const viewOf = (bytes: Buffer): DataView => new DataView(bytes.buffer, bytes.byteOffset, bytes.length);

/** CRC-32 as in zlib (reflected, polynomial 0xedb88320), four bytes a step: table k is for a byte with k zeros behind it. */
const CRC_0 = Int32Array.from({ length: 256 }, (_, byte) => {
  let crc = byte;
  for (let bit = 0; bit < 8; bit += 1) crc = crc & 1 ? (crc >>> 1) ^ 0xedb88320 : crc >>> 1;
  return crc;
});
const oneZeroMore = (table: Int32Array): Int32Array => table.map((crc) => (CRC_0[crc & 0xff] as number) ^ (crc >>> 8));
const CRC_1 = oneZeroMore(CRC_0);
const CRC_2 = oneZeroMore(CRC_1);
const CRC_3 = oneZeroMore(CRC_2);

function crcOf(bytes: Buffer, view: DataView, from: number, to: number): number {
  if (to - from > SMALL_CRC_BYTES) return crc32(bytes.subarray(from, to));
  let crc = -1;
  let at = from;
  for (; at + 4 <= to; at += 4) {
    crc ^= view.getInt32(at, true);
    crc =
      (CRC_3[crc & 0xff] as number) ^
      (CRC_2[(crc >>> 8) & 0xff] as number) ^
      (CRC_1[(crc >>> 16) & 0xff] as number) ^
      (CRC_0[crc >>> 24] as number);
  }
  for (; at < to; at += 1) crc = (CRC_0[(crc ^ (bytes[at] as number)) & 0xff] as number) ^ (crc >>> 8);
  return ~crc >>> 0;
}
