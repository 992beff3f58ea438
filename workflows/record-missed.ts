/** Records the slots of a schedule that passed while Temporal was down. It runs no drill: a slot that is gone is never made up for. */
import { proxyActivities } from '@temporalio/workflow';
import type { SiteActivities } from '../activities/contract';
import { taskQueues } from '../core/ids';
import type { MissedSlots } from './schedule-messages';

export async function recordMissed({ site, slots, ...base }: MissedSlots): Promise<void> {
  const { recordSkip } = proxyActivities<Pick<SiteActivities, 'recordSkip'>>({
    taskQueue: taskQueues(site).site,
    startToCloseTimeout: '30s',
    retry: { initialInterval: '1s', backoffCoefficient: 2, maximumInterval: '60s' },
  });
  for (const dueAt of slots)
    await recordSkip({ ...base, dueAt, outcome: 'missed', reason: 'Temporal did not run, or not in time, when the slot came' });
}
