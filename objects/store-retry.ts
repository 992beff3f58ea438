/**
 * Bounded retries for a remote store, with one coherent error at the end: "4 attempts: 3 connection refused, 1 503".
 * It never retries what cannot get better (a refusal, a missing bucket), and never waits past its budget.
 */
import { sleep } from '../core/clock';
import { GamedayError, messageOf } from '../core/errors';

export interface RetryPolicy {
  readonly attempts: number;
  /** Wait before attempt n+1: `firstDelayMs` × 2^(n−1), at most `maxDelayMs`, plus up to half of it at random. */
  readonly firstDelayMs: number;
  readonly maxDelayMs?: number;
  readonly random: () => number;
}

export const STORE_RETRY: RetryPolicy = { attempts: 4, firstDelayMs: 100, random: Math.random };

/** For bulk work, which an overloaded or restarting store must not end: about 25 s in all. */
export const PATIENT_RETRY: RetryPolicy = { attempts: 11, firstDelayMs: 100, maxDelayMs: 4_000, random: Math.random };

export function delayMs(policy: RetryPolicy, attempt: number): number {
  const delay = Math.min(policy.firstDelayMs * 2 ** (attempt - 1), policy.maxDelayMs ?? Infinity);
  return delay + delay * 0.5 * policy.random();
}

interface Failure {
  /** Short words that group alike failures. */
  readonly kind: string;
  readonly retryable: boolean;
}

const NETWORK: { readonly [code: string]: string } = {
  ECONNREFUSED: 'connection refused',
  ECONNRESET: 'connection reset',
  EPIPE: 'connection reset',
  ETIMEDOUT: 'timeout',
  EHOSTUNREACH: 'host unreachable',
  ENETUNREACH: 'network unreachable',
  ENOTFOUND: 'host not found',
  EAI_AGAIN: 'host not found',
};

/** What went wrong, in words for people, and whether trying again can help. Exported for its test. */
export function classifyFailure(error: unknown): Failure {
  const status = (error as { $metadata?: { httpStatusCode?: number } }).$metadata?.httpStatusCode;
  const name = (error as Error | null)?.name ?? '';
  const code = networkCode(error);
  if (code !== null) return { kind: NETWORK[code] ?? code, retryable: true };
  if (name === 'TimeoutError' || name === 'AbortError' || name === 'RequestTimeout') return { kind: 'timeout', retryable: true };
  if (status !== undefined && status >= 300)
    return {
      kind: status >= 500 || status === 429 || status === 408 ? String(status) : `${status} ${name}`,
      retryable: status >= 500 || status === 429 || status === 408,
    };
  const text = messageOf(error);
  if (/socket hang up|aborted|premature|closed early/i.test(text)) return { kind: 'connection reset', retryable: true };
  return { kind: text === '' ? name : text, retryable: /checksum/i.test(text) };
}

/** The system's code of a network failure, from the error, what it wraps, or its text: the SDK wraps errors that it does not recognize. */
function networkCode(error: unknown): string | null {
  const seen: readonly unknown[] = error instanceof AggregateError ? [...(error.errors as unknown[]), error] : [error];
  for (const one of seen) {
    const code = (one as NodeJS.ErrnoException | null)?.code;
    if (code !== undefined && Object.hasOwn(NETWORK, code)) return code;
  }
  const named = /\b(E[A-Z_]{3,})\b/.exec(messageOf(error))?.[1];
  return named !== undefined && Object.hasOwn(NETWORK, named) ? named : null;
}

/**
 * Runs `work(attempt)` until it succeeds, at most `policy.attempts` times. `where` names store and verb in the error.
 * Throws `store_unreachable`, or the signal's reason; a GamedayError thrown by `work` passes through unchanged.
 */
export async function withStoreRetry<T>(
  where: string,
  work: (attempt: number) => Promise<T>,
  policy: RetryPolicy = STORE_RETRY,
  signal?: AbortSignal,
): Promise<T> {
  const kinds = new Map<string, number>();
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await work(attempt);
    } catch (error) {
      signal?.throwIfAborted();
      if (error instanceof GamedayError) throw error;
      const failure = classifyFailure(error);
      kinds.set(failure.kind, (kinds.get(failure.kind) ?? 0) + 1);
      if (!failure.retryable || attempt >= policy.attempts) {
        const list = [...kinds].map(([kind, count]) => `${count} ${kind}`).join(', ');
        throw new GamedayError('store_unreachable', `${where}: ${attempt === 1 ? '1 attempt' : `${attempt} attempts`}: ${list}`, null, {
          cause: error,
        });
      }
      await sleep(delayMs(policy, attempt), signal);
    }
  }
}
