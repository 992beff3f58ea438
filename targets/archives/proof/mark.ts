/**
 * A mark: a named restore point on the living primary, with what stood there at that very position, so that a copy restored to it can be compared. Tables that
 * are digested are locked against writes while they are read; nothing else is held up.
 */
import { randomBytes } from 'node:crypto';
import { GamedayError } from '../../../core/errors';
import { formatBytes } from '../../../core/units';
import type { MarkStep } from '../../../model/plan';
import type { MarkFacts } from '../../../model/record';
import type { Sql } from '../../sql';
import { CATALOG_COUNTS, digestQuery, quoteIdentifier } from './catalog-queries';

/** Tables larger than this, taken together, would be locked for too long. */
const MAX_BYTES = 1024 ** 3;
const LOCK_WAIT_MS = 3_000;

/** `aboutTo` is called just before the point is made. Throws `step_failed`, or what the server says, with nothing made and nothing locked. */
export async function recordMark(sql: Sql, name: string, tables: MarkStep['tables'], aboutTo: () => Promise<void>): Promise<MarkFacts> {
  const seed = randomBytes(8).readBigInt64BE().toString();
  await requireSmall(sql, tables);
  await sql.query('BEGIN');
  await sql.query(`SET LOCAL lock_timeout = ${LOCK_WAIT_MS}`);
  const names = tables.map(({ schema, table }) => `${quoteIdentifier(schema)}.${quoteIdentifier(table)}`);
  // Waits for writers that have begun, and keeps others out until the point is made.
  if (names.length > 0) await sql.query(`LOCK TABLE ${names.join(', ')} IN SHARE MODE`);
  const counted: MarkFacts['tables'][number][] = [];
  for (const { schema, table } of tables) {
    const row = (await sql.query(digestQuery(schema, table, seed)))[0];
    counted.push({ schema, table, rows: row?.['rows'] ?? '', digest: row?.['digest'] ?? '' });
  }
  const catalog = Object.fromEntries((await sql.query(CATALOG_COUNTS)).map((row) => [row['kind'] ?? '', row['n'] ?? '']));
  const roles = (await sql.query(`SELECT rolname FROM pg_roles WHERE rolname !~ '^pg_' ORDER BY 1`)).map((row) => row['rolname'] ?? '');
  await aboutTo();
  const point = (
    await sql.query('SELECT lsn::text AS lsn, pg_walfile_name(lsn) AS segment FROM pg_create_restore_point($1) AS lsn', [name])
  )[0];
  await sql.query('COMMIT');
  const { lsn, segment } = point ?? {};
  if (typeof lsn !== 'string' || typeof segment !== 'string') throw new GamedayError('step_failed', `no position of restore point ${name}`);
  return { name, lsn, timeline: parseInt(segment.slice(0, 8), 16), seed, roles, catalog, tables: counted };
}

async function requireSmall(sql: Sql, tables: MarkStep['tables']): Promise<void> {
  let bytes = 0;
  for (const { schema, table } of tables) {
    const quoted = `${quoteIdentifier(schema)}.${quoteIdentifier(table)}`;
    const row = (await sql.query('SELECT pg_table_size(to_regclass($1))::text AS bytes', [quoted]))[0];
    if (row?.['bytes'] == null) throw new GamedayError('step_failed', `there is no table ${schema}.${table} to be marked`);
    bytes += Number(row['bytes']);
  }
  if (bytes <= MAX_BYTES) return;
  throw new GamedayError(
    'step_failed',
    `the marked tables have ${formatBytes(bytes)}, more than ${formatBytes(MAX_BYTES)}, and would be locked against writes while they are read`,
    'mark smaller tables; catalog counts need none.',
  );
}
