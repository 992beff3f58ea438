/** GamedayErrors become Temporal failures that keep code, hint and retryability; everything else stays what it is and is retried. */
import { ApplicationFailure } from '@temporalio/activity';
import { GamedayError } from '../core/errors';

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

/** The same functions, failing in Temporal's terms. */
export function asFailure<T extends object>(activities: T): T {
  const wrapped = Object.entries(activities).map(([name, activity]: [string, (input: unknown) => Promise<unknown>]) => [
    name,
    async (input: unknown) => {
      try {
        return await activity(input);
      } catch (error) {
        throw toFailure(error);
      }
    },
  ]);
  return Object.fromEntries(wrapped) as T;
}
