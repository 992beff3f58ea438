/** Is a node back where it belongs? Up, in whatever role its controller gave it, and nobody writes but one. Asks the nodes themselves; changes nothing. */
import type { FaultProof } from '../model/fault';
import type { Target } from '../model/target';
import { commandLine } from '../targets/hosts/shell-words';
import type { LiveTarget } from '../targets/ports';
import { describeNode } from './node-process';

/** What a person types so that a node is up again in the role that is left for it. */
export function howToStart(target: Target, name: string): readonly string[] {
  const agent = target.nodes.find((node) => node.name === name)?.agent ?? null;
  const lines = [`# starts ${name} in the role that is left for it, never writable beside another:`];
  if (target.kind === 'lab' || agent === null) return [...lines, 'gameday lab up'];
  return [...lines, `# on ${name}’s host`, commandLine(agent.start)];
}

/** What a person types on the node's host so that its server ends: as the node's own user, because PostgreSQL's tools refuse root. */
export function howToStop(target: Target, name: string, mode: 'fast' | 'immediate'): string {
  const { binDir, dataDir, osUser } = describeNode(target, name);
  const stop = commandLine([`${binDir}/pg_ctl`, 'stop', '-m', mode, '-D', dataDir]);
  return osUser === null ? stop : commandLine(['su', '-s', '/bin/sh', osUser, '-c', stop]);
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
