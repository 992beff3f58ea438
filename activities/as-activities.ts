/**
 * What is the same for every activity: it heartbeats, so that a dead worker is noticed within seconds and a halt reaches it, and it fails in Temporal's
 * terms. GamedayErrors keep code, hint and retryability; everything else stays what it is and is retried.
 */
import { ApplicationFailure, Context } from '@temporalio/activity';
import { GamedayError } from '../core/errors';
import { progressOf } from './progress';

const HEARTBEAT_MS = 2_000;

function toFailure(error: unknown): unknown {
  if (!(error instanceof GamedayError)) return error;
  return ApplicationFailure.create({
    message: error.message,
    type: error.code,
    nonRetryable: !error.retryable,
    details: [{ hint: error.hint }],
    cause: error,
  });
}

async function heartbeating<T>(work: () => Promise<T>): Promise<T> {
  const context = Context.current();
  const timer = setInterval(() => context.heartbeat(progressOf(context)), HEARTBEAT_MS);
  context.heartbeat(progressOf(context));
  try {
    return await work();
  } finally {
    clearInterval(timer);
  }
}

/** The same functions as activities of Temporal. */
export function asActivities<T extends object>(functions: T): T {
  const wrapped = Object.entries(functions).map(([name, work]: [string, (input: unknown) => Promise<unknown>]) => [
    name,
    async (input: unknown) => {
      try {
        return await heartbeating(() => work(input));
      } catch (error) {
        throw toFailure(error);
      }
    },
  ]);
  return Object.fromEntries(wrapped) as T;
}
