/**
 * Late words for nodes: `primary`, `any-standby` (or `any-replica`), `sync-standby`, `each-standby` become names when the step runs, because a failover before it may have moved them.
 * Reads the cluster's state; never changes it.
 */
import { GamedayError } from '../core/errors';
import type { LiveTarget, NodeStatus, Topology } from '../targets/ports';

/** It said itself that it takes writes. */
export const isWritable = (node: NodeStatus): boolean => node.up && node.inRecovery === false;
const isStandby = (node: NodeStatus): boolean => node.up && node.inRecovery === true;

/** What every node says of itself; asked once more when none is such a one, because a busy machine may let one connection wait for too long. */
async function askTwice(live: LiveTarget, such: (node: NodeStatus) => boolean): Promise<readonly NodeStatus[]> {
  const nodes = await live.controller.status();
  return nodes.some(such) ? nodes : live.controller.status();
}

/** The one node that is up and writable. Throws `fault_refused` when there is none, or more than one. */
export async function findPrimary(live: LiveTarget): Promise<string> {
  const nodes = await askTwice(live, isWritable);
  const writable = nodes.filter(isWritable).map((node) => node.node);
  const [first] = writable;
  if (first === undefined || writable.length !== 1) {
    throw new GamedayError(
      'fault_refused',
      `"primary" names ${writable.length} nodes (${writable.join(', ') || 'no node is up and writable'})`,
      'exactly one node must be up and writable; `gameday check` shows the topology.',
    );
  }
  return first;
}

/** Standbys that the primary waits for when it commits, in the target's order. */
export async function findSyncStandbys(live: LiveTarget): Promise<readonly string[]> {
  return syncStandbysOf(live, await live.controller.topology());
}

/** As `findSyncStandbys`, of what was seen already. */
export function syncStandbysOf(live: LiveTarget, { replication }: Topology): readonly string[] {
  return live.target.nodes.map(({ name }) => name).filter((name) => ['sync', 'quorum'].includes(replication[name] ?? ''));
}

async function oneSyncStandby(live: LiveTarget): Promise<readonly string[]> {
  const [first] = await findSyncStandbys(live);
  if (first === undefined)
    throw new GamedayError(
      'fault_refused',
      '"sync-standby" names no node: the primary waits for no standby when it commits',
      'synchronous_standby_names of the primary decides which it waits for.',
    );
  return [first];
}

/** Node names that a word stands for now, in the target's order. Throws `fault_refused` if it stands for none. */
export async function resolveNodes(live: LiveTarget, word: string): Promise<readonly string[]> {
  const known = live.target.nodes.map((node) => node.name);
  if (known.includes(word)) return [word];
  if (word === 'primary') return [await findPrimary(live)];
  if (word === 'sync-standby') return oneSyncStandby(live);
  if (word !== 'any-standby' && word !== 'any-replica' && word !== 'each-standby' && word !== 'standbys') {
    throw new GamedayError(
      'fault_refused',
      `target ${live.target.name} has no node "${word}"`,
      `use primary, any-standby, sync-standby, each-standby or one of ${known.join(', ')}.`,
    );
  }
  const standbys = (await askTwice(live, isStandby)).filter(isStandby);
  const streaming = standbys.filter((node) => node.streamingFrom !== null);
  // A standby that streams is the one whose loss or slowness anybody would notice.
  const chosen = word.startsWith('any-') ? (streaming.length > 0 ? streaming : standbys).slice(0, 1) : standbys;
  if (chosen.length === 0)
    throw new GamedayError(
      'fault_refused',
      `"${word}" names no node: no standby is up`,
      'bring a standby up first; `gameday check` shows the topology.',
    );
  return chosen.map((node) => node.node);
}

/** As `resolveNodes`, for settings that take one node. */
export async function resolveNode(live: LiveTarget, word: string): Promise<string> {
  const names = await resolveNodes(live, word);
  const [name] = names;
  if (name === undefined || names.length !== 1)
    throw new GamedayError(
      'fault_refused',
      `"${word}" names ${names.length} nodes where one is needed`,
      'use primary, any-standby or a node’s name.',
    );
  return name;
}
