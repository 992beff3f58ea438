/** A deadline around a verb of a fault: the caller goes on after it, whatever the verb does. It cannot stop the verb itself. */
import { GamedayError } from '../../core/errors';

/** The work's result, or `step_failed` after `ms`, or the signal's reason when it aborts. A result that comes later is dropped. */
export async function withDeadline<T>(ms: number, what: string, work: () => Promise<T>, signal?: AbortSignal): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  let cut: () => void = () => undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new GamedayError('step_failed', `${what} did not end within ${Math.round(ms)} ms`)), ms);
    cut = () => reject(signal?.reason as Error);
    signal?.addEventListener('abort', cut, { once: true });
  });
  try {
    signal?.throwIfAborted();
    return await Promise.race([work(), late]);
  } finally {
    clearTimeout(timer);
    signal?.removeEventListener('abort', cut);
  }
}
