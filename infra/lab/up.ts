/**
 * Brings the lab up: from nothing, after `down`, after a power cut, or when it runs already, by the same steps, each of which looks first.
 * Never starts a node read-write by itself: the controller decides that by the epoch; nodes that a fault holds down are left alone.
 */
import { existsSync, mkdirSync, realpathSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { GamedayError, messageOf } from '../../core/errors';
import { homePaths } from '../../core/home';
import { signal } from '../../core/process';
import { formatBytes } from '../../core/units';
import { nativeArchiveOf, type Target } from '../../model/target';
import { ensureBucket } from '../../objects/s3-store';
import { createCluster, currentPrimary, startCluster } from '../../targets/controllers/standalone-cluster';
import { requireNode, writeConfig } from '../../targets/controllers/standalone-config';
import { prepareSpool } from '../../targets/archives/native-push';
import { openTarget } from '../../targets/open-target';
import type { LiveTarget } from '../../targets/ports';
import { ensureSupervisor, type SupervisorClient } from '../supervisor/client';
import type { ChildSpec } from '../supervisor/contract';
import { locateTools, type Tools } from '../tools';
import { readLabFile, writeAllowFile, writeLabFile, writeTarget, type LabFile } from './lab-file';
import { confirmStays } from './confirm-stays';
import { dockerPlan, dockerUp } from './docker-lab';
import { heldDown } from './held-down';
import { holdLock, LOCK_WAIT_MS } from './lock';
import { checkNodeDisks, mountNodeDisk } from './node-disks';
import { awaitPrimary, furnishCluster, startMembers } from './agents';
import { awaitEtcd, locateEtcd, patroniServers, watchdogServers } from './patroni';
import { providePatroni, UNRECORDED, type PatroniProgram } from './patroni-program';
import { keeperServers, locatePgAutoFailover, setSyncStandbys } from './pg-auto-failover';
import { checkFreeSpace, checkPostgresReachable, makeServerDir, prepareLabDir, serverUser } from './places';
import { checkPorts } from './ports';
import { chooseReplication, setPatroniReplication, type Replication } from './replication';
import { labPids, labProcesses } from './residue';
import { ensureSecrets } from './secrets';
import { ownProcesses, prepareServers } from './servers';
import { awaitNamespace, temporalAddress, temporalUi } from './temporal';
import {
  allAddresses,
  checkNet,
  DEFAULT_NET,
  labTarget,
  confirmingStandbys,
  hasAgents,
  isPatroni,
  nodeNames,
  nodeDir,
  serviceOfChild,
  type LabPlan,
  type Runtime,
  type Topology,
} from './topology';

const BACKUP_TIMEOUT_MS = 300_000;
const S3_TIMEOUT_MS = 5_000;

export interface LabUpOptions {
  readonly home: string;
  /** First three numbers of the lab's addresses; default: as before, else 127.0.1. */
  readonly net?: string;
  /** Where its servers run: as processes of this machine, or in containers; default: as before, else processes. Only for a lab that is made anew. */
  readonly runtime?: Runtime;
  /** The Docker engine's socket; default: as before, else /var/run/docker.sock. */
  readonly dockerSocket?: string;
  /** What fails over: gameday itself, or Patroni over etcd; default: as before, else standalone. Only for a lab that is made anew. */
  readonly topology?: Topology;
  /** Which Patroni: `distribution`, a version or a series from PyPI; default: as before, else the distribution's. Only for a lab that is made anew. */
  readonly patroni?: string;
  /** For whom commits wait; default: as before, else for one standby in the topology's usual way. Changed in a lab that exists. */
  readonly replication?: Replication;
  /** Standbys that must confirm a commit (0: asynchronous); default: as before, else 1. */
  readonly syncStandbys?: number;
  /** Gives each node an ext4 disk of its own of this size (root only); default: as before, else none. Only for a lab that is made anew. */
  readonly nodeDiskBytes?: number;
  /** Gives each node of a Patroni lab a watchdog; default: as before, else none. Only for a lab that is made anew. */
  readonly watchdog?: boolean;
  readonly onProgress?: (text: string) => void;
}

/**
 * Brings the lab up and returns its target. Idempotent. Throws `port_in_use`, `disk_full`, `tool_missing`, `setting_invalid`, `epoch_unreadable`,
 * `lab_failed` and whatever a server's adapter says; what runs then stays, and the next call goes on from there.
 */
export async function labUp(options: LabUpOptions): Promise<Target> {
  const home = resolve(options.home);
  const say = options.onProgress ?? ((): void => undefined);
  const isDocker = (options.runtime ?? (readLabFile(home)?.docker === undefined ? 'process' : 'docker')) === 'docker';
  if (options.net !== undefined && !isDocker) checkNet(options.net);
  try {
    const user = isDocker ? null : serverUser();
    const lab = prepareLabDir(home, user);
    const real = realpathSync(home);
    const lock = await holdLock(join(homePaths(real).run, 'lab.lock'), LOCK_WAIT_MS, 'another `gameday lab up` or `down`');
    try {
      if (isDocker) return await bringUpDocker(real, lab, options, say);
      return await bringUp(await makePlan(real, lab, user, options, say), say);
    } finally {
      await lock.release();
    }
  } catch (error) {
    throw asDiskFull(error, home);
  }
}

async function bringUpDocker(home: string, lab: string, options: LabUpOptions, say: (text: string) => void): Promise<Target> {
  const { topology = 'patroni', nodeDiskBytes, patroni, watchdog = false } = options;
  if (topology !== 'patroni' || nodeDiskBytes !== undefined || patroni !== undefined || watchdog)
    throw new GamedayError(
      'setting_invalid',
      'a lab in containers is of the Patroni in its images, without disks and watchdogs of its own',
      'leave --topology, --patroni, --node-disk and --watchdog out.',
    );
  const before = readLabFile(home);
  const { net, dockerSocket: socket, replication, syncStandbys } = options;
  return dockerUp(dockerPlan({ home, lab, net, socket, replication, syncStandbys, before }), before, say);
}

/** A full disk is said as such, wherever it was noticed. */
function asDiskFull(error: unknown, home: string): unknown {
  const text = messageOf(error);
  if ((error as NodeJS.ErrnoException).code !== 'ENOSPC' && !/ENOSPC|No space left on device/i.test(text)) return error;
  return new GamedayError('disk_full', `the file system of ${home} is full: ${text.slice(0, 300)}`, null, { cause: error });
}

/** A lab to bring up: its shape, its programs, and what it remembers of itself; `patroni`: null under anything else. */
interface UpPlan extends LabPlan {
  readonly tools: Tools;
  readonly patroni: PatroniProgram | null;
  readonly before: LabFile | null;
}

async function makePlan(
  home: string,
  lab: string,
  user: string | null,
  options: LabUpOptions,
  say: (text: string) => void,
): Promise<UpPlan> {
  const tools = locateTools();
  const before = readLabFile(home);
  if (before?.docker !== undefined)
    throw new GamedayError(
      'setting_invalid',
      'the lab here is one of containers',
      '`gameday lab down --purge` removes it; or set GAMEDAY_HOME for a second one.',
    );
  const postgresBin = before !== null && existsSync(join(before.postgresBin, 'postgres')) ? before.postgresBin : tools.postgresBin;
  await checkPostgresReachable(postgresBin, user);
  const net = checkNet(options.net ?? before?.net ?? DEFAULT_NET);
  if (before !== null && before.net !== net && labProcesses(homePaths(home).run, lab).length > 0) {
    throw new GamedayError(
      'setting_invalid',
      `the lab runs on network ${before.net}, not ${net}`,
      '`gameday lab down` first; then it can come up on another network with its data.',
    );
  }
  const topology = chooseTopology(before, postgresBin, options);
  const nodeDiskBytes = chooseNodeDisks(lab, topology, before, options);
  const watchdog = chooseWatchdog(topology, before, options);
  const patroni = await programOfPatroni({ lab, user, topology, before }, options, say);
  const commits = chooseReplication({
    topology,
    patroni: patroni?.version ?? null,
    standbys: confirmingStandbys(topology),
    replication: options.replication,
    syncStandbys: options.syncStandbys,
    before,
  });
  return { home, lab, net, topology, ...commits, user, postgresBin, nodeDiskBytes, watchdog, tools, patroni, before };
}

async function programOfPatroni(
  { lab, user, topology, before }: Pick<UpPlan, 'lab' | 'user' | 'topology' | 'before'>,
  { patroni: wanted }: LabUpOptions,
  say: (text: string) => void,
): Promise<PatroniProgram | null> {
  if (isPatroni(topology)) {
    locateEtcd();
    return providePatroni({ lab, user, wanted, before: before === null ? null : (before.patroni ?? UNRECORDED) }, say);
  }
  if (wanted === undefined) return null;
  throw new GamedayError(
    'setting_invalid',
    `a lab that is ${topology} runs no Patroni ${wanted}`,
    'say `--topology patroni` with --patroni, for a lab that is made anew.',
  );
}

function chooseTopology(before: LabFile | null, postgresBin: string, { topology }: LabUpOptions): Topology {
  if (before?.topology === 'none')
    throw new GamedayError(
      'setting_invalid',
      'services without a cluster stand here',
      '`gameday lab down --purge` removes them; or set GAMEDAY_HOME, and --net, for a lab beside them.',
    );
  const remembered = before === null ? null : (before.topology ?? 'standalone');
  if (remembered !== null && topology !== undefined && topology !== remembered)
    throw new GamedayError(
      'setting_invalid',
      `the lab’s cluster is ${remembered}, not ${topology}`,
      '`gameday lab down --purge` removes it; or set GAMEDAY_HOME, and --net, for a second lab beside it.',
    );
  if ((remembered ?? topology) === 'pg-auto-failover') locatePgAutoFailover(postgresBin);
  return remembered ?? topology ?? 'standalone';
}

/** Nodes that exist stay where they are: a disk mounted over them would hide their data. */
function chooseNodeDisks(lab: string, topology: Topology, before: LabFile | null, { nodeDiskBytes }: LabUpOptions): number | null {
  const remembered = before?.nodeDiskBytes ?? null;
  if (before !== null && nodeDiskBytes !== undefined && nodeDiskBytes !== remembered)
    throw new GamedayError(
      'setting_invalid',
      `the lab’s nodes have ${remembered === null ? 'no disks of their own' : `disks of ${formatBytes(remembered)}`} already, with their data`,
      '`gameday lab down --purge` removes that lab; then one with other disks can be made.',
    );
  if (before === null && nodeDiskBytes !== undefined) checkNodeDisks(lab, nodeDiskBytes, nodeNames(topology).length);
  return before === null ? (nodeDiskBytes ?? null) : remembered;
}

/** Patroni reads it when it starts, and gives up a key that it held without one. */
function chooseWatchdog(topology: Topology, before: LabFile | null, { watchdog }: LabUpOptions): boolean {
  const remembered = before?.watchdog ?? false;
  if (watchdog === true && !isPatroni(topology))
    throw new GamedayError('setting_invalid', `a lab that is ${topology} feeds no watchdog`, 'say `--topology patroni` with --watchdog.');
  if (before !== null && watchdog === true && !remembered)
    throw new GamedayError(
      'setting_invalid',
      'the lab’s nodes were made without watchdogs',
      '`gameday lab down --purge` removes that lab; then one with watchdogs can be made.',
    );
  return before === null ? watchdog === true : remembered;
}

async function bringUp(plan: UpPlan, say: (text: string) => void): Promise<Target> {
  const { home, lab, before } = plan;
  const paths = homePaths(home);
  checkFreeSpace(lab);
  await checkPorts(allAddresses(plan.net, plan.topology), () => labPids(paths.run, lab));
  ensureSecrets(lab);
  const remembered: LabFile = {
    formatVersion: 1,
    net: plan.net,
    temporalAddress: temporalAddress(plan.net),
    temporalNamespace: 'default',
    temporalUi: temporalUi(plan.net),
    topology: plan.topology,
    ...(plan.patroni === null ? {} : { patroni: { version: plan.patroni.version, from: plan.patroni.from } }),
    replication: plan.replication,
    syncStandbys: plan.syncStandbys,
    postgresBin: plan.postgresBin,
    nodeDiskBytes: plan.nodeDiskBytes,
    ...(plan.watchdog ? { watchdog: true } : {}),
    systemIdentifier: before?.systemIdentifier ?? null,
  };
  // A change of settings is remembered only after the nodes have it: one that is killed here is made again.
  if (before === null) writeLabFile(home, remembered);
  // After that: disks that were mounted must be known to the next call, or nodes would be made in front of them.
  await prepareDirectories(plan);
  const supervisor = await ensureSupervisor(home);
  const held = before === null ? new Set<string>() : await heldDown(home, say);
  const servers = await prepareServers(plan, plan.tools);
  await startServers(
    supervisor,
    servers.filter(({ name }) => !held.has(serviceOfChild(name))),
    say,
  );

  const first = labTarget(plan, remembered.systemIdentifier ?? '0');
  await prepareBucket(first);
  const namespace = awaitNamespace(plan, plan.tools.temporal);
  // Looked at below; until then its failure must not end the process.
  namespace.catch(() => undefined);
  const target = hasAgents(plan.topology)
    ? await startAgents(plan, first, supervisor, remembered, held, say)
    : await startStandalone(plan, first, remembered, held, say);
  writeLabFile(home, { ...remembered, systemIdentifier: target.systemIdentifier });
  writeTarget(home, target);
  writeAllowFile(home, target);

  const processes = ownProcesses(home, remembered, target.site);
  await supervisor.start(processes.archiver);
  await supervisor.start(processes.guardian);
  await namespace;
  const worker = await supervisor.start(processes.worker);
  await ensureBackup(openTarget(target), say);
  await confirmStays(supervisor, worker);
  say(`lab is up on ${plan.net}.x`);
  return target;
}

async function prepareDirectories(plan: LabPlan): Promise<void> {
  const { lab, user, nodeDiskBytes } = plan;
  for (const dir of ['nodes', 'sandbox']) makeServerDir(join(lab, dir), user);
  for (const { name } of labTarget(plan, '0').nodes) {
    if (nodeDiskBytes !== null) await mountNodeDisk(nodeDir(lab, name), nodeDiskBytes);
    makeServerDir(nodeDir(lab, name), user);
  }
  mkdirSync(join(lab, 'controller'), { recursive: true, mode: 0o755 });
  mkdirSync(join(lab, 'spool'), { recursive: true, mode: 0o755 });
}

async function startServers(supervisor: SupervisorClient, specs: readonly ChildSpec[], say: (text: string) => void): Promise<void> {
  const running = new Set((await supervisor.status()).children.filter((child) => child.running).map((child) => child.name));
  const missing = specs.filter((spec) => !running.has(spec.name)).map((spec) => spec.name);
  if (missing.length > 0) say(`starting ${missing.join(', ')}`);
  const started = await Promise.allSettled(specs.map((spec) => supervisor.start(spec)));
  const failed = started.find((each) => each.status === 'rejected');
  if (failed !== undefined) throw failed.reason;
}

async function prepareBucket(target: Target): Promise<void> {
  const archive = nativeArchiveOf(target);
  if (archive === null) return;
  const { endpoint, region, bucket, accessKey, secretKey } = archive;
  await ensureBucket({ endpoint, region, bucket, accessKey, secretKey, timeoutMs: S3_TIMEOUT_MS, versioning: true });
}

/** Carries a new network or another kind of replication into nodes that exist; those that run reload. */
async function reconfigure(live: LiveTarget, say: (text: string) => void): Promise<void> {
  say('writing new settings into the nodes');
  for (const node of live.target.nodes) {
    const host = live.host(node.name);
    if (!(await host.exists(join(node.dataDir, 'PG_VERSION')))) continue;
    await writeConfig(host, live.target, node, node.dataDir);
    const postmaster = await host.postmaster();
    if (postmaster !== null) signal(postmaster, 'SIGHUP');
  }
}

async function startAgents(
  plan: UpPlan,
  first: Target,
  supervisor: SupervisorClient,
  file: LabFile,
  leaveAlone: ReadonlySet<string>,
  say: (text: string) => void,
): Promise<Target> {
  const live = openTarget(first);
  for (const node of first.nodes) prepareSpool(first, node);
  const isNew = file.systemIdentifier === null;
  const title = plan.patroni === null ? 'pg_auto_failover' : `Patroni ${plan.patroni.version}`;
  if (plan.patroni !== null) await awaitEtcd(plan, leaveAlone);
  await startServers(supervisor, watchdogServers(plan, first), say);
  say(isNew ? `creating a primary and ${first.nodes.length - 1} standbys under ${title}` : `starting the nodes under ${title}`);
  const agents =
    plan.patroni !== null
      ? patroniServers(plan, first, plan.patroni)
      : await keeperServers(plan, first, locatePgAutoFailover(plan.postgresBin));
  await startMembers(supervisor, agents, live, {
    isNew,
    first: isNew ? (first.nodes[0]?.name ?? null) : await leaderByBook(live),
    leaveAlone,
  });
  await setSyncStandbys(first, plan.syncStandbys);
  await setPatroniReplication(live, plan);
  if (!isNew) return first;
  const systemIdentifier = await furnishCluster(live);
  writeLabFile(plan.home, { ...file, systemIdentifier });
  return labTarget(plan, systemIdentifier);
}

/**
 * Who led when the lab went down, where somebody remembers while no agent runs: pg_auto_failover's monitor, which has a leader down for lost that reports
 * later than its standbys. Patroni's agents ask the store themselves, and need nobody to remember.
 */
async function leaderByBook({ target, controller }: LiveTarget): Promise<string | null> {
  if (target.controller.kind !== 'pg-auto-failover') return null;
  for (const { name } of target.nodes) if (await controller.mayWrite(name)) return name;
  return null;
}

async function startStandalone(
  plan: UpPlan,
  first: Target,
  file: LabFile,
  leaveAlone: ReadonlySet<string>,
  say: (text: string) => void,
): Promise<Target> {
  const { before } = plan;
  const isChanged = before?.net !== plan.net || before.syncStandbys !== plan.syncStandbys || before.replication !== plan.replication;
  if (before !== null && isChanged) await reconfigure(openTarget(first), say);
  if (file.systemIdentifier === null) {
    say(`creating a primary and ${first.nodes.length - 1} standbys`);
    const { systemIdentifier } = await createCluster(openTarget(first));
    const target = labTarget(plan, systemIdentifier);
    // From here on the cluster exists: remembered before anything else is done with it.
    writeLabFile(plan.home, { ...file, systemIdentifier });
    await startCluster(openTarget(target));
    return target;
  }
  const live = openTarget(first);
  const down = (
    await Promise.all(first.nodes.map(async (node) => ((await live.host(node.name).postmaster()) === null ? node.name : null)))
  ).filter((name) => name !== null && !leaveAlone.has(name));
  if (down.length > 0) say(`starting ${down.join(', ')}`);
  const heldNow = (): Promise<ReadonlySet<string>> => heldDown(plan.home, () => undefined);
  for (const { node, role, salvage } of await startCluster(live, heldNow)) {
    if (role === 'fenced')
      say(
        `${node} is fenced: it may not write, and waits to be rejoined${salvage === null ? '' : `; what it alone had was saved in ${salvage.directory}`}`,
      );
  }
  return first;
}

async function ensureBackup(live: LiveTarget, say: (text: string) => void): Promise<void> {
  const { archive, target } = live;
  if (archive === null || (await archive.backups()).length > 0) return;
  say('taking a base backup');
  const primary = target.controller.kind === 'standalone' ? currentPrimary(target) : await awaitPrimary(live);
  await archive.takeBackup(requireNode(target, primary), AbortSignal.timeout(BACKUP_TIMEOUT_MS));
}
