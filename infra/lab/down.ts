/**
 * Takes the lab down and proves that nothing of it runs. Data stays unless `purge` is asked for. Works without a supervisor,
 * and on what a power cut or a kill left; ends only processes that carry this home's mark or work in its data directories.
 */
import { existsSync, realpathSync, rmSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { until } from '../../core/clock';
import { GamedayError } from '../../core/errors';
import { homePaths } from '../../core/home';
import { identify, isAlive, terminate, type ProcessId } from '../../core/process';
import { answers } from '../../core/rpc';
import { stopCluster } from '../../targets/controllers/standalone-cluster';
import { openTarget } from '../../targets/open-target';
import { endChild, markedProcesses } from '../supervisor/children';
import { openSupervisorClient, type SupervisorClient } from '../supervisor/client';
import { dockerDown, dockerPlan } from './docker-lab';
import { readLabFile, readLabTarget, targetPath } from './lab-file';
import { holdLock, LOCK_WAIT_MS } from './lock';
import { unmountNodeDisk } from './node-disks';
import { stopMembers } from './agents';
import { MONITOR_CHILD } from './pg-auto-failover';
import { findLabDir, removeLabData } from './places';
import { describeProcess, labProcesses, mountsBelow, postgresProcesses } from './residue';
import { ALL_NODE_NAMES, hasAgents, nodeDir } from './topology';

const GRACE_MS = 10_000;
/** Needed until the nodes have stopped: a primary archives its last WAL and sends it to its standbys while it shuts down. */
const SERVERS = ['archiver', 'pgbouncer', 'haproxy', 'toxiproxy', 's3', 'temporal'];
/** Agents stop with the nodes, and pg_auto_failover’s monitor behind them; members of etcd with the servers. */
const isServer = (name: string): boolean => SERVERS.includes(name) || /^(etcd|patroni|pgaf|watchdog)-/.test(name);

/** Stops everything of this home. `purge` removes the lab's data, its target file and its leases too; drills and keys are kept. Throws `lab_failed` if something stays. */
export async function labDown(options: {
  readonly home: string;
  readonly purge?: boolean;
  readonly onProgress?: (text: string) => void;
}): Promise<void> {
  if (!existsSync(options.home)) return;
  const home = realpathSync(resolve(options.home));
  const { run: runDir, guardian } = homePaths(home);
  const say = options.onProgress ?? ((): void => undefined);
  const lock = await holdLock(join(runDir, 'lab.lock'), LOCK_WAIT_MS, 'another `gameday lab up` or `down`');
  try {
    const lab = findLabDir(home);
    const supervisor = (await answers(join(runDir, 'supervisor.sock'))) ? openSupervisorClient(runDir) : null;
    if (supervisor !== null || labProcesses(runDir, lab).length > 0) {
      await stopOwn(supervisor, runDir, say);
      await stopNodes(home, lab, supervisor, say);
      await stopServers(supervisor, runDir, say);
    }
    await proveGone(home, lab);
    const before = readLabFile(home);
    if (lab !== null && before?.docker !== undefined) {
      const plan = dockerPlan({ home, lab, net: undefined, socket: undefined, replication: undefined, syncStandbys: undefined, before });
      await dockerDown(plan, { purge: options.purge === true }, say);
    }
    if (options.purge === true) {
      say('removing the lab’s data');
      removeLabData(home);
      rmSync(join(guardian, 'leases'), { recursive: true, force: true });
    }
  } finally {
    await lock.release();
  }
}

/** Worker first, so that nobody asks for anything; then probers; then the guardian. */
async function stopOwn(supervisor: SupervisorClient | null, runDir: string, say: (text: string) => void): Promise<void> {
  if (supervisor === null) {
    for (const id of markedProcesses(runDir).filter(({ name }) => !isServer(name))) await stopMarked(id);
    return;
  }
  const running = (await supervisor.status()).children.filter((child) => child.running).map((child) => child.name);
  const own = running.filter((name) => !isServer(name));
  if (own.length > 0) say(`stopping ${own.join(', ')}`);
  for (const name of ['worker', ...own.filter((each) => each !== 'worker' && each !== 'guardian'), 'guardian']) await supervisor.stop(name);
}

const isPostgres = (argv: readonly string[]): boolean => /(^|\/)postgres(:|$)/.test(argv[0] ?? '');

/** A postmaster that a child started carries its mark; it is stopped as a node, not here. */
async function stopMarked(id: ProcessId & { readonly argv: readonly string[] }): Promise<void> {
  if (isPostgres(id.argv)) return;
  await endChild(id, GRACE_MS);
}

async function stopNodes(
  home: string,
  lab: string | null,
  supervisor: SupervisorClient | null,
  say: (text: string) => void,
): Promise<void> {
  if (lab === null) return;
  if (postgresProcesses(lab).length > 0) say('stopping the nodes');
  const file = readLabFile(home);
  // Containers are stopped by their engine; services without a cluster have no nodes.
  if (file?.docker !== undefined || file?.topology === 'none') return;
  if (hasAgents(file?.topology ?? 'standalone')) await stopAgents(home, supervisor);
  else if (existsSync(targetPath(home))) await stopCluster(openTarget(readLabTarget(home)));
  // Sandboxes, and nodes of a lab that was never finished.
  const rest = postgresProcesses(lab);
  for (const id of rest) await terminate(id, GRACE_MS, 'SIGINT');
}

/** Without a supervisor the agents are asked by a signal, and stop their servers themselves; whoever is left after that is stopped as any server. */
async function stopAgents(home: string, supervisor: SupervisorClient | null): Promise<void> {
  if (supervisor === null) {
    const agents = markedProcesses(homePaths(home).run).filter(({ name, argv }) => /^(patroni|pgaf)-/.test(name) && !isPostgres(argv));
    await Promise.all(agents.map((id) => endChild(id, 3 * GRACE_MS)));
    return;
  }
  const controller = existsSync(targetPath(home)) ? openTarget(readLabTarget(home)).controller : null;
  const leader = (await controller?.topology().catch(() => null))?.primary ?? null;
  await stopMembers(supervisor, leader);
  // It runs a PostgreSQL of its own, and would start it again.
  if ((await supervisor.status()).children.some(({ name, running }) => running && name === MONITOR_CHILD))
    await supervisor.stop(MONITOR_CHILD);
}

async function stopServers(supervisor: SupervisorClient | null, runDir: string, say: (text: string) => void): Promise<void> {
  if (supervisor === null) {
    for (const id of markedProcesses(runDir)) await stopMarked(id);
    return;
  }
  say('stopping the servers');
  const { pid } = await supervisor.status();
  const process = identify(pid);
  // Newest first: the archiver goes before the store it writes to.
  await supervisor.shutdown();
  if (process === null) return;
  await until(() => (isAlive(process) ? null : true), {
    timeoutMs: GRACE_MS,
    onTimeout: () => new GamedayError('lab_failed', `supervisor ${pid} did not end within ${GRACE_MS} ms`),
  });
}

async function proveGone(home: string, lab: string | null): Promise<void> {
  const { run: runDir } = homePaths(home);
  for (const id of labProcesses(runDir, lab)) await terminate(id, 2_000);
  const left = labProcesses(runDir, lab);
  if (left.length > 0)
    throw new GamedayError(
      'lab_failed',
      `still running: ${left.map(describeProcess).join(', ')}`,
      'end these processes, then run `gameday lab down` again.',
    );
  if (lab !== null) for (const name of ALL_NODE_NAMES) await unmountNodeDisk(nodeDir(lab, name));
  const mounts = mountsBelow(lab === null ? [home] : [home, lab]);
  if (mounts.length > 0)
    throw new GamedayError('lab_failed', `still mounted: ${mounts.join(', ')}`, 'unmount them, then run `gameday lab down` again.');
}
