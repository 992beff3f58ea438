/**
 * From what was typed after `gameday observe` to plain facts: ways in, nodes, limits and objectives, every default filled in. Pure but for the password
 * file it is handed. A password itself appears only in `secrets`, which goes to the environment of the prober and nowhere else.
 */
import { findInPgpass, parseDsn, type Dsn } from '../core/dsn';
import { GamedayError } from '../core/errors';
import { formatBytes, formatMs, parseDurationMs, parseSizeBytes, parseTransactions } from '../core/units';
import { OTHER_CONNECTIONS, RECOVERY_SUCCESS_RATIO } from '../model/constants';
import type { ObservationPlan, ObservedNode, ObservedPath } from '../model/observation';
import type { Objective, ProbeSettings, SteadyState } from '../model/plan';
import type { HostPort, TargetKind, TargetRole } from '../model/target';

export interface ObserveOptions {
  readonly dsn: readonly string[];
  readonly for: string;
  readonly node: readonly string[];
  readonly rto?: string;
  readonly rpo?: string;
  readonly period?: string;
  readonly window: string;
  readonly connections: string;
  readonly maxSize: string;
  readonly readOnly?: boolean;
  readonly applicationDatabase?: boolean;
  readonly name?: string;
  readonly kind: TargetKind;
  readonly as?: string;
}

/** What the request takes from its surroundings. */
export interface Surroundings {
  readonly env: NodeJS.ProcessEnv;
  /** Name of the login, libpq's last resort for the role. */
  readonly login: string;
  /** Text of a password file; null if there is none that may be used. `path` null: the usual place. */
  readonly passfile: (path: string | null) => string | null;
}

export interface ObserveRequest {
  readonly paths: readonly [ObservedPath, ...ObservedPath[]];
  readonly nodes: readonly ObservedNode[];
  readonly roles: { readonly probe: TargetRole; readonly observe: TargetRole };
  /** Environment variables that hold what was no name: handed over in memory, never written. */
  readonly secrets: Readonly<Record<string, string>>;
  readonly forMs: number;
  readonly readOnly: boolean;
  readonly applicationDatabase: boolean;
  readonly connections: number;
  readonly expectedBytes: number;
  readonly maxBytes: number;
  readonly settings: ProbeSettings;
  readonly steady: SteadyState;
  readonly objectives: readonly Objective[];
  /** Null: named after the system. */
  readonly name: string | null;
  readonly kind: ObservationPlan['target']['kind'];
  /** What is worth a word before anything begins. */
  readonly notes: readonly string[];
}

/** 20 writes a second over all ways in (design, "In somebody else's database"). */
const WRITES_PER_SECOND = 20;
const PASSWORD_VARIABLE = 'GAMEDAY_OBSERVE_PASSWORD';
const NODE_PASSWORD_VARIABLE = 'GAMEDAY_OBSERVE_NODE_PASSWORD';
/** A row of the probe table with its index entry takes 90 bytes of PostgreSQL 15; pages are not full. */
const ROW_BYTES = 128;
const MAX_PATHS = 8;
const MAX_FOR_MS = 24 * 3_600_000;
const BASELINE_TIMEOUT_MS = 60_000;
const DEFAULT_PORT = 5432;
const NAME = /^[a-z][a-z0-9-]{0,39}$/;

/** Throws `usage` and `setting_invalid`; asks no server. */
export function observeRequest(options: ObserveOptions, around: Surroundings): ObserveRequest {
  const notes: string[] = [];
  const ways = options.dsn.map((text) => resolveWay(parseDsn(text), around));
  const [main, ...others] = ways;
  if (main === undefined) throw usage('name the database with --dsn');
  if (ways.length > MAX_PATHS) throw usage(`${ways.length} times --dsn are more than ${MAX_PATHS}`);
  for (const way of others)
    if (way.user !== main.user || way.secret !== main.secret) throw usage('every --dsn must name the same role and password');
  const nodes = nodesOf(options.node, main, around);
  const readOnly = options.readOnly === true;
  const forMs = duration('--for', options.for, 1_000, MAX_FOR_MS);
  const pace = paceOf(options.period, ways.length);
  const windowMs = duration('--window', options.window, 500, 3_600_000);
  const maxBytes = parseSizeBytes(options.maxSize) ?? unreadable('--max-size', options.maxSize, '64MB');
  const expectedBytes = readOnly ? 0 : Math.ceil(((forMs + windowMs + 2 * BASELINE_TIMEOUT_MS) / 1_000) * pace.writesPerSecond * ROW_BYTES);
  if (expectedBytes > maxBytes)
    throw new GamedayError(
      'setting_invalid',
      `${formatMs(forMs)} at ${pace.writesPerSecond} writes/s would take about ${formatBytes(expectedBytes)}, more than the ${formatBytes(maxBytes)} allowed`,
      'observe for a shorter time, with a longer --period, or allow more with --max-size.',
    );
  const connections = whole('--connections', options.connections, 2, 1_000);
  const secrets = secretsOf(main, nodes.login, around, notes);
  return {
    paths: [
      { name: 'entry', hosts: main.hosts, database: main.database },
      ...others.map(({ hosts, database }, at) => ({ name: `path-${at + 2}`, hosts, database })),
    ],
    nodes: nodes.nodes,
    roles: { probe: { user: main.user, password: main.name }, observe: { user: nodes.login.user, password: nodes.login.name } },
    secrets: {
      ...secrets,
      ...sslOf(
        [...ways, nodes.login].map(({ sslMode }) => sslMode),
        around.env,
      ),
    },
    forMs,
    readOnly,
    applicationDatabase: options.applicationDatabase === true,
    connections,
    expectedBytes,
    maxBytes,
    settings: settingsOf({
      readOnly,
      pace,
      forMs,
      connectTimeoutMs: main.connectTimeoutMs,
      maxConnections: streamConnections(connections, ways.length, nodes.nodes.length, readOnly),
    }),
    steady: {
      windowMs,
      timeoutMs: BASELINE_TIMEOUT_MS,
      successRatio: RECOVERY_SUCCESS_RATIO,
      maxP99Ms: 1_000,
      recoveryFactor: 2,
      recoveryFloorMs: 100,
      recoveryWindowMs: windowMs,
    },
    objectives: objectivesOf(options, readOnly),
    name: nameOf(options.name),
    kind: options.kind,
    notes,
  };
}

function usage(message: string): GamedayError {
  return new GamedayError('usage', message, '`gameday observe --help` shows the options.');
}

function unreadable(option: string, text: string, example: string): never {
  throw new GamedayError('usage', `${option} "${text}" cannot be read`, `write it like ${example}.`);
}

function duration(option: string, text: string, minMs: number, maxMs: number): number {
  const ms = parseDurationMs(text) ?? unreadable(option, text, '250ms, 30s or 10m');
  if (ms < minMs || ms > maxMs) throw usage(`${option} ${text} is not between ${formatMs(minMs)} and ${formatMs(maxMs)}`);
  return Math.round(ms);
}

function whole(option: string, text: string, min: number, max: number): number {
  const value = Number(text);
  if (!/^[0-9]{1,6}$/.test(text) || value < min || value > max) throw usage(`${option} "${text}" is no whole number from ${min} to ${max}`);
  return value;
}

function nameOf(name: string | undefined): string | null {
  if (name === undefined) return null;
  if (!NAME.test(name)) throw usage(`--name "${name}" must start with a lower-case letter and hold at most 40 of a-z, 0-9 and -`);
  return name;
}

/** A connection string with libpq's defaults filled in, and where its password comes from. */
interface Way {
  readonly hosts: readonly HostPort[];
  readonly user: string;
  readonly database: string;
  readonly named: boolean;
  /** Secret name as it stands in plans and configurations; null: none is known (trust, peer, certificates). */
  readonly name: string | null;
  /** What `name` stands for where it is ours to hand over; only to be compared and put into the environment. */
  readonly secret: string | null;
  readonly literal: boolean;
  readonly sslMode: string | null;
  readonly connectTimeoutMs: number | null;
}

function resolveWay(dsn: Dsn, { env, login, passfile }: Surroundings, variable = PASSWORD_VARIABLE, user?: string): Way {
  const port = Number(env['PGPORT'] ?? DEFAULT_PORT);
  const given =
    dsn.hosts.length > 0
      ? dsn.hosts
      : (env['PGHOST'] ?? '')
          .split(',')
          .filter(Boolean)
          .map((host) => ({ host, port: null }));
  if (given.length === 0) throw usage('a --dsn names no host, and PGHOST is not set');
  const hosts = given.map((one) => ({ host: one.host, port: one.port ?? port }));
  const role = dsn.user ?? user ?? env['PGUSER'] ?? login;
  // libpq would take the role's name; the only database that gameday writes to unasked is called gameday.
  const database = dsn.database ?? env['PGDATABASE'] ?? 'gameday';
  const base = { hosts, user: role, database, named: dsn.database !== null, sslMode: dsn.sslMode, connectTimeoutMs: dsn.connectTimeoutMs };
  const { password } = dsn;
  if (password?.kind === 'named') return { ...base, name: password.name, secret: password.name, literal: false };
  if (password?.kind === 'literal') return { ...base, name: `env:${variable}`, secret: password.value, literal: true };
  if (env['PGPASSWORD'] !== undefined) return { ...base, name: 'env:PGPASSWORD', secret: 'env:PGPASSWORD', literal: false };
  const file = passfile(dsn.passfile);
  for (const one of file === null ? [] : hosts) {
    const found = findInPgpass(file ?? '', { ...one, database, user: role });
    if (found !== null) return { ...base, name: `env:${variable}`, secret: found, literal: false };
  }
  return { ...base, name: null, secret: null, literal: false };
}

/** `--node name=DSN`; else the hosts of the first DSN where it has several; else none. */
function nodesOf(
  written: readonly string[],
  main: Way,
  around: Surroundings,
): { readonly nodes: readonly ObservedNode[]; readonly login: Way } {
  if (written.length === 0) {
    const shown = main.hosts.map(({ host }) => host);
    const same = new Set(shown).size < shown.length;
    const nodes = main.hosts.map(({ host, port }) => ({ name: same ? `${host}:${port}` : host, host, port }));
    return { nodes: main.hosts.length > 1 ? nodes : [], login: main };
  }
  const found = written.map((text) => {
    const [, name, dsn] = /^([A-Za-z][A-Za-z0-9.-]{0,62})=([^]+)$/.exec(text) ?? [];
    if (name === undefined || dsn === undefined) throw usage('a --node is written name=DSN, e.g. n1=postgresql://10.0.0.1');
    const way = resolveWay(parseDsn(dsn), around, NODE_PASSWORD_VARIABLE, main.user);
    const [host] = way.hosts;
    if (host === undefined || way.hosts.length > 1) throw usage(`--node ${name} must name exactly one host`);
    if (way.named && way.database !== main.database)
      throw usage(
        `--node ${name} names database ${way.database}; the nodes are asked through the database of the first --dsn, ${main.database}`,
      );
    return { name, way: way.secret === null && way.user === main.user ? { ...way, name: main.name, secret: main.secret } : way, host };
  });
  const names = found.map(({ name }) => name);
  const twice = names.find((name, at) => names.indexOf(name) !== at);
  if (twice !== undefined) throw usage(`--node ${twice} is given twice`);
  const login = found[0]?.way ?? main;
  if (found.some(({ way }) => way.user !== login.user || way.secret !== login.secret))
    throw usage('every --node must name the same role and password');
  return { nodes: found.map(({ name, host }) => ({ name, ...host })), login };
}

function secretsOf(main: Way, node: Way, { env }: Surroundings, notes: string[]): Record<string, string> {
  if (main.literal || node.literal)
    notes.push('a password stands in the command, where `ps` shows it to everybody; name it as env:NAME or file:/path, or use .pgpass');
  const found: Record<string, string> = {};
  for (const { name, secret } of [main, node]) {
    if (name === null || secret === null || name === secret) continue;
    const variable = name.slice('env:'.length);
    if (env[variable] !== undefined) throw usage(`the environment variable ${variable} is gameday's own here; name the secret otherwise`);
    found[variable] = secret;
  }
  return found;
}

/**
 * TLS for every connection of both processes, by the one switch that `pg` reads by itself. libpq's `require` encrypts without looking at the
 * certificate, `verify-ca` and `verify-full` check it and the name; `allow` and `prefer` would fall back to plain text, which nobody would notice.
 */
function sslOf(modes: readonly (string | null)[], env: NodeJS.ProcessEnv): Record<string, string> {
  const asked = new Set(modes.filter((mode) => mode !== null));
  if (asked.size > 1) throw usage(`every --dsn and --node must name the same sslmode, not ${[...asked].join(' and ')}`);
  const [mode = env['PGSSLMODE'] ?? null] = asked;
  if (mode === null || mode === 'no-verify') return {};
  if (mode === 'allow' || mode === 'prefer')
    throw new GamedayError(
      'setting_invalid',
      `sslmode ${mode} would fall back to plain text unseen`,
      'write require, verify-full or disable.',
    );
  return { PGSSLMODE: mode === 'require' ? 'no-verify' : mode === 'disable' ? 'disable' : 'verify-full' };
}

interface Pace {
  readonly periodMs: number;
  readonly otherPeriodMs: number;
  readonly writesPerSecond: number;
}

/** Of several ways in the first has half of the writes, the others share the other half. Who names a period chooses the first one's. */
function paceOf(period: string | undefined, ways: number): Pace {
  const several = ways > 1;
  const periodMs = period === undefined ? (1_000 / WRITES_PER_SECOND) * (several ? 2 : 1) : duration('--period', period, 1, 60_000);
  return {
    periodMs,
    otherPeriodMs: periodMs * Math.max(1, ways - 1),
    writesPerSecond: Number(((1_000 / periodMs) * (several ? 2 : 1)).toPrecision(3)),
  };
}

/** What is left for the streams once every node has its sampler's connection. */
function streamConnections(connections: number, ways: number, nodes: number, readOnly: boolean): number {
  const kinds = readOnly ? 1 : 2;
  const least = (ways - 1) * kinds * OTHER_CONNECTIONS + kinds + nodes;
  if (connections < least)
    throw new GamedayError(
      'setting_invalid',
      `${ways} ways in and ${nodes} nodes need up to ${least} connections, ${connections} are allowed`,
      `allow them with --connections ${least}, or name fewer.`,
    );
  return connections - nodes;
}

function settingsOf(given: {
  readonly readOnly: boolean;
  readonly pace: Pace;
  readonly forMs: number;
  readonly connectTimeoutMs: number | null;
  readonly maxConnections: number;
}): ProbeSettings {
  const { periodMs, otherPeriodMs } = given.pace;
  return {
    periodMs,
    writeStreams: given.readOnly ? 0 : 1,
    readStreams: 1,
    paths: [],
    naive: false,
    otherPeriodMs,
    maxConnections: given.maxConnections,
    clientDeadlineMs: 2_000,
    connectTimeoutMs: given.connectTimeoutMs ?? 2_000,
    statementTimeoutMs: 2_000,
    minWritesDue: Math.max(10, Math.min(100, Math.floor((0.8 * given.forMs) / periodMs))),
  };
}

function objectivesOf({ rto, rpo }: ObserveOptions, readOnly: boolean): Objective[] {
  const base = { step: null, source: null, approver: null };
  if (rpo !== undefined && readOnly) throw usage('--rpo needs writes, and --read-only makes none');
  const found: Objective[] = [];
  if (rto !== undefined) found.push({ name: 'rto', target: duration('--rto', rto, 0, MAX_FOR_MS), unit: 'ms', ...base });
  if (rpo !== undefined) {
    const target = parseTransactions(/^[0-9]+$/.test(rpo) ? `${rpo} tx` : rpo) ?? unreadable('--rpo', rpo, '0 or `12 tx`');
    found.push({ name: 'rpo_transactions', target, unit: 'tx', ...base });
  }
  return found;
}
