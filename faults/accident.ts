/**
 * An accident: one statement of somebody's own, committed, whose transaction a point-in-time restore then aims just before. And the look at what it
 * spoiled, on any server: a table that the drill made and filled itself. Never touches any other table.
 */
import { GamedayError } from '../core/errors';
import type { JsonObject } from '../model/json';
import type { Sql } from '../targets/sql';
import { isWhole, lockTable, type DrillTable } from './drill-table';

const POSITION = `SELECT pg_current_wal_insert_lsn()::text AS lsn, pg_walfile_name(pg_current_wal_insert_lsn()) AS segment,
  to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS at`;

/** Commits the statement against a drill's table in a transaction of its own. Returns the facts that a restore needs: xid, positions before and after, commit time, timeline. */
export async function commitAccident(sql: Sql, table: string, statement: string): Promise<JsonObject> {
  const before = (await sql.query(POSITION))[0] ?? {};
  await sql.query('BEGIN');
  await lockTable(sql, table);
  const xid = (await sql.query('SELECT pg_current_xact_id()::text AS xid'))[0]?.['xid'] ?? null;
  await sql.query(statement);
  await sql.query('COMMIT');
  const after = (await sql.query(POSITION))[0] ?? {};
  const segment = after['segment'] ?? null;
  if (xid === null || segment === null)
    throw new GamedayError('step_failed', `the server did not say xid and WAL position of "${statement.slice(0, 80)}"`);
  return {
    xid,
    lsn: after['lsn'] ?? null,
    lsnBefore: before['lsn'] ?? null,
    lsnAfter: after['lsn'] ?? null,
    commitTime: after['at'] ?? null,
    timeline: parseInt(segment.slice(0, 8), 16),
  };
}

/** The facts by which `examineVictim` knows the table again. */
export function describeVictim({ table, rows, sha256 }: DrillTable): JsonObject {
  return { table: `gameday.${table}`, rows, sha256 };
}

/** Is the table of these facts whole on this server, say a restored one? Null if the facts are of no accident. */
export async function examineVictim(
  sql: Sql,
  facts: JsonObject,
): Promise<{ readonly whole: boolean; readonly table: string; readonly rows: number } | null> {
  const { table, rows, sha256 } = facts;
  if (typeof table !== 'string' || typeof rows !== 'number' || typeof sha256 !== 'string') return null;
  return { whole: await isWhole(sql, { table: table.replace(/^gameday\./, ''), rows, sha256 }), table, rows };
}
