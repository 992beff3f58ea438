/**
 * One value that a scenario's own SQL asks for, and how it may be told. What a query finds in somebody's tables must not get into steps, events or a
 * record, from which nothing can be taken out again: only what cannot be anybody's value is repeated.
 */
import type { Sql } from './sql';

export const NO_ROW = '(no row)';
const NULL = '(null)';
/** Answers that tell a state and no value. */
const STATES: readonly string[] = [NO_ROW, NULL, 't', 'f', 'true', 'false', 'on', 'off'];

/** The first column of the first row, as text, asked in a transaction that can change nothing. */
export async function firstAnswer(sql: Sql, text: string): Promise<string> {
  await sql.query('BEGIN READ ONLY');
  const [first] = await sql.query(text);
  await sql.query('ROLLBACK');
  return first === undefined ? NO_ROW : (Object.values(first)[0] ?? NULL);
}

/** The answer as it may be told: as it is where it equals what was expected, tells a state, or counts where a count is expected; else its length alone. */
export function answerText(found: string, expected: string): string {
  if (found === expected || STATES.includes(found)) return found;
  const isNumber = (text: string): boolean => /^-?[0-9]{1,15}(\.[0-9]{1,9})?$/.test(text);
  if (isNumber(found) && isNumber(expected)) return found;
  return `another value (${found.length} ${found.length === 1 ? 'character' : 'characters'}, withheld)`;
}
