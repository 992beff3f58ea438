/** Is a node back where it belongs? Up, in whatever role its controller gave it, and nobody writes but one. Asks the nodes themselves; changes nothing. */
import type { FaultProof } from '../model/fault';
import type { LiveTarget } from '../targets/ports';

/** Present, not writable: a node that lost its role while it was away is back when it is in recovery. */
export async function proveNodeBack(live: LiveTarget, name: string): Promise<FaultProof> {
  const nodes = await live.controller.status();
  const node = nodes.find((each) => each.node === name);
  const writable = nodes.filter((each) => each.up && each.inRecovery === false).map((each) => each.node);
  const up = node?.up === true;
  return {
    holds: up && writable.length === 1,
    by: `${name} is ${!up ? `down: ${node?.error ?? 'unknown'}` : node.inRecovery === false ? 'up and primary' : 'up and in recovery'}; writable: ${writable.join(', ') || 'none'}`,
    facts: { node: name, up, inRecovery: node?.inRecovery ?? null, writable },
  };
}
