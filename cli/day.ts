/** A day as people write it on the command line, `2026-12-31`, in UTC. Pure. */
import { GamedayError } from '../core/errors';

/** Milliseconds of its midnight UTC. Throws `usage` with the option's name for a day that does not exist. */
export function parseDay(text: string, option: string): number {
  const time = /^\d{4}-\d{2}-\d{2}$/.test(text) ? Date.parse(`${text}T00:00:00Z`) : NaN;
  if (Number.isNaN(time) || new Date(time).toISOString().slice(0, 10) !== text)
    throw new GamedayError('usage', `${option} "${text}" is no day`, 'write it as 2026-12-31.');
  return time;
}
