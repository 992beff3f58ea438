/** A deadline around one question, so that a node that is frozen costs the question and never the command. */
import { GamedayError } from '../core/errors';

/** The result, or an error when it takes longer. What was asked may go on; nobody waits for it. */
export function within<T>(timeoutMs: number, work: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(
      () => reject(new GamedayError('refused', `no answer within ${timeoutMs / 1_000} s`, 'is something in its way frozen or cut off?')),
      timeoutMs,
    );
  });
  return Promise.race([work, late]).finally(() => clearTimeout(timer));
}
