/**
 * How a target's policy is read: which faults it permits, within which limits. Pure. Whatever is missing counts as its safe default, because plans and
 * leases made before a limit existed do not hold it.
 */
import { DEFAULT_MAX_NODES_AT_ONCE } from '../model/constants';
import type { FaultPermit, TargetPolicy } from '../model/target';

export interface BlastLimits {
  readonly maxNodesAtOnce: number;
  readonly allowQuorumLoss: boolean;
}

/** The permit of a fault and its place in `allowFaults`; null if the policy does not list it. */
export function permitOf(policy: Pick<TargetPolicy, 'allowFaults'>, fault: string): (FaultPermit & { readonly index: number }) | null {
  const index = policy.allowFaults.findIndex((permit) => nameOf(permit) === fault);
  const permit = policy.allowFaults[index];
  if (permit === undefined) return null;
  return typeof permit === 'string' ? { fault, maxMs: null, maxNodes: null, index } : { ...permit, index };
}

export function permittedFaults(policy: Pick<TargetPolicy, 'allowFaults'>): readonly string[] {
  return policy.allowFaults.map(nameOf);
}

export function blastLimits(policy: Partial<BlastLimits>): BlastLimits {
  return {
    maxNodesAtOnce: policy.maxNodesAtOnce ?? DEFAULT_MAX_NODES_AT_ONCE,
    allowQuorumLoss: policy.allowQuorumLoss ?? false,
  };
}

/** The longest that a fault of this kind may stand. */
export function maxFaultMsOf(policy: Pick<TargetPolicy, 'allowFaults' | 'maxFaultMs'>, fault: string): number {
  return Math.min(policy.maxFaultMs, permitOf(policy, fault)?.maxMs ?? policy.maxFaultMs);
}

function nameOf(permit: string | FaultPermit): string {
  return typeof permit === 'string' ? permit : permit.fault;
}
