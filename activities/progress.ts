/**
 * How far an activity has come, carried by its heartbeats: whoever follows the drill reads it there, and Temporal keeps nothing of it in the history.
 */
import { Context } from '@temporalio/activity';
import type { Json } from '../model/json';

const latest = new WeakMap<Context, Json>();

/** Goes out with the next heartbeat, which is never more than two seconds away. Outside of an activity nothing happens. */
export function reportProgress(progress: Json): void {
  try {
    latest.set(Context.current(), progress);
  } catch {
    // A test, or a tool, that calls what activities call.
  }
}

export function progressOf(context: Context): Json {
  return latest.get(context) ?? null;
}
