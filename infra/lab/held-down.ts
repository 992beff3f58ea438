/** Which nodes and services a fault holds down on purpose, by the guardian's word: those are its own to bring back, and nobody else's. */
import { join } from 'node:path';
import { GamedayError } from '../../core/errors';
import { homePaths } from '../../core/home';
import { callRpc } from '../../core/rpc';
import type { LeaseView } from '../../model/fault';

/** Faults that stand now, as the guardian says; none when it does not run, for then nobody holds them up and the nodes must come back. */
export async function standingFaults(home: string): Promise<readonly LeaseView[]> {
  try {
    const leases = await callRpc<readonly LeaseView[]>(
      join(homePaths(home).run, 'guardian.sock'),
      'list',
      {},
      { timeoutMs: 3_000, unreachable: 'guardian_unreachable' },
    );
    return leases.filter((lease) => lease.state !== 'gone');
  } catch (error) {
    if (error instanceof GamedayError && error.code === 'guardian_unreachable') return [];
    throw error;
  }
}

/** Nodes and services that a standing fault holds down: the guardian's to bring back; every other one must come up, whatever cut the lab short. */
export async function heldDown(home: string, say: (text: string) => void): Promise<ReadonlySet<string>> {
  const held = new Set<string>();
  for (const { handle } of await standingFaults(home)) {
    for (const name of namesOf(handle.resolved)) {
      held.add(name);
      say(`${name} is left alone: ${handle.fault} of ${handle.drill} stands`);
    }
  }
  return held;
}

function namesOf({ node, services }: LeaseView['handle']['resolved']): readonly string[] {
  const named = Array.isArray(services) ? services.map((each) => (each as { readonly name?: unknown }).name) : [];
  return [node, ...named].filter((name) => typeof name === 'string');
}
