/** Faults: resolved against the live target here, injected and undone by the guardian alone. */
import { ApplicationFailure } from '@temporalio/activity';
import { GamedayError } from '../core/errors';
import { drillWorkflowId } from '../core/ids';
import type { FaultHandle, LeaseKey, LeaseView } from '../model/fault';
import type { Plan } from '../model/plan';
import { atLine, findForbidden } from '../faults/blast-radius';
import { faultLabel, NO_MEMORY } from '../faults/contract';
import { findFault } from '../faults/registry';
import { writers } from '../targets/controllers/promoted-by-others';
import { openTarget } from '../targets/open-target';
import type { NodeStatus } from '../targets/ports';
import type { InjectResult, ProbeRef, ResolvedFault, SiteActivities, UndoActivities } from './contract';
import { approvalsFor, guardianOf, proberOf, stamp, type Hand } from './open-drill';
import { findLossForbidden } from './policy-checks';

export async function resolveFault({ plan, drill, step }: Parameters<SiteActivities['resolveFault']>[0]): Promise<ResolvedFault> {
  const fault = findFault(step.fault);
  const live = openTarget(plan.target);
  const settings = fault.schema.parse(step.settings);
  const forbidden = findLossForbidden(plan.target, fault, settings);
  if (forbidden !== null) throw new GamedayError('fault_refused', atLine(plan.targetSource, forbidden), forbidden.hint);
  const resolved = await fault.resolve(settings, { live, drill: drill.drill, label: faultLabel(drill.drill, step.id), memory: NO_MEMORY });
  await refuseBlast(plan, step.fault, fault.reach(resolved).nodes);
  return {
    fault: step.fault,
    drill: drill.drill,
    resolved,
    preview: fault.preview(resolved),
    manualUndo: fault.manualUndo(resolved, plan.target),
    primary: soleWriter(await live.controller.status()),
  };
}

function soleWriter(nodes: readonly NodeStatus[]): string | null {
  const [first, second] = writers(nodes);
  return first === undefined || second !== undefined ? null : first.node;
}

/** Told before anything is armed; the guardian asks the same again, and its word is the last. */
async function refuseBlast(plan: Plan, fault: string, nodes: readonly string[]): Promise<void> {
  const leases = await guardianOf(plan.target).list();
  const mine = drillWorkflowId(plan.target.systemIdentifier);
  const standing = leases
    .filter(({ state, key }) => state !== 'gone' && key.workflowId === mine)
    .map(({ handle }) => ({ fault: handle.fault, nodes: findFault(handle.fault).reach(handle.resolved).nodes }));
  const forbidden = findForbidden(plan.target, standing, { fault, nodes });
  if (forbidden !== null) throw new GamedayError('fault_refused', atLine(plan.targetSource, forbidden), forbidden.hint);
}

export async function injectFault(
  hand: Hand,
  { plan, key, handle, maxMs, probe, startedBy, approvals }: Parameters<SiteActivities['injectFault']>[0],
): Promise<InjectResult> {
  const guardian = guardianOf(plan.target);
  await guardian.arm({
    key,
    handle,
    target: plan.target,
    ttlMs: plan.limits.leaseTtlMs,
    maxMs,
    plan,
    approvals: approvalsFor(hand, plan, approvals),
    ...(startedBy === undefined ? {} : { startedBy }),
  });
  const { windowMs, successRatio, maxP99Ms } = plan.steady;
  const before = await proberOf(probe)
    .window({ windowMs, successRatio, maxP99Ms, after: null })
    .catch(() => null);
  const aboutToNs = await stamp(probe, 'inject', 'about-to', key.step, { fault: handle.fault });
  const { facts, confirmed, lease } = await guardian.inject(key);
  const doneNs = await stamp(probe, 'inject', 'done', key.step, { fault: handle.fault, confirmed: confirmed.holds });
  return { facts, confirmed, lease, aboutToNs, doneNs, p99BeforeMs: before?.p99Ms ?? null };
}

export async function undoFaults(input: Parameters<UndoActivities['undoFaults']>[0]): Promise<readonly LeaseView[]> {
  const { plan, run, steps, by, probe } = input;
  await Promise.all(steps.map((step) => stamp(probe, 'heal', 'about-to', step)));
  const leases = await guardianOf(plan.target).undoSteps({ ...run, steps, by });
  const gone = leases.filter((lease) => lease.state === 'gone');
  await Promise.all(gone.map(({ key, handle }) => stamp(probe, 'heal', 'done', key.step, { fault: handle.fault })));
  return leases;
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
