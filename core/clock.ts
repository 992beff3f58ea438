/** Clocks of this machine. Durations come from the monotonic or the boot-time clock, never from wall time. Node only. */
import { readFileSync } from 'node:fs';

/** Monotonic nanoseconds of this process's clock (CLOCK_MONOTONIC: the same zero for every process of one boot). */
export function monotonicNs(): bigint {
  return process.hrtime.bigint();
}

/** The same in milliseconds. */
export const monotonicMs = (): number => Number(monotonicNs()) / 1e6;

/** Milliseconds since boot including suspend (Linux: /proc/uptime, resolution 10 ms). Wall-clock faults cannot stretch it. */
export function bootTimeMs(): number {
  const first = readFileSync('/proc/uptime', 'utf8').split(' ')[0] ?? '';
  return Math.round(Number(first) * 1_000);
}

/** Changes with every boot of the machine. */
export function bootId(): string {
  return readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim();
}

/** Wall clock as RFC 3339 UTC with milliseconds. */
export function nowUtc(): string {
  return new Date().toISOString();
}

export function sleep(ms: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal?.aborted === true) return reject(signal.reason as Error);
    const timer = setTimeout(() => {
      signal?.removeEventListener('abort', onAbort);
      resolve();
    }, ms);
    const onAbort = (): void => {
      clearTimeout(timer);
      reject(signal?.reason as Error);
    };
    signal?.addEventListener('abort', onAbort, { once: true });
  });
}

/**
 * Polls `probe` until it returns something other than null, at most `timeoutMs`; then throws what `onTimeout` makes of the last error.
 * A condition with a deadline: the only way in which gameday waits.
 */
export async function until<T>(
  probe: () => Promise<T | null> | T | null,
  options: {
    readonly timeoutMs: number;
    readonly everyMs?: number;
    readonly signal?: AbortSignal;
    readonly onTimeout: (last: unknown) => Error;
  },
): Promise<T> {
  const deadline = monotonicNs() + BigInt(Math.round(options.timeoutMs * 1e6));
  let last: unknown = null;
  for (;;) {
    options.signal?.throwIfAborted();
    try {
      const value = await probe();
      if (value !== null) return value;
    } catch (error) {
      last = error;
    }
    if (monotonicNs() >= deadline) throw options.onTimeout(last);
    await sleep(options.everyMs ?? 50, options.signal);
  }
}

/** Asks until the answer is `enough`, and gives the last one when the time is over: what is judged by its answer, and may settle meanwhile. */
export async function askUntil<T>(
  ask: () => Promise<T>,
  enough: (answer: T) => boolean,
  options: { readonly timeoutMs: number; readonly everyMs: number; readonly signal?: AbortSignal },
): Promise<T> {
  const deadline = monotonicNs() + BigInt(Math.round(options.timeoutMs * 1e6));
  for (;;) {
    const answer = await ask();
    if (enough(answer) || monotonicNs() >= deadline) return answer;
    await sleep(options.everyMs, options.signal);
  }
}

/** For work that cannot be stopped: whoever waits for it is. Rejects with the signal's reason, or as `work` does. */
export async function unlessAborted<T>(signal: AbortSignal, work: Promise<T>): Promise<T> {
  signal.throwIfAborted();
  let stop = (): void => undefined;
  const aborted = new Promise<never>((_, reject) => {
    stop = () => reject(signal.reason instanceof Error ? signal.reason : new Error('aborted'));
    signal.addEventListener('abort', stop, { once: true });
  });
  work.catch(() => undefined);
  try {
    return await Promise.race([work, aborted]);
  } finally {
    signal.removeEventListener('abort', stop);
  }
}
