/**
 * One open-loop stream: an operation is due every period at scheduled instants, whether or not the ones before were answered.
 * A due operation takes an idle connection, waits a short while for one, or is recorded as missed; no sequence number is ever used twice.
 */
import { present } from '../core/assert';
import { messageOf } from '../core/errors';
import type { ProbeSettings } from '../model/plan';
import { DoorConnection, type Asker, type DoorAddress, type Reply } from './connection';
import type { MissedCause, OutcomeName, StreamInfo } from './ledger-format';
import type { LedgerWriter } from './ledger-writer';
import { needsReconnect, outcomeOfFailure } from './outcome';
import { FactReader, Facts, readMessage, WriteStatement } from './statement';

/**
 * Connections that may be in the act of connecting at once; the first ones a period apart, the rest spread over the connect timeout. Where the one before was refused,
 * half a period: that costs next to nothing, and the end of an outage is known as closely as attempts follow each other.
 */
const MAX_CONNECTING = 8;
const MIN_CONNECTIONS = 2;
/**
 * A server that takes a connection is given this long to make it usable, and as long to answer on the first one that is, before the next is tried: whoever
 * comes back to a rush of its own making waits for itself, and would report that as the outage's. A refused connection is not waited for.
 */
const ACCEPTED_GRACE_NS = 25e6;
const EARLY_NS = 0.5e6;
/** A naive client's pool: it never grows, so that a hung server takes all of it. */
const NAIVE_CONNECTIONS = 2;

export interface StreamContext {
  readonly settings: ProbeSettings;
  readonly door: DoorAddress;
  readonly table: string;
  readonly maxConnections: number;
  /** The stream whose newest row a read looks for; null: nobody writes, and there is no table. */
  readonly readsFrom: number | null;
  readonly nowNs: () => number;
  readonly nextConnectionId: () => number;
  /** Number of the server that says this of itself; new ones are recorded first. */
  readonly serverId: (postmasterStart: string, address: string | null) => number;
  /** What is added is not yet in the kernel's hands. */
  readonly ledger: Pick<LedgerWriter, 'add' | 'addIntent' | 'addOutcome' | 'addMissed'>;
  /** Asks for the end of this turn of the event loop: what is recorded goes to the kernel, and what is due goes out. */
  readonly endTurnSoon: () => void;
  readonly observe: (dueNs: number, endNs: number, outcome: OutcomeName | 'missed') => void;
}

/** Counts what falls due. */
export interface DueTally {
  due: number;
  onTime: number;
  /** Earliest operation that was not on time; Infinity: none. */
  lateFromNs: number;
}

/** A connection and the operation on it. */
interface Slot {
  readonly id: number;
  readonly connection: DoorConnection;
  readonly startedNs: number;
  /** Null: it reads. */
  readonly write: WriteStatement | null;
  readonly facts: Facts;
  /** Made once for all operations. */
  readonly asker: Asker;
  /** In flight or about to be sent; 0: none. */
  seq: number;
  dueNs: number;
}

export class ProbeStream {
  private readonly periodNs: number;
  private readonly queueLimitNs: number;
  private readonly slots: Slot[] = [];
  private readonly queue: number[] = [];
  /** Their intents are recorded and not yet in the kernel's hands. */
  private readonly prepared: Slot[] = [];
  private readonly maxConnections: number;
  private readonly read: Buffer | null;
  private nextDueNs: number;
  private nextSeq = 1;
  private nextAttemptNs = 0;
  private wanted: number;
  /** The newest attempt that failed was refused before anybody took it. */
  private refused = false;
  /** Since then there is one usable connection after there was none, and nothing was answered yet; -Infinity: something was. */
  private backSinceNs = -Infinity;
  private stopped = false;
  private readonly factReader: FactReader;
  private readonly isNaive: boolean;
  private readonly deadlineAfterNs: number;

  constructor(
    readonly id: number,
    readonly info: StreamInfo,
    firstDueNs: number,
    private readonly context: StreamContext,
  ) {
    this.isNaive = info.client === 'naive';
    this.nextDueNs = firstDueNs;
    this.periodNs = info.periodMs * 1e6;
    this.queueLimitNs = queueLimitMs(context.settings, info.periodMs) * 1e6;
    this.maxConnections = this.isNaive ? NAIVE_CONNECTIONS : context.maxConnections;
    this.wanted = Math.min(this.maxConnections, MIN_CONNECTIONS);
    this.deadlineAfterNs = this.isNaive ? Infinity : context.settings.clientDeadlineMs * 1e6;
    this.factReader = new FactReader(info.kind, context.serverId);
    this.read = info.kind === 'read' ? readMessage(context.table, context.readsFrom, this.timeoutMs) : null;
  }

  private get timeoutMs(): number | null {
    return this.isNaive ? null : this.context.settings.statementTimeoutMs;
  }

  /** When the stream wants its next tick: an operation is due, or a connection may be attempted. */
  get nextWake(): number {
    return this.usable > 0 ? this.nextDueNs : Math.min(this.nextDueNs, this.nextAttemptNs);
  }

  /** Due instants of operations that are queued or in flight. */
  *pendingDue(): Iterable<number> {
    yield* this.queue;
    for (const { seq, dueNs } of this.slots) if (seq !== 0) yield dueNs;
  }

  /** Takes everything that is due by now, and gives up what can wait no longer. */
  tick(nowNs: number, tally: DueTally): void {
    while (!this.stopped && this.nextDueNs <= nowNs) {
      const dueNs = this.nextDueNs;
      tally.due += 1;
      if (nowNs - dueNs <= this.periodNs) tally.onTime += 1;
      else tally.lateFromNs = Math.min(tally.lateFromNs, dueNs);
      if (nowNs - dueNs > this.queueLimitNs) this.miss(dueNs, nowNs, 'starved');
      else this.queue.push(dueNs);
      this.nextDueNs += this.periodNs;
    }
    // Backwards: one that is given up leaves the list.
    for (let at = this.slots.length - 1; at >= 0; at -= 1) this.slots[at]?.connection.expire(nowNs);
    this.expireQueue(nowNs);
  }

  /** No operation is due any more; those in flight may still be answered. */
  stop(): void {
    this.stopped = true;
    this.queue.length = 0;
  }

  get busy(): boolean {
    return this.slots.some(({ seq }) => seq !== 0);
  }

  /** Records what is still in flight as indeterminate and closes all connections. */
  close(nowNs: number): void {
    this.stop();
    for (const { seq, connection } of this.slots) {
      if (seq !== 0) this.recordOutcome(seq, 'indeterminate', nowNs, null, NO_FACTS);
      connection.destroy();
    }
    this.slots.length = 0;
  }

  private miss(dueNs: number, atNs: number, cause: MissedCause): void {
    this.context.ledger.addMissed({ kind: 'missed', stream: this.id, dueNs, atNs, cause });
    this.context.observe(dueNs, atNs, 'missed');
    this.context.endTurnSoon();
  }

  private get usable(): number {
    let count = 0;
    for (const { connection } of this.slots) if (connection.state === 'idle' || connection.state === 'busy') count += 1;
    return count;
  }

  private expireQueue(nowNs: number): void {
    if (this.queue.length === 0) return;
    // Without any connection only the newest waits, for one period: whoever is connected again has something to send at once.
    if (this.usable === 0) {
      while (this.queue[0] !== undefined && nowNs - this.queue[0] >= this.periodNs)
        this.miss(this.queue.shift() as number, nowNs, 'no-connection');
    }
    while (this.queue[0] !== undefined && nowNs - this.queue[0] > this.queueLimitNs)
      this.miss(this.queue.shift() as number, nowNs, 'stuck');
  }

  /** Records the intents of what will be sent; true: there are some. Between this and `sendPrepared` they must go to the kernel. */
  prepare(sentNs: number): boolean {
    if (this.queue.length === 0) return false;
    for (const slot of this.slots) {
      if (slot.seq !== 0 || slot.connection.state !== 'idle') continue;
      const dueNs = this.queue.shift();
      if (dueNs === undefined) break;
      slot.dueNs = dueNs;
      slot.seq = this.nextSeq++;
      this.context.ledger.addIntent({ kind: 'intent', stream: this.id, seq: slot.seq, dueNs, sentNs, connection: slot.id });
      this.prepared.push(slot);
    }
    return this.prepared.length > 0;
  }

  sendPrepared(): void {
    for (const slot of this.prepared) {
      const message = slot.write === null ? this.read : slot.write.message(slot.seq);
      slot.facts.clear();
      slot.connection.send(present(message, 'what is asked'), slot.dueNs + this.deadlineAfterNs, slot.asker);
    }
    this.prepared.length = 0;
  }

  private answered(slot: Slot, reply: Reply): void {
    const doneNs = this.context.nowNs();
    const { seq, dueNs } = slot;
    slot.seq = 0;
    if (reply.ok) this.backSinceNs = -Infinity;
    const outcome: OutcomeName = reply.ok ? (reply.syncWaitCancelled ? 'indeterminate' : 'acked') : outcomeOfFailure(reply.word);
    const sqlstate = reply.ok ? (reply.syncWaitCancelled ? SYNC_WAIT_CANCELLED : null) : reply.word.sqlstate;
    this.recordOutcome(seq, outcome, doneNs, sqlstate, reply.ok ? slot.facts : NO_FACTS);
    if (!reply.ok && (slot.connection.state === 'closed' || needsReconnect(reply.word))) this.drop(slot, doneNs, reply.message);
    this.context.observe(dueNs, doneNs, outcome);
    this.context.endTurnSoon();
  }

  private recordOutcome(seq: number, outcome: OutcomeName, doneNs: number, sqlstate: string | null, facts: Facts): void {
    const { xid, lsn, timeline, server } = facts;
    this.context.ledger.addOutcome({ kind: 'outcome', stream: this.id, seq, outcome, doneNs, sqlstate, xid, lsn, timeline, server });
  }

  private drop(slot: Slot, atNs: number, message: string): void {
    slot.connection.destroy();
    if (!this.remove(slot)) return;
    this.noteConnection(slot, 'lost', atNs, message);
    // The next attempt starts at once: the server may be back already.
    this.nextAttemptNs = Math.min(this.nextAttemptNs, atNs);
  }

  private remove(slot: Slot): boolean {
    const at = this.slots.indexOf(slot);
    if (at !== -1) this.slots.splice(at, 1);
    return at !== -1;
  }

  private noteConnection(slot: Slot, event: 'opened' | 'failed' | 'lost', atNs: number, error: string | null): void {
    const { id: connection, startedNs } = slot;
    this.context.ledger.add({
      kind: 'connection',
      connection,
      stream: this.id,
      event,
      startedNs,
      atNs,
      error: error === null ? null : error.slice(0, 200),
    });
    this.context.endTurnSoon();
  }

  /** Makes a connection if one is missing and it is time. */
  keepConnections(nowNs: number): void {
    // A timer may fire a little early; waiting for the next would double the spacing.
    if (this.stopped || nowNs < this.nextAttemptNs - EARLY_NS) return;
    let connecting = 0;
    let idle = 0;
    let holdNs = 0;
    for (const { connection, startedNs } of this.slots) {
      if (connection.state === 'connecting') connecting += 1;
      if (connection.state === 'connecting' && connection.accepted) holdNs = Math.max(holdNs, startedNs + ACCEPTED_GRACE_NS);
      else if (connection.state === 'idle') idle += 1;
    }
    // Growing by need: all connections are busy and work is waiting.
    if (this.queue.length > 0 && idle === 0 && connecting === 0 && this.slots.length >= this.wanted)
      this.wanted = Math.min(this.wanted + 1, this.maxConnections);
    const usable = this.slots.length - connecting;
    if (usable > 0) holdNs = Math.max(holdNs, this.backSinceNs + ACCEPTED_GRACE_NS);
    const atOnce = this.isNaive ? this.wanted : Math.min(MAX_CONNECTING, this.maxConnections);
    const missing = usable === 0 ? connecting < atOnce : this.slots.length < this.wanted;
    if (!missing || (!this.isNaive && nowNs < holdNs)) return;
    const { connectTimeoutMs } = this.context.settings;
    const { periodMs } = this.info;
    const closest = !this.isNaive && connecting === 0 && this.refused ? periodMs / 2 : periodMs;
    const spacingMs = this.isNaive || connecting < 4 ? closest : connectTimeoutMs / MAX_CONNECTING;
    this.nextAttemptNs = nowNs + spacingMs * 1e6;
    void this.connect(nowNs);
  }

  private async connect(startedNs: number): Promise<void> {
    const { context } = this;
    const connection = new DoorConnection(context.door, (message) => this.drop(slot, context.nowNs(), message));
    const facts = new Facts();
    const slot: Slot = {
      id: context.nextConnectionId(),
      connection,
      startedNs,
      write: this.read === null ? new WriteStatement(context.table, this.id, this.timeoutMs) : null,
      facts,
      asker: { row: (row) => this.factReader.read(row, facts), answered: (reply) => this.answered(slot, reply) },
      seq: 0,
      dueNs: 0,
    };
    this.slots.push(slot);
    try {
      await connection.open();
      this.refused = false;
      if (this.usable === 1) this.backSinceNs = context.nowNs();
    } catch (error) {
      this.refused = !connection.accepted;
      if (this.remove(slot)) this.noteConnection(slot, 'failed', context.nowNs(), messageOf(error));
      return;
    }
    if (this.stopped) return connection.destroy();
    // Ends the turn, and so sends what waits.
    this.noteConnection(slot, 'opened', context.nowNs(), null);
  }
}

const SYNC_WAIT_CANCELLED = '01000';
const NO_FACTS = new Facts();

/** How long a due operation waits for a free connection: 50 periods, between 100 and 250 ms, never longer than its own deadline. */
export function queueLimitMs(settings: ProbeSettings, periodMs: number): number {
  return Math.min(settings.clientDeadlineMs, Math.max(100, Math.min(50 * periodMs, 250)));
}
