/**
 * The lab's shape as data: addresses, links, and the target that describes it. A function of home, network and tools; touches nothing.
 * Every path between two parties runs through a link of its own.
 */
import { join } from 'node:path';
import { GamedayError } from '../../core/errors';
import { packageRoot } from '../../core/files';
import { homePaths } from '../../core/home';
import { MONITOR, type Target, type TargetLink, type TargetNode, type TargetService } from '../../model/target';
import type { Address } from './ports';
import type { Replication } from './replication';

export const LAB_SITE = 'lab';
export const DEFAULT_NET = '127.0.1';
export const BUCKET = 'gameday-lab';
export const NODE_NAMES = ['n1', 'n2', 'n3'] as const;
/** Nodes of any topology. */
export const ALL_NODE_NAMES = [...NODE_NAMES, 'n4'] as const;
export const LAB_FAULTS = [
  'noop',
  'link-latency',
  'link-cut',
  'link-bandwidth',
  'link-reset',
  'link-drip',
  'link-flap',
  'process-kill',
  'process-freeze',
  'process-restart',
  'service-kill',
  'service-freeze',
  'host-stop',
  'host-net-cut',
  'container-pause',
  'container-disconnect',
  'sync-standby-loss',
  'promote-behind-back',
  'automation-paused',
  'drop-table',
  'clock-skew',
  'cpu-starved',
  'disk-full',
  'disk-slow',
  'memory-starved',
  'page-corrupt',
  'connections-exhausted',
  'connection-storm',
  'long-transaction',
  'lock-held',
  'mass-update',
  'slot-bloat',
  'credentials-rotated',
  'archive-unavailable',
  'archive-object-lost',
  'archive-object-corrupt',
  'archive-emptied',
] as const;
/** Faults that start a server in an environment or a role of their own: beside an agent nobody else starts one. */
export const NOT_UNDER_AGENTS: readonly string[] = ['clock-skew', 'page-corrupt', 'process-restart', 'promote-behind-back'];
export const TOPOLOGIES = ['standalone', 'cascade', 'patroni', 'patroni-cascade', 'pg-auto-failover'] as const;
export type Topology = (typeof TOPOLOGIES)[number];
/** Those whose nodes come up by an agent beside each server; in the others gameday's own runbook is the controller. */
export type AgentTopology = Exclude<Topology, 'standalone' | 'cascade'>;
export const isPatroni = (topology: Topology): topology is 'patroni' | 'patroni-cascade' =>
  topology === 'patroni' || topology === 'patroni-cascade';
export const hasAgents = (topology: Topology): topology is AgentTopology => isPatroni(topology) || topology === 'pg-auto-failover';
const isCascade = (topology: Topology): boolean => topology === 'cascade' || topology === 'patroni-cascade';
export const nodeNames = (topology: Topology): readonly string[] => (isCascade(topology) ? ALL_NODE_NAMES : NODE_NAMES);

/**
 * Two sites, and one connection between them:
 *
 *   a: n1 ──► n2        n1 is where the primary is made
 *      └───────────► b: n3 ──► n4
 */
const CASCADE: Readonly<Record<string, Pick<TargetNode, 'site' | 'upstream'>>> = {
  n1: { site: 'a' },
  n2: { site: 'a' },
  n3: { site: 'b' },
  n4: { site: 'b', upstream: 'n3' },
};
/** Standbys that stream from a primary, wherever it was made: those that can confirm its commits. */
export const confirmingStandbys = (topology: Topology): number =>
  nodeNames(topology).length -
  1 -
  (isCascade(topology) ? Object.values(CASCADE).filter(({ upstream }) => upstream !== undefined).length : 0);
/** Where a lab's servers run. */
export const RUNTIMES = ['process', 'docker'] as const;
export type Runtime = (typeof RUNTIMES)[number];
export const DCS_NAMES = ['e1', 'e2', 'e3'] as const;
const PG_PORT = 5432;
export const DCS_PORT = 2379;
export const DCS_PEER_PORT = 2380;
export const PATRONI_PORT = 8008;
const S3_PORT = 7070;

export interface LabPlan {
  readonly home: string;
  /** Real path of the lab's directory. */
  readonly lab: string;
  /** First three numbers of the lab's addresses. */
  readonly net: string;
  readonly topology: Topology;
  readonly replication: Replication;
  readonly syncStandbys: number;
  /** Owner of the servers; null: whoever runs gameday. */
  readonly user: string | null;
  readonly postgresBin: string;
  /** Size of each node's own disk; null: nodes live on the machine's. */
  readonly nodeDiskBytes: number | null;
  /** Each node of a Patroni lab has a watchdog that resets it. */
  readonly watchdog: boolean;
}

export interface LabAddresses {
  readonly entry: string;
  readonly router: string;
  readonly pooler: string;
  readonly toxiproxy: string;
  readonly s3: string;
  /** HAProxy in front of S3, on the nodes' way there. */
  readonly s3Gate: string;
  readonly temporal: string;
  readonly node: (name: string) => string;
  readonly dcs: (name: string) => string;
  /** pg_auto_failover's monitor. */
  readonly monitor: string;
  /** Where `from` finds `to`, by the port that PostgreSQL itself listens on: an address for each ordered pair of nodes, or of a node and the monitor. */
  readonly pair: (from: string, to: string) => string;
}

/** Throws `setting_invalid` unless `net` is the beginning of a loopback network, e.g. 127.0.9. */
export function checkNet(net: string): string {
  const match = /^127\.([0-9]{1,3})\.([0-9]{1,3})$/.exec(net);
  if (match === null || Number(match[1]) > 255 || Number(match[2]) > 255) {
    throw new GamedayError(
      'setting_invalid',
      `network "${net}" is not the beginning of a loopback network`,
      'write three numbers of which the first is 127, e.g. 127.0.9.',
    );
  }
  return net;
}

/** Whose ordered pairs have addresses of their own: by their place here, so that none may move. */
const PARTIES: readonly string[] = [...NODE_NAMES, MONITOR, 'n4'];
const at = (names: readonly string[], name: string): number => names.indexOf(name);

export function labAddresses(net: string): LabAddresses {
  return {
    entry: `${net}.10`,
    router: `${net}.20`,
    toxiproxy: `${net}.30`,
    s3: `${net}.40`,
    s3Gate: `${net}.41`,
    pooler: `${net}.50`,
    temporal: '127.0.0.1',
    node: (name) => `${net}.${11 + at(ALL_NODE_NAMES, name)}`,
    dcs: (name) => `${net}.${61 + at(DCS_NAMES, name)}`,
    monitor: `${net}.70`,
    pair: (from, to) => `${net}.${100 + 10 * (1 + at(PARTIES, from)) + 1 + at(PARTIES, to)}`,
  };
}

export const ROUTER_PORT = PG_PORT;
export const TOXIPROXY_PORT = 8474;
export const POOLER_PORT = 6432;
/**
 * Temporal's dev server must listen on 127.0.0.1: its own services call each other there whatever `--ip` says (CLI 1.5.1, devserver/server.go).
 * So labs are told apart by port: the well-known pair for the default network, a pair of its own for every other.
 */
export function temporalPorts(net: string): { readonly grpc: number; readonly ui: number } {
  if (net === DEFAULT_NET) return { grpc: 7233, ui: 8233 };
  const [, second = 0, third = 0] = net.split('.').map(Number);
  const grpc = 20_000 + 2 * ((second * 256 + third) % 6_000);
  return { grpc, ui: grpc + 1 };
}

/** The static links: client→router, standby→primary for every ordered pair, node→S3, under Patroni node→etcd, under pg_auto_failover node↔monitor. */
export function labLinks(net: string, topology: Topology = 'standalone'): readonly TargetLink[] {
  const at = labAddresses(net);
  const link = (
    from: string,
    to: string,
    listenHost: string,
    listenPort: number,
    upstreamHost: string,
    upstreamPort: number,
  ): TargetLink => ({
    name: `${from}-${to}`,
    from,
    to,
    listenHost,
    listenPort,
    upstreamHost,
    upstreamPort,
    speaks: to === 's3' || (DCS_NAMES as readonly string[]).includes(to) ? 'http' : 'postgresql',
  });
  const names = nodeNames(topology);
  const pairs = names.flatMap((from) =>
    names.flatMap((to, index) => {
      if (from === to) return [];
      // Controllers publish one name and one port of each member; who looks the name up finds the link's address.
      return hasAgents(topology)
        ? [link(from, to, at.pair(from, to), PG_PORT, at.node(to), PG_PORT)]
        : [link(from, to, at.node(from), 6001 + index, at.node(to), PG_PORT)];
    }),
  );
  const dcs = names.flatMap((from) =>
    DCS_NAMES.map((to, index) => link(from, to, at.node(from), DCS_PORT + 10_001 + index, at.dcs(to), DCS_PORT)),
  );
  const monitor = NODE_NAMES.flatMap((node) => [
    link(node, MONITOR, at.pair(node, MONITOR), PG_PORT, at.monitor, PG_PORT),
    link(MONITOR, node, at.pair(MONITOR, node), PG_PORT, at.node(node), PG_PORT),
  ]);
  return [
    link('client', 'router', at.entry, PG_PORT, at.router, ROUTER_PORT),
    ...pairs,
    ...names.map((from) => link(from, 's3', at.node(from), S3_PORT, at.s3Gate, S3_PORT)),
    ...(isPatroni(topology) ? dcs : []),
    ...(topology === 'pg-auto-failover' ? monitor : []),
  ];
}

/** Where the lab's own Temporal listens. */
export function temporalAddresses(net: string): readonly Address[] {
  const { grpc, ui } = temporalPorts(net);
  const { temporal: host } = labAddresses(net);
  return [
    { host, port: grpc, use: 'Temporal' },
    { host, port: ui, use: 'Temporal’s UI' },
  ];
}

/** Every address on which something of the lab listens. */
export function allAddresses(net: string, topology: Topology = 'standalone'): readonly Address[] {
  const at = labAddresses(net);
  return [
    ...temporalAddresses(net),
    { host: at.s3, port: S3_PORT, use: 'S3' },
    { host: at.s3Gate, port: S3_PORT, use: 'the gate before S3' },
    { host: at.toxiproxy, port: TOXIPROXY_PORT, use: 'Toxiproxy' },
    { host: at.router, port: ROUTER_PORT, use: 'router' },
    { host: at.pooler, port: POOLER_PORT, use: 'pooler' },
    ...nodeNames(topology).map((name) => ({ host: at.node(name), port: PG_PORT, use: `node ${name}` })),
    ...(isPatroni(topology)
      ? [
          ...nodeNames(topology).map((name) => ({ host: at.node(name), port: PATRONI_PORT, use: `Patroni of ${name}` })),
          ...DCS_NAMES.flatMap((name) => [DCS_PORT, DCS_PEER_PORT].map((port) => ({ host: at.dcs(name), port, use: `etcd ${name}` }))),
        ]
      : []),
    ...(topology === 'pg-auto-failover' ? [{ host: at.monitor, port: PG_PORT, use: 'monitor of pg_auto_failover' }] : []),
    ...labLinks(net, topology).map((link) => ({ host: link.listenHost, port: link.listenPort, use: `link ${link.name}` })),
  ];
}

export const gateMap = (lab: string): string => join(lab, 'haproxy', 's3-gate.map');
export const secretFile = (lab: string, name: string): string => join(lab, 'secrets', name);
/** Where Patroni feeds the watchdog of its node. */
export const watchdogPipe = (lab: string, name: string): string => join(lab, 'patroni', `${name}.watchdog`);
export const watchdogChild = (name: string): string => `watchdog-${name}`;
export const patroniFile = (lab: string, name: string): string => join(lab, 'patroni', `${name}.yml`);
/** Directory of what pg_auto_failover keeps of a node or its monitor; the monitor's cluster is in there too. */
export const keeperDir = (lab: string, name: string): string => join(lab, 'pg-auto-failover', name);
/** Children of the supervisor that are a node's agent. */
export const agentChild = (topology: AgentTopology, name: string): string => `${isPatroni(topology) ? 'patroni' : 'pgaf'}-${name}`;
export const nodeDir = (lab: string, name: string): string => join(lab, 'nodes', name);
export const etcdDir = (lab: string, name: string): string => join(lab, 'etcd', name);
export const etcdChild = (name: string): string => `etcd-${name}`;
/** Children of the supervisor that are services of the target; the others are called as the target calls them. */
export const serviceOfChild = (child: string): string => DCS_NAMES.find((name) => etcdChild(name) === child) ?? child;

const childCommand = (home: string, ...words: readonly string[]): readonly string[] => [
  process.execPath,
  join(packageRoot(), 'dist', 'infra', 'supervisor', 'restart-child.js'),
  '--home',
  home,
  ...words,
];

/** Found by its whole command line: no file that could name another process by now. */
function labAgent({ topology, lab, home }: LabPlan, name: string): TargetNode['agent'] {
  if (!hasAgents(topology)) return null;
  const line = isPatroni(topology)
    ? `^[^ ]*/python3 [^ ]*/patroni ${patroniFile(lab, name)}$`
    : `^/usr/bin/pg_autoctl create postgres --pgdata ${join(nodeDir(lab, name), 'data')} `;
  return {
    find: ['pgrep', '-o', '-f', line],
    start: childCommand(home, agentChild(topology, name)),
    logFile: join(homePaths(home).logs, `${agentChild(topology, name)}.log`),
  };
}

function labNode(plan: LabPlan, name: string): TargetNode {
  return {
    name,
    host: labAddresses(plan.net).node(name),
    port: PG_PORT,
    dataDir: join(nodeDir(plan.lab, name), 'data'),
    binDir: plan.postgresBin,
    osUser: plan.user,
    runsOn: { kind: 'local' },
    agent: labAgent(plan, name),
    logFile: join(nodeDir(plan.lab, name), 'postgresql.log'),
    ...(isCascade(plan.topology) ? CASCADE[name] : {}),
  };
}

function labController({ lab, net, topology, replication, syncStandbys }: LabPlan): Target['controller'] {
  if (!hasAgents(topology)) {
    const order = replication === 'sync' ? ({ syncOrder: 'first' } as const) : {};
    return { kind: 'standalone', stateDir: join(lab, 'controller'), syncStandbys, ...order };
  }
  const at = labAddresses(net);
  if (topology === 'pg-auto-failover')
    return {
      kind: 'pg-auto-failover',
      syncStandbys,
      formation: 'default',
      monitor: { host: at.monitor, port: PG_PORT, database: 'pg_auto_failover', user: 'autoctl_node', password: null },
    };
  return {
    kind: 'patroni',
    scope: 'gameday-lab',
    syncStandbys,
    api: Object.fromEntries(nodeNames(topology).map((name) => [name, `http://${at.node(name)}:${PATRONI_PORT}`])),
    auth: { user: 'gameday', password: `file:${secretFile(lab, 'patroni-api')}` },
    dcs: DCS_NAMES.map((name) => ({ name, host: at.dcs(name), port: DCS_PORT })),
  };
}

/** What a drill may kill beside the nodes. Found by its whole command line, as agents are. */
function labServices({ lab, net, home, topology }: LabPlan): readonly TargetService[] {
  const at = labAddresses(net);
  const service = (
    name: string,
    child: string,
    kind: TargetService['kind'],
    address: Pick<TargetService, 'host' | 'port'>,
    line: string,
  ): TargetService => ({
    name,
    kind,
    ...address,
    runsOn: { kind: 'local' },
    osUser: null,
    find: ['pgrep', '-o', '-f', line],
    start: childCommand(home, '--only-if-down', child),
    leaveDown: childCommand(home, '--never', child),
  });
  const members = DCS_NAMES.map((name) =>
    service(
      name,
      etcdChild(name),
      'dcs',
      { host: at.dcs(name), port: DCS_PORT },
      `^[^ ]*etcd --name ${name} --data-dir ${etcdDir(lab, name)} `,
    ),
  );
  return [
    ...(isPatroni(topology) ? members : []),
    service(
      'haproxy',
      'haproxy',
      'router',
      { host: at.router, port: ROUTER_PORT },
      `^[^ ]*haproxy -db -f ${join(lab, 'haproxy', 'haproxy.cfg')}$`,
    ),
    service(
      'pgbouncer',
      'pgbouncer',
      'pooler',
      { host: at.pooler, port: POOLER_PORT },
      `^[^ ]*pgbouncer ${join(lab, 'pgbouncer', 'pgbouncer.ini')}$`,
    ),
  ];
}

/** The target `lab`. Its system identifier is PostgreSQL's, known only after the cluster was made; `0` until then. */
export function labTarget(plan: LabPlan, systemIdentifier: string): Target {
  const { lab, net, home } = plan;
  const at = labAddresses(net);
  const services = labServices(plan);
  const names = nodeNames(plan.topology);
  const role = (user: string): { readonly user: string; readonly password: string } => ({
    user,
    password: `file:${secretFile(lab, user)}`,
  });
  return {
    name: 'lab',
    kind: 'lab',
    systemIdentifier,
    site: LAB_SITE,
    controller: labController(plan),
    nodes: names.map((name) => labNode(plan, name)),
    links: {
      api: `http://${at.toxiproxy}:${TOXIPROXY_PORT}`,
      restart: childCommand(home, 'toxiproxy'),
      list: labLinks(net, plan.topology),
    },
    router: { kind: 'haproxy', socket: join(lab, 'haproxy', 'run.sock'), backend: 'postgres', stateFile: join(lab, 'haproxy', 'state') },
    entry: { host: at.entry, port: PG_PORT, database: 'gameday' },
    paths: [
      { name: 'pooler', kind: 'pooler', hosts: [{ host: at.pooler, port: POOLER_PORT }], database: 'gameday' },
      { name: 'direct', kind: 'direct', hosts: names.map((node) => ({ host: at.node(node), port: PG_PORT })), database: 'gameday' },
    ],
    services,
    archive: {
      kind: 'native',
      endpoint: `http://${at.s3}:${S3_PORT}`,
      region: 'us-east-1',
      bucket: BUCKET,
      prefix: 'archive/lab',
      accessKey: `file:${secretFile(lab, 's3-access-key')}`,
      secretKey: `file:${secretFile(lab, 's3-secret-key')}`,
      spoolDir: join(lab, 'spool'),
      gate: { socket: join(lab, 'haproxy', 'run.sock'), map: gateMap(lab) },
    },
    roles: {
      operate: role('gameday_operate'),
      observe: role('gameday_observe'),
      probe: role('gameday_probe'),
      replicate: role('gameday_replicate'),
    },
    sandbox: { dir: join(lab, 'sandbox'), osUser: plan.user, binDir: plan.postgresBin },
    policy: {
      allowFaults: hasAgents(plan.topology) ? LAB_FAULTS.filter((name) => !NOT_UNDER_AGENTS.includes(name)) : LAB_FAULTS,
      acceptDataLoss: true,
      maxNodesAtOnce: names.length + services.length,
      allowQuorumLoss: true,
      approvers: null,
      maxFaultMs: 3_600_000,
      maxDrillMs: 4 * 3_600_000,
      maxArchiveAgeMs: 5 * 60_000,
      minFreeDiskBytes: 512 * 1024 ** 2,
    },
    runDir: homePaths(home).run,
    labels: { service: 'gameday lab' },
  };
}
