/**
 * What a schedule starts: looks whether the target is healthy and free, then starts the drill as its child, or records why this slot was skipped.
 * It breaks nothing itself, and a drill that it has started goes on without it; its own cancellation is forwarded to the drill.
 */
import {
  ApplicationFailure,
  CancellationScope,
  ChildWorkflowCancellationType,
  ParentClosePolicy,
  executeChild,
  isCancellation,
  proxyActivities,
  workflowInfo,
} from '@temporalio/workflow';
import { WorkflowExecutionAlreadyStartedError } from '@temporalio/common';
import type { SiteActivities } from '../activities/contract';
import { drillWorkflowId, taskQueues } from '../core/ids';
import type { DrillInput, DrillResult } from '../model/message';
import type { drill } from './drill';
import { failureText } from './failure-text';
import { DRILL_WORKFLOW } from './messages';
import type { ScheduleInput, ScheduleOutcome } from './schedule-messages';

/** A slot whose readiness is not known by then is skipped: a drill must never start hours after its time because a worker was away. */
const START_WITHIN = '5m';

/** Fails when the drill left something broken or broke down itself, so that a schedule with `pauseOnFailure` pauses; a missed objective is a result. */
export async function scheduleGuard(input: ScheduleInput): Promise<ScheduleOutcome> {
  const dueAt = slotOf();
  const obstacle = await findObstacle(input);
  if (obstacle !== null) return skip(input, dueAt, obstacle);
  let result: DrillResult;
  try {
    result = await runDrill(input);
  } catch (error) {
    if (!(error instanceof WorkflowExecutionAlreadyStartedError)) throw error;
    return skip(input, dueAt, `another drill runs on ${input.plan.target.name}`);
  }
  if (result.state === 'unsafe' || result.state === 'failed' || result.state === 'lost') {
    throw ApplicationFailure.nonRetryable(
      `${result.drill} ended ${result.state}: ${result.reasons.join('; ')}`,
      result.state === 'unsafe' ? 'undo_failed' : 'step_failed',
      result,
    );
  }
  return { kind: 'ran', dueAt, result };
}

/** The time that the schedule meant; when triggered by hand, the time of the start. */
function slotOf(): string {
  const info = workflowInfo();
  const due = info.typedSearchAttributes.getAll().find(({ key }) => key.name === 'TemporalScheduledStartTime')?.value;
  return (due instanceof Date ? due : info.startTime).toISOString();
}

async function findObstacle({ plan, startedBy }: ScheduleInput): Promise<string | null> {
  const { checkReadiness } = proxyActivities<Pick<SiteActivities, 'checkReadiness'>>({
    taskQueue: taskQueues(plan.target.site).site,
    startToCloseTimeout: '45s',
    scheduleToCloseTimeout: START_WITHIN,
    retry: { initialInterval: '1s', backoffCoefficient: 2, maximumInterval: '30s', maximumAttempts: 5 },
  });
  try {
    const { checks } = await checkReadiness({ plan, drill: null, startedBy });
    const bad = checks.filter((check) => !check.ok);
    return bad.length === 0 ? null : bad.map((check) => `${check.name}: ${check.found}`).join('; ');
  } catch (error) {
    if (isCancellation(error)) throw error;
    return `readiness could not be checked: ${failureText(error)}`;
  }
}

function runDrill(input: ScheduleInput): Promise<DrillResult> {
  const { plan, planSha256, home, startedBy, name } = input;
  const drillInput: DrillInput = { plan, planSha256, home, startedBy, trigger: { kind: 'schedule', name } };
  return executeChild<typeof drill>(DRILL_WORKFLOW, {
    args: [drillInput],
    workflowId: drillWorkflowId(plan.target.systemIdentifier),
    taskQueue: taskQueues(plan.target.site).control,
    workflowIdReusePolicy: 'ALLOW_DUPLICATE',
    parentClosePolicy: ParentClosePolicy.ABANDON,
    cancellationType: ChildWorkflowCancellationType.WAIT_CANCELLATION_COMPLETED,
  });
}

/** Recorded whenever a worker is there to do it: a skip that nobody knows of is a drill that never was. */
async function skip(input: ScheduleInput, dueAt: string, reason: string): Promise<ScheduleOutcome> {
  const { plan, name, home } = input;
  const { recordSkip } = proxyActivities<Pick<SiteActivities, 'recordSkip'>>({
    taskQueue: taskQueues(plan.target.site).site,
    startToCloseTimeout: '30s',
    retry: { initialInterval: '1s', backoffCoefficient: 2, maximumInterval: '60s' },
  });
  await CancellationScope.nonCancellable(() =>
    recordSkip({ schedule: name, home, target: plan.target.name, scenario: plan.scenario.name, dueAt, outcome: 'skipped', reason }),
  );
  return { kind: 'skipped', dueAt, reason };
}
