/**
 * One open-loop stream: an operation is due every period at scheduled instants, whether or not the ones before were answered.
 * A due operation takes an idle connection, waits a short while for one, or is recorded as missed; no sequence number is ever used twice.
 */
import { messageOf } from '../core/errors';
import { parseLsn } from '../core/lsn';
import type { ProbeSettings } from '../model/plan';
import { DoorConnection, type DoorAddress, type Reply } from './connection';
import type { Entry, MissedCause, OutcomeName, StreamInfo } from './ledger-format';
import { needsReconnect, outcomeOfFailure } from './outcome';

/** Connections that may be in the act of connecting at once; the first ones a period apart, the rest spread over the connect timeout. */
const MAX_CONNECTING = 8;
const MIN_CONNECTIONS = 2;
/**
 * A server that takes a connection is given this long to make it usable before the next is tried: whoever comes back to a rush of its own making waits for
 * itself, and would report that as the outage's. A refused connection is not waited for.
 */
const ACCEPTED_GRACE_NS = 25e6;
const EARLY_NS = 0.5e6;
/** A naive client's pool: it never grows, so that a hung server takes all of it. */
const NAIVE_CONNECTIONS = 2;

export interface FinishedOp {
  readonly stream: number;
  readonly dueNs: number;
  readonly endNs: number;
  readonly outcome: OutcomeName | 'missed';
}

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
  /** Appends to the ledger; not yet in the kernel's hands. */
  readonly record: (entry: Entry) => void;
  /** Hands everything recorded to the kernel. */
  readonly flush: () => void;
  /** Asks for a flush at the end of this turn of the event loop. */
  readonly flushSoon: () => void;
  readonly observe: (result: FinishedOp) => void;
}

interface Slot {
  readonly id: number;
  readonly connection: DoorConnection;
  readonly startedNs: number;
}

/** With every acknowledgement the server says who it is: through a pooler, each one may come from another. */
const IDENTITY = 'pg_postmaster_start_time()::text AS started, host(inet_server_addr()) AS address';

export class ProbeStream {
  private readonly periodNs: number;
  private readonly queueLimitNs: number;
  private readonly slots = new Set<Slot>();
  private readonly queue: number[] = [];
  private readonly inFlight = new Map<number, number>();
  private readonly maxConnections: number;
  private nextDueNs: number;
  private nextSeq = 1;
  private nextAttemptNs = 0;
  private wanted: number;
  private stopped = false;

  constructor(
    readonly id: number,
    readonly info: StreamInfo,
    firstDueNs: number,
    private readonly context: StreamContext,
  ) {
    this.nextDueNs = firstDueNs;
    this.periodNs = info.periodMs * 1e6;
    this.queueLimitNs = queueLimitMs(context.settings, info.periodMs) * 1e6;
    this.maxConnections = this.naive ? NAIVE_CONNECTIONS : context.maxConnections;
    this.wanted = Math.min(this.maxConnections, MIN_CONNECTIONS);
  }

  private get naive(): boolean {
    return this.info.client === 'naive';
  }

  /** When the stream wants its next tick: an operation is due, or a connection may be attempted. */
  get nextWake(): number {
    return this.hasConnection() ? this.nextDueNs : Math.min(this.nextDueNs, this.nextAttemptNs);
  }

  /** Due instants of operations that are queued or in flight. */
  *pendingDue(): Iterable<number> {
    yield* this.queue;
    yield* this.inFlight.values();
  }

  /** Everything that is due by now; `due` is called for each due instant. */
  tick(nowNs: number, due: (dueNs: number) => void): void {
    while (!this.stopped && this.nextDueNs <= nowNs) {
      due(this.nextDueNs);
      this.take(this.nextDueNs, nowNs);
      this.nextDueNs += this.periodNs;
    }
    for (const slot of this.slots) slot.connection.expire(nowNs);
    this.expireQueue(nowNs);
    this.dispatch();
    this.keepConnections(nowNs);
  }

  /** No operation is due any more; those in flight may still be answered. */
  stop(): void {
    this.stopped = true;
    this.queue.length = 0;
  }

  get busy(): boolean {
    return this.inFlight.size > 0;
  }

  /** Records what is still in flight as indeterminate and closes all connections. */
  close(nowNs: number): void {
    this.stop();
    for (const seq of this.inFlight.keys())
      this.context.record({ ...UNANSWERED, stream: this.id, seq, outcome: 'indeterminate', doneNs: nowNs, sqlstate: null });
    this.inFlight.clear();
    for (const slot of this.slots) slot.connection.destroy();
    this.slots.clear();
  }

  private take(dueNs: number, nowNs: number): void {
    if (nowNs - dueNs > this.queueLimitNs) this.miss(dueNs, nowNs, 'starved');
    else this.queue.push(dueNs);
  }

  private miss(dueNs: number, atNs: number, cause: MissedCause): void {
    this.context.record({ kind: 'missed', stream: this.id, dueNs, atNs, cause });
    this.context.observe({ stream: this.id, dueNs, endNs: atNs, outcome: 'missed' });
    this.context.flushSoon();
  }

  private hasConnection(): boolean {
    for (const { connection } of this.slots) if (connection.state === 'idle' || connection.state === 'busy') return true;
    return false;
  }

  private expireQueue(nowNs: number): void {
    // Without any connection only the newest waits, for one period: whoever is connected again has something to send at once.
    if (!this.hasConnection()) {
      while (this.queue[0] !== undefined && nowNs - this.queue[0] >= this.periodNs)
        this.miss(this.queue.shift() as number, nowNs, 'no-connection');
    }
    while (this.queue[0] !== undefined && nowNs - this.queue[0] > this.queueLimitNs)
      this.miss(this.queue.shift() as number, nowNs, 'stuck');
  }

  /** Intents first, in one write to the kernel; only then anything is sent. */
  private dispatch(): void {
    if (this.queue.length === 0) return;
    const sends: (() => void)[] = [];
    const sentNs = this.context.nowNs();
    for (const slot of this.slots) {
      if (this.queue.length === 0) break;
      if (slot.connection.state !== 'idle') continue;
      const dueNs = this.queue.shift() as number;
      const seq = this.nextSeq++;
      this.context.record({ kind: 'intent', stream: this.id, seq, dueNs, sentNs, connection: slot.id });
      this.inFlight.set(seq, dueNs);
      sends.push(() => this.send(slot, seq, dueNs));
    }
    if (sends.length > 0) this.context.flush();
    for (const send of sends) send();
  }

  private send(slot: Slot, seq: number, dueNs: number): void {
    const deadlineNs = this.naive ? Infinity : dueNs + this.context.settings.clientDeadlineMs * 1e6;
    slot.connection.send(this.statement(seq), deadlineNs, (reply) => this.answered(slot, seq, dueNs, reply));
  }

  private statement(seq: number): string {
    const { table, settings, readsFrom } = this.context;
    // SET LOCAL ends with the statements' own transaction, so that a pooler's next client does not inherit it.
    const timeout = this.naive ? '' : `SET LOCAL statement_timeout = ${settings.statementTimeoutMs}; `;
    if (this.info.kind === 'read')
      return readsFrom === null
        ? `${timeout}SELECT ${IDENTITY}`
        : `${timeout}SELECT (SELECT max(seq) FROM gameday.${table} WHERE stream = ${readsFrom})::text AS seq, ${IDENTITY}`;
    return (
      `${timeout}INSERT INTO gameday.${table} (stream, seq) VALUES (${this.id}, ${seq}) ` +
      `RETURNING pg_current_xact_id()::text AS xid, pg_current_wal_insert_lsn()::text AS lsn, left(pg_walfile_name(pg_current_wal_insert_lsn()), 8) AS tli, ${IDENTITY}`
    );
  }

  private answered(slot: Slot, seq: number, dueNs: number, reply: Reply): void {
    const doneNs = this.context.nowNs();
    if (!this.inFlight.delete(seq)) return;
    const outcome: OutcomeName = reply.ok ? (reply.syncWaitCancelled ? 'indeterminate' : 'acked') : outcomeOfFailure(reply.word);
    const row = reply.ok ? reply.rows[0] : undefined;
    this.context.record({
      kind: 'outcome',
      stream: this.id,
      seq,
      outcome,
      doneNs,
      sqlstate: reply.ok ? (reply.syncWaitCancelled ? '01000' : null) : reply.word.sqlstate,
      xid: typeof row?.xid === 'string' ? Number(row.xid) : null,
      lsn: typeof row?.lsn === 'string' ? Number(parseLsn(row.lsn)) : null,
      timeline: typeof row?.tli === 'string' ? Number.parseInt(row.tli, 16) : null,
      server: typeof row?.started === 'string' ? this.context.serverId(row.started, row.address ?? null) : null,
    });
    if (!reply.ok && (slot.connection.state === 'closed' || needsReconnect(reply.word))) this.drop(slot, doneNs, reply.message);
    if (this.queue.length > 0) this.dispatch();
    this.context.observe({ stream: this.id, dueNs, endNs: doneNs, outcome });
    this.context.flushSoon();
  }

  private drop(slot: Slot, atNs: number, message: string): void {
    slot.connection.destroy();
    if (!this.slots.delete(slot)) return;
    this.noteConnection(slot, 'lost', atNs, message);
    // The next attempt starts at once: the server may be back already.
    this.nextAttemptNs = Math.min(this.nextAttemptNs, atNs);
  }

  private noteConnection(slot: Slot, event: 'opened' | 'failed' | 'lost', atNs: number, error: string | null): void {
    const { id: connection, startedNs } = slot;
    this.context.record({
      kind: 'connection',
      connection,
      stream: this.id,
      event,
      startedNs,
      atNs,
      error: error === null ? null : error.slice(0, 200),
    });
    this.context.flushSoon();
  }

  private keepConnections(nowNs: number): void {
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
    if (this.queue.length > 0 && idle === 0 && connecting === 0 && this.slots.size >= this.wanted)
      this.wanted = Math.min(this.wanted + 1, this.maxConnections);
    const usable = this.slots.size - connecting;
    const atOnce = this.naive ? this.wanted : Math.min(MAX_CONNECTING, this.maxConnections);
    const missing = usable === 0 ? connecting < atOnce : this.slots.size < this.wanted;
    if (!missing || (!this.naive && nowNs < holdNs)) return;
    const { connectTimeoutMs } = this.context.settings;
    const spacingMs = this.naive || connecting < 4 ? this.info.periodMs : connectTimeoutMs / MAX_CONNECTING;
    this.nextAttemptNs = nowNs + spacingMs * 1e6;
    void this.connect(nowNs);
  }

  private async connect(startedNs: number): Promise<void> {
    const { context } = this;
    const connection = new DoorConnection(context.door, (message) => this.drop(slot, context.nowNs(), message));
    const slot: Slot = { id: context.nextConnectionId(), connection, startedNs };
    this.slots.add(slot);
    try {
      await connection.open();
    } catch (error) {
      if (this.slots.delete(slot)) this.noteConnection(slot, 'failed', context.nowNs(), messageOf(error));
      return;
    }
    if (this.stopped) return connection.destroy();
    this.noteConnection(slot, 'opened', context.nowNs(), null);
    this.dispatch();
  }
}

const UNANSWERED = { kind: 'outcome', xid: null, lsn: null, timeline: null, server: null } as const;

/** How long a due operation waits for a free connection: 50 periods, between 100 and 250 ms, never longer than its own deadline. */
export function queueLimitMs(settings: ProbeSettings, periodMs: number): number {
  return Math.min(settings.clientDeadlineMs, Math.max(100, Math.min(50 * periodMs, 250)));
}
