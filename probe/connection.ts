/**
 * One connection of the probe. A tuned one behaves as a well-made application does: a deadline on connecting and on every statement, and a hard
 * reconnect (the socket is destroyed) when a deadline passes; a naive one has no deadline at all. Never retries a statement; safe through
 * transaction-mode poolers: simple protocol, no session SET, no prepared statements, no startup parameters besides user, database and application_name.
 */
import { lookup } from 'node:dns/promises';
import { isIP } from 'node:net';
import { Client } from 'pg';
import type { HostPort } from '../model/target';
import { isCancelledSyncWait, serverWord, type ServerWord } from './outcome';

export interface DoorAddress {
  /** Several are tried in order until one takes writes, as libpq does with `target_session_attrs=read-write`. A name stands for all its addresses. */
  readonly hosts: readonly HostPort[];
  readonly database: string;
  readonly user: string;
  readonly password: string | null;
  /** For each host; null: for ever. */
  readonly connectTimeoutMs: number | null;
}

/** Addresses that a name stands for now. */
export type LookUp = (name: string) => Promise<readonly string[]>;
const lookUpAll: LookUp = async (name) => (await lookup(name, { all: true })).map(({ address }) => address);

export type Rows = readonly { readonly [column: string]: string | null }[];
export type Reply =
  | { readonly ok: true; readonly rows: Rows; readonly syncWaitCancelled: boolean }
  | { readonly ok: false; readonly word: ServerWord; readonly message: string };

const DEADLINE_WORD: ServerWord = { sqlstate: null, severity: null, routine: null };
const NO_PARSER = { getTypeParser: () => (value: string | Buffer) => value.toString() };

/** What `pg` keeps beneath its client and does not type. */
interface Wire {
  readonly stream: { destroy(): void; once(event: 'connect', listener: () => void): void };
  on(event: 'parameterStatus', listener: (status: { parameterName: string; parameterValue: string }) => void): void;
}
const wireOf = (client: Client): Wire => (client as unknown as { connection: Wire }).connection;

export class DoorConnection {
  state: 'connecting' | 'idle' | 'busy' | 'closed' = 'connecting';
  /** While connecting: somebody took the connection, and has yet to say that it may be used. */
  accepted = false;
  private client: Client | null = null;
  private syncWaitCancelled = false;
  private settle: ((reply: Reply) => void) | null = null;
  private deadlineNs = Infinity;

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
      types: NO_PARSER,
      ...(address.password === null ? {} : { password: address.password }),
    });
    this.client = client;
    this.accepted = false;
    wireOf(client).stream.once('connect', () => (this.accepted = true));
    const onlyReads = new Set<string>();
    wireOf(client).on('parameterStatus', ({ parameterName, parameterValue }) => {
      if (parameterValue === 'on') onlyReads.add(parameterName);
    });
    client.on('notice', (notice) => {
      if (isCancelledSyncWait({ sqlstate: notice.code ?? null, severity: notice.severity ?? null, routine: notice.routine ?? null }))
        this.syncWaitCancelled = true;
    });
    client.on('error', (error) => this.lost(client, error));
    client.on('end', () => this.lost(client, new Error('the server closed the connection')));
    try {
      await client.connect();
      // Servers since 14 say at once whether they take writes (in_hot_standby, default_transaction_read_only).
      if (isOneOfMany && (onlyReads.has('in_hot_standby') || onlyReads.has('default_transaction_read_only')))
        throw new Error(`${host.host}:${host.port} takes no writes`);
    } catch (error) {
      wireOf(client).stream.destroy();
      throw error;
    }
  }

  /** Sends one statement and calls back exactly once: with the answer, the error, or the deadline (by `expire`). */
  send(text: string, deadlineNs: number, done: (reply: Reply) => void): void {
    this.state = 'busy';
    this.syncWaitCancelled = false;
    this.deadlineNs = deadlineNs;
    let settled = false;
    const settle = (reply: Reply): void => {
      if (settled) return;
      settled = true;
      this.settle = null;
      this.deadlineNs = Infinity;
      if (this.state === 'busy') this.state = 'idle';
      done(reply);
    };
    this.settle = settle;
    this.client?.query(text, (error: Error | null, result: unknown) => {
      if (error !== null && error !== undefined) settle({ ok: false, word: serverWord(error), message: error.message });
      else settle({ ok: true, rows: lastRows(result), syncWaitCancelled: this.syncWaitCancelled });
    });
  }

  /** Ends a statement whose deadline has passed: the socket is destroyed, whatever the server still does. */
  expire(nowNs: number): void {
    if (this.deadlineNs > nowNs) return;
    const settle = this.settle;
    this.destroy();
    settle?.({ ok: false, word: DEADLINE_WORD, message: 'client deadline' });
  }

  destroy(): void {
    this.state = 'closed';
    if (this.client !== null) wireOf(this.client).stream.destroy();
  }

  private lost(client: Client, error: Error): void {
    if (client !== this.client || this.state === 'closed' || this.state === 'connecting') return;
    const settle = this.settle;
    this.destroy();
    if (settle === null) this.onLost(error.message);
    else settle({ ok: false, word: serverWord(error), message: error.message });
  }
}

/** Of a multi-statement answer, the rows of the last statement. */
function lastRows(result: unknown): Rows {
  const last = (Array.isArray(result) ? result[result.length - 1] : result) as { rows?: Rows } | undefined;
  return last?.rows ?? [];
}
