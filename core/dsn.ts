/**
 * PostgreSQL connection strings, in libpq's URI and keyword forms, with several hosts. Pure: it reads no environment and no file, and no message of
 * its errors ever holds what stands in the place of a password.
 */
import { GamedayError } from './errors';

export interface Dsn {
  /** In the order written; empty where the string names none. A host that starts with `/` is the directory of a unix socket. */
  readonly hosts: readonly { readonly host: string; readonly port: number | null }[];
  readonly user: string | null;
  readonly password: DsnPassword | null;
  readonly database: string | null;
  readonly sslMode: SslMode | null;
  readonly connectTimeoutMs: number | null;
  readonly passfile: string | null;
}

/** `named`: written as `env:NAME` or `file:/path`, resolved where it is used. `literal`: the password itself; never stored. */
export type DsnPassword = { readonly kind: 'named'; readonly name: string } | { readonly kind: 'literal'; readonly value: string };

export const SSL_MODES = ['disable', 'allow', 'prefer', 'require', 'verify-ca', 'verify-full'] as const;
export type SslMode = (typeof SSL_MODES)[number];

const FORM = 'write it like `postgresql://user@host:5432/gameday` or `host=a,b user=u dbname=gameday`.';
const MAX_HOSTS = 16;
/** Accepted, and without effect: gameday's connections carry its own name. */
const IGNORED = new Set(['application_name', 'fallback_application_name']);

function invalid(what: string, hint: string = FORM): GamedayError {
  return new GamedayError('setting_invalid', `connection string: ${what}`, hint);
}

/** Throws `setting_invalid`; the message names the parameter, never its value where that may be secret. */
export function parseDsn(text: string): Dsn {
  const trimmed = text.trim();
  if (trimmed === '') throw invalid('it is empty');
  return fromParameters(/^postgres(ql)?:\/\//i.test(trimmed) ? uriParameters(trimmed) : keywordParameters(trimmed));
}

/** `postgresql://userinfo@hosts/database?parameters`, every part optional and percent-encoded. */
function uriParameters(text: string): Map<string, string> {
  const match = /^[a-z]+:\/\/(?:([^/?#]*)@)?([^/?#@]*)(?:\/([^?#]*))?(?:\?([^#]*))?$/i.exec(text);
  if (match === null) throw invalid('it is no URI; reserved characters in a password are written as %XX');
  const [, userinfo, hosts = '', database, query] = match;
  const found = new Map<string, string>();
  if (userinfo !== undefined) {
    const cut = userinfo.indexOf(':');
    const user = decode(cut < 0 ? userinfo : userinfo.slice(0, cut), 'user');
    if (user !== '') found.set('user', user);
    if (cut >= 0) found.set('password', decode(userinfo.slice(cut + 1), 'password'));
  }
  if (hosts !== '') {
    const pairs = hosts.split(',').map(splitHost);
    found.set('host', pairs.map(({ host }) => decode(host, 'host')).join(','));
    if (pairs.some(({ port }) => port !== '')) found.set('port', pairs.map(({ port }) => port).join(','));
  }
  if (database !== undefined && database !== '') found.set('dbname', decode(database, 'dbname'));
  for (const part of (query ?? '').split('&')) {
    if (part === '') continue;
    const cut = part.indexOf('=');
    if (cut < 0) throw invalid(`parameter "${part.slice(0, 40)}" has no value`);
    const name = decode(part.slice(0, cut), 'a parameter');
    found.set(name, decode(part.slice(cut + 1), name));
  }
  return found;
}

/** `a:5432`, `[::1]:5432`, `a`. */
function splitHost(text: string): { readonly host: string; readonly port: string } {
  const match = /^(?:\[([^\]]*)\]|([^:]*))(?::(.*))?$/.exec(text);
  if (match === null || !/^[0-9]{0,5}$/.test(match[3] ?? ''))
    throw invalid(
      'a host and port cannot be read',
      'IPv6 addresses stand in brackets, `[::1]:5432`; a / or @ in a password is written as %2F or %40.',
    );
  return { host: match[1] ?? match[2] ?? '', port: match[3] ?? '' };
}

function decode(text: string, what: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    throw invalid(`${what} holds a % that begins no %XX`);
  }
}

/** `name = value` pairs; values with white space stand in single quotes, a backslash takes the next character as it is. */
function keywordParameters(text: string): Map<string, string> {
  const found = new Map<string, string>();
  let rest = text;
  while (rest !== '') {
    const match = /^([a-z_]+)\s*=\s*(?:'((?:[^'\\]|\\[^])*)'|((?:[^\s'\\]|\\[^])*))(?:\s+|$)/.exec(rest);
    if (match === null) {
      const name = /^[a-z_]+/.exec(rest)?.[0];
      throw invalid(name === undefined ? 'it is neither a URI nor `name=value` pairs' : `after "${name}" no \`=value\` can be read`);
    }
    found.set(match[1] ?? '', (match[2] ?? match[3] ?? '').replace(/\\([^])/g, '$1'));
    rest = rest.slice(match[0].length);
  }
  return found;
}

function fromParameters(given: ReadonlyMap<string, string>): Dsn {
  const open = new Map([...given].filter(([name]) => !IGNORED.has(name)));
  const take = (name: string): string | null => {
    const value = open.get(name);
    open.delete(name);
    return value === undefined || value === '' ? null : value;
  };
  const attributes = take('target_session_attrs');
  if (attributes !== null && !['any', 'read-write', 'primary'].includes(attributes))
    throw invalid(
      `target_session_attrs=${attributes} is not supported`,
      'gameday goes to the first host that takes writes: leave it out, or write read-write.',
    );
  const dsn: Dsn = {
    hosts: hostsOf(take('host'), take('port')),
    user: take('user'),
    password: passwordOf(take('password')),
    database: take('dbname'),
    sslMode: sslModeOf(take('sslmode')),
    connectTimeoutMs: timeoutOf(take('connect_timeout')),
    passfile: take('passfile'),
  };
  const [unknown] = open.keys();
  if (unknown === 'sslrootcert')
    throw invalid('sslrootcert is not supported', 'set NODE_EXTRA_CA_CERTS to that file in the environment instead.');
  if (unknown !== undefined)
    throw invalid(`parameter "${unknown.slice(0, 40)}" is not supported`, 'leave it out; what it asks for would not be done.');
  return dsn;
}

/** One port serves all hosts; otherwise there is one a host, and an empty one means the default. */
function hostsOf(host: string | null, port: string | null): Dsn['hosts'] {
  if (host === null) {
    if (port !== null) throw invalid('it names a port and no host');
    return [];
  }
  const hosts = host.split(',');
  const ports = (port ?? '').split(',');
  if (hosts.length > MAX_HOSTS) throw invalid(`${hosts.length} hosts are more than ${MAX_HOSTS}`);
  if (ports.length !== 1 && ports.length !== hosts.length) throw invalid(`it names ${hosts.length} hosts and ${ports.length} ports`);
  return hosts.map((name, at) => {
    if (name === '') throw invalid('a host is empty');
    const written = (ports.length === 1 ? ports[0] : ports[at]) ?? '';
    const number = Number(written);
    if (written !== '' && (!/^[0-9]{1,5}$/.test(written) || number < 1 || number > 65_535))
      throw invalid('a port is no number from 1 to 65535');
    return { host: name, port: written === '' ? null : number };
  });
}

function passwordOf(written: string | null): DsnPassword | null {
  if (written === null) return null;
  return /^(env:[A-Za-z_][A-Za-z0-9_]*|file:\/.+)$/.test(written) ? { kind: 'named', name: written } : { kind: 'literal', value: written };
}

function sslModeOf(written: string | null): SslMode | null {
  if (written === null) return null;
  const mode = SSL_MODES.find((known) => known === written);
  if (mode === undefined) throw invalid(`sslmode "${written}" is not one of ${SSL_MODES.join(', ')}`);
  return mode;
}

function timeoutOf(written: string | null): number | null {
  if (written === null) return null;
  if (!/^[0-9]{1,5}$/.test(written) || Number(written) === 0) throw invalid(`connect_timeout "${written}" is no number of seconds above 0`);
  return Number(written) * 1_000;
}

/**
 * The password that a `.pgpass` file holds for this connection, or null: the first line whose `host:port:database:user` matches, `*` matching
 * anything (libpq, "The Password File"). A unix socket's directory is looked up as `localhost`.
 */
export function findInPgpass(
  text: string,
  wanted: { readonly host: string; readonly port: number; readonly database: string; readonly user: string },
): string | null {
  const host = wanted.host.startsWith('/') ? 'localhost' : wanted.host;
  const keys = [host, String(wanted.port), wanted.database, wanted.user];
  for (const line of text.split(/\r?\n/)) {
    if (line === '' || line.startsWith('#')) continue;
    const fields = fieldsOf(line);
    if (fields.length >= 5 && keys.every((key, at) => fields[at] === '*' || plain(fields[at] ?? '') === key)) return plain(fields[4] ?? '');
  }
  return null;
}

/** Cut at every colon that no backslash precedes. */
function fieldsOf(line: string): string[] {
  const fields = [''];
  for (const [piece] of line.matchAll(/\\[^]|[^]/g)) {
    if (piece === ':') fields.push('');
    else fields[fields.length - 1] += piece;
  }
  return fields;
}

function plain(field: string): string {
  return field.replace(/\\([^])/g, '$1');
}
