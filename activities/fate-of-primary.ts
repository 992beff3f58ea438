/** Why a plan fails over: does a fault take a node away before, or is a primary that is there asked to hand over? What is predicted depends on it. */
import { findFault } from '../faults/registry';
import type { Plan, PlanStep } from '../model/plan';

function takesNodeAway(step: PlanStep): boolean {
  if (step.kind === 'parallel') return step.branches.some((branch) => branch.some(takesNodeAway));
  if (step.kind !== 'fault') return false;
  const fault = findFault(step.fault);
  return fault.takesNodeAway?.(fault.schema.parse(step.settings)) === true;
}

/** `lost`: a step before the first failover takes a node away. */
export function fateOfPrimary({ steps }: Pick<Plan, 'steps'>): 'lost' | 'asked' {
  const at = steps.findIndex((step) => step.kind === 'failover');
  return steps.slice(0, at < 0 ? steps.length : at).some(takesNodeAway) ? 'lost' : 'asked';
}
