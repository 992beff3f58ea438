/**
 * From pg_auto_failover's monitor to a formation: its tables `pgautofailover.formation` and `pgautofailover.node`, 1.4 to 2.2, as role `autoctl_node`
 * may read them. Reads only; with a login for the nodes each server is asked as well, for where its files are.
 */
import { GamedayError, messageOf } from '../../core/errors';
import type { HostPort } from '../../model/target';
import { WRITING } from '../controllers/pg-auto-failover-monitor';
import { withSql } from '../sql';
import { askServer, explained, type ServerFacts } from './ask-server';
import { plainName, type Found, type FoundNode, type Login } from './found';
import { isLocalAddress } from './look-local';

type Row = { readonly [column: string]: unknown };

export interface MonitorAnswers {
  /** Rows of `pgautofailover.formation`. */
  readonly formations: readonly Row[];
  /** Rows of `pgautofailover.node`. */
  readonly nodes: readonly Row[];
}

/** Whole rows as JSON: which columns there are changed from version to version. The system identifier as text, for a JSON number would lose digits. */
const FORMATIONS = `SELECT row_to_json(f)::text AS row FROM pgautofailover.formation f ORDER BY f.formationid`;
const NODES = `SELECT (to_jsonb(n) || jsonb_build_object('sysidentifier', to_jsonb(n) ->> 'sysidentifier'))::text AS row FROM pgautofailover.node n ORDER BY n.nodeid`;

/** Throws `database_unreachable`, and `setting_invalid` where the server is no monitor or has no such formation. */
export async function discoverByMonitor(monitor: HostPort, login: Login, formation: string | null, nodes: Login | null): Promise<Found> {
  const answers = await askMonitor(monitor, login);
  const found = readMonitor(monitor, login, answers, formation);
  if (nodes === null) return found;
  const servers = await Promise.all(
    found.nodes.map(async ({ host, port }) => (host === null ? 'no address' : askServer(host, port ?? 5432, nodes).catch(messageOf))),
  );
  return withServers(found, servers);
}

async function askMonitor({ host, port }: HostPort, login: Login): Promise<MonitorAnswers> {
  try {
    return await withSql(
      { host, port, ...login },
      async (sql) => {
        const rows = async (text: string): Promise<Row[]> => (await sql.query(text)).map(({ row }) => JSON.parse(row ?? '{}') as Row);
        return { formations: await rows(FORMATIONS), nodes: await rows(NODES) };
      },
      { connectTimeoutMs: 3_000, queryTimeoutMs: 5_000, applicationName: 'gameday discover' },
    );
  } catch (error) {
    const state = (error as { code?: unknown }).code;
    if (!(error instanceof GamedayError) && (state === '42P01' || state === '3F000'))
      throw new GamedayError(
        'setting_invalid',
        `${host}:${port}/${login.database} is no monitor of pg_auto_failover: ${messageOf(error)}`,
        '`pg_autoctl show uri --monitor` prints the monitor’s DSN; its database is called pg_auto_failover.',
        { cause: error },
      );
    throw explained(error, login);
  }
}

const textOf = (row: Row, column: string): string | null => {
  const value = row[column];
  return typeof value === 'string' || typeof value === 'number' ? String(value) : null;
};

/** What the monitor's rows say. Pure, for recorded rows. */
export function readMonitor(
  monitor: HostPort,
  login: Pick<Login, 'user' | 'database'>,
  { formations, nodes }: MonitorAnswers,
  wanted: string | null,
): Found {
  const names = formations.map((row) => textOf(row, 'formationid') ?? '');
  const name = wanted ?? (names.includes('default') ? 'default' : names[0]) ?? 'default';
  const formation = formations.find((row) => row['formationid'] === name);
  if (formation === undefined)
    throw new GamedayError(
      'setting_invalid',
      `the monitor has no formation ${name}`,
      `its formations are ${names.join(', ') || 'none'}; name one with --formation.`,
    );
  const members = nodes.filter((row) => row['formationid'] === name && row['goalstate'] !== 'dropped');
  if (members.length === 0)
    throw new GamedayError('setting_invalid', `formation ${name} has no nodes`, 'register the nodes first (`pg_autoctl create postgres`).');
  const systems = [
    ...new Set(
      members.flatMap((row) => (typeof row['sysidentifier'] === 'string' && row['sysidentifier'] !== '0' ? row['sysidentifier'] : [])),
    ),
  ];
  const sync = Number(formation['number_sync_standbys'] ?? 0);
  const quorum = members.filter(
    (row) => row['replicationquorum'] !== false && !WRITING.includes(textOf(row, 'reportedstate') ?? ''),
  ).length;
  return {
    source: `the monitor at ${monitor.host}:${monitor.port}`,
    suggestedName: plainName(name === 'default' ? null : name),
    systemIdentifier: systems.length === 1 ? (systems[0] ?? null) : null,
    controller: {
      kind: 'pg-auto-failover',
      formation: name,
      syncStandbys: Math.min(sync, members.length - 1),
      monitor: { ...monitor, database: login.database, user: login.user },
    },
    nodes: nameMembers(members),
    entry: null,
    replicateUser: 'pgautofailover_replicator',
    archive: null,
    notes: [
      `number_sync_standbys is ${sync}${sync === 0 && quorum > 0 ? ': while a standby of the quorum is healthy commits wait for one all the same, and for none once it is lost' : ''}.`,
      ...(formation['kind'] === 'citus'
        ? ['It is a Citus formation: gameday drills one group of nodes, not coordinator and workers together.']
        : []),
    ],
  };
}

function nameMembers(members: readonly Row[]): FoundNode[] {
  const plain = members.map((row) => plainName(textOf(row, 'nodename')));
  const usable = plain.every((name) => name !== null) && new Set(plain).size === plain.length;
  return members.map((row, at) => {
    const state = textOf(row, 'reportedstate') ?? 'unknown';
    // Before 1.4 the node's name was its address.
    const host = textOf(row, 'nodehost') ?? textOf(row, 'nodename');
    return {
      name: (usable ? plain[at] : null) ?? `n${at + 1}`,
      host,
      hostGuess: null,
      port: Number(row['nodeport'] ?? 5432),
      role: WRITING.includes(state) ? 'primary' : state === 'unknown' ? 'unknown' : 'standby',
      local: host !== null && isLocalAddress(host),
      dataDir: null,
      binDir: null,
      logFile: null,
      osUser: null,
      api: null,
      upstream: null,
      problem: row['health'] === 0 ? `the monitor calls it unhealthy, in state ${state}` : null,
    };
  });
}

function withServers(found: Found, servers: readonly (ServerFacts | string)[]): Found {
  const facts = servers.filter((each): each is ServerFacts => typeof each !== 'string');
  const systems = [...new Set(facts.flatMap(({ systemIdentifier }) => systemIdentifier ?? []))];
  return {
    ...found,
    systemIdentifier: systems.length === 1 ? (systems[0] ?? null) : found.systemIdentifier,
    archive: facts.find(({ archive }) => archive !== null)?.archive ?? null,
    nodes: found.nodes.map((node, at) => {
      const server = servers[at];
      if (server === undefined || typeof server === 'string') return { ...node, problem: server ?? node.problem };
      const { dataDir, binDir, logFile, osUser } = server;
      return { ...node, dataDir, binDir, logFile, osUser };
    }),
  };
}
