/**
 * One connection of the probe, as a well-behaved application holds it: a deadline on connecting and on every statement, and a hard
 * reconnect (the socket is destroyed) when a deadline passes. Never retries a statement; safe through transaction-mode poolers:
 * simple protocol, no session SET, no prepared statements, no startup parameters besides user, database and application_name.
 */
import { Client } from 'pg';
import { isCancelledSyncWait, serverWord, type ServerWord } from './outcome';

export interface DoorAddress {
  readonly host: string;
  readonly port: number;
  readonly database: string;
  readonly user: string;
  readonly password: string | null;
  readonly connectTimeoutMs: number;
}

export type Rows = readonly { readonly [column: string]: string | null }[];
export type Reply =
  | { readonly ok: true; readonly rows: Rows; readonly syncWaitCancelled: boolean }
  | { readonly ok: false; readonly word: ServerWord; readonly message: string };

const DEADLINE_WORD: ServerWord = { sqlstate: null, severity: null, routine: null };

export class DoorConnection {
  state: 'connecting' | 'idle' | 'busy' | 'closed' = 'connecting';
  private readonly client: Client;
  private syncWaitCancelled = false;
  private settle: ((reply: Reply) => void) | null = null;
  private deadlineNs = Infinity;

  constructor(
    address: DoorAddress,
    /** Called once when an idle connection is lost. */
    private readonly onLost: (message: string) => void,
  ) {
    this.client = new Client({
      host: address.host,
      port: address.port,
      user: address.user,
      database: address.database,
      connectionTimeoutMillis: address.connectTimeoutMs,
      application_name: 'gameday-probe',
      types: { getTypeParser: () => (value: string | Buffer) => value.toString() },
      ...(address.password === null ? {} : { password: address.password }),
    });
    this.client.on('notice', (notice) => {
      if (isCancelledSyncWait({ sqlstate: notice.code ?? null, severity: notice.severity ?? null, routine: notice.routine ?? null }))
        this.syncWaitCancelled = true;
    });
    this.client.on('error', (error) => this.lost(error));
    this.client.on('end', () => this.lost(new Error('the server closed the connection')));
  }

  /** Connects within the connect timeout; rejects otherwise, and the connection is closed. */
  async open(): Promise<void> {
    try {
      await this.client.connect();
      if (this.state === 'connecting') this.state = 'idle';
    } catch (error) {
      this.destroy();
      throw error;
    }
  }

  /** Sends one statement and calls back exactly once: with the answer, the error, or the deadline (by `expire`). */
  send(text: string, deadlineNs: number, done: (reply: Reply) => void): void {
    this.state = 'busy';
    this.syncWaitCancelled = false;
    this.deadlineNs = deadlineNs;
    let settled = false;
    this.settle = (reply): void => {
      if (settled) return;
      settled = true;
      this.settle = null;
      this.deadlineNs = Infinity;
      if (this.state === 'busy') this.state = 'idle';
      done(reply);
    };
    const settle = this.settle;
    this.client.query(text, (error: Error | null, result: unknown) => {
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
    (this.client as unknown as { connection: { stream: { destroy(): void } } }).connection.stream.destroy();
  }

  private lost(error: Error): void {
    if (this.state === 'closed' || this.state === 'connecting') return;
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
