/** Which processes run on a node now, as handles that travel: pid + start time + boot id; and their end, all at once. */
import { GamedayError } from '../core/errors';
import type { Target, TargetNode } from '../model/target';
import type { LiveTarget } from '../targets/ports';

export type ProcessHandle = { readonly pid: number; readonly startTicks: string; readonly bootId: string };
/** The roots of all that a node runs; `agent` is null where none runs beside the server. */
export type NodeProcesses = { readonly postmaster: ProcessHandle; readonly agent: ProcessHandle | null };

/** The node's postmaster; throws `fault_refused` when none runs. */
export async function requireRunning(live: LiveTarget, node: string): Promise<ProcessHandle> {
  const postmaster = await live.host(node).postmaster();
  if (postmaster === null)
    throw new GamedayError(
      'fault_refused',
      `node ${node} runs no postmaster`,
      'bring the node up first; `gameday check` shows the topology.',
    );
  return { pid: postmaster.pid, startTicks: postmaster.startTicks, bootId: postmaster.bootId };
}

/** Throws `fault_refused` for a name that the target does not have. */
export function describeNode(target: Target, name: string): TargetNode {
  const node = target.nodes.find((each) => each.name === name);
  if (node === undefined) throw new GamedayError('fault_refused', `target ${target.name} has no node "${name}"`);
  return node;
}

/** The very process, not another one that got its number since. */
export function isSameServer(now: ProcessHandle | null, handle: ProcessHandle): boolean {
  return now !== null && now.pid === handle.pid && now.startTicks === handle.startTicks && now.bootId === handle.bootId;
}

/** The controller's agent beside the server (Patroni, pg_autoctl); null where none runs. */
export async function findAgent(live: LiveTarget, node: string): Promise<ProcessHandle | null> {
  const agent = await live.host(node).agent();
  return agent === null ? null : { pid: agent.pid, startTicks: agent.startTicks, bootId: agent.bootId };
}

/** As `findAgent`; throws `fault_refused` where none runs. */
export async function requireAgent(live: LiveTarget, node: string): Promise<ProcessHandle> {
  const agent = await findAgent(live, node);
  if (agent === null)
    throw new GamedayError('fault_refused', `no controller’s agent runs beside ${node}`, 'the target’s nodes name it by `agent`.');
  return agent;
}

/**
 * SIGKILL to a whole node: the very postmaster and agent that are named, with all their children. The agent is held first: it would start the server again,
 * or give its key up in good order. Returns how many processes were killed; those that are others by now are left alone.
 */
export async function killNode(live: LiveTarget, node: string, { postmaster, agent }: NodeProcesses): Promise<number> {
  const host = live.host(node);
  if (agent !== null) await host.signal(agent, 'SIGSTOP');
  const servers = isSameServer(await host.postmaster(), postmaster) ? (await host.killTree(postmaster)).length : 0;
  const agents = agent === null ? 0 : (await host.killTree(agent)).length;
  return servers + agents;
}

/**
 * Ends what `killNode` began and did not end: it stops everybody before it kills, and whoever kills may die between. What stands stopped is not woken: its
 * role may have gone to another node meanwhile. A node of which nothing stands stopped is left alone.
 */
export async function endHalfKilled(live: LiveTarget, node: string, { postmaster, agent }: NodeProcesses): Promise<void> {
  const host = live.host(node);
  const stopped = (await host.serverProcesses()).filter((each) => each.stopped);
  const agentStopped = agent !== null && (await host.processState(agent)) === 'T';
  if (agentStopped || stopped.some((each) => isSameServer(each, postmaster))) await killNode(live, node, { postmaster, agent });
  // Children whose postmaster somebody else killed (`killTree` kills it last): no other server starts beside them.
  if ((await host.postmaster()) === null) for (const each of stopped) await host.signal(each, 'SIGKILL');
}
