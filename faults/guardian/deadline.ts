/** A deadline around a verb of a fault: the caller goes on after it, whatever the verb does. It cannot stop the verb itself. */
import { GamedayError } from '../../core/errors';

/** The work's result, or `step_failed` after `ms`. A result that comes later is dropped. */
export async function withDeadline<T>(ms: number, what: string, work: () => Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new GamedayError('step_failed', `${what} did not end within ${Math.round(ms)} ms`)), ms);
  });
  try {
    return await Promise.race([work(), late]);
  } finally {
    clearTimeout(timer);
  }
}
