/**
 * Reads back what survived of a probe table, in bounded batches, after a write barrier. Reads through the SQL port; changes nothing but the
 * barrier's own rows, whose stream is −1 and which every reader here leaves out.
 */
import { assert } from '../core/assert';
import { until } from '../core/clock';
import { GamedayError, messageOf } from '../core/errors';
import { parseLsn } from '../core/lsn';
import { withSql, type SqlAddress } from '../targets/sql';
import type { SurvivingRow } from './join';

const BATCH_ROWS = 50_000;
const QUERY_TIMEOUT_MS = 60_000;

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

/** All rows in the order (stream, seq), duplicates included. A table that does not exist there (restored to before it was made) has no rows. */
export async function* readSurvivors(address: SqlAddress, table: string): AsyncIterable<SurvivingRow> {
  const name = checked(table);
  let after: SurvivingRow = { stream: -1, seq: '9223372036854775807' };
  for (;;) {
    const rows = await withSql(
      address,
      async (sql) => {
        const [found] = await sql.query(`SELECT to_regclass('${name}')::text AS name`);
        if (found?.name === null || found?.name === undefined) return [];
        // The output names differ from the columns', else ORDER BY would sort the texts. WITH TIES keeps all copies of the last key in one batch, so that paging by key skips none.
        return await sql.query(
          `SELECT stream::text AS row_stream, seq::text AS row_seq FROM ${name} WHERE (stream, seq) > (${after.stream}, ${after.seq}) ORDER BY stream, seq FETCH FIRST ${BATCH_ROWS} ROWS WITH TIES`,
        );
      },
      { queryTimeoutMs: QUERY_TIMEOUT_MS },
    );
    for (const row of rows) {
      assert(typeof row.row_stream === 'string' && typeof row.row_seq === 'string', 'a surviving row has stream and seq');
      after = { stream: Number(row.row_stream), seq: row.row_seq };
      yield after;
    }
    if (rows.length < BATCH_ROWS) return;
  }
}

/** Rows that a replica lacks or has beyond the primary's. Both sorted; memory: one row of each. */
export async function compareReplica(
  node: string,
  primary: AsyncIterable<SurvivingRow>,
  replica: AsyncIterable<SurvivingRow>,
): Promise<{ readonly node: string; readonly missing: number; readonly extra: number }> {
  const left = primary[Symbol.asyncIterator]();
  const right = replica[Symbol.asyncIterator]();
  let [a, b] = [await left.next(), await right.next()];
  let [missing, extra] = [0, 0];
  while (a.done !== true || b.done !== true) {
    const order = a.done === true ? 1 : b.done === true ? -1 : compareRows(a.value, b.value);
    if (order < 0) missing += 1;
    if (order > 0) extra += 1;
    if (order <= 0) a = await left.next();
    if (order >= 0) b = await right.next();
  }
  return { node, missing, extra };
}

function compareRows(a: SurvivingRow, b: SurvivingRow): number {
  return a.stream - b.stream || (BigInt(a.seq) < BigInt(b.seq) ? -1 : BigInt(a.seq) > BigInt(b.seq) ? 1 : 0);
}
