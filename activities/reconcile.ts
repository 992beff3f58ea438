/**
 * What a worker does when it starts, before it can know of any drill: whatever stands for a run that is no longer RUNNING is undone.
 * The guardian does the same for leases that expire; this only makes it sooner, and catches sandboxes.
 */
import { join } from 'node:path';
import { messageOf } from '../core/errors';
import { homePaths } from '../core/home';
import { openGuardian } from '../faults/guardian/client';
import type { LeaseKey } from '../model/fault';
import type { Hand } from './open-drill';

export interface Reconciled {
  readonly undone: readonly string[];
  readonly kept: readonly string[];
  readonly failed: readonly string[];
}

export async function reconcile(hand: Hand): Promise<Reconciled> {
  const guardian = openGuardian(join(homePaths(hand.home).run, 'guardian.sock'));
  const undone: string[] = [];
  const kept: string[] = [];
  const failed: string[] = [];
  // When Temporal cannot be asked what stands is left to expire by itself: undoing a running drill's fault would spoil it for nothing.
  const endUnlessRunning = async (
    name: string,
    run: Pick<LeaseKey, 'workflowId' | 'runId'>,
    end: () => Promise<unknown>,
  ): Promise<void> => {
    try {
      if (await hand.isRunning(run.workflowId, run.runId)) kept.push(name);
      else {
        await end();
        undone.push(name);
      }
    } catch (error) {
      failed.push(`${name}: ${messageOf(error)}`);
    }
  };
  for (const { key, handle, state } of await guardian.list())
    if (state !== 'gone') await endUnlessRunning(`${handle.fault} of ${handle.drill}`, key, () => guardian.undo({ key, by: 'reconciled' }));
  for (const { dir, drill, ...run } of await guardian.sandboxes())
    await endUnlessRunning(`restored copy ${dir} of ${drill}`, run, () => guardian.removeSandbox({ dir, by: 'reconciled' }));
  try {
    undone.push(...(await guardian.removeStrays()));
  } catch (error) {
    failed.push(`looking for what no lease holds: ${messageOf(error)}`);
  }
  return { undone, kept, failed };
}
