/** Which server process runs on a node now, as a handle that travels: pid + start time + boot id. Looks only; it signals nobody. */
import { GamedayError } from '../core/errors';
import type { Target, TargetNode } from '../model/target';
import type { LiveTarget } from '../targets/ports';

export type ProcessHandle = { readonly pid: number; readonly startTicks: string; readonly bootId: string };

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
