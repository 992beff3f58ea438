/** Is a node back where it belongs? Up, in whatever role its controller gave it, and nobody writes but one. Asks the nodes themselves; changes nothing. */
import type { FaultProof } from '../model/fault';
import type { Target } from '../model/target';
import type { LiveTarget } from '../targets/ports';

/** What a person types so that a node is up again in the role that is left for it. */
export function howToStart(target: Target, name: string): readonly string[] {
  const agent = target.nodes.find((node) => node.name === name)?.agent ?? null;
  const lines = [`# starts ${name} in the role that is left for it, never writable beside another:`];
  if (target.kind === 'lab' || agent === null) return [...lines, 'gameday lab up'];
  return [...lines, `# on ${name}’s host`, agent.start.map((word) => (/^[\w./:=@-]+$/.test(word) ? word : `'${word}'`)).join(' ')];
}

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
