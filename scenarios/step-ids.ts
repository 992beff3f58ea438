/** Names for steps: the id written, else the fault's name or `<verb>-<n>`. Pure; the same file always yields the same names. */
import { assert } from '../core/assert';
import { slug } from '../core/ids';
import type { StepWritten } from './schema';

/** An id for every step, nested ones included. Written ids come first; a derived name that is taken gets the next number. */
export function nameSteps(steps: readonly StepWritten[]): Map<StepWritten, string> {
  const all = flattenWritten(steps);
  const names = new Map<StepWritten, string>();
  const taken = new Set<string>();
  for (const step of all) {
    if (step.id === undefined) continue;
    names.set(step, step.id);
    taken.add(step.id);
  }
  const counts = new Map<string, number>();
  for (const step of all) {
    if (step.id !== undefined) continue;
    const base = step.verb === 'fault' ? slug(step.fault).replaceAll('_', '-') || 'fault' : step.verb;
    let name: string;
    let tries = 0;
    do {
      const n = (counts.get(base) ?? 0) + 1;
      counts.set(base, n);
      name = step.verb === 'fault' && n === 1 ? base : `${base}-${n}`;
      tries += 1;
      assert(tries <= all.length + 1, 'a free step id is found');
    } while (taken.has(name));
    names.set(step, name);
    taken.add(name);
  }
  return names;
}

/** Every step in the file's order, a parallel step before those inside it. */
export function flattenWritten(steps: readonly StepWritten[]): StepWritten[] {
  return steps.flatMap((step) => (step.verb === 'parallel' ? [step, ...step.branches.flatMap(flattenWritten)] : [step]));
}
