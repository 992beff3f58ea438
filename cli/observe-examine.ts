/**
 * Looks at a database before anything is written to it: which system it is, whether the role may do what is asked, whether the rows would be carried
 * away, and what earlier observations left. Only reads; what stands against the observation is thrown before it begins, with what to do.
 */
import { GamedayError, messageOf } from '../core/errors';
import { resolveSecret } from '../core/secrets';
import type { CheckResult } from '../model/record';
import type { ObservedPath } from '../model/observation';
import type { TargetRole } from '../model/target';
import { withSql, type SqlAddress } from '../targets/sql';
import type { ObserveRequest } from './observe-request';

/** Tables of observations; a drill's are called otherwise. */
const TABLES = '^observe_[0-9a-f]{8}$';
/** Rows younger than this: whoever writes them may still be at work. */
const FRESH_MS = 20_000;
const MIN_VERSION = 140_000;
/** Connections that must be free beside those that the observation takes. */
const SPARE_CONNECTIONS = 5;
const OWN_DATABASE = 'gameday';

export interface Examined {
  readonly systemIdentifier: string;
  readonly version: string;
  readonly checks: readonly CheckResult[];
}

interface Facts {
  readonly address: SqlAddress;
  readonly database: string;
  readonly role: string;
  readonly recovery: boolean;
  readonly readOnly: boolean;
  readonly version: string;
  readonly versionNumber: number;
  readonly system: string;
  readonly schema: boolean;
  readonly mayCreate: boolean;
  readonly publications: readonly string[];
  readonly eventTriggers: readonly string[];
  readonly freeConnections: number;
}

const FACTS = `SELECT current_database()::text AS database, current_user::text AS role, pg_is_in_recovery()::text AS recovery,
  current_setting('default_transaction_read_only') AS read_only, current_setting('server_version') AS version, current_setting('server_version_num') AS version_number,
  (SELECT system_identifier::text FROM pg_control_system()) AS system,
  (SELECT oid::text FROM pg_namespace WHERE nspname = 'gameday') AS schema,
  (SELECT (has_schema_privilege(oid, 'USAGE') AND has_schema_privilege(oid, 'CREATE'))::text FROM pg_namespace WHERE nspname = 'gameday') AS may_create,
  (SELECT string_agg(pubname, ',' ORDER BY pubname) FROM pg_publication WHERE puballtables) AS publications,
  (SELECT string_agg(evtname, ',' ORDER BY evtname) FROM pg_event_trigger WHERE evtenabled <> 'D') AS event_triggers,
  (current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int
    - (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'))::text AS free`;

/** Publications of whole schemas exist since PostgreSQL 15. */
const SCHEMA_PUBLICATIONS = `SELECT string_agg(p.pubname, ',' ORDER BY p.pubname) AS publications
  FROM pg_publication p JOIN pg_publication_namespace pn ON pn.pnpubid = p.oid JOIN pg_namespace n ON n.oid = pn.pnnspid WHERE n.nspname = 'gameday'`;

/** Throws `database_unreachable`, `setting_invalid` with the SQL that prepares the database, and `refused`. */
export async function examine(request: ObserveRequest): Promise<Examined> {
  const [main, ...others] = request.paths;
  const facts = await askPath(main, request);
  const checks: CheckResult[] = [
    held(
      `${main.name} answers`,
      `PostgreSQL ${facts.version} on ${place(facts.address)}, system ${facts.system}`,
      'PostgreSQL 14 or newer',
    ),
  ];
  for (const path of others) {
    const other = await askPath(path, request);
    if (other.system !== facts.system)
      throw new GamedayError(
        'setting_invalid',
        `${path.name} leads to system ${other.system}, the first --dsn to ${facts.system}`,
        'every --dsn must be a way to the same database.',
      );
    checks.push(held(`${path.name} answers`, `the same system on ${place(other.address)}`, 'the same system'));
  }
  if (facts.versionNumber < MIN_VERSION) throw new GamedayError('refused', `PostgreSQL ${facts.version} is too old: 14 or newer is needed`);
  const needed = request.connections + SPARE_CONNECTIONS;
  if (facts.freeConnections < needed)
    throw new GamedayError(
      'refused',
      `${facts.freeConnections} connections are free, the observation may take ${request.connections} and leaves at least ${SPARE_CONNECTIONS}`,
      'allow it fewer with --connections, or wait for a quieter moment.',
    );
  checks.push(held('connections are free', `${facts.freeConnections}, at most ${request.connections} are taken`, `at least ${needed}`));
  checks.push(...(await checkNodes(request, facts)));
  if (!request.readOnly) checks.push(...checkWrites(request, facts, main));
  checks.push(...(await leftTables(facts)));
  return { systemIdentifier: facts.system, version: facts.version, checks };
}

/** The host of a path that takes writes now, by trying; the first that answers where there is only one. Throws `database_unreachable` with every refusal. */
export async function findWritable(path: ObservedPath, role: TargetRole): Promise<SqlAddress> {
  const password = role.password === null ? null : resolveSecret(role.password);
  const refusals: string[] = [];
  let cause: unknown = null;
  for (const { host, port } of path.hosts) {
    const address: SqlAddress = { host, port, user: role.user, password, database: path.database };
    try {
      const recovery = await withSql(
        address,
        async (sql) => (await sql.query('SELECT pg_is_in_recovery()::text AS recovery'))[0]?.['recovery'],
      );
      if (recovery === 'false' || path.hosts.length === 1) return address;
      refusals.push(`${place(address)} is a standby`);
    } catch (error) {
      cause = error;
      refusals.push(messageOf(error));
    }
  }
  // The server answers, and what is missing is for its owner to make: that is input to be corrected, not an outage.
  const code = sqlstateOf(cause) === '3D000' ? 'setting_invalid' : 'database_unreachable';
  throw new GamedayError(code, refusals.join('; '), hintFor(cause, role.user), { cause });
}

async function askPath(path: ObservedPath, { roles }: ObserveRequest): Promise<Facts> {
  const address = await findWritable(path, roles.probe);
  try {
    return await withSql(address, async (sql) => {
      const [row] = await sql.query(FACTS);
      const versionNumber = Number(row?.['version_number']);
      const bySchema = versionNumber >= 150_000 ? (await sql.query(SCHEMA_PUBLICATIONS))[0]?.['publications'] : null;
      const list = (text: string | null | undefined): string[] => (text ?? '').split(',').filter(Boolean);
      return {
        address,
        database: row?.['database'] ?? path.database,
        role: row?.['role'] ?? address.user,
        recovery: row?.['recovery'] === 'true',
        readOnly: row?.['read_only'] === 'on',
        version: row?.['version'] ?? 'unknown',
        versionNumber,
        system: row?.['system'] ?? '',
        schema: row?.['schema'] != null,
        mayCreate: row?.['may_create'] === 'true',
        publications: [...list(row?.['publications']), ...list(bySchema)],
        eventTriggers: list(row?.['event_triggers']),
        freeConnections: Number(row?.['free']),
      };
    });
  } catch (error) {
    if (sqlstateOf(error) === '42501' && messageOf(error).includes('pg_control_system'))
      throw new GamedayError(
        'setting_invalid',
        `role ${address.user} may not ask which system this is: ${messageOf(error)}`,
        `as a superuser: GRANT EXECUTE ON FUNCTION pg_control_system() TO ${quoted(address.user)};`,
        { cause: error },
      );
    throw error instanceof GamedayError
      ? error
      : new GamedayError('database_unreachable', `${place(address)}: ${messageOf(error)}`, null, { cause: error });
  }
}

/** A node that is down may still be named: its coming back is what people want to see. One of another system is a mistake. */
async function checkNodes({ nodes, roles, paths }: ObserveRequest, facts: Facts): Promise<CheckResult[]> {
  const password = roles.observe.password === null ? null : resolveSecret(roles.observe.password);
  const checks: CheckResult[] = [];
  for (const { name, host, port } of nodes) {
    const address: SqlAddress = { host, port, user: roles.observe.user, password, database: paths[0].database };
    try {
      const system = await withSql(
        address,
        async (sql) => (await sql.query('SELECT system_identifier::text AS system FROM pg_control_system()'))[0]?.['system'],
      );
      if (system !== facts.system)
        throw new GamedayError(
          'setting_invalid',
          `node ${name} is of system ${system ?? 'unknown'}, the first --dsn leads to ${facts.system}`,
          'name the nodes of that system.',
        );
      checks.push(held(`node ${name} answers`, `the same system on ${place(address)}`, 'the same system'));
    } catch (error) {
      if (error instanceof GamedayError && error.code === 'setting_invalid') throw error;
      checks.push(held(`node ${name} answers`, messageOf(error), 'the same system', false));
    }
  }
  return checks;
}

function checkWrites({ applicationDatabase }: ObserveRequest, facts: Facts, path: ObservedPath): CheckResult[] {
  const { database, role } = facts;
  if (facts.recovery || facts.readOnly)
    throw new GamedayError(
      'setting_invalid',
      `${place(facts.address)} takes no writes: it is ${facts.recovery ? 'a standby' : 'read-only by default_transaction_read_only'}`,
      'name the primary, or all hosts in one --dsn; or observe reads alone with --read-only.',
    );
  if (database !== OWN_DATABASE && !applicationDatabase)
    throw new GamedayError(
      'setting_invalid',
      `database ${database} is not gameday's own, and nothing is written to another one unasked`,
      `make one of its own: ${prepareSql(role)}\nor name it in --dsn, opt in with --application-database, or write nothing with --read-only.`,
    );
  if (facts.publications.length > 0)
    throw new GamedayError(
      'refused',
      `publication ${facts.publications.join(', ')} of database ${database} would carry the observation's rows away`,
      'observe through a database of gameday’s own, or write nothing with --read-only.',
    );
  if (!facts.schema || !facts.mayCreate)
    throw new GamedayError(
      'setting_invalid',
      facts.schema
        ? `role ${role} may not create tables in schema gameday of database ${database}`
        : `database ${database} has no schema gameday`,
      `let its owner run: ${facts.schema ? `GRANT USAGE, CREATE ON SCHEMA gameday TO ${quoted(role)};` : schemaSql(role)}\nor write nothing with --read-only.`,
    );
  const triggers = facts.eventTriggers;
  return [
    held(
      'writes go where they may',
      `schema gameday of database ${database}${database === OWN_DATABASE ? '' : ', opted in by --application-database'}`,
      'schema gameday, of database gameday unless opted in',
    ),
    held('no publication carries the rows away', `none of all tables or of schema gameday in ${path.database}`, 'none'),
    held(
      'event triggers',
      triggers.length === 0 ? 'none' : `${triggers.join(', ')} will see one table made and dropped`,
      'named, where there are any',
    ),
  ];
}

/** Tables that earlier observations left, so that somebody drops them; nobody else's are touched. */
async function leftTables({ address, database }: Facts): Promise<CheckResult[]> {
  const found = await withSql(address, async (sql) => {
    const tables = await sql.query(
      `SELECT c.relname AS name FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = 'gameday' AND c.relkind = 'r' AND c.relname ~ '${TABLES}' ORDER BY 1 LIMIT 20`,
    );
    const seen: { name: string; idleMs: number | null }[] = [];
    for (const { name } of tables) {
      const idle = sql.query(
        `SELECT (1000 * extract(epoch FROM clock_timestamp() - max(sent_at)))::bigint::text AS ms FROM gameday.${name ?? ''}`,
      );
      // Another role's table may not be readable; then it is only named.
      const ms = await idle.then(([row]) => row?.['ms'] ?? null).catch(() => null);
      seen.push({ name: name ?? '', idleMs: ms === null ? null : Number(ms) });
    }
    return seen;
  });
  const idle = found.filter(({ idleMs }) => idleMs === null || idleMs > FRESH_MS).map(({ name }) => name);
  const busy = found.filter(({ name }) => !idle.includes(name)).map(({ name }) => name);
  const drop = (names: readonly string[]): string => names.map(dropSql).join(' ');
  const words = [
    ...(idle.length === 0 ? [] : [`left by an earlier observation in database ${database}; drop with: ${drop(idle)}`]),
    ...(busy.length === 0
      ? []
      : [
          `written to in the last ${FRESH_MS / 1_000} s by an observation that runs, or was killed; if none runs in database ${database}: ${drop(busy)}`,
        ]),
  ];
  return [held('nothing is left of earlier observations', words.join('; ') || 'nothing', 'nothing', idle.length + busy.length === 0)];
}

export function dropSql(table: string): string {
  return `DROP TABLE gameday.${table};`;
}

/** What prepares a server for observations, to be run by its owner. */
function prepareSql(role: string): string {
  return `CREATE DATABASE gameday; and in it: ${schemaSql(role)}`;
}

function schemaSql(role: string): string {
  return `CREATE SCHEMA gameday AUTHORIZATION ${quoted(role)};`;
}

function quoted(name: string): string {
  return /^[a-z_][a-z0-9_]*$/.test(name) ? name : `"${name.replaceAll('"', '""')}"`;
}

function held(name: string, found: string, expected: string, ok = true): CheckResult {
  return { name, ok, found, expected, hint: null };
}

function place({ host, port }: SqlAddress): string {
  return host.startsWith('/') ? `${host}/.s.PGSQL.${port}` : `${host}:${port}`;
}

/** SQLSTATE of the server's own refusal, through what wraps it. */
function sqlstateOf(error: unknown): string | null {
  if (error instanceof GamedayError) return sqlstateOf(error.cause);
  return error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : null;
}

function hintFor(cause: unknown, role: string): string | null {
  switch (sqlstateOf(cause)) {
    case '3D000':
      return `let a superuser run: ${prepareSql(role)}`;
    case '28P01':
    case '28000':
      return 'check the role and its password: env:NAME, file:/path, PGPASSWORD and .pgpass are looked at.';
    default:
      return null;
  }
}
