/** What of the lab runs, where, and where its logs are. Reads only, within seconds, whatever is down. */
import { existsSync, realpathSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { messageOf } from '../../core/errors';
import { readJsonFile } from '../../core/files';
import { homePaths } from '../../core/home';
import { isAlive } from '../../core/process';
import type { CheckResult } from '../../model/record';
import type { Target } from '../../model/target';
import { openTarget } from '../../targets/open-target';
import { openSupervisorClient } from '../supervisor/client';
import type { SupervisorState } from '../supervisor/contract';
import { DOCKER_SERVICES, labContainers } from './docker-lab';
import { containerOf } from './docker-topology';
import { readLabFile, readLabTarget, targetPath, type LabFile } from './lab-file';
import { patroniWords } from './patroni-program';
import { MONITOR_CHILD } from './pg-auto-failover';
import { chooseReplication, type LabReplication } from './replication';
import {
  agentChild,
  DCS_NAMES,
  etcdChild,
  DCS_PORT,
  labAddresses,
  ALL_NODE_NAMES,
  confirmingStandbys,
  hasAgents,
  isPatroni,
  nodeNames,
  PATRONI_PORT,
  POOLER_PORT,
  ROUTER_PORT,
  temporalPorts,
  TOXIPROXY_PORT,
  watchdogChild,
} from './topology';

export interface LabServerStatus {
  readonly name: string;
  readonly running: boolean;
  readonly pid: number | null;
  /** Where it listens; null for what listens on no network address. */
  readonly address: string | null;
  readonly restarts: number;
  readonly lastEnd: string | null;
  readonly logFile: string;
}

export interface LabNodeStatus {
  readonly name: string;
  readonly running: boolean;
  readonly pid: number | null;
  readonly address: string;
  readonly role: 'primary' | 'standby' | 'fenced or waiting' | 'down';
  readonly timeline: number | null;
  readonly lsn: string | null;
  readonly streamingFrom: string | null;
  readonly logFile: string;
  readonly error: string | null;
}

export interface LabStatus {
  readonly home: string;
  /** Null when no lab was made here. */
  readonly net: string | null;
  /** Supervisor, every server and every node run, and exactly one node is primary; services for clusters of one's own have no nodes. */
  readonly up: boolean;
  readonly supervisor: LabServerStatus;
  readonly servers: readonly LabServerStatus[];
  readonly nodes: readonly LabNodeStatus[];
  readonly routed: readonly string[];
  /** Which Patroni it was made with; null for a lab of another kind, of containers, or made before there was a choice. */
  readonly patroni: string | null;
  /** For whom commits wait; null without a cluster. */
  readonly replication: LabReplication | null;
  readonly syncStandbys: number | null;
  readonly archive: readonly CheckResult[];
  readonly temporalUi: string | null;
  readonly entry: { readonly host: string; readonly port: number } | null;
}

/** As the file says it, else as labs were made before there was a choice. */
function replicationOf(file: LabFile): LabReplication | null {
  if (file.topology === 'none') return null;
  const { topology = 'standalone', patroni, replication, syncStandbys } = file;
  if (replication !== undefined) return { replication, syncStandbys };
  return chooseReplication({ topology, patroni: patroni?.version ?? null, standbys: confirmingStandbys(topology), before: file });
}

/** gameday's own processes beside a lab in containers. */
const OWN = ['guardian', 'worker'];
const SERVERS = ['temporal', 's3', 'toxiproxy', 'haproxy', 'pgbouncer', 'archiver', 'guardian', 'worker'];

function serversOf({ topology = 'standalone', temporalUi, watchdog = false }: LabFile): readonly string[] {
  // Temporal's pages are known where Temporal is ours.
  if (topology === 'none') return temporalUi === null ? OWN : ['temporal', ...OWN];
  if (!hasAgents(topology)) return SERVERS;
  const names = nodeNames(topology);
  const keepers = isPatroni(topology) ? DCS_NAMES.map(etcdChild) : [MONITOR_CHILD];
  const watchdogs = watchdog ? names.map(watchdogChild) : [];
  return [...SERVERS, ...keepers, ...watchdogs, ...names.map((name) => agentChild(topology, name))];
}

function addressOf(name: string, net: string): string | null {
  const at = labAddresses(net);
  const known: Readonly<Record<string, string>> = {
    temporal: `${at.temporal}:${temporalPorts(net).grpc}`,
    s3: `${at.s3}:7070`,
    toxiproxy: `${at.toxiproxy}:${TOXIPROXY_PORT}`,
    haproxy: `${at.router}:${ROUTER_PORT}`,
    pgbouncer: `${at.pooler}:${POOLER_PORT}`,
    ...Object.fromEntries(DCS_NAMES.map((each) => [etcdChild(each), `${at.dcs(each)}:${DCS_PORT}`])),
    ...Object.fromEntries(ALL_NODE_NAMES.map((each) => [agentChild('patroni', each), `${at.node(each)}:${PATRONI_PORT}`])),
    [MONITOR_CHILD]: `${at.monitor}:5432`,
  };
  return known[name] ?? null;
}

/** From the supervisor if it answers, otherwise from what it wrote last, checked against the process table. */
async function readServers(
  home: string,
  net: string,
  expected: readonly string[],
): Promise<{ readonly supervisorPid: number | null; readonly servers: readonly LabServerStatus[] }> {
  const { run: runDir, logs } = homePaths(home);
  const answer = await openSupervisorClient(runDir)
    .status()
    .catch(() => null);
  const recorded = readJsonFile<SupervisorState>(join(runDir, 'supervisor.json'))?.children ?? [];
  const fallback = recorded.map(({ spec, process: id, restarts, lastEnd }) => ({
    name: spec.name,
    running: id !== null && isAlive(id),
    pid: id !== null && isAlive(id) ? id.pid : null,
    restarts,
    lastEnd,
    logFile: join(logs, `${spec.name}.log`),
  }));
  const found = (answer?.children ?? fallback).map(({ name, running, pid, restarts, lastEnd, logFile }) => ({
    name,
    running,
    pid,
    restarts,
    lastEnd,
    logFile,
    address: addressOf(name, net),
  }));
  const missing = expected
    .filter((name) => !found.some((each) => each.name === name))
    .map((name) => ({
      name,
      running: false,
      pid: null,
      restarts: 0,
      lastEnd: null,
      logFile: join(logs, `${name}.log`),
      address: addressOf(name, net),
    }));
  // Finished probers are history, not lab.
  const shown = found.filter((each) => each.running || expected.includes(each.name));
  return { supervisorPid: answer?.pid ?? null, servers: [...shown, ...missing] };
}

/** An engine that does not answer runs none of them. */
async function readContainers(docker: NonNullable<LabFile['docker']>): Promise<readonly LabServerStatus[]> {
  const containers = await labContainers(docker).catch(() => new Map<string, never>());
  return DOCKER_SERVICES.map((name) => ({
    name,
    running: containers.get(name)?.running === true,
    pid: null,
    address: containers.get(name)?.status ?? null,
    restarts: 0,
    lastEnd: null,
    logFile: `docker logs ${containerOf(docker.project, name)}`,
  }));
}

async function readNodes(target: Target): Promise<readonly LabNodeStatus[]> {
  const live = openTarget(target);
  const said = await live.controller.status().catch(() => []);
  return Promise.all(
    target.nodes.map(async (node) => {
      const status = said.find((each) => each.node === node.name);
      const postmaster = await live
        .host(node.name)
        .postmaster()
        .catch(() => null);
      const role =
        status?.up !== true
          ? 'down'
          : status.inRecovery === false
            ? 'primary'
            : status.streamingFrom !== null
              ? 'standby'
              : 'fenced or waiting';
      return {
        name: node.name,
        running: postmaster !== null,
        pid: postmaster?.pid ?? null,
        address: `${node.host}:${node.port}`,
        role,
        timeline: status?.timeline ?? null,
        lsn: status?.lsn ?? null,
        streamingFrom: status?.streamingFrom ?? null,
        logFile: node.logFile,
        error: status?.error ?? null,
      } as const;
    }),
  );
}

async function readArchive(target: Target): Promise<readonly CheckResult[]> {
  try {
    return (await openTarget(target).archive?.audit()) ?? [];
  } catch (error) {
    return [{ name: 'archive', ok: false, found: messageOf(error), expected: 'the archive can be read', hint: 'is S3 running?' }];
  }
}

/** State of the lab in `home`; plain data. Never throws for something that is down. */
export async function labStatus(options: { readonly home: string }): Promise<LabStatus> {
  const home = existsSync(options.home) ? realpathSync(resolve(options.home)) : resolve(options.home);
  const supervisorLog = join(homePaths(home).logs, 'supervisor.log');
  const supervisor = (pid: number | null): LabServerStatus => ({
    name: 'supervisor',
    running: pid !== null,
    pid,
    address: null,
    restarts: 0,
    lastEnd: null,
    logFile: supervisorLog,
  });
  const file = readLabFile(home);
  if (file === null) {
    return {
      home,
      net: null,
      up: false,
      supervisor: supervisor(null),
      servers: [],
      nodes: [],
      routed: [],
      patroni: null,
      replication: null,
      syncStandbys: null,
      archive: [],
      temporalUi: null,
      entry: null,
    };
  }
  const { docker } = file;
  const expected = docker === undefined ? serversOf(file) : OWN;
  const { supervisorPid, servers: processes } = await readServers(home, file.net, expected);
  const servers = docker === undefined ? processes : [...processes, ...(await readContainers(docker))];
  const target = existsSync(targetPath(home)) ? readLabTarget(home) : null;
  const [nodes, routed, archive] =
    target === null
      ? [[], [], []]
      : await Promise.all([
          readNodes(target),
          openTarget(target)
            .router.routed()
            .catch(() => []),
          supervisorPid === null ? [] : readArchive(target),
        ]);
  const running = supervisorPid !== null && servers.every((server) => server.running);
  const whole = nodes.length > 0 && nodes.every((node) => node.running) && nodes.filter((node) => node.role === 'primary').length === 1;
  return {
    home,
    net: file.net,
    up: running && (file.topology === 'none' || whole),
    supervisor: supervisor(supervisorPid),
    servers,
    nodes,
    routed,
    patroni: file.patroni === undefined ? null : patroniWords(file.patroni),
    replication: replicationOf(file),
    syncStandbys: file.syncStandbys,
    archive,
    temporalUi: file.temporalUi,
    entry: target === null ? null : { host: target.entry.host, port: target.entry.port },
  };
}
