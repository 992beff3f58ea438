/**
 * Slots of a schedule that passed without an action: Temporal's own list of matching times, minus the actions it took, minus what is known already.
 * A paused schedule misses nothing, and a slot within the catch-up window may still be made up for.
 */
import type { ScheduleDescription } from '@temporalio/client';
import { msNumberToTs, tsToMs } from '@temporalio/common/lib/time';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import { homePaths } from '../core/home';
import type { TemporalAccess } from './temporal';

/** Looked back at most so far. */
const LOOK_BACK_MS = 92 * 86_400_000;
const MAX_SLOTS = 1_000;

const line = z.object({
  schedule: z.string(),
  scenario: z.string(),
  dueAt: z.string(),
  outcome: z.enum(['skipped', 'missed']),
  reason: z.string(),
});
export type SkippedSlot = z.output<typeof line>;

/** What workers have recorded of this target's schedules: `drills/<target>/schedule.jsonl`. Lines that are damaged are left out. */
export function readSkippedSlots(home: string, target: string): readonly SkippedSlot[] {
  const path = join(homePaths(home).drills, target, 'schedule.jsonl');
  if (!existsSync(path)) return [];
  return readFileSync(path, 'utf8')
    .split('\n')
    .flatMap((text) => {
      try {
        const parsed = line.safeParse(JSON.parse(text));
        return parsed.success ? [parsed.data] : [];
      } catch {
        return [];
      }
    });
}

/** Due times (RFC 3339 UTC) without an action, oldest first. Temporal's count of missed slots bounds them: overlaps and pauses are not misses. */
export async function findMissedSlots(temporal: TemporalAccess, schedule: ScheduleDescription, nowMs: number): Promise<readonly string[]> {
  const { info, policies, scheduleId } = schedule;
  if (info.numActionsMissedCatchupWindow === 0) return [];
  const fromMs = Math.max((info.lastUpdatedAt ?? info.createdAt).getTime(), nowMs - LOOK_BACK_MS);
  const toMs = nowMs - policies.catchupWindow;
  if (toMs <= fromMs) return [];
  const { startTime } = await temporal.call(() =>
    temporal.client.workflowService.listScheduleMatchingTimes({
      namespace: temporal.namespace,
      scheduleId,
      startTime: msNumberToTs(fromMs),
      endTime: msNumberToTs(toMs),
    }),
  );
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
