/**
 * What a worker does when it starts, before it can know of any drill: whatever stands for a run that is no longer RUNNING is undone.
 * The guardian does the same for leases that expire; this only makes it sooner, and catches sandboxes.
 */
import { join } from 'node:path';
import { messageOf } from '../core/errors';
import { homePaths } from '../core/home';
import { openGuardian } from '../faults/guardian/client';
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
  for (const lease of await guardian.list()) {
    if (lease.state === 'gone') continue;
    const name = `${lease.handle.fault} of ${lease.handle.drill}`;
    try {
      // When Temporal cannot be asked the lease is left to expire by itself: undoing a running drill's fault would spoil it for nothing.
      if (await hand.isRunning(lease.key.workflowId, lease.key.runId)) {
        kept.push(name);
        continue;
      }
      await guardian.undo({ key: lease.key, by: 'reconciled' });
      undone.push(name);
    } catch (error) {
      failed.push(`${name}: ${messageOf(error)}`);
    }
  }
  for (const { dir, drill, workflowId, runId } of await guardian.sandboxes()) {
    const name = `restored copy ${dir} of ${drill}`;
    try {
      if (await hand.isRunning(workflowId, runId)) {
        kept.push(name);
        continue;
      }
      await guardian.removeSandbox({ dir, by: 'reconciled' });
      undone.push(name);
    } catch (error) {
      failed.push(`${name}: ${messageOf(error)}`);
    }
  }
  try {
    undone.push(...(await guardian.removeStrays()));
  } catch (error) {
    failed.push(`looking for what no lease holds: ${messageOf(error)}`);
  }
  return { undone, kept, failed };
}
