/**
 * One connection of the probe. A tuned one behaves as a well-made application does: a deadline on connecting and on every statement, and a hard
 * reconnect (the socket is destroyed) when a deadline passes; a naive one has no deadline at all. Never retries a statement; safe through
 * transaction-mode poolers: simple protocol, no session SET, no prepared statements, no startup parameters besides user, database and application_name.
 * `pg` connects, encrypts and logs in; from then on the socket is read and written here, because a driver's objects cost more than the statement.
 */
import { lookup } from 'node:dns/promises';
import { isIP, Socket, type OnReadOpts, type SocketConstructorOpts } from 'node:net';
import type { Duplex } from 'node:stream';
import { Client, type ClientConfig } from 'pg';
import { assert } from '../core/assert';
import type { HostPort } from '../model/target';
import { requestCancel, type SessionKey } from './cancel-request';
import { isCancelledSyncWait, type ServerWord } from './outcome';
import { WireReader, type RowView, type ServerMessage, type WireListener } from './wire-reader';

export interface DoorAddress {
  /** Several are tried in order until one takes writes, as libpq does with `target_session_attrs=read-write`. A name stands for all its addresses. */
  readonly hosts: readonly HostPort[];
  readonly database: string;
  readonly user: string;
  readonly password: string | null;
  /** For each host; null: for ever. */
  readonly connectTimeoutMs: number | null;
  /** A statement that its deadline ended is cancelled at the server as well. */
  readonly cancels: boolean;
}

/** Addresses that a name stands for now. */
export type LookUp = (name: string) => Promise<readonly string[]>;
const lookUpAll: LookUp = async (name) => (await lookup(name, { all: true })).map(({ address }) => address);

export type Reply =
  { readonly ok: true; readonly syncWaitCancelled: boolean } | { readonly ok: false; readonly word: ServerWord; readonly message: string };
const OK: Reply = { ok: true, syncWaitCancelled: false };
const OK_BUT_ALONE: Reply = { ok: true, syncWaitCancelled: true };

/** Who sent a query. */
export interface Asker {
  /** A row came; whether it counts, `answered` says. */
  row(row: RowView): void;
  /** Exactly once. */
  answered(reply: Reply): void;
}

/** The values of a row as the server prints them. */
export type Row = readonly (string | null)[];

const NO_WORD: ServerWord = { sqlstate: null, severity: null, routine: null };
/** Of a request to cancel, from its connection on. */
const CANCEL_MS = 1_000;
/** Answers to the probe's statements are a tenth of it. */
const READ_BYTES = 4_096;

/** What `pg` keeps beneath its client and does not type. */
interface Wire {
  readonly stream: Duplex;
  on(event: 'parameterStatus', listener: (status: { parameterName: string; parameterValue: string }) => void): void;
  on(event: 'backendKeyData', listener: (key: SessionKey) => void): void;
  on(event: 'sslconnect', listener: () => void): void;
}
const wireOf = (client: Client): Wire => (client as unknown as { connection: Wire }).connection;

export class DoorConnection {
  state: 'connecting' | 'idle' | 'busy' | 'closed' = 'connecting';
  /** While connecting: somebody took the connection, and has yet to say that it may be used. */
  accepted = false;
  private client: Client | null = null;
  /** Where it is connected, and how the server names the session; null: it has not said, as some poolers. */
  private session: { readonly at: HostPort; readonly key: SessionKey } | null = null;
  private stream: Duplex | null = null;
  private reader: WireReader | null = null;
  /** Whose query is being answered; null: nobody's. */
  private asker: Asker | null = null;
  private deadlineNs = Infinity;
  private failure: ServerMessage | null = null;
  private syncWaitCancelled = false;

  private readonly listener: WireListener = {
    row: (row) => {
      if (this.asker === null) this.broken('a row came that nobody asked for');
      else this.asker.row(row);
    },
    completed: () => {
      if (this.asker === null) this.broken('a statement ended that nobody sent');
    },
    ready: () => {
      if (this.asker === null) this.broken('a query was answered that nobody sent');
      else if (this.failure === null) this.settle(this.syncWaitCancelled ? OK_BUT_ALONE : OK);
      else this.fail(this.failure.message);
    },
    error: (said) => this.said(said),
    notice: (said) => {
      if (isCancelledSyncWait(said)) this.syncWaitCancelled = true;
    },
    broken: (why) => this.broken(why),
  };

  constructor(
    private readonly address: DoorAddress,
    /** Called once when an idle connection is lost. */
    private readonly onLost: (message: string) => void,
    private readonly lookUp: LookUp = lookUpAll,
  ) {}

  /** Connects within the connect timeout; rejects otherwise, and the connection is closed. */
  async open(): Promise<void> {
    const refusals: string[] = [];
    const { hosts } = this.address;
    const found = await Promise.all(hosts.map(async (host) => (isIP(host.host) === 0 ? this.addressesOf(host, refusals) : [host])));
    const servers = found.flat();
    for (const server of servers) {
      if (this.state !== 'connecting') break;
      try {
        await this.openServer(server, servers.length > 1);
        if (this.state === 'connecting') this.state = 'idle';
        return;
      } catch (error) {
        refusals.push(error instanceof Error ? error.message : String(error));
      }
    }
    this.destroy();
    throw new Error(refusals.join('; '));
  }

  /** Looked up anew for each connection: nothing is kept beyond what the machine's own resolver keeps. */
  private async addressesOf({ host, port }: HostPort, refusals: string[]): Promise<readonly HostPort[]> {
    const { connectTimeoutMs } = this.address;
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<never>((_, reject) => {
      if (connectTimeoutMs !== null)
        timer = setTimeout(() => reject(new Error(`the name ${host} was not looked up within ${connectTimeoutMs} ms`)), connectTimeoutMs);
    });
    try {
      return (await Promise.race([this.lookUp(host), late])).map((address) => ({ host: address, port }));
    } catch (error) {
      refusals.push(error instanceof Error ? error.message : String(error));
      return [];
    } finally {
      clearTimeout(timer);
    }
  }

  private async openServer(host: HostPort, isOneOfMany: boolean): Promise<void> {
    const { address } = this;
    const client = new Client({
      host: host.host,
      port: host.port,
      user: address.user,
      database: address.database,
      connectionTimeoutMillis: address.connectTimeoutMs ?? 0,
      application_name: 'gameday-probe',
      // Called with what the client was told or took from the environment; the types know of no argument.
      stream: ((config: ClientConfig) => this.socketFor(config)) as unknown as () => Duplex,
      ...(address.password === null ? {} : { password: address.password }),
    });
    const wire = wireOf(client);
    this.client = client;
    this.stream = wire.stream;
    wire.stream.once('connect', () => (this.accepted = true));
    wire.on('sslconnect', () => this.standBefore(wire.stream));
    this.session = null;
    wire.on('backendKeyData', ({ processID, secretKey }) => (this.session = { at: host, key: { processID, secretKey } }));
    const onlyReads = new Set<string>();
    wire.on('parameterStatus', ({ parameterName, parameterValue }) => {
      if (parameterValue === 'on') onlyReads.add(parameterName);
    });
    client.on('error', (error) => this.lost(client, error.message));
    client.on('end', () => this.lost(client, 'the server closed the connection'));
    try {
      await client.connect();
      if (this.failure !== null) throw new Error(this.failure.message);
      // Servers since 14 say at once whether they take writes (in_hot_standby, default_transaction_read_only).
      if (isOneOfMany && (onlyReads.has('in_hot_standby') || onlyReads.has('default_transaction_read_only')))
        throw new Error(`${host.host}:${host.port} takes no writes`);
    } catch (error) {
      this.closeStream();
      throw error;
    }
  }

  /** What `pg` connects. Unencrypted, it reads into one buffer for all its life, instead of a new one for every answer. */
  private socketFor({ ssl }: ClientConfig): Socket {
    this.accepted = false;
    this.failure = null;
    this.reader = null;
    if (ssl !== undefined && ssl !== false) return new Socket();
    const buffer = Buffer.allocUnsafe(READ_BYTES);
    const callback = (bytes: number): boolean => {
      reader.feed(buffer, bytes);
      return true;
    };
    const options: SocketConstructorOpts & { readonly onread: OnReadOpts } = { onread: { buffer, callback } };
    const socket = new Socket(options);
    const reader = new WireReader(this.listener, (message) => void socket.emit('data', message));
    this.reader = reader;
    return socket;
  }

  /** Reads an encrypted stream in place of the driver's parser, which gets the greeting from here. */
  private standBefore(stream: Duplex): void {
    const [parser] = stream.listeners('data') as ((message: Buffer) => void)[];
    assert(parser !== undefined, 'pg reads what it has encrypted');
    const reader = new WireReader(this.listener, parser);
    stream.on('data', (chunk: Buffer) => reader.feed(chunk));
    stream.removeListener('data', parser);
    this.reader = reader;
    this.stream = stream;
  }

  /** Sends one query, which is answered exactly once: by the server, by an error, or by the deadline (`expire`). Until then `message` must not change. */
  send(message: Buffer, deadlineNs: number, asker: Asker): void {
    this.state = 'busy';
    this.failure = null;
    this.syncWaitCancelled = false;
    this.deadlineNs = deadlineNs;
    this.asker = asker;
    this.stream?.write(message);
  }

  /** Sends a query that brings at most one row, for those who do not ask thousands of times a second. */
  query(message: Buffer, deadlineNs: number, done: (reply: Reply, row: Row | null) => void): void {
    let row: Row | null = null;
    this.send(message, deadlineNs, {
      row: (view) => (row = view.texts()),
      answered: (reply) => done(reply, row),
    });
  }

  /** Ends a statement whose deadline has passed: the socket is destroyed, whatever the server still does; if the door says so it is asked to stop that. */
  expire(nowNs: number): void {
    if (this.deadlineNs > nowNs) return;
    this.destroy();
    const { session } = this;
    if (this.address.cancels && session !== null) requestCancel(session.at, session.key, CANCEL_MS);
    this.fail('client deadline');
  }

  destroy(): void {
    this.state = 'closed';
    this.closeStream();
  }

  private closeStream(): void {
    this.reader?.end();
    this.stream?.destroy();
  }

  private said(error: ServerMessage): void {
    // The first says why; a pooler may add that it lost its server.
    this.failure ??= error;
    if (this.state === 'connecting') return;
    if (this.asker === null) return this.lost(this.client, error.message);
    // The session ends with the message; nothing follows it.
    if (error.severity !== 'FATAL' && error.severity !== 'PANIC') return;
    this.destroy();
    this.fail(error.message);
  }

  private broken(why: string): void {
    if (this.state === 'connecting') this.stream?.destroy(new Error(why));
    else this.lost(this.client, why);
  }

  private lost(client: Client | null, message: string): void {
    if (client !== this.client || this.state === 'closed' || this.state === 'connecting') return;
    this.destroy();
    if (this.asker === null) this.onLost(message);
    else this.fail(message);
  }

  /** What the server said of the statement decides, even if the connection broke or the deadline passed before it was ready again. */
  private fail(message: string): void {
    const { failure } = this;
    this.settle({ ok: false, word: failure ?? NO_WORD, message: failure?.message ?? message });
  }

  private settle(reply: Reply): void {
    const { asker } = this;
    this.asker = null;
    this.deadlineNs = Infinity;
    if (this.state === 'busy') this.state = 'idle';
    asker?.answered(reply);
  }
}
