/** From what was typed (scenario, target, `--set`) to a built plan; shared by plan, check, run, demo and schedules. */
import { GamedayError } from '../core/errors';
import { buildPlan, type BuiltPlan } from '../scenarios/build-plan';
import { findScenario } from '../scenarios/index';
import { readPlanFile } from '../scenarios/plan-file';
import { loadScenario } from '../scenarios/load-scenario';
import { findTarget, loadTarget } from '../scenarios/load-target';
import type { SeriesRun } from '../scenarios/series';
import { parseOverrides } from '../scenarios/variables';

const DEFAULT_TARGET = 'lab';

export interface PlanRequest {
  /** Name or path of a scenario; or the path of a plan (`….json`), which holds its target and variables already. */
  readonly scenario: string;
  /** Absent: the lab. */
  readonly target: string | undefined;
  readonly set: readonly string[];
  /** One run of a series; absent: a drill by itself. */
  readonly series?: SeriesRun;
}

/** Throws the errors of each part; touches nothing. */
export function planFor(home: string, request: PlanRequest): BuiltPlan {
  if (request.scenario.endsWith('.json')) return planFromFile(request);
  const scenario = loadScenario(findScenario(request.scenario));
  const target = loadTarget(findTarget(home, request.target ?? DEFAULT_TARGET));
  return buildPlan({ scenario, target, overrides: parseOverrides(request.set), series: request.series });
}

function planFromFile({ scenario: file, target, set, series }: PlanRequest): BuiltPlan {
  if (target !== undefined || set.length > 0 || series !== undefined)
    throw new GamedayError(
      'usage',
      `${file} is a plan, whose target, variables and steps are fixed: --target, --set, --repeat and --control do not go with it`,
    );
  return readPlanFile(file);
}
