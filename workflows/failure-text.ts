/** The innermost message of a Temporal failure: what went wrong, without the wrappers that carried it here. */
import { isCancellation, TemporalFailure } from '@temporalio/workflow';

export function failureText(error: unknown): string {
  if (isCancellation(error)) return 'cancelled';
  let at: unknown = error;
  // ActivityFailure → ApplicationFailure → …; four levels are more than Temporal nests here.
  for (let depth = 0; depth < 4 && at instanceof TemporalFailure && at.cause !== undefined; depth += 1) at = at.cause;
  return at instanceof Error ? at.message : String(at);
}
