/**
 * Drops a table "by accident": one that this drill made and filled a moment before, in schema gameday. Never touches any other table.
 * The accident is one transaction of its own, whose xid and LSN are what a point-in-time restore then aims just before.
 */
import { createHash } from 'node:crypto';
import { z } from 'zod';
import { GamedayError } from '../core/errors';
import { slug } from '../core/ids';
import type { JsonObject } from '../model/json';
import type { FaultProof } from '../model/fault';
import type { LiveTarget } from '../targets/ports';
import type { Sql } from '../targets/sql';
import type { Fault, FaultContext } from './contract';
import { findPrimary } from './resolve-node';

const MAX_ROWS = 100_000;
const schema = z.strictObject({ rows: z.int().min(1).max(MAX_ROWS).default(1_000) });
type Settings = z.infer<typeof schema>;
type Resolved = { readonly table: string; readonly rows: number; readonly sha256: string };

const tablePrefix = (drill: string): string => `victim_${slug(drill)}_`;

/** At most 63 bytes; a long step's name is shortened and told apart by a digest. */
function tableName(context: FaultContext): string {
  const step = context.label.slice(`gd-${context.drill}-`.length);
  const name = slug(step);
  const plain = `${tablePrefix(context.drill)}${name}`;
  if (plain.length <= 63 && name === step.replaceAll('-', '_')) return plain;
  return `${plain.slice(0, 54)}_${createHash('sha256').update(step).digest('hex').slice(0, 8)}`;
}

const payload = (table: string, id: number): string => createHash('sha256').update(`${table}/${id}`).digest('hex');

/** SHA-256 over `id:payload` of every row, joined by commas: the same that `DIGEST_SQL` computes in the database. */
function expectedDigest(table: string, rows: number): string {
  const digest = createHash('sha256');
  for (let id = 1; id <= rows; id += 1) digest.update(`${id === 1 ? '' : ','}${id}:${payload(table, id)}`);
  return digest.digest('hex');
}

const digestSql = (table: string): string =>
  `SELECT count(*)::text AS rows, encode(sha256(convert_to(coalesce(string_agg(id || ':' || payload, ',' ORDER BY id), ''), 'UTF8')), 'hex') AS sha256 FROM gameday.${table}`;

async function exists(sql: Sql, table: string): Promise<boolean> {
  const rows = await sql.query(`SELECT to_regclass($1)::text AS name`, [`gameday.${table}`]);
  return (rows[0]?.['name'] ?? null) !== null;
}

async function isWhole(sql: Sql, { table, rows, sha256 }: Resolved): Promise<boolean> {
  if (!(await exists(sql, table))) return false;
  const found = (await sql.query(digestSql(table)))[0];
  return found?.['rows'] === String(rows) && found['sha256'] === sha256;
}

/** The table with exactly its rows, in one transaction; nothing to do where it stands already. */
async function createAndFill(sql: Sql, resolved: Resolved, commit: 'as-set' | 'local'): Promise<void> {
  if (await isWhole(sql, resolved)) return;
  const { table, rows } = resolved;
  await sql.query('BEGIN');
  // Healing must not wait for a standby that the drill has killed.
  if (commit === 'local') await sql.query('SET LOCAL synchronous_commit = local');
  await sql.query(`CREATE TABLE IF NOT EXISTS gameday.${table} (id bigint PRIMARY KEY, payload text NOT NULL)`);
  await sql.query(`TRUNCATE gameday.${table}`);
  await sql.query(
    `INSERT INTO gameday.${table} SELECT id, encode(sha256(convert_to('${table}/' || id, 'UTF8')), 'hex') FROM generate_series(1, ${rows}) AS id`,
  );
  await sql.query('COMMIT');
}

async function dropByAccident(sql: Sql, table: string): Promise<JsonObject> {
  const before = (await sql.query('SELECT pg_current_wal_insert_lsn()::text AS lsn, clock_timestamp()::text AS at'))[0] ?? {};
  await sql.query('BEGIN');
  const xid = (await sql.query('SELECT pg_current_xact_id()::text AS xid'))[0]?.['xid'] ?? null;
  await sql.query(`DROP TABLE gameday.${table}`);
  await sql.query('COMMIT');
  const after =
    (
      await sql.query(
        `SELECT pg_current_wal_insert_lsn()::text AS lsn, pg_walfile_name(pg_current_wal_insert_lsn()) AS segment, to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS at`,
      )
    )[0] ?? {};
  const segment = after['segment'] ?? null;
  if (xid === null || segment === null)
    throw new GamedayError('step_failed', `dropping gameday.${table}: the server did not say its xid and WAL position`);
  return {
    xid,
    lsn: after['lsn'] ?? null,
    lsnBefore: before['lsn'] ?? null,
    lsnAfter: after['lsn'] ?? null,
    commitTime: after['at'] ?? null,
    timeline: parseInt(segment.slice(0, 8), 16),
  };
}

async function inject(resolved: Resolved, { live }: FaultContext): Promise<JsonObject> {
  const node = await findPrimary(live);
  return live.sql(node, 'probe', async (sql) => {
    await createAndFill(sql, resolved, 'as-set');
    const facts = await dropByAccident(sql, resolved.table);
    return { ...facts, table: `gameday.${resolved.table}`, rows: resolved.rows, sha256: resolved.sha256, primary: node };
  });
}

async function confirm({ table }: Resolved, { live }: FaultContext): Promise<FaultProof> {
  const node = await findPrimary(live);
  const there = await live.sql(node, 'observe', (sql) => exists(sql, table));
  return {
    holds: !there,
    by: `another session on ${node} ${there ? 'still sees' : 'finds no'} table gameday.${table}`,
    facts: { node, table: `gameday.${table}` },
  };
}

async function confirmGone(resolved: Resolved, { live }: FaultContext): Promise<FaultProof> {
  const node = await findPrimary(live);
  const whole = await live.sql(node, 'probe', (sql) => isWhole(sql, resolved));
  return {
    holds: whole,
    by: `gameday.${resolved.table} on ${node} ${whole ? 'holds' : 'does not hold'} its ${resolved.rows} rows, by count and SHA-256`,
    facts: { node, rows: resolved.rows, sha256: resolved.sha256 },
  };
}

export const dropTable: Fault<Settings, Resolved> = {
  name: 'drop-table',
  summary: 'drops a table that the drill made and filled itself',
  schema,
  mayLoseWrites: () => false,
  async resolve(settings, context) {
    await findPrimary(context.live);
    const table = tableName(context);
    return { table, rows: settings.rows, sha256: expectedDigest(table, settings.rows) };
  },
  preview: (r) => `create gameday.${r.table} with ${r.rows} rows, then drop it by accident`,
  reach: () => ({ nodes: [] }),
  manualUndo: (r, target) => [
    `psql -h ${target.entry.host} -p ${target.entry.port} -U ${target.roles.probe.user} -d ${target.entry.database} -c "CREATE TABLE gameday.${r.table} AS SELECT id, encode(sha256(convert_to('${r.table}/' || id, 'UTF8')), 'hex') AS payload FROM generate_series(1, ${r.rows}) AS id"`,
  ],
  async ready(_settings, { live }) {
    const node = await findPrimary(live);
    const rows = await live.sql(node, 'probe', (sql) =>
      sql.query(`SELECT coalesce(has_schema_privilege(to_regnamespace('gameday'), 'CREATE'), false)::text AS allowed`),
    );
    const ok = rows[0]?.['allowed'] === 'true';
    return [
      {
        name: 'the probe role may create tables in schema gameday',
        ok,
        found: ok ? 'allowed' : 'not allowed',
        expected: 'allowed',
        hint: ok ? null : 'prepare the target’s database `gameday` with its schema and roles.',
      },
    ];
  },
  inject,
  confirm,
  async undo(resolved, { live }) {
    const node = await findPrimary(live);
    await live.sql(node, 'probe', (sql) => createAndFill(sql, resolved, 'local'));
  },
  confirmGone,
};

/** Is the table that `inject` described with these facts whole on this server, say a restored one? Null if the facts are not a dropped table's. */
export async function examineDroppedTable(
  sql: Sql,
  facts: JsonObject,
): Promise<{ readonly whole: boolean; readonly table: string; readonly rows: number } | null> {
  const { table, rows, sha256 } = facts;
  if (typeof table !== 'string' || typeof rows !== 'number' || typeof sha256 !== 'string') return null;
  return { whole: await isWhole(sql, { table: table.replace(/^gameday\./, ''), rows, sha256 }), table, rows };
}

/** Drops the tables that this drill's faults made, after its evidence is sealed. Returns their names. Idempotent. */
export async function cleanUpDrillTables(live: LiveTarget, drill: string): Promise<readonly string[]> {
  const node = await findPrimary(live);
  return live.sql(node, 'probe', async (sql) => {
    const found = await sql.query(
      `SELECT tablename AS name FROM pg_tables WHERE schemaname = 'gameday' AND starts_with(tablename, $1) ORDER BY tablename`,
      [tablePrefix(drill)],
    );
    const names = found.map((row) => row['name']).filter((name): name is string => name !== null && name !== undefined);
    for (const name of names) await sql.query(`DROP TABLE IF EXISTS gameday."${name.replaceAll('"', '""')}"`);
    return names.map((name) => `gameday.${name}`);
  });
}
