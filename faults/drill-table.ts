/**
 * Tables that a fault makes and fills itself, in schema gameday, so that it has something of its own to spoil. Rows are computed from the table's name,
 * so they can be made again and checked without having been kept. It never touches a table of any other name.
 */
import { createHash } from 'node:crypto';
import { slug } from '../core/ids';
import type { CheckResult } from '../model/record';
import type { Target } from '../model/target';
import type { LiveTarget } from '../targets/ports';
import type { Sql } from '../targets/sql';
import { sqlByHand } from './by-hand';
import type { FaultContext } from './contract';
import { findPrimary } from './resolve-node';

/** `sha256`: over all its rows, as `digestSql` computes it. */
export type DrillTable = { readonly table: string; readonly rows: number; readonly sha256: string };

/** Names of all tables that faults make begin so; those of one drill's as `tablePrefix` says. */
const VICTIM = 'victim_';
const tablePrefix = (drill: string): string => `${VICTIM}${slug(drill)}_`;

/** At most 63 bytes; a long step's name is shortened and told apart by a digest. */
function tableName(context: FaultContext): string {
  const step = context.label.slice(`gd-${context.drill}-`.length);
  const name = slug(step);
  const plain = `${tablePrefix(context.drill)}${name}`;
  if (plain.length <= 63 && name === step.replaceAll('-', '_')) return plain;
  return `${plain.slice(0, 54)}_${createHash('sha256').update(step).digest('hex').slice(0, 8)}`;
}

/** Shorter than a query may take in all (`withSql`), so that people read what was waited for. */
const LOCK_MS = 4_000;

const payload = (table: string, id: number): string => createHash('sha256').update(`${table}/${id}`).digest('hex');

/** SHA-256 over `id:payload` of every row, joined by commas: the same that `DIGEST_SQL` computes in the database. */
function expectedDigest(table: string, rows: number): string {
  const digest = createHash('sha256');
  for (let id = 1; id <= rows; id += 1) digest.update(`${id === 1 ? '' : ','}${id}:${payload(table, id)}`);
  return digest.digest('hex');
}

const digestSql = (table: string): string =>
  `SELECT count(*)::text AS rows, encode(sha256(convert_to(coalesce(string_agg(id || ':' || payload, ',' ORDER BY id), ''), 'UTF8')), 'hex') AS sha256 FROM gameday.${table}`;

export async function tableExists(sql: Sql, table: string): Promise<boolean> {
  const rows = await sql.query(`SELECT to_regclass($1)::text AS name`, [`gameday.${table}`]);
  return (rows[0]?.['name'] ?? null) !== null;
}

/** Does the table hold exactly its rows? */
export async function isWhole(sql: Sql, { table, rows, sha256 }: DrillTable): Promise<boolean> {
  if (!(await tableExists(sql, table))) return false;
  const found = (await sql.query(digestSql(table)))[0];
  return found?.['rows'] === String(rows) && found['sha256'] === sha256;
}

/** The table of this fault, with what its rows hold; touches nothing. */
export function describeDrillTable(context: FaultContext, rows: number): DrillTable {
  const table = tableName(context);
  return { table, rows, sha256: expectedDigest(table, rows) };
}

/** What makes the table with exactly its rows, within one transaction, whatever it holds now. */
function fillStatements({ table, rows }: Pick<DrillTable, 'table' | 'rows'>): readonly string[] {
  return [
    `CREATE TABLE IF NOT EXISTS gameday.${table} (id bigint PRIMARY KEY, payload text NOT NULL)`,
    `TRUNCATE gameday.${table}`,
    `INSERT INTO gameday.${table} SELECT id, encode(sha256(convert_to('${table}/' || id, 'UTF8')), 'hex') FROM generate_series(1, ${rows}) AS id`,
  ];
}

/** What a person types so that the table holds exactly its rows. */
export function fillByHand(target: Target, table: DrillTable): string {
  return sqlByHand(target, null, 'probe', fillStatements(table));
}

/** What a person types so that the table is gone. */
export function dropByHand(target: Target, { table }: Pick<DrillTable, 'table'>): string {
  return sqlByHand(target, null, 'probe', [`DROP TABLE IF EXISTS gameday.${table}`]);
}

/** The table with exactly its rows, in one transaction; nothing to do where it stands already. Waits for standbys as the cluster is set. */
export async function createAndFill(sql: Sql, resolved: DrillTable): Promise<void> {
  if (await isWhole(sql, resolved)) return;
  await sql.query('BEGIN');
  await lockTable(sql, resolved.table);
  for (const statement of fillStatements(resolved)) await sql.query(statement);
  await sql.query('COMMIT');
}

/** As `createAndFill`, once nobody is about to spoil it any more. Healing must not wait for a standby that the drill has killed. */
export async function makeWhole(sql: Sql, resolved: DrillTable): Promise<void> {
  const { table } = resolved;
  await sql.query('BEGIN');
  await sql.query('SET LOCAL synchronous_commit = local');
  await sql.query(`SET LOCAL lock_timeout = ${LOCK_MS}`);
  await cancelStandbyWaits(sql, table);
  await lockTable(sql, table);
  if (!(await isWhole(sql, resolved))) for (const statement of fillStatements(resolved)) await sql.query(statement);
  await sql.query('COMMIT');
}

const LOCK_CLASS = `hashtext('gameday')`;

/**
 * Held until the transaction has ended, its wait for a standby included; a lock on the table itself would not tell of one that is yet to become visible,
 * or that is dropped meanwhile. Taken by whatever makes the table or spoils it.
 */
export async function lockTable(sql: Sql, table: string): Promise<void> {
  await sql.query(`SELECT pg_advisory_xact_lock(${LOCK_CLASS}, hashtext($1))`, [table]);
}

/**
 * Whoever has committed and waits for a standby keeps what it did from every reader, though it is done: the table would look whole until the standby is
 * back. A cancelled wait (01000) ends as a commit. Our own sessions alone, on this table.
 */
async function cancelStandbyWaits(sql: Sql, table: string): Promise<void> {
  const word = (hash: string): string => `(${hash}::bigint & 4294967295)::oid`;
  await sql.query(
    `SELECT pg_cancel_backend(activity.pid) FROM pg_stat_activity AS activity JOIN pg_locks AS held ON held.pid = activity.pid
     WHERE held.locktype = 'advisory' AND held.classid = ${word(LOCK_CLASS)} AND held.objid = ${word('hashtext($1)')}
       AND activity.wait_event = 'SyncRep' AND activity.usename = current_user AND activity.datname = current_database()`,
    [table],
  );
}

/** Takes it away again, where nothing needs its rows. Idempotent; waits for no standby. */
export async function dropDrillTable(live: LiveTarget, { table }: Pick<DrillTable, 'table'>): Promise<void> {
  await live.sql(await findPrimary(live), 'probe', async (sql) => {
    await sql.query(`SET synchronous_commit = local`);
    await sql.query(`DROP TABLE IF EXISTS gameday.${table}`);
  });
}

/** Could a fault make a table of its own? */
export async function checkMayCreateTables(live: LiveTarget): Promise<CheckResult> {
  const node = await findPrimary(live);
  const rows = await live.sql(node, 'probe', (sql) =>
    sql.query(`SELECT coalesce(has_schema_privilege(to_regnamespace('gameday'), 'CREATE'), false)::text AS allowed`),
  );
  const ok = rows[0]?.['allowed'] === 'true';
  return {
    name: 'the probe role may create tables in schema gameday',
    ok,
    found: ok ? 'allowed' : 'not allowed',
    expected: 'allowed',
    hint: ok ? null : 'prepare the target’s database `gameday` with its schema and roles.',
  };
}

/** Drops what this drill's faults made. Returns the names, qualified. */
export function cleanUpDrillTables(live: LiveTarget, drill: string): Promise<readonly string[]> {
  return dropTables(live, `starts_with(tablename, $1)`, [tablePrefix(drill)]);
}

/**
 * Drops what drills before this one left when they were terminated: nobody was there to clean up after their faults. To be called under the drill's
 * lock only, since then no other drill of this cluster runs. Returns the names, qualified.
 */
export function cleanUpOtherDrills(live: LiveTarget, drill: string): Promise<readonly string[]> {
  return dropTables(live, `starts_with(tablename, $1) AND NOT starts_with(tablename, $2)`, [`${VICTIM}drill_`, tablePrefix(drill)]);
}

async function dropTables(live: LiveTarget, which: string, params: readonly string[]): Promise<readonly string[]> {
  const node = await findPrimary(live);
  return live.sql(node, 'probe', async (sql) => {
    const found = await sql.query(
      `SELECT format('%I', tablename) AS name FROM pg_tables WHERE schemaname = 'gameday' AND tableowner = current_user AND ${which} ORDER BY tablename`,
      params,
    );
    const names = found.map((row) => `gameday.${row['name'] ?? ''}`);
    for (const name of names) await sql.query(`DROP TABLE IF EXISTS ${name}`);
    return names;
  });
}
