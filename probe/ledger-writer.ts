/**
 * Appends entries to the ledger: `add` collects, `flush` hands everything collected to the kernel as one block with one write().
 * An entry is never reported to anybody before the flush that holds it; a full disk is an error at once, never a silent gap.
 */
import { closeSync, fsyncSync, mkdirSync, openSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { GamedayError, messageOf } from '../core/errors';
import {
  BLOCK_HEADER_BYTES,
  encodedBytes,
  encodeEntry,
  encodeIntent,
  encodeMissed,
  encodeOutcome,
  segmentFileName,
  writeBlockHeader,
  type Entry,
  type IntentEntry,
  type MissedEntry,
  type OutcomeEntry,
  type SegmentEntry,
} from './ledger-format';

const SEGMENT_LIMIT_BYTES = 32 * 1024 * 1024;
const FLUSH_AT_BYTES = 1024 * 1024;
/** No intent, outcome or miss is longer. */
const OPERATION_BYTES = 64;

export type SegmentHeader = Omit<SegmentEntry, 'kind' | 'segment' | 'wallClock' | 'atNs'>;

export class LedgerWriter {
  private fd = -1;
  private segment = 0;
  private segmentBytes = 0;
  private used = BLOCK_HEADER_BYTES;
  private buffer = Buffer.allocUnsafe(2 * FLUSH_AT_BYTES);
  /** Bytes in the kernel's hands. */
  bytes = 0;

  constructor(
    private readonly dir: string,
    private readonly header: SegmentHeader,
    private readonly nowNs: () => number,
  ) {
    mkdirSync(dir, { recursive: true, mode: 0o700 });
    this.openSegment();
  }

  add(entry: Entry): void {
    this.reserve(encodedBytes(entry));
    this.used = encodeEntry(entry, this.buffer, this.used);
  }

  // The same for what comes thousands of times a second: one kind of entry in one place, so that the compiler knows its shape.
  addIntent(entry: IntentEntry): void {
    this.reserve(OPERATION_BYTES);
    this.used = encodeIntent(entry, this.buffer, this.used);
  }

  addOutcome(entry: OutcomeEntry): void {
    this.reserve(OPERATION_BYTES);
    this.used = encodeOutcome(entry, this.buffer, this.used);
  }

  addMissed(entry: MissedEntry): void {
    this.reserve(OPERATION_BYTES);
    this.used = encodeMissed(entry, this.buffer, this.used);
  }

  private reserve(bytes: number): void {
    if (this.used >= FLUSH_AT_BYTES || this.used + bytes > this.buffer.length) this.flush();
    if (this.used + bytes > this.buffer.length) this.buffer = Buffer.allocUnsafe(this.used + bytes);
  }

  /** One write(): what survives SIGKILL of this process. Throws `disk_full` when the kernel takes less. */
  flush(): void {
    if (this.used === BLOCK_HEADER_BYTES) return;
    const { buffer, used } = this;
    writeBlockHeader(buffer, buffer.subarray(BLOCK_HEADER_BYTES, used));
    let written = 0;
    try {
      while (written < used) written += writeSync(this.fd, buffer, written, used - written);
    } catch (error) {
      throw new GamedayError('disk_full', `ledger in ${this.dir}: ${messageOf(error)}`, null, { cause: error });
    }
    this.bytes += used;
    this.segmentBytes += used;
    this.used = BLOCK_HEADER_BYTES;
    if (this.segmentBytes >= SEGMENT_LIMIT_BYTES) this.openSegment();
  }

  /** Flushes and fsyncs: what survives a power cut. */
  close(): void {
    this.flush();
    fsyncSync(this.fd);
    closeSync(this.fd);
    this.fd = -1;
  }

  private openSegment(): void {
    if (this.fd !== -1) {
      fsyncSync(this.fd);
      closeSync(this.fd);
    }
    this.segment += 1;
    this.segmentBytes = 0;
    const path = join(this.dir, segmentFileName(this.segment));
    try {
      // `wx`: a second prober in the same directory must never append to a ledger that is not its own.
      this.fd = openSync(path, 'wx', 0o600);
    } catch (error) {
      throw new GamedayError('object_exists', `ledger segment ${path}: ${messageOf(error)}`, null, { cause: error });
    }
    this.add({ kind: 'segment', ...this.header, segment: this.segment, wallClock: new Date().toISOString(), atNs: this.nowNs() });
    this.flush();
  }
}
