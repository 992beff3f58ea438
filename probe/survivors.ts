/**
 * Reads back what survived of a probe table, in bounded batches, after a write barrier. Changes nothing but the barrier's own rows, whose stream is −1
 * and which every reader here leaves out.
 */
import { assert } from '../core/assert';
import { until } from '../core/clock';
import { GamedayError, messageOf } from '../core/errors';
import { parseLsn } from '../core/lsn';
import { withSql, type SqlAddress } from '../targets/sql';
import { copyOut, type RowBatch } from './copy-out';

export type { RowBatch };

function checked(table: string): string {
  assert(/^[a-z][a-z0-9_]{0,62}$/.test(table), `"${table}" is a plain table name`);
  return `gameday.${table}`;
}

/**
 * Commits one row as role probe: proves that this node is a primary that can commit, with its synchronous standbys, and that every commit before is visible.
 * Returns the position that replicas must have replayed before they are compared. Throws `database_unreachable` and what the server says.
 */
export async function writeBarrier(address: SqlAddress, table: string, timeoutMs = 30_000): Promise<{ readonly lsn: string }> {
  const insert = `INSERT INTO ${checked(table)} (stream, seq) VALUES (-1, 0)`;
  return await withSql(
    address,
    async (sql) => {
      await sql.query(insert);
      const [row] = await sql.query('SELECT pg_current_wal_insert_lsn()::text AS lsn');
      assert(typeof row?.lsn === 'string', 'the server tells its position');
      return { lsn: row.lsn };
    },
    { queryTimeoutMs: timeoutMs },
  );
}

/**
 * What an acknowledgement promises to the probe's writes, in words: role and database may set `synchronous_commit` for themselves, and `on` waits for
 * nobody where no synchronous standby is named. Throws `database_unreachable`.
 */
export async function readCommitPromise(probe: SqlAddress): Promise<string> {
  const [row] = await withSql(probe, (sql) =>
    sql.query("SELECT current_setting('synchronous_commit') AS commit, current_setting('synchronous_standby_names') AS standbys"),
  );
  if (typeof row?.commit !== 'string') return 'unknown';
  const waits = row.commit !== 'off' && row.commit !== 'local';
  return waits && (row.standbys ?? '').trim() === '' ? `${row.commit}, and no synchronous standby is named` : row.commit;
}

/** Waits until a replica has replayed up to `lsn`. Throws `database_unreachable` with what it had reached. */
export async function awaitReplay(address: SqlAddress, lsn: string, timeoutMs: number): Promise<void> {
  let reached = 'nothing';
  await until(
    () =>
      withSql(address, async (sql) => {
        const [row] = await sql.query('SELECT coalesce(pg_last_wal_replay_lsn(), pg_current_wal_lsn())::text AS lsn');
        reached = row?.lsn ?? reached;
        return typeof row?.lsn === 'string' && parseLsn(row.lsn) >= parseLsn(lsn) ? true : null;
      }),
    {
      timeoutMs,
      everyMs: 100,
      onTimeout: (last) =>
        new GamedayError(
          'database_unreachable',
          `${address.host}:${address.port} had replayed up to ${reached}, not ${lsn}, after ${timeoutMs} ms${last === null ? '' : `: ${messageOf(last)}`}`,
        ),
    },
  );
}

/**
 * All rows in the order (stream, seq), duplicates included, as one snapshot sees them. A table that does not exist there (restored to before it was
 * made) has no rows. Throws `database_unreachable`.
 */
export async function* readSurvivors(address: SqlAddress, table: string): AsyncIterable<RowBatch> {
  const name = checked(table);
  const [found] = await withSql(address, (sql) => sql.query(`SELECT to_regclass('${name}')::text AS name`));
  if (found?.name === null || found?.name === undefined) return;
  // The probe's index gives the order; a sort of ten million rows would spill to the disk of the database under test.
  yield* copyOut(address, `SELECT stream::integer, seq::bigint FROM ${name} WHERE stream >= 0 ORDER BY stream, seq`, [
    'SET LOCAL enable_sort = off',
    // A role's own limit is meant for the application; here silence is bounded instead.
    'SET LOCAL statement_timeout = 0',
  ]);
}

/** Rows that a replica lacks or has beyond the primary's. Both sorted; memory: a few batches of each. */
export async function compareReplica(
  node: string,
  primary: AsyncIterable<RowBatch>,
  replica: AsyncIterable<RowBatch>,
): Promise<{ readonly node: string; readonly missing: number; readonly extra: number }> {
  const left = new SortedRows(`${node}'s primary`, primary);
  const right = new SortedRows(node, replica);
  let [missing, extra] = [0, 0];
  try {
    for (;;) {
      if (left.spent) await left.refill();
      if (right.spent) await right.refill();
      if (left.ended && right.ended) return { node, missing, extra };
      // Nothing is awaited while both have rows at hand.
      do {
        const order = left.ended ? 1 : right.ended ? -1 : left.stream - right.stream || left.seq - right.seq;
        if (order < 0) missing += 1;
        if (order > 0) extra += 1;
        if (order <= 0) left.advance();
        if (order >= 0) right.advance();
      } while (!left.spent && !right.spent);
    }
  } finally {
    await Promise.all([left.close(), right.close()]);
  }
}

/** Rows of the first that the second lacks, in order. Both sorted; memory: a few batches of each. */
export async function* rowsOnlyIn(
  first: AsyncIterable<RowBatch>,
  second: AsyncIterable<RowBatch>,
): AsyncIterable<{ readonly stream: number; readonly seq: number }> {
  const left = new SortedRows('the first', first);
  const right = new SortedRows('the second', second);
  try {
    for (;;) {
      if (left.spent) await left.refill();
      if (right.spent) await right.refill();
      if (left.ended) return;
      const order = right.ended ? -1 : left.stream - right.stream || left.seq - right.seq;
      if (order < 0) yield { stream: left.stream, seq: left.seq };
      if (order <= 0) left.advance();
      if (order >= 0) right.advance();
    }
  } finally {
    await Promise.all([left.close(), right.close()]);
  }
}

/** The front of a sorted sequence of rows; checks its order. */
class SortedRows {
  ended = false;
  stream = -Infinity;
  seq = -Infinity;
  private batch: RowBatch = { count: 0, streams: new Int32Array(0), seqs: new Float64Array(0) };
  private at = 0;
  private readonly batches: AsyncIterator<RowBatch>;

  constructor(
    private readonly name: string,
    rows: AsyncIterable<RowBatch>,
  ) {
    this.batches = rows[Symbol.asyncIterator]();
  }

  /** No row is at hand, though more may come. */
  get spent(): boolean {
    return !this.ended && this.at === this.batch.count;
  }

  async refill(): Promise<void> {
    do {
      const next = await this.batches.next();
      if (next.done === true) {
        this.ended = true;
        return;
      }
      this.batch = next.value;
      this.at = 0;
    } while (this.batch.count === 0);
    this.look();
  }

  advance(): void {
    this.at += 1;
    if (this.at < this.batch.count) this.look();
  }

  async close(): Promise<void> {
    await this.batches.return?.();
  }

  private look(): void {
    const [stream, seq] = [this.batch.streams[this.at] as number, this.batch.seqs[this.at] as number];
    if (stream < this.stream || (stream === this.stream && seq < this.seq))
      throw new GamedayError('internal', `rows of ${this.name} are not sorted: ${stream}/${seq} after ${this.stream}/${this.seq}`);
    this.stream = stream;
    this.seq = seq;
  }
}
