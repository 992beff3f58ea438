/**
 * Slots of a schedule that passed without an action: Temporal's own list of matching times, minus the actions it took, minus what is known already.
 * A paused schedule misses nothing, and a slot within the catch-up window may still be made up for. Workers look at their start and twice a minute,
 * so a month that was missed is on record though nobody asked.
 */
import { ScheduleNotFoundError, type Client, type ScheduleDescription } from '@temporalio/client';
import { msNumberToTs, tsToMs } from '@temporalio/common/lib/time';
import { missedOnRecord } from '../activities/schedule-activities';
import { taskQueues } from '../core/ids';
import type { recordMissed } from '../workflows/record-missed';

/** What the ids of gameday's schedules begin with. */
export const SCHEDULE_PREFIX = 'gameday/';
/** Looked back at most so far. */
const LOOK_BACK_MS = 92 * 86_400_000;
const MAX_SLOTS = 1_000;
const MAX_SCHEDULES = 200;

/** What a schedule remembers about its plan, readable without decoding the plan. */
export interface ScheduleMemo {
  readonly planSha256: string;
  readonly scenario: string;
  readonly target: string;
  readonly site: string;
  readonly when: string;
}

/** Ids of gameday's schedules, sorted. The listing lags behind what was created and deleted last. */
export async function listScheduleIds(client: Client): Promise<readonly string[]> {
  const ids: string[] = [];
  for await (const { scheduleId } of client.schedule.list()) {
    if (scheduleId.startsWith(SCHEDULE_PREFIX)) ids.push(scheduleId);
    if (ids.length === MAX_SCHEDULES) break;
  }
  return ids.sort();
}

/** The guard's memo is renewed by every apply; the schedule's own stays as it was when created. Null for one that gameday did not make. */
export function scheduleMemo({ action, memo }: ScheduleDescription): ScheduleMemo | null {
  const candidate: unknown = action.type === 'startWorkflow' && action.memo !== undefined ? action.memo : memo;
  return typeof candidate === 'object' && candidate !== null && 'planSha256' in candidate && 'target' in candidate
    ? (candidate as ScheduleMemo)
    : null;
}

/**
 * Finds what one schedule missed and hands what is not on record yet to its site's workers. Returns all due times (RFC 3339 UTC) known or found to be
 * missed, oldest first. Started, not waited for: the workers write it down when they can, once per slot.
 */
export async function tendSchedule(client: Client, home: string, schedule: ScheduleDescription): Promise<readonly string[]> {
  const memo = scheduleMemo(schedule);
  const name = schedule.scheduleId.slice(SCHEDULE_PREFIX.length);
  const found = await findMissed(client, schedule, Date.now());
  if (memo === null) return found;
  const known = missedOnRecord(home, memo.target, name);
  const slots = found.filter((dueAt) => !known.includes(dueAt));
  if (slots.length > 0)
    await client.workflow.start<typeof recordMissed>('recordMissed', {
      args: [{ home, schedule: name, target: memo.target, scenario: memo.scenario, site: memo.site, slots }],
      workflowId: `schedule-missed/${name}`,
      taskQueue: taskQueues(memo.site).control,
      workflowIdConflictPolicy: 'USE_EXISTING',
    });
  return [...new Set([...known, ...found])].sort();
}

/** Every schedule of ours, one after the other. One that was deleted since it was listed misses nothing. */
export async function tendSchedules(client: Client, home: string): Promise<void> {
  for (const id of await listScheduleIds(client)) {
    try {
      await tendSchedule(client, home, await client.schedule.getHandle(id).describe());
    } catch (error) {
      if (!(error instanceof ScheduleNotFoundError)) throw error;
    }
  }
}

/** Temporal's count of missed slots bounds them: overlaps and pauses are not misses. */
async function findMissed(client: Client, schedule: ScheduleDescription, nowMs: number): Promise<readonly string[]> {
  const { info, policies, scheduleId } = schedule;
  if (info.numActionsMissedCatchupWindow === 0) return [];
  const fromMs = Math.max((info.lastUpdatedAt ?? info.createdAt).getTime(), nowMs - LOOK_BACK_MS);
  const toMs = nowMs - policies.catchupWindow;
  if (toMs <= fromMs) return [];
  const { startTime } = await client.workflowService.listScheduleMatchingTimes({
    namespace: client.options.namespace,
    scheduleId,
    startTime: msNumberToTs(fromMs),
    endTime: msNumberToTs(toMs),
  });
  const due = (startTime ?? []).map((at) => tsToMs(at)).slice(-MAX_SLOTS);
  return withoutActions(
    due,
    info.recentActions.map(({ scheduledAt }) => scheduledAt.getTime()),
    info.numActionsMissedCatchupWindow,
  ).map((ms) => new Date(ms).toISOString());
}

/** Due times that none of the actions was taken for (jitter delays an action by less than the time to the next), the newest `missed` of them. Pure. */
export function withoutActions(dueMs: readonly number[], actionsMs: readonly number[], missed: number): readonly number[] {
  const [oldest] = [...actionsMs].sort((a, b) => a - b);
  // Temporal keeps the newest ten actions only: of what was before them nothing is known unless there are fewer.
  const known = actionsMs.length >= 10 && oldest !== undefined ? dueMs.filter((due) => due >= oldest) : dueMs;
  const free = known.filter((due, index) => {
    const next = known[index + 1] ?? Number.POSITIVE_INFINITY;
    return !actionsMs.some((action) => action >= due && action < next);
  });
  return missed >= free.length ? free : free.slice(-missed);
}
