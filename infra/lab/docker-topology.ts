/**
 * The target of a lab in containers, as data: what docker-compose.yml and infra/docker/toxiproxy-start.sh make, seen by gameday. A function of its
 * arguments; touches nothing.
 */
import { join } from 'node:path';
import { GamedayError } from '../../core/errors';
import { homePaths } from '../../core/home';
import type { Target, TargetLink, TargetNode } from '../../model/target';
import type { Replication } from './replication';
import {
  DCS_NAMES,
  DCS_PORT,
  LAB_FAULTS,
  LAB_SITE,
  labAddresses,
  NODE_NAMES,
  NOT_UNDER_AGENTS,
  PATRONI_PORT,
  POOLER_PORT,
  ROUTER_PORT,
  secretFile,
  TOXIPROXY_PORT,
} from './topology';

export const DEFAULT_DOCKER_NET = '172.30.77';
export const DEFAULT_SOCKET = '/var/run/docker.sock';
/** What everything made for a lab carries, with the project as its value. */
export const LAB_LABEL = 'gameday.lab';
const PG_PORT = 5432;
const HOME_IN_CONTAINER = '/var/lib/postgresql/node';

export interface DockerPlan {
  readonly home: string;
  /** Real path of the lab's directory: secrets, and the router's socket. */
  readonly lab: string;
  /** First three numbers of the network. */
  readonly net: string;
  /** Name of the compose project, and value of the label. */
  readonly project: string;
  /** The engine's. */
  readonly socket: string;
  readonly replication: Replication;
  readonly syncStandbys: number;
}

/** Throws `setting_invalid` unless `net` is the beginning of a private network. */
export function checkDockerNet(net: string): string {
  const numbers = /^(\d{1,3})\.(\d{1,3})\.(\d{1,3})$/.exec(net)?.slice(1).map(Number) ?? [];
  const [first = 0, second = 0] = numbers;
  const isPrivate = first === 10 || (first === 172 && second >= 16 && second <= 31) || (first === 192 && second === 168);
  if (numbers.some((each) => each > 255) || !isPrivate)
    throw new GamedayError(
      'setting_invalid',
      `network "${net}" is not the beginning of a private network`,
      'write the first three numbers of one that nothing else uses here, e.g. 172.30.77.',
    );
  return net;
}

export const dockerTemporal = (net: string): string => `${net}.70:7233`;
export const containerOf = (project: string, service: string): string => `${project}-${service}`;

/** Client→router, standby→primary for every ordered pair, node→etcd. A link to etcd answers at Toxiproxy's own address, by port. */
function dockerLinks(net: string): readonly TargetLink[] {
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
    speaks: (DCS_NAMES as readonly string[]).includes(to) ? 'http' : 'postgresql',
  });
  return [
    link('client', 'router', at.entry, PG_PORT, at.router, ROUTER_PORT),
    ...NODE_NAMES.flatMap((from, row) => [
      ...NODE_NAMES.filter((to) => to !== from).map((to) => link(from, to, at.pair(from, to), PG_PORT, at.node(to), PG_PORT)),
      ...DCS_NAMES.map((to, column) => link(from, to, at.toxiproxy, 1_200 + 10 * (row + 1) + column + 1, at.dcs(to), DCS_PORT)),
    ]),
  ];
}

function dockerNode({ net, socket, project }: DockerPlan, name: string): TargetNode {
  return {
    name,
    host: labAddresses(net).node(name),
    port: PG_PORT,
    dataDir: `${HOME_IN_CONTAINER}/data`,
    binDir: '/usr/lib/postgresql/15/bin',
    osUser: 'postgres',
    runsOn: { kind: 'docker', socket, container: containerOf(project, name) },
    agent: {
      find: ['pgrep', '-o', '-f', '^/usr/bin/python3 /usr/bin/patroni '],
      // The container lives and dies with it: a container that runs has it, or is about to.
      start: ['true'],
      // As infra/docker/node-start.sh has it; the container's own log shows the same lines.
      logFile: `${HOME_IN_CONTAINER}/log/patroni.log`,
    },
    // PostgreSQL's log is its container's.
    logFile: `${HOME_IN_CONTAINER}/postgresql.log`,
  };
}

/** The target `lab` in containers. `systemIdentifier`: `0` until the cluster was made. */
export function dockerTarget(plan: DockerPlan, systemIdentifier: string): Target {
  const { home, lab, net, socket, project, syncStandbys } = plan;
  const at = labAddresses(net);
  const role = (user: string): { readonly user: string; readonly password: string } => ({
    user,
    password: `file:${secretFile(lab, user)}`,
  });
  return {
    name: 'lab',
    kind: 'lab',
    systemIdentifier,
    site: LAB_SITE,
    controller: {
      kind: 'patroni',
      scope: project,
      syncStandbys,
      api: Object.fromEntries(NODE_NAMES.map((name) => [name, `http://${at.node(name)}:${PATRONI_PORT}`])),
      auth: { user: 'gameday', password: `file:${secretFile(lab, 'patroni-api')}` },
      dcs: DCS_NAMES.map((name) => ({ name, host: at.dcs(name), port: DCS_PORT })),
    },
    nodes: NODE_NAMES.map((name) => dockerNode(plan, name)),
    links: {
      api: `http://${at.toxiproxy}:${TOXIPROXY_PORT}`,
      restart: ['docker', '--host', `unix://${socket}`, 'restart', '--time', '1', containerOf(project, 'toxiproxy')],
      list: dockerLinks(net),
    },
    router: { kind: 'haproxy', socket: join(lab, 'router', 'router.sock'), backend: 'postgres', stateFile: join(lab, 'router', 'state') },
    entry: { host: at.entry, port: PG_PORT, database: 'gameday' },
    paths: [
      { name: 'pooler', kind: 'pooler', hosts: [{ host: at.pooler, port: POOLER_PORT }], database: 'gameday' },
      { name: 'direct', kind: 'direct', hosts: NODE_NAMES.map((node) => ({ host: at.node(node), port: PG_PORT })), database: 'gameday' },
    ],
    // The archiver takes files from a node's own spool, and its base backups from this machine's PostgreSQL: neither reaches into a container.
    archive: null,
    sandbox: null,
    roles: {
      operate: role('gameday_operate'),
      observe: role('gameday_observe'),
      probe: role('gameday_probe'),
      replicate: role('gameday_replicate'),
    },
    policy: {
      allowFaults: LAB_FAULTS.filter(
        (name) => !NOT_UNDER_AGENTS.includes(name) && !name.startsWith('archive-') && !name.startsWith('service-'),
      ),
      acceptDataLoss: true,
      maxNodesAtOnce: NODE_NAMES.length,
      allowQuorumLoss: true,
      approvers: null,
      maxFaultMs: 3_600_000,
      maxDrillMs: 4 * 3_600_000,
      maxArchiveAgeMs: 5 * 60_000,
      minFreeDiskBytes: 512 * 1024 ** 2,
    },
    runDir: homePaths(home).run,
    labels: { service: 'gameday lab', runtime: 'docker' },
  };
}
