/**
 * The pg_auto_failover topology of a lab: its monitor and three nodes as supervised pg_autoctl processes, with the files they read. Known traps are solved
 * here: the monitor listens everywhere while it is made (so it is made in a network of its own), pg_autoctl writes settings of its own and copies a node's
 * files to the next (so ours stand beside the data directory), and it wants a shell's HOME and XDG directories.
 */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { GamedayError } from '../../core/errors';
import { writeFileDurably } from '../../core/files';
import { run } from '../../core/process';
import { MONITOR, type Target, type TargetNode } from '../../model/target';
import { accessRules, identRule, nodeSettings, nodeSocketDir } from '../../targets/controllers/standalone-config';
import { withSql } from '../../targets/sql';
import type { ChildSpec } from '../supervisor/contract';
import { withHosts, writeOwn } from './agents';
import { makeServerDir } from './places';
import { agentChild, keeperDir, labAddresses, nodeDir, NODE_NAMES, type LabPlan } from './topology';

const PG_AUTOCTL = '/usr/bin/pg_autoctl';
const PORT = 5432;
const MAKE_MS = 60_000;
const READY_MS = 90_000;
const SHUT_DOWN_MS = 30_000;
/** The monitor's role for health checks, which HAProxy's checks use too: it may connect and nothing else. */
export const CHECK_ROLE = 'pgautofailover_monitor';
/** Faster than its defaults (5 s, 5 s, 2, 2 s, 20 s, 30 s, 10 s). */
const TIMERS = {
  health_check_period: '2s',
  health_check_timeout: '2s',
  health_check_max_retries: '2',
  health_check_retry_delay: '1s',
  node_considered_unhealthy_timeout: '10s',
  primary_demote_timeout: '5s',
  // A lab that comes up takes longer than a primary may be silent.
  startup_grace_period: '20s',
} as const;

/** Path of pg_autoctl; throws `tool_missing` with the command that installs what is not there. */
export function locatePgAutoFailover(postgresBin: string): string {
  const extension = join(postgresBin, '..', 'lib', 'pgautofailover.so');
  for (const path of [PG_AUTOCTL, extension]) {
    if (!existsSync(path))
      throw new GamedayError(
        'tool_missing',
        `pg_auto_failover is not at ${path}`,
        '`apt-get install pg-auto-failover-cli postgresql-15-auto-failover`; set-up does it when it runs as root.',
      );
  }
  return PG_AUTOCTL;
}

export const MONITOR_CHILD = 'pgaf-monitor';

const settingsText = (settings: Readonly<Record<string, string>>): string =>
  `# written by gameday; changed by its next \`lab up\`\n${Object.entries(settings)
    .map(([name, value]) => `${name} = '${value.replaceAll("'", "''")}'\n`)
    .join('')}`;

/** Roles of pg_auto_failover come in without a password, from loopback alone; the lab's own as everywhere. */
function nodeAccess(target: Target): string {
  return `${accessRules(target)}host all ${CHECK_ROLE},pgautofailover_replicator 127.0.0.0/8 trust
host replication pgautofailover_replicator 127.0.0.0/8 trust
host all postgres 127.0.0.0/8 trust
`;
}

/** Beside the data directory, which pg_autoctl fills from another node: included from there by a path that leads each node to its own. */
const INCLUDE = "include_if_exists = '../gameday.conf'\n";

function writeNode(plan: LabPlan, target: Target, node: TargetNode): void {
  const dir = nodeDir(plan.lab, node.name);
  const { parameters, cluster } = nodeSettings(target, node);
  const own = {
    ...parameters,
    ...cluster,
    cluster_name: node.name,
    unix_socket_directories: nodeSocketDir(node),
    hba_file: join(dir, 'pg_hba.conf'),
    ident_file: join(dir, 'pg_ident.conf'),
    // pg_autoctl throws a server's own output away at its next start.
    logging_collector: 'on',
    log_directory: dir,
    log_filename: 'postgresql.log',
    log_rotation_age: '0',
    log_rotation_size: '0',
  };
  writeOwn(join(dir, 'gameday.conf'), settingsText(own), plan.user, 0o600);
  writeOwn(join(dir, 'pg_hba.conf'), nodeAccess(target), plan.user, 0o600);
  writeOwn(join(dir, 'pg_ident.conf'), `${identRule(node)}\n`, plan.user, 0o600);
  makeServerDir(nodeSocketDir(node), plan.user);
}

/** Where a party finds the others: a node its peers and the monitor, the monitor the nodes, each through its link. */
function hostsFile(plan: LabPlan, name: string): string {
  const at = labAddresses(plan.net);
  const own = name === MONITOR ? at.monitor : at.node(name);
  const lines = [...NODE_NAMES, MONITOR].map((other) => `${other === name ? own : at.pair(name, other)} ${other}`);
  return ['127.0.0.1 localhost', ...lines, ''].join('\n');
}

interface Party {
  readonly name: string;
  readonly home: string;
  readonly hosts: string;
  readonly socketDir: string;
}

function prepareParty(plan: LabPlan, name: string, socketDir: string): Party {
  makeServerDir(join(plan.lab, 'pg-auto-failover'), plan.user, 0o700);
  const home = keeperDir(plan.lab, name);
  makeServerDir(home, plan.user, 0o700);
  const hosts = join(home, 'hosts');
  writeOwn(hosts, hostsFile(plan, name), plan.user, 0o644);
  makeServerDir(socketDir, plan.user);
  return { name, home, hosts, socketDir };
}

/** pg_autoctl finds its own files below these, and pg_ctl on the path. Nobody's PGHOST or PGUSER may lead it elsewhere. */
const environmentOf = (plan: LabPlan, { home, socketDir }: Party): Readonly<Record<string, string>> => ({
  HOME: home,
  XDG_CONFIG_HOME: home,
  XDG_DATA_HOME: home,
  XDG_RUNTIME_DIR: home,
  PGHOST: socketDir,
  PATH: `${plan.postgresBin}:/usr/sbin:/usr/bin:/sbin:/bin`,
  LC_ALL: 'C.UTF-8',
});

async function make(what: string, argv: readonly string[], env: Readonly<Record<string, string>>): Promise<void> {
  const result = await run(argv, { timeoutMs: MAKE_MS, env, cwd: '/' });
  if (result.code !== 0)
    throw new GamedayError('lab_failed', `${what} was not made: ${`${result.stdout}${result.stderr}`.trim().slice(-600)}`);
}

async function initialise(plan: LabPlan, party: Party, dataDir: string, more: readonly string[]): Promise<void> {
  if (existsSync(join(dataDir, 'PG_VERSION')) && readFileSync(join(dataDir, 'postgresql.conf'), 'utf8').includes(INCLUDE)) return;
  const argv = [join(plan.postgresBin, 'initdb'), '-D', dataDir, '--encoding=UTF8', '--locale=C.UTF-8', '--auth=trust', ...more];
  await make(`the cluster of ${party.name}`, withHosts(party.hosts, plan.user, argv), environmentOf(plan, party));
  const file = join(dataDir, 'postgresql.conf');
  writeOwn(file, `${readFileSync(file, 'utf8')}\n${INCLUDE}`, plan.user, 0o600);
}

/** The monitor's child. The first time its cluster is made, in a network of its own: until its settings exist it listens on every address. */
export async function monitorServer(plan: LabPlan, program: string): Promise<ChildSpec> {
  const home = keeperDir(plan.lab, MONITOR);
  const party = prepareParty(plan, MONITOR, join(home, 'run'));
  const data = join(home, 'data');
  const env = environmentOf(plan, party);
  const own = { ...TIMERS_BY_NAME, unix_socket_directories: party.socketDir, shared_buffers: '16MB', logging_collector: 'off' };
  writeOwn(join(home, 'gameday.conf'), settingsText(own), plan.user, 0o600);
  const made = join(home, 'made');
  if (!existsSync(made)) {
    await initialise(plan, party, data, []);
    writeOwn(join(data, 'pg_hba.conf'), 'local all all trust\nhost all all 127.0.0.0/8 trust\n', plan.user, 0o600);
    const create = [
      program,
      'create',
      'monitor',
      '--pgdata',
      data,
      '--pgport',
      String(PORT),
      '--hostname',
      MONITOR,
      '--no-ssl',
      '--skip-pg-hba',
    ];
    const apart = [
      'unshare',
      ...(plan.user === null ? ['--user', '--map-root-user'] : []),
      '--net',
      'sh',
      '-c',
      'ip link set lo up && exec "$@"',
      'made',
    ];
    await make('the monitor', [...apart, ...withHosts(party.hosts, plan.user, create)], env);
    const file = join(home, 'pg_autoctl', data, 'pg_autoctl.cfg');
    const listening = readFileSync(file, 'utf8').replace(
      /^listen_addresses\s*=.*$/m,
      `listen_addresses = ${labAddresses(plan.net).monitor}`,
    );
    writeOwn(file, listening, plan.user, 0o644);
    writeFileDurably(made, '');
  }
  return {
    name: MONITOR_CHILD,
    argv: withHosts(party.hosts, plan.user, [program, 'run', '--pgdata', data]),
    env,
    cwd: '/',
    user: null,
    restart: true,
    readyWhen: { kind: 'tcp', host: labAddresses(plan.net).monitor, port: PORT },
    readyTimeoutMs: 30_000,
    stopGraceMs: SHUT_DOWN_MS,
  };
}

const TIMERS_BY_NAME = Object.fromEntries(Object.entries(TIMERS).map(([name, value]) => [`pgautofailover.${name}`, value]));

/** The nodes' agents. Not started again by themselves: what a drill kills stays dead until it is healed. */
export async function keeperServers(plan: LabPlan, target: Target, program: string): Promise<readonly ChildSpec[]> {
  const monitor = `postgres://autoctl_node@${MONITOR}:${PORT}/pg_auto_failover?sslmode=disable`;
  const specs: ChildSpec[] = [];
  for (const [at, node] of target.nodes.entries()) {
    const party = prepareParty(plan, node.name, nodeSocketDir(node));
    writeNode(plan, target, node);
    // The first one's cluster is ours, with checksums; pg_autoctl copies it to the others.
    if (at === 0 && !existsSync(join(node.dataDir, 'PG_VERSION')))
      await initialise(plan, party, node.dataDir, ['--username=postgres', '--data-checksums']);
    const flags = {
      '--pgdata': node.dataDir,
      '--pgport': String(node.port),
      '--listen': node.host,
      '--pghost': party.socketDir,
      '--username': 'postgres',
      '--hostname': node.name,
      '--name': node.name,
      '--monitor': monitor,
    };
    specs.push({
      name: agentChild('pg-auto-failover', node.name),
      argv: withHosts(party.hosts, plan.user, [
        program,
        'create',
        'postgres',
        ...Object.entries(flags).flat(),
        '--no-ssl',
        '--skip-pg-hba',
        '--run',
      ]),
      env: environmentOf(plan, party),
      cwd: '/',
      user: null,
      restart: false,
      readyWhen: { kind: 'tcp', host: node.host, port: node.port },
      readyTimeoutMs: READY_MS,
      stopGraceMs: SHUT_DOWN_MS,
    });
  }
  return specs;
}

/** How many standbys confirm a commit, in the monitor's book; nobody does where no node counts. Idempotent. */
export async function setSyncStandbys(target: Target, syncStandbys: number): Promise<void> {
  if (target.controller.kind !== 'pg-auto-failover') return;
  const { formation, monitor } = target.controller;
  await withSql({ ...monitor, password: null }, async (sql) => {
    const counted = await sql.query(
      `SELECT nodename AS name, replicationquorum::text AS quorum FROM pgautofailover.node WHERE formationid = $1 ORDER BY nodeid`,
      [formation],
    );
    const wanted = String(syncStandbys > 0);
    const setNumber = (): Promise<unknown> =>
      sql.query('SELECT pgautofailover.set_formation_number_sync_standbys($1, $2)', [formation, syncStandbys]);
    const rows = await sql.query('SELECT number_sync_standbys::text AS n FROM pgautofailover.formation WHERE formationid = $1', [
      formation,
    ]);
    const number = Number(rows[0]?.['n']);
    if (number > syncStandbys) await setNumber();
    for (const { name, quorum } of counted)
      if (quorum !== wanted)
        await sql.query('SELECT pgautofailover.set_node_replication_quorum($1, $2, $3)', [formation, name ?? '', wanted]);
    if (number < syncStandbys) await setNumber();
  });
}
