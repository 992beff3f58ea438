/**
 * Makes, starts and stops a whole standalone cluster. Only labs are ever created; every step can be repeated, so that a creation killed half-way
 * is finished by the next one. Data directories appear under their name only when complete.
 */
import { join } from 'node:path';
import { nowUtc, until } from '../../core/clock';
import { GamedayError, messageOf } from '../../core/errors';
import { resolveSecret } from '../../core/secrets';
import type { Target, TargetNode, TargetRole } from '../../model/target';
import type { LiveTarget, SalvageResult } from '../ports';
import { clearDirectory } from './fresh-directory';
import { depthOf, nodeSocketDir, requireNode, writeConfig, writeRole } from './standalone-config';
import {
  epochDir,
  currentEntry,
  epochError,
  readEpoch,
  requireEpoch,
  withEpochLock,
  writeNextEpoch,
  writeNodeEpoch,
  type EpochFile,
} from './standalone-epoch';
import { failover } from './standalone-failover';
import { cloneInto, waitStreaming } from './standalone-rejoin';
import { askServer } from './node-status';
import { readControlData, stopServer } from './standalone-server';
import { chooseUpstream, startNode } from './standalone-start';
import { finishSwap } from './standalone-swap';

const LOCK_WAIT_MS = 120_000;
const CLONE_TIMEOUT_MS = 120_000;
const STANDBY_TIMEOUT_MS = 30_000;
const LINK_WITHIN_MS = 10_000;

/** A busy machine's Toxiproxy may answer late once: what is declared is asked for again. */
async function ensureLinks({ links }: LiveTarget): Promise<void> {
  for (const link of links?.list() ?? [])
    await until(async () => (await links?.ensure(link), true), {
      timeoutMs: LINK_WITHIN_MS,
      onTimeout: (last) => (last instanceof Error ? last : new GamedayError('link_unreachable', messageOf(last))),
    });
}

export interface StartedNode {
  readonly node: string;
  readonly role: 'primary' | 'fenced' | 'standby';
  readonly salvage: SalvageResult | null;
}

const literal = (text: string): string => `'${text.replaceAll("'", "''")}'`;
const identifier = (text: string): string => `"${text.replaceAll('"', '""')}"`;

function roleSql(role: TargetRole, attributes: string): string {
  const password = role.password === null ? '' : ` PASSWORD ${literal(resolveSecret(role.password))}`;
  return [
    `SELECT 'CREATE ROLE ${identifier(role.user)}' WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = ${literal(role.user)}) \\gexec`,
    `ALTER ROLE ${identifier(role.user)} LOGIN ${attributes}${password};`,
  ].join('\n');
}

/** Roles, database and schema; may be run again. Commits locally: there is no standby yet that could confirm. */
function setUpSql(target: Target): string {
  const { operate, observe, probe, replicate } = target.roles;
  const database = target.entry.database;
  return [
    '\\set ON_ERROR_STOP on',
    // A failed statement must not carry a password into the server's log.
    "SET synchronous_commit = local; SET log_min_error_statement = panic; SET password_encryption = 'scram-sha-256';",
    roleSql(operate, 'SUPERUSER'),
    roleSql(observe, 'NOSUPERUSER'),
    roleSql(probe, 'NOSUPERUSER'),
    roleSql(replicate, 'REPLICATION'),
    `GRANT pg_monitor TO ${identifier(observe.user)};`,
    `SELECT 'CREATE DATABASE ${identifier(database)}' WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = ${literal(database)}) \\gexec`,
    `\\connect ${identifier(database)}`,
    'SET synchronous_commit = local;',
    `CREATE SCHEMA IF NOT EXISTS gameday AUTHORIZATION ${identifier(probe.user)};`,
    `GRANT USAGE ON SCHEMA gameday TO ${identifier(observe.user)};`,
    `ALTER DEFAULT PRIVILEGES FOR ROLE ${identifier(probe.user)} IN SCHEMA gameday GRANT SELECT ON TABLES TO ${identifier(observe.user)};`,
    `ALTER DEFAULT PRIVILEGES FOR ROLE ${identifier(operate.user)} IN SCHEMA gameday GRANT SELECT ON TABLES TO ${identifier(observe.user)};`,
    '',
  ].join('\n');
}

/** Roles, database and schema, by psql over the node's socket as its own superuser. Idempotent. */
export async function setUpDatabase(live: LiveTarget, node: TargetNode): Promise<void> {
  const argv = [
    join(node.binDir, 'psql'),
    '-X',
    '-q',
    '-A',
    '-t',
    '-h',
    nodeSocketDir(node),
    '-p',
    String(node.port),
    '-U',
    'postgres',
    '-d',
    'postgres',
    '-f',
    '-',
  ];
  const result = await live.host(node.name).exec(argv, { asNode: true, timeoutMs: 60_000, input: setUpSql(live.target) });
  if (result.code !== 0)
    throw new GamedayError('lab_failed', `setting up roles and database on ${node.name} failed: ${result.stderr.trim().slice(0, 500)}`);
}

async function initialisePrimary(live: LiveTarget, node: TargetNode, epoch: number): Promise<void> {
  const host = live.host(node.name);
  const fresh = `${node.dataDir}.new`;
  await clearDirectory(host, fresh);
  // Makes the parent directory as the node's user, who then runs initdb in it.
  await writeConfig(host, live.target, node, `${node.dataDir}.config`);
  await host.remove(`${node.dataDir}.config`);
  const argv = [
    join(node.binDir, 'initdb'),
    '-D',
    fresh,
    '--username=postgres',
    '--data-checksums',
    '--encoding=UTF8',
    '--locale=C.UTF-8',
    '--auth-local=peer',
    '--auth-host=scram-sha-256',
    '--no-instructions',
  ];
  const result = await host.exec(argv, { asNode: true, timeoutMs: 120_000 });
  if (result.code !== 0) throw new GamedayError('lab_failed', `initdb for ${node.name} failed: ${result.stderr.trim().slice(0, 500)}`);
  await writeConfig(host, live.target, node, fresh);
  await writeRole(host, live.target, node, { kind: 'primary' }, fresh);
  await writeNodeEpoch(host, node, epoch, fresh);
  await host.rename(fresh, node.dataDir);
}

async function dataDirectories(live: LiveTarget): Promise<readonly string[]> {
  const found = await Promise.all(
    live.target.nodes.map(async (node) => ((await live.host(node.name).exists(join(node.dataDir, 'PG_VERSION'))) ? node.name : null)),
  );
  return found.filter((name): name is string => name !== null);
}

/** The epoch to create under: the first of a new cluster, or the one of a creation that was interrupted. Never a second one over existing data. */
async function firstEpoch(live: LiveTarget, first: TargetNode): Promise<EpochFile> {
  const stateDir = epochDir(live.target);
  const { file, problem } = readEpoch(stateDir);
  if (file !== null) return file;
  if ((await dataDirectories(live)).length > 0) throw epochError(stateDir, problem);
  return writeNextEpoch(stateDir, null, {
    primary: first.name,
    at: nowUtc(),
    token: null,
    from: null,
    candidates: [],
    timeline: 1,
    forkLsn: null,
  });
}

async function cloneStandby(live: LiveTarget, node: TargetNode, primary: string, signal: AbortSignal): Promise<void> {
  const host = live.host(node.name);
  const upstream = await chooseUpstream(live, node.name, primary);
  await finishSwap(host, node);
  if (!(await host.exists(join(node.dataDir, 'PG_VERSION')))) {
    await cloneInto(live, node, upstream, `${node.dataDir}.new`, { timeoutMs: CLONE_TIMEOUT_MS, signal });
    await host.rename(`${node.dataDir}.new`, node.dataDir);
  }
  await startNode(live, node.name);
  await waitStreaming(live, node.name, upstream, { timeoutMs: STANDBY_TIMEOUT_MS, signal });
}

/**
 * Creates what is missing of a lab's cluster and leaves it running and replicating; Toxiproxy must run. Returns PostgreSQL's system identifier.
 * The target's own `systemIdentifier` is not looked at: it is not known before. Throws `lab_failed`, `step_failed`, `link_unreachable`.
 */
export async function createCluster(
  live: LiveTarget,
  signal: AbortSignal = AbortSignal.timeout(600_000),
): Promise<{ readonly systemIdentifier: string }> {
  const { target } = live;
  if (target.kind !== 'lab')
    throw new GamedayError('refused', `target ${target.name} is ${target.kind}; gameday creates clusters only for labs`);
  const first = target.nodes[0];
  if (first === undefined) throw new GamedayError('target_invalid', `target ${target.name} has no nodes`);
  return withEpochLock(epochDir(target), LOCK_WAIT_MS, async () => {
    await ensureLinks(live);
    const epoch = await firstEpoch(live, first);
    const primary = requireNode(target, epoch.primary);
    if ((await dataDirectories(live)).length === 0) await initialisePrimary(live, primary, epoch.epoch);
    await startNode(live, primary.name);
    await setUpDatabase(live, primary);
    const standbys = target.nodes.filter((node) => node.name !== primary.name);
    for (const depth of new Set(standbys.map(({ name }) => depthOf(target, name)).sort((a, b) => a - b))) {
      const same = standbys.filter(({ name }) => depthOf(target, name) === depth);
      await Promise.all(same.map((node) => cloneStandby(live, node, primary.name, signal)));
    }
    return { systemIdentifier: (await readControlData(live.host(primary.name), primary)).systemIdentifier };
  });
}

/** The primary's roles may not be readable yet right after its start; a cluster counts as started when it answers. */
async function waitWritable(live: LiveTarget, primary: string): Promise<void> {
  await until(async () => ((await askServer(live, primary)).inRecovery === false ? true : null), {
    timeoutMs: STANDBY_TIMEOUT_MS,
    onTimeout: (last) =>
      new GamedayError(
        'lab_failed',
        `node ${primary} does not answer as primary after ${STANDBY_TIMEOUT_MS} ms: ${last === null ? 'it is in recovery' : messageOf(last)}`,
      ),
  });
}

async function steerToPrimary(live: LiveTarget, primary: string): Promise<void> {
  const routed = await live.router.routed();
  if (live.router.kind !== 'none' && (routed.length !== 1 || routed[0] !== primary)) await live.router.steer([primary]);
}

/** Starts the nodes named in the role their epoch allows; nodes without data, and those that a fault takes down meanwhile, are left out. */
async function startEach(
  live: LiveTarget,
  names: readonly string[],
  heldDown: () => Promise<ReadonlySet<string>>,
): Promise<readonly StartedNode[]> {
  const started: StartedNode[] = [];
  for (const name of names) {
    const [host, node] = [live.host(name), requireNode(live.target, name)];
    try {
      await finishSwap(host, node);
      if (!(await host.exists(join(node.dataDir, 'PG_VERSION')))) continue;
      started.push({ node: name, ...(await startNode(live, name)) });
    } catch (error) {
      if (error instanceof GamedayError && error.code === 'epoch_unreadable') continue;
      if (!(await heldDown()).has(name)) throw error;
    }
  }
  return started;
}

/** A failover that a crash cut off after its decision: the epoch stands on disk, so it is carried out, not taken back. */
async function finishFailover(live: LiveTarget, token: string): Promise<void> {
  const never = new AbortController().signal;
  await failover(live, { token, candidate: null, timeoutMs: STANDBY_TIMEOUT_MS, on: async () => undefined, signal: never });
}

/**
 * Starts every node in the role its epoch allows, the primary first, and leads the router to it; also after a power cut in mid-drill, when a failover
 * that was decided and not finished is finished. Nodes that are up stay up. Toxiproxy and the router must run. Throws `epoch_unreadable` with every node fenced.
 * `heldDown`: nodes that are down on purpose and somebody else's to start; asked again when one does not start, for a drill that was cut off goes on as soon as
 * its worker does.
 */
export async function startCluster(
  live: LiveTarget,
  heldDown: () => Promise<ReadonlySet<string>> = async () => new Set(),
): Promise<readonly StartedNode[]> {
  const stateDir = epochDir(live.target);
  return withEpochLock(stateDir, LOCK_WAIT_MS, async () => {
    await ensureLinks(live);
    const { file, problem } = readEpoch(stateDir);
    const leaveAlone = await heldDown();
    const names = live.target.nodes
      .map((node) => node.name)
      .filter((name) => !leaveAlone.has(name))
      .sort((a, b) => depthOf(live.target, a) - depthOf(live.target, b))
      .sort((a, b) => Number(b === file?.primary) - Number(a === file?.primary));
    let started = await startEach(live, names, heldDown);
    if (file === null) throw epochError(stateDir, problem);
    const { token, timeline } = currentEntry(file);
    if (token !== null && timeline === null && !started.some((each) => each.role === 'primary')) {
      await finishFailover(live, token);
      started = await startEach(live, names, heldDown);
    }
    if (started.some((each) => each.role === 'primary')) {
      await waitWritable(live, file.primary);
      await steerToPrimary(live, file.primary);
    }
    return started;
  });
}

/** Stops every server that runs, the primary first so that the standbys receive all it wrote. Needs nobody else to run. */
export async function stopCluster(live: LiveTarget): Promise<void> {
  const stateDir = epochDir(live.target);
  await withEpochLock(stateDir, LOCK_WAIT_MS, async () => {
    const { file } = readEpoch(stateDir);
    const primary = live.target.nodes.filter((node) => node.name === file?.primary);
    for (const node of primary) await stopServer(live.host(node.name), node, 'fast');
    await Promise.all(live.target.nodes.map((node) => stopServer(live.host(node.name), node, 'fast')));
  });
}

/** Name of the node that may write, by the epoch file; throws `epoch_unreadable`. */
export function currentPrimary(target: Target): string {
  return requireEpoch(epochDir(target)).primary;
}
