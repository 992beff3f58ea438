/**
 * The judge's working copy of a ledger: operations as columns of numbers, view by view, so that an hour's drill fits in memory, and all other entries as they are.
 * Loads in one pass; draws no conclusions.
 */
import { unreachable } from '../core/assert';
import { GamedayError } from '../core/errors';
import type { Interval, ProbeView } from '../model/measurement';
import type {
  ControllerEntry,
  Entry,
  OutcomeEntry,
  OutcomeName,
  ReceiptEntry,
  SampleEntry,
  SegmentEntry,
  StarvedEntry,
  WatchEntry,
} from './ledger-format';
import { AckTrail } from './candidates';
import type { LedgerSource } from './ledger-reader';
import type { ConnectionSpan } from './outages';
import { Starvation } from './starvation';

/** `excused`: missed because the prober itself was late; it says nothing about the database. */
export type OpState = OutcomeName | 'missed' | 'excused';
export const OP_STATES: readonly OpState[] = ['acked', 'rejected', 'indeterminate', 'missed', 'excused'];
export const ACKED = 0;
export const REJECTED = 1;
export const INDETERMINATE = 2;
export const MISSED = 3;
export const EXCUSED = 4;

/** Operations of one view in the order of their due instants. Instants in ms since the prober's start; `sent` is NaN for what was not sent, `done` +∞ for what never ended. */
export interface Ops {
  readonly count: number;
  readonly due: Float64Array;
  readonly sent: Float64Array;
  readonly done: Float64Array;
  readonly state: Uint8Array;
}

/** One view: its operations, and the connections of its streams in the order in which they were opened, failed or broke. */
export interface LoadedView {
  readonly view: ProbeView;
  readonly streams: number;
  readonly periodMs: number;
  readonly ops: Ops;
  readonly connections: readonly ConnectionSpan[];
}

export interface LoadedLedger {
  readonly header: SegmentEntry;
  /** The wall clock's time at the prober's start, by every segment: it may have been set meanwhile. In ms since 1970. */
  readonly epoch: Interval;
  /** The headline first. */
  readonly views: readonly [LoadedView, ...LoadedView[]];
  readonly receipts: readonly ReceiptEntry[];
  readonly samples: readonly SampleEntry[];
  /** Positions of what was acknowledged, by any stream. */
  readonly acks: AckTrail;
  readonly controller: readonly ControllerEntry[];
  readonly starved: readonly StarvedEntry[];
  readonly starvation: Starvation;
  readonly watches: readonly WatchEntry[];
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

  sortedByDue(): Ops {
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

const viewName = ({ kind, path, client }: ProbeView): string => `${kind} ${path} ${client}`;

/** Collects the operations and connections of one view. */
class ViewLoader {
  readonly columns = new Columns();
  readonly connections: ConnectionSpan[] = [];
  streams = 0;
  constructor(
    readonly view: ProbeView,
    readonly periodMs: number,
  ) {}

  finish(): LoadedView {
    const { view, streams, periodMs, connections } = this;
    return { view, streams, periodMs, ops: this.columns.sortedByDue(), connections };
  }
}

/** An intent whose outcome has not come yet. */
type Open = Map<number, { readonly due: number; readonly sent: number }>;

class Loader {
  private header: SegmentEntry | null = null;
  private epoch: Interval = { lowMs: Infinity, highMs: -Infinity };
  private readonly views = new Map<string, ViewLoader>();
  /** By stream. */
  private readonly viewOf: ViewLoader[] = [];
  private readonly open: Open[] = [];
  private readonly receipts: ReceiptEntry[] = [];
  private readonly samples: SampleEntry[] = [];
  private readonly acks = new AckTrail();
  private readonly controller: ControllerEntry[] = [];
  private readonly starved: StarvedEntry[] = [];
  private readonly watches: WatchEntry[] = [];
  private endMs = 0;

  visit(entry: Entry): void {
    switch (entry.kind) {
      case 'segment':
        if (this.header === null) this.begin(entry);
        this.epoch = withEpoch(this.epoch, entry);
        return this.saw(entry.atNs);
      case 'intent':
        this.opened(entry.stream).set(entry.seq, { due: ms(entry.dueNs), sent: ms(entry.sentNs) });
        return this.saw(entry.sentNs);
      case 'outcome':
        this.finished(entry);
        return this.saw(entry.doneNs);
      case 'missed':
        this.of(entry.stream).columns.push(ms(entry.dueNs), NaN, ms(entry.atNs), entry.cause === 'starved' ? EXCUSED : MISSED);
        return this.saw(entry.atNs);
      case 'receipt':
        this.receipts.push(entry);
        return this.saw(entry.atNs);
      case 'sample':
        this.samples.push(entry);
        return this.saw(entry.answeredNs);
      case 'controller':
        this.controller.push(entry);
        return this.saw(entry.answeredNs);
      case 'starved':
        this.starved.push(entry);
        return this.saw(entry.toNs);
      case 'watch':
        this.watches.push(entry);
        return this.saw(entry.atNs);
      case 'connection':
        this.of(entry.stream).connections.push({ event: entry.event, startedMs: ms(entry.startedNs), endedMs: ms(entry.atNs) });
        return this.saw(entry.atNs);
      case 'server':
      case 'end':
        return this.saw(entry.atNs);
      default:
        return unreachable(entry, 'ledger entry');
    }
  }

  finish(): LoadedLedger {
    if (this.header === null) throw new GamedayError('object_corrupt', 'the ledger does not start with a segment entry');
    for (const [stream, open] of this.open.entries())
      for (const { due, sent } of open.values()) this.of(stream).columns.push(due, sent, Infinity, INDETERMINATE);
    const [headline, ...others] = [...this.views.values()].map((view) => view.finish());
    if (headline === undefined) throw new GamedayError('object_corrupt', 'the ledger names no stream');
    const { header, epoch, receipts, samples, acks, controller, starved, watches, endMs } = this;
    const starvation = new Starvation(starved);
    return { header, epoch, views: [headline, ...others], receipts, samples, acks, controller, starved, starvation, watches, endMs };
  }

  private begin(header: SegmentEntry): void {
    this.header = header;
    for (const info of header.streams) {
      const { kind, path, client, periodMs } = info;
      const view = this.views.get(viewName(info)) ?? new ViewLoader({ kind, path, client }, periodMs);
      this.views.set(viewName(info), view);
      view.streams += 1;
      this.viewOf.push(view);
      this.open.push(new Map());
    }
  }

  private finished(entry: OutcomeEntry): void {
    const { stream, seq, outcome, doneNs } = entry;
    this.acks.add(entry);
    const open = this.opened(stream);
    const intent = open.get(seq);
    if (intent === undefined)
      throw new GamedayError('object_corrupt', `the ledger holds an outcome without an intent: stream ${stream}, seq ${seq}`);
    open.delete(seq);
    this.of(stream).columns.push(intent.due, intent.sent, ms(doneNs), OP_STATES.indexOf(outcome));
  }

  private of(stream: number): ViewLoader {
    const view = this.viewOf[stream];
    if (view === undefined) throw new GamedayError('object_corrupt', `the ledger names stream ${stream}, which its header does not`);
    return view;
  }

  private opened(stream: number): Open {
    this.of(stream);
    return this.open[stream] as Open;
  }

  private saw(ns: number): void {
    if (ms(ns) > this.endMs) this.endMs = ms(ns);
  }
}

/** A wall clock is written to the millisecond, cut off. */
function withEpoch({ lowMs, highMs }: Interval, { wallClock, atNs }: SegmentEntry): Interval {
  const zero = Date.parse(wallClock) - ms(atNs);
  return { lowMs: Math.min(lowMs, zero), highMs: Math.max(highMs, zero + 1) };
}

/** Throws `object_corrupt` when the ledger contradicts its own format. */
export async function loadLedger(source: LedgerSource): Promise<LoadedLedger> {
  const loader = new Loader();
  for await (const batch of source.batches()) for (const entry of batch) loader.visit(entry);
  return loader.finish();
}

/** Index of the first operation due at or after `ms`. */
export function firstDueAtOrAfter(ops: Ops, ms: number): number {
  let low = 0;
  let high = ops.count;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((ops.due[middle] as number) < ms) low = middle + 1;
    else high = middle;
  }
  return low;
}
