/**
 * The command line's connection to Temporal: three seconds to connect, a deadline on each call, and Temporal's errors in gameday's words.
 * It never retries by itself; a command that may wait says so.
 */
import {
  Client,
  Connection,
  ServiceError,
  ScheduleNotFoundError,
  WorkflowFailedError,
  WorkflowNotFoundError,
  WorkflowUpdateFailedError,
  isGrpcDeadlineError,
} from '@temporalio/client';
import { ApplicationFailure, TemporalFailure, TimeoutFailure, rootCause } from '@temporalio/common';
import { GamedayError, isErrorCode, messageOf } from '../core/errors';
import { loadTemporalConfig } from '../worker/config';

const CONNECT_MS = 3_000;
const CALL_MS = 10_000;

export interface TemporalAccess {
  readonly client: Client;
  readonly namespace: string;
  readonly address: string;
  /** Runs one call with a deadline, its failure in gameday's words. Default 10 s. */
  call<T>(work: () => Promise<T>, timeoutMs?: number): Promise<T>;
}

/** Connects, works, closes. Throws `temporal_unreachable` within seconds when nobody answers. */
export async function withTemporal<T>(home: string, work: (temporal: TemporalAccess) => Promise<T>): Promise<T> {
  const config = loadTemporalConfig(home);
  const { address, namespace } = config;
  let connection: Connection;
  try {
    connection = await Connection.connect({
      address,
      connectTimeout: CONNECT_MS,
      ...(config.apiKey === null ? {} : { apiKey: config.apiKey, tls: true }),
    });
  } catch (error) {
    throw new GamedayError(
      'temporal_unreachable',
      `temporal at ${address} did not answer within ${CONNECT_MS / 1_000} s: ${firstLine(messageOf(error))}`,
      null,
      { cause: error },
    );
  }
  try {
    const client = new Client({ connection, namespace });
    const call: TemporalAccess['call'] = async (one, timeoutMs = CALL_MS) => {
      try {
        return await connection.withDeadline(Date.now() + timeoutMs, one);
      } catch (error) {
        throw inOurWords(error, address);
      }
    };
    return await work({ client, namespace, address, call });
  } finally {
    await connection.close().catch(() => undefined);
  }
}

/** A failure of a workflow keeps the code and the hint that gameday's own activity or validator gave it. */
export function inOurWords(error: unknown, address: string): unknown {
  if (error instanceof GamedayError) return error;
  const failure = deepest(error);
  if (failure !== null && failure.type !== undefined && failure.type !== null && isErrorCode(failure.type)) {
    const detail = failure.details?.[0];
    const hint = typeof detail === 'object' && detail !== null && 'hint' in detail && typeof detail.hint === 'string' ? detail.hint : null;
    return new GamedayError(failure.type, failure.message, hint, { cause: error });
  }
  if (error instanceof WorkflowNotFoundError)
    return new GamedayError('drill_unknown', 'no such drill runs', '`gameday status` shows what runs.', { cause: error });
  if (error instanceof ScheduleNotFoundError)
    return new GamedayError('schedule_unknown', `no schedule "${error.scheduleId.replace(/^gameday\//, '')}"`, null, { cause: error });
  if (isGrpcDeadlineError(error)) {
    return new GamedayError(
      'temporal_unreachable',
      `temporal at ${address} did not answer in time`,
      'is a worker running? `gameday lab status` shows the lab’s own.',
      { cause: error },
    );
  }
  if (error instanceof ServiceError)
    return new GamedayError('temporal_unreachable', `temporal at ${address}: ${serviceMessage(error)}`, null, { cause: error });
  if (error instanceof WorkflowFailedError || error instanceof WorkflowUpdateFailedError) {
    const cause = rootCause(error) ?? messageOf(error);
    if (error.cause instanceof TimeoutFailure)
      return new GamedayError('temporal_unreachable', `the workflow ran out of time: ${cause}`, null, { cause: error });
    return new GamedayError('internal', cause, null, { cause: error });
  }
  return error;
}

/** The innermost application failure: the one that knows. */
function deepest(error: unknown): ApplicationFailure | null {
  let found: ApplicationFailure | null = null;
  let at: unknown = error;
  for (let depth = 0; depth < 20 && at instanceof Error; depth += 1) {
    if (at instanceof ApplicationFailure && at.type !== undefined && at.type !== null && isErrorCode(at.type)) found = at;
    if (at instanceof TemporalFailure || at.cause !== undefined) at = at.cause;
    else break;
  }
  return found;
}

function serviceMessage(error: ServiceError): string {
  return firstLine(error.cause === undefined ? error.message : messageOf(error.cause));
}

function firstLine(text: string): string {
  return text.split('\n')[0] ?? text;
}
