/**
 * From a DSN as it was typed to hosts and a login, with what libpq would take where it says nothing: PGHOST, PGPORT, PGUSER, PGPASSWORD, .pgpass.
 * A password lives in memory alone; none is ever printed or written down.
 */
import { readFileSync } from 'node:fs';
import { homedir, userInfo } from 'node:os';
import { join } from 'node:path';
import { findInPgpass, parseDsn, type SslMode } from '../core/dsn';
import { GamedayError } from '../core/errors';
import { resolveSecret } from '../core/secrets';
import type { HostPort } from '../model/target';
import type { Login } from '../targets/discover/found';

const DEFAULT_PORT = 5432;

export interface LoginDefaults {
  readonly user?: string;
  readonly database: string;
}

export interface TypedLogin {
  /** Empty where the DSN names none and may do so. */
  readonly hosts: readonly HostPort[];
  readonly login: Login;
}

/** Throws `setting_invalid` and `usage`; asks no server. `option` is named in errors. */
export function readDsn(option: string, text: string, defaults: LoginDefaults, hostless = false): TypedLogin {
  const dsn = parseDsn(text);
  const env = process.env;
  const port = Number(env['PGPORT'] ?? DEFAULT_PORT);
  const named =
    dsn.hosts.length > 0 || hostless
      ? dsn.hosts
      : (env['PGHOST'] ?? '')
          .split(',')
          .filter(Boolean)
          .map((host) => ({ host, port: null }));
  if (named.length === 0 && !hostless) throw new GamedayError('usage', `${option} names no host, and PGHOST is not set`);
  const hosts = named.map((each) => ({ host: each.host, port: each.port ?? port }));
  const user = dsn.user ?? env['PGUSER'] ?? defaults.user ?? loginName();
  const database = dsn.database ?? env['PGDATABASE'] ?? defaults.database;
  useSsl(dsn.sslMode);
  const { password } = dsn;
  if (password?.kind === 'named') return { hosts, login: { user, database, password: resolveSecret(password.name) } };
  if (password?.kind === 'literal') return { hosts, login: { user, database, password: password.value } };
  return { hosts, login: { user, database, password: env['PGPASSWORD'] ?? fromPgpass(hosts, user, database, dsn.passfile) } };
}

function loginName(): string {
  try {
    return userInfo().username;
  } catch {
    return 'postgres';
  }
}

function fromPgpass(hosts: readonly HostPort[], user: string, database: string, passfile: string | null): string | null {
  let text: string;
  try {
    text = readFileSync(passfile ?? process.env['PGPASSFILE'] ?? join(homedir(), '.pgpass'), 'utf8');
  } catch {
    return null;
  }
  for (const at of hosts) {
    const found = findInPgpass(text, { ...at, database, user });
    if (found !== null) return found;
  }
  return null;
}

/** By the one switch that `pg` reads by itself: libpq's `require` encrypts without looking at the certificate. */
function useSsl(mode: SslMode | null): void {
  if (mode === null) return;
  if (mode === 'allow' || mode === 'prefer')
    throw new GamedayError(
      'setting_invalid',
      `sslmode ${mode} would fall back to plain text unseen`,
      'write require, verify-full or disable.',
    );
  process.env['PGSSLMODE'] = mode === 'require' ? 'no-verify' : mode === 'disable' ? 'disable' : 'verify-full';
}
