/** The steps of a plan as one list: what several rooms ask of them. Pure. */
import type { PlanStep, RestoreStep } from './plan';

/** Every step, those inside parallel branches included, in the file's order. */
export function flattenSteps(steps: readonly PlanStep[]): readonly PlanStep[] {
  return steps.flatMap((step) => (step.kind === 'parallel' ? [step, ...step.branches.flatMap(flattenSteps)] : [step]));
}

/** Steps that move bytes: a restore that is expected to be refused moves none. */
export function restoresIn(steps: readonly PlanStep[]): readonly RestoreStep[] {
  return flattenSteps(steps).flatMap((step) => (step.kind === 'restore' && step.expect === undefined ? [step] : []));
}
