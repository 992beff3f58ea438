/** From what was typed (scenario, target, `--set`) to a built plan; shared by plan, check, run, demo and schedules. */
import { until } from '../core/clock';
import { GamedayError, messageOf } from '../core/errors';
import type { Timers } from '../model/plan';
import { buildPlan, type BuiltPlan } from '../scenarios/build-plan';
import { findScenario } from '../scenarios/index';
import { readPlanFile } from '../scenarios/plan-file';
import { loadScenario } from '../scenarios/load-scenario';
import { findTarget, loadTarget } from '../scenarios/load-target';
import type { SeriesRun } from '../scenarios/series';
import { parseOverrides } from '../scenarios/variables';
import { openTarget } from '../targets/open-target';

const DEFAULT_TARGET = 'lab';
/** For as long a controller is asked again that does not answer: one that has just failed over is busy for a moment. */
const TIMERS_WITHIN_MS = 5_000;

export interface PlanRequest {
  /** Name or path of a scenario; or the path of a plan (`….json`), which holds its target and variables already. */
  readonly scenario: string;
  /** Absent: the lab. */
  readonly target: string | undefined;
  readonly set: readonly string[];
  /** One run of a series; absent: a drill by itself. */
  readonly series?: SeriesRun;
}

/** Throws the errors of each part; reads, and touches nothing. */
export async function planFor(home: string, request: PlanRequest): Promise<BuiltPlan> {
  if (request.scenario.endsWith('.json')) return planFromFile(request);
  const scenario = loadScenario(findScenario(request.scenario));
  const target = loadTarget(findTarget(home, request.target ?? DEFAULT_TARGET));
  return planLive({ scenario, target, overrides: parseOverrides(request.set), series: request.series });
}

/** Asks the controller for its timers first, if a variable follows from them. Where it cannot be asked defaults stand, and a note says so. */
export async function planLive(request: Omit<Parameters<typeof buildPlan>[0], 'timers'>): Promise<BuiltPlan> {
  const following = Object.entries(request.scenario.written.variables ?? {}).filter(([, { live }]) => live !== undefined);
  const { controller } = openTarget(request.target.target);
  if (following.length === 0 || controller.timers === undefined) return buildPlan(request);
  let timers: Timers;
  try {
    timers = await until(() => controller.timers?.() ?? null, {
      timeoutMs: TIMERS_WITHIN_MS,
      everyMs: 250,
      onTimeout: (last) => new GamedayError('controller_unreachable', messageOf(last), null, { cause: last }),
    });
  } catch (error) {
    const built = buildPlan(request);
    const names = following.map(([name]) => name).join(', ');
    const note = `the timers of ${controller.kind} cannot be read (${messageOf(error)}), so ${names} keep their defaults`;
    return { ...built, notes: [...built.notes, note] };
  }
  return buildPlan({ ...request, timers });
}

function planFromFile({ scenario: file, target, set, series }: PlanRequest): BuiltPlan {
  if (target !== undefined || set.length > 0 || series !== undefined)
    throw new GamedayError(
      'usage',
      `${file} is a plan, whose target, variables and steps are fixed: --target, --set, --repeat and --control do not go with it`,
    );
  return readPlanFile(file);
}
