/** Quantities in YAML files: durations, sizes, counts of transactions. A number without a unit is an error, except 0. Pure. */
import { z } from 'zod';
import { parseDurationMs, parseSizeBytes, parseTransactions } from '../core/units';

export type QuantityKind = 'duration' | 'size' | 'tx';

const KINDS: Readonly<Record<QuantityKind, { readonly parse: (text: string) => number | null; readonly examples: string }>> = {
  duration: { parse: parseDurationMs, examples: '250ms, 30s, 5m or 1h' },
  size: { parse: parseSizeBytes, examples: '64kB, 16MB or 1GB' },
  tx: { parse: parseTransactions, examples: '0 tx or 12 tx' },
};

/** Milliseconds, bytes or transactions as an integer; null if the text is none. */
export function parseQuantity(kind: QuantityKind, text: string): number | null {
  const parsed = text.trim() === '0' ? 0 : KINDS[kind].parse(text);
  if (parsed === null) return null;
  const rounded = Math.round(parsed);
  return Number.isSafeInteger(rounded) ? rounded : null;
}

/** `30` → `has no unit; write e.g. …`. */
export function quantityProblem(kind: QuantityKind, value: string | number): string {
  const { examples } = KINDS[kind];
  if (/^\s*[0-9.]+\s*$/.test(String(value))) return `${value} has no unit; write it like ${examples}`;
  return `"${value}" is no ${kind === 'tx' ? 'number of transactions' : kind}; write it like ${examples}`;
}

function quantity(kind: QuantityKind): z.ZodType<number, string | number> {
  return z.union([z.string(), z.number()], { error: `must be a ${kind}, like ${KINDS[kind].examples}` }).transform((value, context) => {
    const parsed = parseQuantity(kind, String(value));
    if (parsed !== null) return parsed;
    context.addIssue({ code: 'custom', message: quantityProblem(kind, value) });
    return z.NEVER;
  });
}

export const duration = quantity('duration');
export const transactions = quantity('tx');
export const size = quantity('size');
/** How often something happens. */
export const count: z.ZodType<number, string | number> = z
  .union([z.int().min(0).max(999), z.string().regex(/^[0-9]{1,3}$/, 'must be a whole number, like 0 or 1')], {
    error: 'must be a whole number, like 0 or 1',
  })
  .transform(Number);

/** A duration of at least `minMs` and at most `maxMs`. */
export function durationBetween(minMs: number, maxMs: number, words: string): z.ZodType<number, string | number> {
  return duration.refine((ms) => ms >= minMs && ms <= maxMs, `must lie between ${words}`);
}
