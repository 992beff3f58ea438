/** What a Temporal failure says under the wrappers that carried it here: its innermost message, and code and hint of gameday's error. */
import { ApplicationFailure, isCancellation, TemporalFailure } from '@temporalio/workflow';

export function failureText(error: unknown): string {
  if (isCancellation(error)) return 'cancelled';
  const at = layersOf(error).at(-1);
  return at instanceof Error ? at.message : String(at);
}

/** Whether an activity failed with this code. */
export function failedWith(error: unknown, code: string): boolean {
  return layersOf(error).some((at) => at instanceof ApplicationFailure && at.type === code);
}

/** What gameday's error says to do, in parentheses; empty where it says nothing. */
export function hintText(error: unknown): string {
  for (const at of layersOf(error)) {
    const [said] = at instanceof ApplicationFailure ? (at.details ?? []) : [];
    if (typeof said === 'object' && said !== null && 'hint' in said) return ` (${String(said.hint)})`;
  }
  return '';
}

function layersOf(error: unknown): readonly unknown[] {
  const layers: unknown[] = [error];
  // ActivityFailure → ApplicationFailure → …; four levels are more than Temporal nests here.
  for (let at = error; layers.length <= 4 && at instanceof TemporalFailure && at.cause !== undefined; at = at.cause) layers.push(at.cause);
  return layers;
}
