/** From what was typed (scenario, target, `--set`) to a built plan; shared by plan, check, run, demo and schedules. */
import { buildPlan, type BuiltPlan } from '../scenarios/build-plan';
import { findScenario } from '../scenarios/index';
import { loadScenario } from '../scenarios/load-scenario';
import { findTarget, loadTarget } from '../scenarios/load-target';
import type { SeriesRun } from '../scenarios/series';
import { parseOverrides } from '../scenarios/variables';

export interface PlanRequest {
  readonly scenario: string;
  readonly target: string;
  readonly set: readonly string[];
  /** One run of a series; absent: a drill by itself. */
  readonly series?: SeriesRun;
}

/** Throws the errors of each part; touches nothing. */
export function planFor(home: string, request: PlanRequest): BuiltPlan {
  const scenario = loadScenario(findScenario(request.scenario));
  const target = loadTarget(findTarget(home, request.target));
  return buildPlan({ scenario, target, overrides: parseOverrides(request.set), series: request.series });
}
