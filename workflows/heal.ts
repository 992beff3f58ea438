/**
 * Healing: the undo stack, newest first. One failed undo never stops the rest. An entry leaves the stack only when the guardian
 * has proven its fault gone; what stays makes the drill unsafe.
 */
import type { UndoEntry } from './undo-stack';
import type { DrillContext } from './drill-context';
import { failureText } from './failure-text';

/** True when everything asked for is proven gone. Callers shield it from cancellation. */
export async function healEntries(context: DrillContext, entries: readonly UndoEntry[], by: string): Promise<boolean> {
  const { plan } = context.input;
  let all = true;
  for (const { step, handle } of entries) {
    const key = context.leaseKey(step);
    try {
      const lease = await context.hands.undo.undoFault({ plan: { target: plan.target }, key, handle, by, probe: context.probe });
      context.leases.set(step, lease);
      context.undo.remove(step);
      context.say(step, 'healed', `${handle.fault} is gone: ${lease.gone?.by ?? 'it never happened'}`);
    } catch (error) {
      all = false;
      context.say(step, 'not healed', `${handle.fault} is NOT proven gone: ${failureText(error)}`, { manualUndo: [...handle.manualUndo] });
      try {
        const lease = await context.hands.undo.describeLease({ plan: { target: plan.target }, key });
        if (lease !== null) context.leases.set(step, lease);
      } catch {
        // The guardian does not answer: the lease stays as last seen, and the drill is unsafe anyway.
      }
    }
  }
  return all;
}
