/** What the guardian says of faults that stand, for whoever brings a lab up or repairs it. Where it does not run, nothing stands: its nodes must come back. */
import { join } from 'node:path';
import { GamedayError } from '../../core/errors';
import { homePaths } from '../../core/home';
import { callRpc } from '../../core/rpc';
import type { HeldDown, LeaseView } from '../../model/fault';

async function ask<T>(home: string, what: 'list' | 'heldDown'): Promise<readonly T[]> {
  const options = { timeoutMs: 3_000, unreachable: 'guardian_unreachable' } as const;
  try {
    return await callRpc<readonly T[]>(join(homePaths(home).run, 'guardian.sock'), what, {}, options);
  } catch (error) {
    if (error instanceof GamedayError && error.code === 'guardian_unreachable') return [];
    throw error;
  }
}

export async function standingFaults(home: string): Promise<readonly LeaseView[]> {
  return (await ask<LeaseView>(home, 'list')).filter((lease) => lease.state !== 'gone');
}

/** Nodes and services that a standing fault holds down: the guardian's to bring back; every other one must come up, whatever cut the lab short. */
export async function heldDown(home: string, say: (text: string) => void): Promise<ReadonlySet<string>> {
  const held = await ask<HeldDown>(home, 'heldDown');
  for (const { name, fault, drill } of held) say(`${name} is left alone: ${fault} of ${drill} stands`);
  return new Set(held.map(({ name }) => name));
}
