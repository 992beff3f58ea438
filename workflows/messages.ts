/** The drill workflow's messages: what can be asked of it and told to it while it runs. */
import { defineQuery, defineUpdate } from '@temporalio/workflow';
import type { AnswerInput, DrillProgress, HaltInput } from '../model/message';

export const progressQuery = defineQuery<DrillProgress>('progress');
/** Stops the method and heals; accepted at any time, idempotent. Plain cancellation does the same. */
export const haltUpdate = defineUpdate<void, [HaltInput]>('halt');
/** Answers a manual step or a gate; rejected by a synchronous validator when nobody waits for it. */
export const answerUpdate = defineUpdate<void, [AnswerInput]>('answer');

export const DRILL_WORKFLOW = 'drill';
export const SCHEDULE_GUARD_WORKFLOW = 'scheduleGuard';
