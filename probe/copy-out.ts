/**
 * Reads two integer columns of any number of rows by `COPY … TO STDOUT` in binary format: one statement, one snapshot, and numbers instead of objects.
 * The socket is paused while the reader is behind, so that memory stays bounded; a server that falls silent costs the deadline, never for ever.
 */
import { Client, type Connection } from 'pg';
import { GamedayError, messageOf } from '../core/errors';
import type { SqlAddress } from '../targets/sql';

/** Rows in the order in which the server sent them: row `i` is (`streams[i]`, `seqs[i]`). Sequence numbers beyond 2^53 are rounded; no prober makes them. */
export interface RowBatch {
  readonly count: number;
  readonly streams: Int32Array;
  readonly seqs: Float64Array;
}

const BATCH_ROWS = 8_192;
/** Full batches that wait for the reader before the socket is paused. */
const MAX_WAITING = 4;
const CONNECT_TIMEOUT_MS = 2_000;
const SILENCE_MS = 60_000;

/** Binary COPY (PostgreSQL documentation, "COPY", file formats): signature, flags, extension; then tuples, each field with its length; then -1. */
const SIGNATURE = Buffer.from('PGCOPY\n\xff\r\n\0', 'latin1');
const HEADER_BYTES = SIGNATURE.length + 8;
const TUPLE_BYTES = 2 + 4 + 4 + 4 + 8;

/**
 * Rows of `select`, which must yield (integer, bigint), none of them null. `before`: statements of the same transaction.
 * Throws `database_unreachable` with what the server says, or after a minute of its silence.
 */
export async function* copyOut(address: SqlAddress, select: string, before: readonly string[] = []): AsyncGenerator<RowBatch> {
  const client = new Client({
    host: address.host,
    port: address.port,
    user: address.user,
    database: address.database,
    connectionTimeoutMillis: CONNECT_TIMEOUT_MS,
    application_name: 'gameday',
    ...(address.password === null ? {} : { password: address.password }),
  });
  // Copying hears of a broken connection by itself.
  client.on('error', () => undefined);
  const failed = (error: unknown): GamedayError =>
    new GamedayError('database_unreachable', `${address.host}:${address.port} as ${address.user}: ${messageOf(error)}`, null, {
      cause: error,
    });
  const copy = new CopyOut(`${['BEGIN READ ONLY', ...before, `COPY (${select}) TO STDOUT (FORMAT binary)`, 'COMMIT'].join('; ')}`);
  try {
    await client.connect();
    client.query(copy);
    for (let batch = await copy.next(); batch !== null; batch = await copy.next()) yield batch;
  } catch (error) {
    throw failed(error);
  } finally {
    copy.close();
    (client as unknown as { connection: Connection }).connection.stream.destroy();
  }
}

/** What `pg` calls when it hands over to us what the server sends (its interface of query objects). */
class CopyOut {
  private stream: Connection['stream'] | null = null;
  private readonly ready: RowBatch[] = [];
  private batch = emptyBatch();
  private carried: Buffer = Buffer.alloc(0);
  private headerSeen = false;
  private trailerSeen = false;
  private ended = false;
  private error: Error | null = null;
  private wake: (() => void) | null = null;

  constructor(private readonly text: string) {}

  /** The next full batch, or null at the end. */
  async next(): Promise<RowBatch | null> {
    for (;;) {
      if (this.error !== null) throw this.error;
      const batch = this.ready.shift();
      if (this.ready.length < MAX_WAITING) this.stream?.resume();
      if (batch !== undefined) return batch;
      if (this.ended) return null;
      await this.progress();
    }
  }

  close(): void {
    this.ended = true;
    this.wake?.();
  }

  private async progress(): Promise<void> {
    let timer: NodeJS.Timeout | undefined;
    await new Promise<void>((resolve) => {
      this.wake = resolve;
      timer = setTimeout(() => this.fail(new Error(`the server sent nothing for ${SILENCE_MS / 1e3} s`)), SILENCE_MS);
    });
    clearTimeout(timer);
    this.wake = null;
  }

  private fail(error: Error): void {
    this.error ??= error;
    this.wake?.();
  }

  submit(connection: Connection): void {
    this.stream = connection.stream;
    connection.query(this.text);
  }

  handleCopyData({ chunk }: { readonly chunk: Buffer }): void {
    try {
      this.take(this.carried.length === 0 ? chunk : Buffer.concat([this.carried, chunk]));
    } catch (error) {
      this.fail(error as Error);
    }
  }

  /** The server sends a message per row, but the protocol lets it cut anywhere. */
  private take(bytes: Buffer): void {
    let at = 0;
    if (!this.headerSeen) {
      if (bytes.length < HEADER_BYTES || bytes.length < HEADER_BYTES + bytes.readUInt32BE(HEADER_BYTES - 4)) return this.carry(bytes);
      if (!bytes.subarray(0, SIGNATURE.length).equals(SIGNATURE)) throw new Error('the server sends no binary COPY');
      at = HEADER_BYTES + bytes.readUInt32BE(HEADER_BYTES - 4);
      this.headerSeen = true;
    }
    while (at + 2 <= bytes.length && !this.trailerSeen) {
      const fields = bytes.readInt16BE(at);
      if (fields === -1) {
        this.trailerSeen = true;
        return;
      }
      if (at + TUPLE_BYTES > bytes.length) break;
      if (fields !== 2 || bytes.readInt32BE(at + 2) !== 4 || bytes.readInt32BE(at + 10) !== 8)
        throw new Error('a row is no (integer, bigint)');
      this.push(bytes.readInt32BE(at + 6), bytes.readInt32BE(at + 14) * 2 ** 32 + bytes.readUInt32BE(at + 18));
      at += TUPLE_BYTES;
    }
    this.carry(bytes.subarray(at));
  }

  private carry(rest: Buffer): void {
    this.carried = rest.length === 0 ? rest : Buffer.from(rest);
  }

  private push(stream: number, seq: number): void {
    const { batch } = this;
    batch.streams[batch.count] = stream;
    batch.seqs[batch.count] = seq;
    batch.count += 1;
    if (batch.count === BATCH_ROWS) this.handOver();
  }

  private handOver(): void {
    if (this.batch.count > 0) this.ready.push(this.batch);
    this.batch = emptyBatch();
    if (this.ready.length >= MAX_WAITING) this.stream?.pause();
    this.wake?.();
  }

  handleError(error: Error): void {
    this.fail(error);
  }

  handleReadyForQuery(): void {
    if (!this.trailerSeen) this.fail(new Error('the copy ended early'));
    this.handOver();
    this.ended = true;
    this.wake?.();
  }

  handleCommandComplete(): void {}

  handleRowDescription(): void {}
}

interface OpenBatch extends RowBatch {
  count: number;
}
const emptyBatch = (): OpenBatch => ({ count: 0, streams: new Int32Array(BATCH_ROWS), seqs: new Float64Array(BATCH_ROWS) });
