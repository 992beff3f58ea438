/**
 * What `npm test` draws from or leaves out, and `npm run test:full` tries whole: rows, crash points, long waits. The seed stands in the tests' names; `GAMEDAY_TEST_SEED` draws the
 * same again.
 */
import { createHash } from 'node:crypto';
import { seeded } from '../calibration/calibrate';

/** Everything, instead of a sample. */
export const FULL = process.env['GAMEDAY_TEST_FULL'] === '1';
const SEED = Number(process.env['GAMEDAY_TEST_SEED'] ?? Date.now() % 1_000_000);
if (!Number.isSafeInteger(SEED)) throw new Error(`GAMEDAY_TEST_SEED=${process.env['GAMEDAY_TEST_SEED']} is no whole number`);
/** Declares a test that is too long for each change: `npm test` lists it as skipped. */
export const fullTest = FULL ? test : test.skip;
/** For the name of a test that draws. */
export const DRAWN = FULL ? '' : ` (seed ${SEED})`;
/** Crash points of one row. */
const POINTS = 2;
/** A fault whose number of calls differs from time to time is not tried for ever. */
const MOST_TRIES = 8;

/** Draws of its own for each name, whatever else is drawn before. */
function drawer(name: string): () => number {
  return seeded((SEED ^ createHash('sha256').update(name).digest().readUInt32BE(0)) >>> 0);
}

/** One of the rows, or all of them. */
export function drawRows<T>(name: string, rows: readonly T[]): readonly T[] {
  const at = Math.floor(drawer(name)() * rows.length);
  return FULL ? rows : rows.slice(at, at + 1);
}

/**
 * Declares tests that are too long all together for each change: of those named `npm test` draws `count` and lists the others as skipped.
 * `const drawn = drawTests('halts', 2, ['heal', 'judge']); drawn('heal')('in heal: …', …)`.
 */
export function drawTests<N extends string>(what: string, count: number, names: readonly N[]): (name: N) => jest.It {
  const random = drawer(what);
  const left = [...names];
  const drawn = Array.from({ length: count }, () => left.splice(Math.floor(random() * left.length), 1)[0]);
  return (name) => (FULL || drawn.includes(name) ? test : test.skip);
}

export interface Attempt {
  readonly crashed: boolean;
  /** Calls that were made: all there are, when it did not crash. */
  readonly calls: number;
}

/**
 * Tries crashes behind the n-th call: two drawn ones that really crash, or in full every one from `first` on until one comes too late, at most to `last`.
 * `last` bounds the first draw too; behind it there may be nothing to crash, and then the number of calls is known.
 */
export async function tryCrashes(
  name: string,
  points: { readonly first: number; readonly last: number },
  attempt: (n: number) => Promise<Attempt>,
): Promise<void> {
  if (FULL) {
    for (let n = points.first; n <= points.last; n += 1) if (!(await attempt(n)).crashed) return;
    return;
  }
  const random = drawer(name);
  const tried = new Set<number>();
  let { last } = points;
  for (let tries = 0; tries < MOST_TRIES && tried.size < POINTS && tried.size <= last - points.first; tries += 1) {
    const n = points.first + Math.floor(random() * (last - points.first + 1));
    if (tried.has(n)) continue;
    const { crashed, calls } = await attempt(n);
    if (crashed) tried.add(n);
    else last = Math.min(last - 1, calls);
  }
}
