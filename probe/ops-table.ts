/**
 * The judge's working copy of a ledger: writes as columns of numbers, so that an hour's drill fits in memory, and all other entries as they are.
 * Loads in one pass; draws no conclusions.
 */
import { GamedayError } from '../core/errors';
import type {
  ConnectionEntry,
  Entry,
  OutcomeName,
  ReceiptEntry,
  SampleEntry,
  SegmentEntry,
  StarvedEntry,
  WatchEntry,
} from './ledger-format';
import type { LedgerSource } from './ledger-reader';

/** `excused`: missed because the prober itself was late; it says nothing about the database. */
export type OpState = OutcomeName | 'missed' | 'excused';
export const OP_STATES: readonly OpState[] = ['acked', 'rejected', 'indeterminate', 'missed', 'excused'];
export const ACKED = 0;
export const REJECTED = 1;
export const INDETERMINATE = 2;
export const MISSED = 3;
export const EXCUSED = 4;

/** Writes in the order of their due instants. Instants in ms since the prober's start; `sent` is NaN for what was not sent, `done` +∞ for what never ended. */
export interface Writes {
  readonly count: number;
  readonly due: Float64Array;
  readonly sent: Float64Array;
  readonly done: Float64Array;
  readonly state: Uint8Array;
}

export interface LoadedLedger {
  readonly header: SegmentEntry;
  readonly writes: Writes;
  readonly receipts: readonly ReceiptEntry[];
  readonly samples: readonly SampleEntry[];
  readonly starved: readonly StarvedEntry[];
  readonly watches: readonly WatchEntry[];
  /** Attempts of write streams to connect that failed. */
  readonly failedConnects: readonly ConnectionEntry[];
  /** Failed and lost connections of write streams. */
  readonly losses: readonly ConnectionEntry[];
  /** The last instant of which the ledger knows, in ms. */
  readonly endMs: number;
}

const ms = (ns: number): number => ns / 1e6;

class Columns {
  private capacity = 65_536;
  count = 0;
  due = new Float64Array(this.capacity);
  sent = new Float64Array(this.capacity);
  done = new Float64Array(this.capacity);
  state = new Uint8Array(this.capacity);

  push(due: number, sent: number, done: number, state: number): void {
    if (this.count === this.capacity) {
      this.capacity *= 2;
      const grow = (from: Float64Array): Float64Array<ArrayBuffer> => {
        const to = new Float64Array(this.capacity);
        to.set(from);
        return to;
      };
      this.due = grow(this.due);
      this.sent = grow(this.sent);
      this.done = grow(this.done);
      const state8 = new Uint8Array(this.capacity);
      state8.set(this.state);
      this.state = state8;
    }
    this.due[this.count] = due;
    this.sent[this.count] = sent;
    this.done[this.count] = done;
    this.state[this.count] = state;
    this.count += 1;
  }

  sortedByDue(): Writes {
    const order = Uint32Array.from({ length: this.count }, (_, at) => at).sort((a, b) => (this.due[a] ?? 0) - (this.due[b] ?? 0) || a - b);
    const pick = (from: Float64Array): Float64Array => Float64Array.from(order, (at) => from[at] ?? NaN);
    return {
      count: this.count,
      due: pick(this.due),
      sent: pick(this.sent),
      done: pick(this.done),
      state: Uint8Array.from(order, (at) => this.state[at] ?? 0),
    };
  }
}

/** Throws `object_corrupt` when the ledger contradicts its own format. */
export async function loadLedger(source: LedgerSource): Promise<LoadedLedger> {
  let header: SegmentEntry | null = null;
  const columns = new Columns();
  const open = new Map<string, { readonly due: number; readonly sent: number }>();
  const receipts: ReceiptEntry[] = [];
  const samples: SampleEntry[] = [];
  const starved: StarvedEntry[] = [];
  const watches: WatchEntry[] = [];
  const losses: ConnectionEntry[] = [];
  let endMs = 0;
  const saw = (ns: number): void => {
    if (ms(ns) > endMs) endMs = ms(ns);
  };
  const writes = (stream: number): boolean => header?.streams[stream] === 'write';
  const visit = (entry: Entry): void => {
    switch (entry.kind) {
      case 'segment':
        header ??= entry;
        return saw(entry.atNs);
      case 'intent':
        if (writes(entry.stream)) open.set(`${entry.stream}/${entry.seq}`, { due: ms(entry.dueNs), sent: ms(entry.sentNs) });
        return saw(entry.sentNs);
      case 'outcome': {
        saw(entry.doneNs);
        if (!writes(entry.stream)) return;
        const key = `${entry.stream}/${entry.seq}`;
        const intent = open.get(key);
        if (intent === undefined)
          throw new GamedayError('object_corrupt', `the ledger holds an outcome without an intent: stream/seq ${key}`);
        open.delete(key);
        return columns.push(intent.due, intent.sent, ms(entry.doneNs), OP_STATES.indexOf(entry.outcome));
      }
      case 'missed':
        if (writes(entry.stream)) columns.push(ms(entry.dueNs), NaN, ms(entry.atNs), entry.cause === 'starved' ? EXCUSED : MISSED);
        return saw(entry.atNs);
      case 'receipt':
        receipts.push(entry);
        return saw(entry.atNs);
      case 'sample':
        samples.push(entry);
        return saw(entry.answeredNs);
      case 'starved':
        starved.push(entry);
        return saw(entry.toNs);
      case 'watch':
        watches.push(entry);
        return saw(entry.atNs);
      case 'connection':
        if (writes(entry.stream) && entry.event !== 'opened') losses.push(entry);
        return saw(entry.atNs);
      case 'end':
        return saw(entry.atNs);
    }
  };
  for await (const batch of source.batches()) for (const entry of batch) visit(entry);
  if (header === null) throw new GamedayError('object_corrupt', 'the ledger does not start with a segment entry');
  for (const { due, sent } of open.values()) columns.push(due, sent, Infinity, INDETERMINATE);
  const failedConnects = losses.filter((entry) => entry.event === 'failed');
  return { header, writes: columns.sortedByDue(), receipts, samples, starved, watches, failedConnects, losses, endMs };
}
