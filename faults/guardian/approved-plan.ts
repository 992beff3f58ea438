/**
 * What the guardian asks before it arms anything on production: the very plan, approved by enough people whom its own allow file trusts, and a step of
 * that plan which does this fault. It believes nobody's digest and nobody's resolution of the settings: it makes both again from the plan.
 */
import { canonicalJson } from '../../core/canonical-json';
import { GamedayError } from '../../core/errors';
import type { FaultHandle } from '../../model/fault';
import type { FaultStep } from '../../model/plan';
import type { Target } from '../../model/target';
import type { LiveTarget } from '../../targets/ports';
import { consentsEndMs, findFaultStep, planDigest, requireApprovals } from '../approvals';
import { faultLabel, NO_MEMORY } from '../contract';
import type { AnyFault } from '../registry';
import { refuseByAllow, type Allow } from './allow';
import type { ArmRequest } from './client';
import { withDeadline } from './deadline';

export interface ApprovedFault {
  /** The step's own settings, resolved here and now. */
  readonly handle: FaultHandle;
  /** What plan and step leave of the time asked for. */
  readonly maxMs: number;
  /** When the consents run out, in milliseconds since the epoch: asked again when the lease begins, because checking takes its time. */
  readonly endsAtMs: number;
  readonly ttlMs: number;
  readonly planSha256: string;
  readonly approvedBy: readonly string[];
}

/** A target is production when its file says so, or when this machine's owner does, whatever the target's file says. */
export function isProduction(target: Target, allow: Allow): boolean {
  return target.kind === 'production' || allow.productionSystems?.includes(target.systemIdentifier) === true;
}

/** Throws `fault_refused` and `approval_missing`, and what resolving the settings throws. */
export async function requireApproved(
  request: ArmRequest,
  parts: {
    readonly allow: Allow;
    readonly allowFile: string;
    readonly fault: AnyFault;
    readonly open: (target: Target) => LiveTarget;
    readonly resolveMs: number;
  },
): Promise<ApprovedFault> {
  const { allow, allowFile } = parts;
  const { target, key, startedBy } = request;
  if (allow.approvers === undefined)
    return refuseByAllow(
      allowFile,
      `approvers is not set, and system ${target.systemIdentifier} (target ${target.name}) is production`,
      'name the allowed-signers file of those who may approve drills here; docs/SECURITY.md shows how.',
    );
  const { plan, step } = stepOf(request);
  if (startedBy === undefined) throw new GamedayError('fault_refused', `nobody is named as the starter of the drill on ${target.name}`);
  const nowMs = Date.now();
  const planSha256 = planDigest(plan);
  const { systemIdentifier } = target;
  const approvals = request.approvals ?? [];
  const consents = await requireApprovals({ planSha256, systemIdentifier, approvals, signersFile: allow.approvers, startedBy, nowMs });
  const { fault } = parts;
  const { drill } = request.handle;
  const resolved = await withDeadline(parts.resolveMs, `resolving ${step.fault}`, () =>
    fault.resolve(fault.schema.parse(step.settings), {
      live: parts.open(target),
      drill,
      label: faultLabel(drill, key.step),
      memory: NO_MEMORY,
    }),
  );
  return {
    handle: { fault: step.fault, drill, resolved, preview: fault.preview(resolved), manualUndo: fault.manualUndo(resolved, target) },
    maxMs: Math.min(request.maxMs, step.maxMs, plan.limits.faultMaxMs),
    endsAtMs: consentsEndMs(consents),
    ttlMs: Math.min(request.ttlMs, plan.limits.leaseTtlMs),
    planSha256,
    approvedBy: consents.map(({ approver, key: fingerprint }) => `${approver} (${fingerprint})`),
  };
}

/** Milliseconds until then; throws `approval_missing` when they have run out meanwhile. */
export function requireConsentLeft(endsAtMs: number, target: Target): number {
  const leftMs = endsAtMs - Date.now();
  if (leftMs > 0) return leftMs;
  throw new GamedayError('approval_missing', `the approvals for ${target.name} ran out while its fault was being armed`);
}

function stepOf({ plan, target, key, handle }: ArmRequest): { readonly plan: NonNullable<ArmRequest['plan']>; readonly step: FaultStep } {
  const refuse = (why: string): never => {
    throw new GamedayError(
      'fault_refused',
      `${handle.fault} on production target ${target.name}: ${why}`,
      'start the drill by `gameday run`.',
    );
  };
  if (plan === undefined) return refuse('the request holds no plan that could have been approved');
  if (canonicalJson(plan.target) !== canonicalJson(target)) return refuse('the target is not the one of the plan');
  const step = findFaultStep(plan.steps, key.step);
  if (step?.fault !== handle.fault) return refuse(`the plan has no step ${key.step} with this fault`);
  return { plan, step };
}
