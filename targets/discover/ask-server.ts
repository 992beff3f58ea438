/**
 * Asks one PostgreSQL server about itself, read-only, each question by itself: a role that may not see one thing still tells the others.
 * It never asks for the text of commands that may hold secrets and keeps nothing of them but a program's name.
 */
import { posix } from 'node:path';
import { GamedayError, messageOf } from '../../core/errors';
import { withSql, type Sql } from '../sql';
import { archiveToolOf, syncStandbysOf, type ArchiveTool, type Guess, type Login } from './found';
import { isLocalAddress, lookAtLocal } from './look-local';

const ASK_TIMEOUTS = { connectTimeoutMs: 3_000, queryTimeoutMs: 5_000, applicationName: 'gameday discover' };
const SETTINGS = [
  'data_directory',
  'config_file',
  'cluster_name',
  'synchronous_standby_names',
  'archive_mode',
  'archive_command',
  'archive_library',
  'primary_conninfo',
  'shared_preload_libraries',
  'server_version',
  'server_version_num',
];

export interface Sender {
  readonly applicationName: string;
  readonly address: string | null;
  readonly user: string | null;
}

export interface ServerFacts {
  readonly systemIdentifier: string | null;
  readonly inRecovery: boolean;
  readonly version: string;
  readonly major: number;
  readonly dataDir: string | null;
  readonly binDir: Guess | null;
  readonly logFile: Guess | null;
  readonly osUser: string | null;
  readonly local: boolean;
  /** The server's own address of this session; null over a unix socket. */
  readonly address: { readonly host: string; readonly port: number } | null;
  /** What it calls itself towards its primary, else its cluster_name. */
  readonly name: string | null;
  readonly syncStandbys: number | null;
  readonly archive: ArchiveTool | null;
  /** Standbys that stream from it; addresses are null where the role may not see them. */
  readonly senders: readonly Sender[];
  readonly superuser: boolean;
  /** repmgr's library is loaded, as its daemon wants it. */
  readonly hasRepmgr: boolean;
  /** Another controller's traces, in words. */
  readonly signs: readonly string[];
}

/** Throws `database_unreachable` with what to do. */
export async function askServer(host: string, port: number, login: Login): Promise<ServerFacts> {
  try {
    return await withSql({ host, port, ...login }, (sql) => readFacts(sql, host), ASK_TIMEOUTS);
  } catch (error) {
    throw explained(error, login);
  }
}

/** The hint that fits the server's own refusal. */
export function explained(error: unknown, { user, database }: Login): GamedayError {
  const cause = error instanceof GamedayError ? error.cause : error;
  const state = (cause as { code?: unknown } | undefined)?.code;
  const hint =
    state === '28P01' || state === '28000'
      ? `the server refused ${user}: name the password as env:NAME or file:/path in the DSN, or use PGPASSWORD or .pgpass; then look at pg_hba.conf.`
      : state === '3D000'
        ? `there is no database ${database} there; name one that exists, e.g. postgres.`
        : /password must be a string|no password/i.test(messageOf(error))
          ? `the server asks ${user} for a password: name it as env:NAME or file:/path in the DSN, or use PGPASSWORD or .pgpass.`
          : null;
  return new GamedayError('database_unreachable', messageOf(error), hint, { cause });
}

async function tryQuery(sql: Sql, text: string): Promise<readonly { readonly [column: string]: string | null }[]> {
  // Each statement is a transaction of its own, so that what one is refused leaves the next alone.
  return sql.query(text).catch(() => []);
}

async function readFacts(sql: Sql, host: string): Promise<ServerFacts> {
  const [self] = await sql.query(
    `SELECT pg_is_in_recovery()::text AS recovery, version() AS version, host(inet_server_addr()) AS address, inet_server_port()::text AS port,
            (SELECT rolsuper::text FROM pg_roles WHERE rolname = current_user) AS super`,
  );
  // Rows that the role may not see are not there, instead of being errors.
  const rows = await sql.query(`SELECT name, setting FROM pg_settings WHERE name IN (${SETTINGS.map((name) => `'${name}'`).join(', ')})`);
  const settings = new Map(rows.map((row) => [row['name'] ?? '', row['setting'] ?? '']));
  const setting = (name: string): string | null => settings.get(name) ?? null;
  const [control] = await tryQuery(sql, 'SELECT system_identifier::text AS system FROM pg_control_system()');
  const [log] = await tryQuery(sql, 'SELECT pg_current_logfile() AS file');
  const senders = await tryQuery(
    sql,
    `SELECT application_name AS name, host(client_addr) AS address, usename AS "user" FROM pg_stat_replication
      WHERE application_name NOT IN ('pg_basebackup', 'pg_receivewal') ORDER BY 1`,
  );
  const major = Math.floor(Number(setting('server_version_num') ?? 0) / 10_000);
  const dataDir = setting('data_directory');
  const local = isLocalAddress(host);
  const look = local && dataDir !== null ? lookAtLocal(dataDir) : null;
  const inRecovery = self?.['recovery'] === 'true';
  return {
    systemIdentifier: control?.['system'] ?? null,
    inRecovery,
    version: setting('server_version') ?? 'unknown',
    major,
    dataDir,
    binDir: seen(look?.binDir ?? null) ?? guessBinDir(major, self?.['version'] ?? ''),
    logFile: logFileOf(dataDir, log?.['file'] ?? null) ?? seen(look?.logFile ?? null) ?? guessLogFile(setting('config_file')),
    osUser: look?.osUser ?? null,
    local,
    address: self?.['address'] == null ? null : { host: self['address'], port: Number(self['port']) },
    name: (inRecovery ? applicationNameOf(setting('primary_conninfo')) : null) ?? setting('cluster_name'),
    syncStandbys: syncStandbysOf(setting('synchronous_standby_names') ?? ''),
    archive: archiveToolOf(setting('archive_mode'), setting('archive_command'), setting('archive_library')),
    senders: senders.map((row) => ({ applicationName: row['name'] ?? '', address: row['address'] ?? null, user: row['user'] ?? null })),
    superuser: self?.['super'] === 'true',
    hasRepmgr: /\brepmgr\b/.test(setting('shared_preload_libraries') ?? ''),
    signs: await readSigns(
      sql,
      setting('shared_preload_libraries') ?? '',
      senders.map((row) => row['name'] ?? ''),
    ),
  };
}

/** Somebody else's failover must not be mistaken for none. */
async function readSigns(sql: Sql, libraries: string, senders: readonly string[]): Promise<string[]> {
  const signs: string[] = [];
  const [patroni] = await tryQuery(sql, `SELECT (pg_stat_file('patroni.dynamic.json', true)).size::text AS size`);
  if (patroni?.['size'] != null)
    signs.push('Patroni runs this server: discover it with --patroni URL, so that gameday leaves failover to it.');
  if (libraries.includes('pgautofailover') || senders.some((name) => name.startsWith('pgautofailover_standby')))
    signs.push(
      'pg_auto_failover runs this server: discover it with --pg-auto-failover DSN-of-the-monitor, so that gameday leaves failover to it.',
    );
  return signs;
}

const seen = (value: string | null): Guess | null => (value === null ? null : { value, guessedFrom: null });

/** `pg_current_logfile` is relative to the data directory unless `log_directory` is absolute. */
function logFileOf(dataDir: string | null, file: string | null): Guess | null {
  if (file === null || (dataDir === null && !file.startsWith('/'))) return null;
  return seen(file.startsWith('/') ? file : posix.join(dataDir ?? '', file));
}

/** Debian and Ubuntu, and the PGDG packages for Red Hat's family, keep each version's binaries in a directory of its own. */
export function guessBinDir(major: number, versionText: string): Guess | null {
  if (major < 9) return null;
  if (/red hat|el[0-9]/i.test(versionText))
    return { value: `/usr/pgsql-${major}/bin`, guessedFrom: `the PGDG packages’ place for version ${major}` };
  return { value: `/usr/lib/postgresql/${major}/bin`, guessedFrom: `Debian’s place for version ${major}` };
}

/** Debian's pg_ctlcluster logs to a file named after version and cluster. */
function guessLogFile(configFile: string | null): Guess | null {
  const match = /^\/etc\/postgresql\/([^/]+)\/([^/]+)\/postgresql\.conf$/.exec(configFile ?? '');
  return match === null
    ? null
    : { value: `/var/log/postgresql/postgresql-${match[1]}-${match[2]}.log`, guessedFrom: 'Debian’s name for this cluster’s log' };
}

/** `application_name` of a libpq keyword string; the rest, which may hold a password, is not kept. */
function applicationNameOf(conninfo: string | null): string | null {
  const match = /(?:^|\s)application_name\s*=\s*(?:'((?:[^'\\]|\\.)*)'|(\S+))/.exec(conninfo ?? '');
  return match === null ? null : (match[1] ?? match[2] ?? null);
}
