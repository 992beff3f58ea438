/**
 * Healing: the undo stack, newest first; several come off together in one call. One failed undo never stops the rest. An entry leaves the stack only
 * when the guardian has proven its fault gone; what stays makes the drill unsafe.
 */
import type { LeaseView } from '../model/fault';
import type { UndoEntry } from './undo-stack';
import type { DrillContext } from './drill-context';
import { failureText } from './failure-text';

function healed(context: DrillContext, lease: LeaseView): void {
  const { step } = lease.key;
  context.leases.set(step, lease);
  context.undo.remove(step);
  context.say(step, 'healed', `${lease.handle.fault} is gone: ${lease.gone?.by ?? 'it never happened'}`);
}

/** Those that are not gone after it are left for trying one by one. */
async function healTogether(context: DrillContext, entries: readonly UndoEntry[], by: string): Promise<readonly UndoEntry[]> {
  if (entries.length < 2) return entries;
  const { workflowId, runId } = context.ref;
  const steps = entries.map((entry) => entry.step);
  try {
    const { target } = context.input.plan;
    const leases = await context.hands.undoTogether.undoFaults({
      plan: { target },
      run: { workflowId, runId },
      steps,
      by,
      probe: context.probe,
    });
    const gone = leases.filter((lease) => lease.state === 'gone');
    for (const lease of gone) healed(context, lease);
    return entries.filter((entry) => !gone.some((lease) => lease.key.step === entry.step));
  } catch {
    // Whatever kept it from doing all at once may keep it from one only.
    return entries;
  }
}

/** Null when the guardian does not answer, or never heard of it: the lease then stays as it was last told, and the drill is unsafe. */
async function lastSeen(context: DrillContext, step: string): Promise<LeaseView | null> {
  try {
    const { target } = context.input.plan;
    return await context.hands.undo.describeLease({ plan: { target }, key: context.leaseKey(step) });
  } catch {
    return null;
  }
}

/** True when everything asked for is proven gone. Callers shield it from cancellation. */
export async function healEntries(context: DrillContext, entries: readonly UndoEntry[], by: string): Promise<boolean> {
  const { plan } = context.input;
  let all = true;
  for (const { step, handle } of await healTogether(context, entries, by)) {
    const key = context.leaseKey(step);
    try {
      const lease = await context.hands.undo.undoFault({ plan: { target: plan.target }, key, handle, by, probe: context.probe });
      healed(context, lease);
    } catch (error) {
      const lease = await lastSeen(context, step);
      // Its answer was lost, or the guardian came first: what is proven gone is gone.
      if (lease?.state === 'gone' && lease.gone?.holds === true) {
        healed(context, lease);
        continue;
      }
      all = false;
      if (lease !== null) context.leases.set(step, lease);
      context.say(step, 'not healed', `${handle.fault} is NOT proven gone: ${failureText(error)}`, { manualUndo: [...handle.manualUndo] });
    }
  }
  return all;
}
