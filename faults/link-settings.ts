/** What all link faults share in their settings: the two ends in late words, durations as people write them, and the pre-flight check of the links. */
import { z } from 'zod';
import { GamedayError } from '../core/errors';
import { parseDurationMs } from '../core/units';
import type { CheckResult } from '../model/record';
import type { FaultContext } from './contract';
import { askThrough } from './link-traffic';
import { requireLinks, resolveLinks } from './resolve-links';

const TRIP_TIMEOUT_MS = 1_500;

export const endSchema = z
  .string()
  .min(1)
  .max(63)
  .describe('primary, any-standby, each-standby, standbys, a node’s name, client, router or s3');
export const durationSchema = z.string().refine((text) => parseDurationMs(text) !== null, 'a duration with a unit, e.g. 150ms or 2s');

/** Milliseconds of a setting that its schema has checked. */
export function durationMs(text: string): number {
  const ms = parseDurationMs(text);
  if (ms === null) throw new GamedayError('setting_invalid', `"${text}" is no duration`, 'write a number with a unit, e.g. 150ms or 2s.');
  return ms;
}

/** Would a toxic on these links work, and could it be taken off? Touches nothing. */
export async function checkLinks(from: string, to: string, context: FaultContext): Promise<readonly CheckResult[]> {
  const links = requireLinks(context.live);
  const checks: CheckResult[] = [];
  for (const link of await resolveLinks(context.live, from, to)) {
    const state = await links.state(link);
    const left = state.toxics.map((toxic) => toxic.name);
    const found = !state.exists ? 'missing' : !state.enabled ? 'disabled' : left.length > 0 ? `carries ${left.join(', ')}` : 'clear';
    checks.push({
      name: `link ${link.name} is clear`,
      ok: found === 'clear',
      found,
      expected: 'clear',
      hint: found === 'clear' ? null : '`gameday lab up` repairs links; `gameday status` shows what stands.',
    });
    const trip = await askThrough(link, TRIP_TIMEOUT_MS);
    checks.push({
      name: `link ${link.name} passes bytes`,
      ok: trip.answered,
      found: trip.answered ? `answer after ${trip.ms.toFixed(1)} ms` : trip.reason,
      expected: 'an answer',
      hint: trip.answered ? null : 'without traffic nothing shows that the fault bites; bring the link’s far end up.',
    });
  }
  return checks;
}
