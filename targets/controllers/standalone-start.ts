/**
 * Starts a node in the role that its epoch allows. Read-write only if the epoch file names the node and its data directory holds that same epoch;
 * everybody else starts in recovery, with what it wrote beyond the fork saved first. Call these only under the epoch lock.
 */
import { join } from 'node:path';
import type { TargetNode } from '../../model/target';
import { killIfStopped } from '../hosts/kill-if-stopped';
import type { Controller, Environment, Host, LiveTarget, SalvageResult } from '../ports';
import { requireNode, upstreamOf, writeRole, type NodeRole } from './standalone-config';
import { epochDir, epochError, readEpoch, readNodeEpoch, recordPromotion, type EpochFile } from './standalone-epoch';
import { currentHistory, findDivergence, salvageTail } from './standalone-salvage';
import { askServer } from './node-status';
import { promoteServer, readControlData, startServer, stopServer, waitPromoted } from './standalone-server';
import { finishSwap } from './standalone-swap';
import { formatLsn } from '../../core/lsn';

type Started = Awaited<ReturnType<Controller['startNode']>>;
const PROMOTE_TIMEOUT_MS = 30_000;

const signalFile = (node: TargetNode): string => join(node.dataDir, 'standby.signal');

/** Makes the data directory unable to start read-write, whoever starts it and however. */
export async function fenceOnDisk(host: Host, node: TargetNode): Promise<void> {
  if (await host.exists(join(node.dataDir, 'PG_VERSION'))) await host.writeFile(signalFile(node), '');
}

/** Records timeline and fork of the promoted primary in the epoch file. */
export async function notePromotion(live: LiveTarget, epoch: EpochFile, timeline: number): Promise<EpochFile> {
  const spans = await currentHistory(live, epoch);
  const begin = spans.find((span) => span.timeline === timeline)?.begin ?? null;
  return recordPromotion(epochDir(live.target), epoch, timeline, begin === null || timeline === 1 ? null : formatLsn(begin));
}

async function startPrimary(live: LiveTarget, node: TargetNode, host: Host, epoch: EpochFile, environment: Environment): Promise<Started> {
  // The control file, not SQL: a primary that has no connection to spare, or no roles yet, is still a primary.
  const control = await readControlData(host, node);
  const running = (await host.postmaster()) !== null;
  if (running && control.state === 'in production') return { role: 'primary', salvage: null };
  const wasInRecovery = control.state.endsWith('in archive recovery') || control.state.endsWith('in recovery');
  await writeRole(host, live.target, node, { kind: 'primary' });
  if (!wasInRecovery) {
    // Fenced on disk by a failover that then promoted nobody, or never fenced: it goes on where it was.
    await host.remove(signalFile(node));
    await startServer(host, node, environment);
    return { role: 'primary', salvage: null };
  }
  // It has run as a standby since: leaving recovery without a new timeline would fork history under one number.
  if (!(await host.exists(signalFile(node)))) await fenceOnDisk(host, node);
  await startServer(host, node, environment);
  const before = (await askServer(live, node.name)).timeline ?? control.checkpointTimeline;
  await promoteServer(live, node.name, node);
  const timeline = await waitPromoted(live, node.name, before, { timeoutMs: PROMOTE_TIMEOUT_MS });
  await notePromotion(live, epoch, timeline);
  return { role: 'primary', salvage: null };
}

/** Whom the node follows now, by the target and by who runs. */
export async function chooseUpstream(live: LiveTarget, name: string, primary: string): Promise<string> {
  const { upstream } = requireNode(live.target, name);
  if (upstream === undefined) return primary;
  const { up, inRecovery, fenced } = await askServer(live, upstream);
  return upstreamOf(live.target, name, primary, () => up && inRecovery === true && !fenced);
}

async function startInRecovery(
  live: LiveTarget,
  node: TargetNode,
  host: Host,
  epoch: EpochFile | null,
  environment: Environment,
): Promise<Started> {
  await fenceOnDisk(host, node);
  if ((await host.postmaster()) !== null && (await readControlData(host, node)).state !== 'in archive recovery')
    await stopServer(host, node, 'immediate');
  const divergence = epoch === null ? null : await findDivergence(live, node.name, epoch);
  const salvage: SalvageResult | null =
    epoch === null || divergence === null ? null : await salvageTail(live, node.name, epoch, divergence);
  const alone = epoch === null || divergence !== null || epoch.primary === node.name;
  const role: NodeRole = alone ? { kind: 'alone' } : { kind: 'follow', upstream: await chooseUpstream(live, node.name, epoch.primary) };
  const changed = await writeRole(host, live.target, node, role);
  if (changed && (await host.postmaster()) !== null) await stopServer(host, node, 'fast');
  await startServer(host, node, environment);
  return { role: alone ? 'fenced' : 'standby', salvage };
}

/** Takes a node that must not receive clients out of the router; a router that cannot be asked changes nothing about who may write. */
async function keepUnrouted(live: LiveTarget, name: string): Promise<void> {
  try {
    const routed = await live.router.routed();
    if (routed.includes(name)) await live.router.steer(routed.filter((each) => each !== name));
  } catch {
    // In recovery it refuses writes by itself; the router is steered again by the next failover or start.
  }
}

/** See Controller.mayWrite. */
export async function mayWrite(live: LiveTarget, name: string): Promise<boolean> {
  const { file: epoch } = readEpoch(epochDir(live.target));
  if (epoch === null || epoch.primary !== name) return false;
  return (await readNodeEpoch(live.host(name), requireNode(live.target, name))) === epoch.epoch;
}

/** See Controller.startNode. Throws `epoch_unreadable` after having started the node fenced when nobody knows who may write. */
export async function startNode(live: LiveTarget, name: string, environment: Environment = {}): Promise<Started> {
  const stateDir = epochDir(live.target);
  const node = requireNode(live.target, name);
  const host = live.host(name);
  const running = await host.postmaster();
  // It would be taken for a server that runs.
  if (running !== null) await killIfStopped(host, running);
  await finishSwap(host, node);
  const { file: epoch, problem } = readEpoch(stateDir);
  if (epoch !== null && (await mayWrite(live, name))) return startPrimary(live, node, host, epoch, environment);
  await keepUnrouted(live, name);
  const started = await startInRecovery(live, node, host, epoch, environment);
  if (epoch === null) throw epochError(stateDir, problem);
  return started;
}
