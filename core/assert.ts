/** Assertions that stay on in production. A failed one is a defect in gameday, never in the user's input. Pure. */

export class AssertionFailed extends Error {
  override readonly name = 'AssertionFailed';
}

export function assert(condition: unknown, message: string): asserts condition {
  if (!condition) throw new AssertionFailed(`assertion failed: ${message}`);
}

/** For exhaustive switches: the compiler proves that it is not reached. */
export function unreachable(value: never, what: string): never {
  throw new AssertionFailed(`unexpected ${what}: ${JSON.stringify(value)}`);
}

/** The value, or a failed assertion that names what was missing. */
export function present<T>(value: T | null | undefined, what: string): T {
  assert(value !== null && value !== undefined, `${what} is missing`);
  return value;
}
