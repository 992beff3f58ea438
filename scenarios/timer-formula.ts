/** How a variable follows from the controller's live timers: `2 * loop_wait + 12s`, `ttl - loop_wait - 2s`. Pure. */
import { TIMER_NAMES } from '../model/constants';
import { parseQuantity, quantityProblem } from './quantities';
import { suggest } from './nearest';

interface Term {
  /** Whole and signed. */
  readonly factor: number;
  /** A timer or a variable; null: `ms` stands for itself. */
  readonly name: string | null;
  readonly ms: number;
}
export type TimerFormula = readonly Term[];

const TERM = /([+-])?\s*(?:([0-9]{1,3})\s*\*\s*)?(?:([a-z][A-Za-z0-9_]*)|([0-9][0-9.]*\s*[a-z]*))\s*/y;

/** `variables`: names of the durations that may stand in it besides timers. What is wrong with it instead, in words. */
export function parseTimerFormula(
  text: string,
  variables: readonly string[],
): { readonly ok: true; readonly formula: TimerFormula } | { readonly ok: false; readonly problem: string } {
  const known = [...TIMER_NAMES, ...variables];
  const formula: Term[] = [];
  const trimmed = text.trim();
  TERM.lastIndex = 0;
  while (TERM.lastIndex < trimmed.length || formula.length === 0) {
    const match = TERM.exec(trimmed);
    const [, sign, times, name, quantity] = match ?? [];
    if (match === null || (sign === undefined && formula.length > 0))
      return { ok: false, problem: `"${text}" is no sum; write it like 2 * loop_wait + 5s` };
    if (name !== undefined && !known.includes(name))
      return { ok: false, problem: `"${name}" is neither a timer (${TIMER_NAMES.join(', ')}) nor another duration${suggest(name, known)}` };
    const ms = quantity === undefined ? 0 : parseQuantity('duration', quantity);
    if (ms === null) return { ok: false, problem: quantityProblem('duration', quantity ?? '') };
    formula.push({ factor: (sign === '-' ? -1 : 1) * Number(times ?? 1), name: name ?? null, ms });
  }
  return { ok: true, formula };
}

/** Timers among its names, each once. */
export function timersIn(formula: TimerFormula): readonly (typeof TIMER_NAMES)[number][] {
  return TIMER_NAMES.filter((timer) => formula.some(({ name }) => name === timer));
}

/** In milliseconds; null while one of its names has no value. */
export function evaluateTimerFormula(formula: TimerFormula, valueOf: (name: string) => number | undefined): number | null {
  let sum = 0;
  for (const { factor, name, ms } of formula) {
    const value = name === null ? ms : valueOf(name);
    if (value === undefined) return null;
    sum += factor * value;
  }
  return sum;
}
