/**
 * Pairs intents with their outcomes straight from the ledger's bytes: no object per operation, so that ten million take seconds. Memory is what is in
 * flight. What it hands out comes in the order of the outcomes; what never got one comes last.
 */
import { assert } from '../core/assert';
import { GamedayError } from '../core/errors';
import type { JsonEntry, SampleEntry, SegmentEntry } from './ledger-format';
import type { LedgerSource } from './ledger-reader';

// Types, sizes and offsets of the records, as the head of ledger-format.ts draws them; a property test holds both to each other.
const INTENT = 0x01;
const OUTCOME = 0x02;
const MISSED = 0x03;
const JSON_ENTRY = 0x10;
const INTENT_BYTES = 29;
const OUTCOME_BYTES = 45;
const MISSED_BYTES = 20;

export const ACKED = 1;
export const REJECTED = 2;
export const INDETERMINATE = 3;

/** One attempted write. Nanoseconds since the prober's start; without an outcome in the ledger it is indeterminate and `doneNs` NaN. */
export interface AttemptVisitor {
  attempt(
    stream: number,
    seq: number,
    outcome: typeof ACKED | typeof REJECTED | typeof INDETERMINATE,
    sentNs: number,
    doneNs: number,
    /** 0: unknown. */
    timeline: number,
    /** -1: unknown. */
    xid: number,
  ): void;
}

/** What must be known of a ledger before its attempts are walked. */
export interface LedgerSurvey {
  readonly header: SegmentEntry;
  /** By stream: the highest sequence number of a write attempted; 0 for streams that only read, or wrote nothing. */
  readonly lastSeqs: readonly number[];
  /** Of consecutive equal samples of a node the first and the last. */
  readonly samples: readonly SampleEntry[];
}

/** Throws `object_corrupt` if the ledger does not begin with its header, or if a stream's intents are out of order. */
export async function surveyLedger(source: LedgerSource): Promise<LedgerSurvey> {
  let header: SegmentEntry | null = null;
  const samples = new SampleThinner();
  const lastSeqs = new Float64Array(65_536);
  for await (const { bytes, view, count, from, to } of source.blocks()) {
    for (let block = 0; block < count; block += 1) {
      const end = to[block] as number;
      for (let at = from[block] as number; at < end;) {
        const type = view.getUint8(at);
        if (type === INTENT) {
          const stream = view.getUint16(at + 1, true);
          const seq = seqAt(view, at);
          if (seq <= (lastSeqs[stream] as number)) throw broken('an intent whose number was used before', stream, seq);
          lastSeqs[stream] = seq;
        } else if (type === JSON_ENTRY) {
          const entry = jsonAt(bytes, view, at);
          if (header === null && entry.kind === 'segment') header = entry;
          if (entry.kind === 'sample') samples.add(entry);
        }
        if (header === null) throw new GamedayError('object_corrupt', 'the ledger does not start with a segment entry');
        at += recordBytes(view, at, type);
      }
    }
  }
  if (header === null) throw new GamedayError('object_corrupt', 'the ledger does not start with a segment entry');
  const writes = header.streams.map(({ kind }, stream) => (kind === 'write' ? (lastSeqs[stream] as number) : 0));
  return { header, lastSeqs: writes, samples: samples.kept };
}

/** Every write attempted, once. Throws `object_corrupt` for an outcome without an intent. */
export async function visitAttempts(source: LedgerSource, { header }: LedgerSurvey, visitor: AttemptVisitor): Promise<void> {
  const open = header.streams.map(({ kind }, stream) => (kind === 'write' ? new InFlight(stream) : null));
  for await (const { view, count, from, to } of source.blocks()) {
    for (let block = 0; block < count; block += 1) visitBlock(view, from[block] as number, to[block] as number, open, visitor);
  }
  for (const stream of open) stream?.end(visitor);
}

function visitBlock(view: DataView, from: number, to: number, open: readonly (InFlight | null)[], visitor: AttemptVisitor): void {
  for (let at = from; at < to;) {
    const type = view.getUint8(at);
    if (type === INTENT) {
      open[view.getUint16(at + 1, true)]?.begin(seqAt(view, at), view.getFloat64(at + 17, true));
    } else if (type === OUTCOME) {
      const stream = view.getUint16(at + 1, true);
      const flight = open[stream];
      if (flight !== null && flight !== undefined) {
        const seq = seqAt(view, at);
        const sentNs = flight.take(seq);
        const outcome = view.getUint8(at + 9);
        assert(outcome === ACKED || outcome === REJECTED || outcome === INDETERMINATE, 'the ledger holds a known outcome');
        visitor.attempt(
          stream,
          seq,
          outcome,
          sentNs,
          view.getFloat64(at + 10, true),
          view.getUint32(at + 39, true),
          view.getFloat64(at + 23, true),
        );
      }
    }
    at += recordBytes(view, at, type);
  }
}

function recordBytes(view: DataView, at: number, type: number): number {
  if (type === INTENT) return INTENT_BYTES;
  if (type === OUTCOME) return OUTCOME_BYTES;
  if (type === MISSED) return MISSED_BYTES;
  // A newer format is never half-read.
  assert(type === JSON_ENTRY, `ledger record type ${type} is known`);
  return 5 + view.getUint32(at + 1, true);
}

const seqAt = (view: DataView, at: number): number => view.getUint32(at + 3, true) + view.getUint16(at + 7, true) * 2 ** 32;

function jsonAt(bytes: Buffer, view: DataView, at: number): JsonEntry {
  return JSON.parse(bytes.toString('utf8', at + 5, at + 5 + view.getUint32(at + 1, true))) as JsonEntry;
}

function broken(what: string, stream: number, seq: number): GamedayError {
  return new GamedayError('object_corrupt', `the ledger holds ${what}: stream ${stream}, seq ${seq}`);
}

const RING = 4_096;

/** Writes of one stream that were sent and not yet answered: a ring by sequence number, and a map for the few that others have overtaken by a round. */
class InFlight {
  private readonly seqs = new Float64Array(RING);
  private readonly sent = new Float64Array(RING);
  private readonly overtaken = new Map<number, number>();

  constructor(private readonly stream: number) {}

  begin(seq: number, sentNs: number): void {
    const slot = seq % RING;
    const before = this.seqs[slot] as number;
    if (before !== 0) this.overtaken.set(before, this.sent[slot] as number);
    this.seqs[slot] = seq;
    this.sent[slot] = sentNs;
  }

  take(seq: number): number {
    const slot = seq % RING;
    if (this.seqs[slot] === seq) {
      this.seqs[slot] = 0;
      return this.sent[slot] as number;
    }
    const sentNs = this.overtaken.get(seq);
    if (sentNs === undefined) throw broken('an outcome without an intent', this.stream, seq);
    this.overtaken.delete(seq);
    return sentNs;
  }

  end(visitor: AttemptVisitor): void {
    for (const [seq, sentNs] of this.overtaken) visitor.attempt(this.stream, seq, INDETERMINATE, sentNs, NaN, 0, -1);
    for (const [slot, seq] of this.seqs.entries())
      if (seq !== 0) visitor.attempt(this.stream, seq, INDETERMINATE, this.sent[slot] as number, NaN, 0, -1);
  }
}

/** Of a run of equal answers of one node only the ends tell when it changed: a day at 10 Hz keeps as many samples as there were changes. */
class SampleThinner {
  readonly kept: SampleEntry[] = [];
  private readonly newest = new Map<string, { readonly sample: SampleEntry; readonly kept: boolean }>();

  add(sample: SampleEntry): void {
    const before = this.newest.get(sample.node);
    const same = before !== undefined && before.sample.role === sample.role && before.sample.timeline === sample.timeline;
    if (!same) {
      if (before !== undefined && !before.kept) this.kept.push(before.sample);
      this.kept.push(sample);
    }
    this.newest.set(sample.node, { sample, kept: !same });
  }
}
