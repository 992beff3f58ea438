/** Faults: resolved against the live target here, injected and undone by the guardian alone. */
import { ApplicationFailure } from '@temporalio/activity';
import { GamedayError } from '../core/errors';
import type { FaultHandle, LeaseKey, LeaseView } from '../model/fault';
import type { Plan } from '../model/plan';
import { faultLabel, NO_MEMORY } from '../faults/contract';
import { findFault } from '../faults/registry';
import { openTarget } from '../targets/open-target';
import type { InjectResult, ProbeRef, SiteActivities, UndoActivities } from './contract';
import { guardianOf, stamp, withHeartbeat } from './open-drill';

export async function resolveFault({ plan, drill, step }: Parameters<SiteActivities['resolveFault']>[0]): Promise<FaultHandle> {
  const fault = findFault(step.fault);
  const live = openTarget(plan.target);
  const settings = fault.schema.parse(step.settings);
  if (plan.target.kind !== 'lab' && fault.mayLoseWrites(settings) && !plan.target.policy.acceptDataLoss) {
    throw new GamedayError(
      'fault_refused',
      `fault ${step.fault} may lose acknowledged writes, and target "${plan.target.name}" does not say acceptDataLoss`,
    );
  }
  const resolved = await fault.resolve(settings, { live, drill: drill.drill, label: faultLabel(drill.drill, step.id), memory: NO_MEMORY });
  return {
    fault: step.fault,
    drill: drill.drill,
    resolved,
    preview: fault.preview(resolved),
    manualUndo: fault.manualUndo(resolved, plan.target),
  };
}

export async function injectFault({
  plan,
  key,
  handle,
  maxMs,
  probe,
}: Parameters<SiteActivities['injectFault']>[0]): Promise<InjectResult> {
  const guardian = guardianOf(plan.target);
  return withHeartbeat(async () => {
    await guardian.arm({ key, handle, target: plan.target, ttlMs: plan.limits.leaseTtlMs, maxMs });
    const aboutToNs = await stamp(probe, 'inject', 'about-to', key.step, { fault: handle.fault });
    const { facts, confirmed, lease } = await guardian.inject(key);
    const doneNs = await stamp(probe, 'inject', 'done', key.step, { fault: handle.fault, confirmed: confirmed.holds });
    return { facts, confirmed, lease, aboutToNs, doneNs };
  });
}

export async function undoFault(input: {
  readonly plan: Pick<Plan, 'target'>;
  readonly key: LeaseKey;
  readonly handle: FaultHandle;
  readonly by: string;
  readonly probe: ProbeRef | null;
}): Promise<LeaseView> {
  const { plan, key, handle, by, probe } = input;
  await stamp(probe, 'heal', 'about-to', key.step, { fault: handle.fault });
  const lease = await guardianOf(plan.target).undo({ key, by });
  await stamp(probe, 'heal', 'done', key.step, { fault: handle.fault });
  if (lease.state !== 'gone' || lease.gone?.holds === false) {
    throw ApplicationFailure.retryable(
      `${handle.fault} (${key.step}) is not proven gone: ${lease.lastError ?? lease.gone?.by ?? lease.state}`,
      'undo_failed',
    );
  }
  return lease;
}

export async function describeLease({ plan, key }: Parameters<UndoActivities['describeLease']>[0]): Promise<LeaseView | null> {
  const leases = await guardianOf(plan.target).list();
  return leases.find(({ key: k }) => k.workflowId === key.workflowId && k.runId === key.runId && k.step === key.step) ?? null;
}
