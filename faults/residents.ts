/**
 * What the guardian's own process holds while a fault stands: sessions kept open, a link that flaps. It ends with the process, which is the point:
 * nothing of it can be left behind by a crash. A fault that uses it says `resident: true`.
 */
import { GamedayError, messageOf } from '../core/errors';

interface Held {
  readonly controller: AbortController;
  readonly ended: Promise<void>;
  failure: string | null;
}
const held = new Map<string, Held>();

/**
 * Starts `work` and returns when it calls `bites`; it goes on until `letGo`. A second call with the same label does nothing. `work` must end soon after
 * `signal` aborts. Throws what `work` failed with before it bit, or `step_failed` when it has not bitten within `timeoutMs`.
 */
export async function hold(
  label: string,
  timeoutMs: number,
  work: (signal: AbortSignal, bites: () => void) => Promise<void>,
): Promise<void> {
  if (held.has(label)) return;
  const controller = new AbortController();
  let timer: NodeJS.Timeout | undefined;
  const bitten = new Promise<void>((resolve, reject) => {
    timer = setTimeout(() => reject(new GamedayError('step_failed', `${label} did not take hold within ${timeoutMs} ms`)), timeoutMs);
    const entry: Held = {
      controller,
      failure: null,
      ended: work(controller.signal, resolve).then(
        () => {
          entry.failure = 'it ended by itself';
          reject(new GamedayError('step_failed', `${label} ended before it took hold`));
        },
        (error: unknown) => {
          entry.failure = messageOf(error);
          reject(error instanceof Error ? error : new Error(messageOf(error)));
        },
      ),
    };
    held.set(label, entry);
  });
  try {
    await bitten;
  } catch (error) {
    await letGo(label);
    throw error;
  } finally {
    clearTimeout(timer);
  }
}

/** Ends what is held under this label and waits until it has ended. Idempotent. */
export async function letGo(label: string): Promise<void> {
  const entry = held.get(label);
  if (entry === undefined) return;
  entry.controller.abort();
  await entry.ended;
  held.delete(label);
}

/** Why what was held under this label is over though nobody let it go; null while it goes on, and where nothing is held. */
export function whyEnded(label: string): string | null {
  return held.get(label)?.failure ?? null;
}

/** Null while it is held and well; otherwise why not. */
export function whyNotHeld(label: string): string | null {
  const entry = held.get(label);
  return entry === undefined ? 'nothing is held' : entry.failure;
}
