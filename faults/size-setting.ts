/** Sizes in settings of faults, as people write them: `64kB`, `16MB`, `1GB`. */
import { z } from 'zod';
import { GamedayError } from '../core/errors';
import { parseSizeBytes } from '../core/units';

export const sizeSchema = z.string().refine((text) => parseSizeBytes(text) !== null, 'a size with a unit, e.g. 64kB or 1GB');

/** As `sizeSchema`, between two bounds, both included. What is no size at all is told by that schema. */
export function sizeBetween(low: string, high: string): z.ZodType<string, string> {
  const [from, to] = [sizeBytes(low), sizeBytes(high)];
  return sizeSchema.refine((text) => {
    const bytes = parseSizeBytes(text);
    return bytes === null || (bytes >= from && bytes <= to);
  }, `lies between ${low} and ${high}`);
}

/** Bytes of a setting that its schema has checked. */
export function sizeBytes(text: string): number {
  const bytes = parseSizeBytes(text);
  if (bytes === null) throw new GamedayError('setting_invalid', `"${text}" is no size`, 'write a number with a unit, e.g. 64kB or 1GB.');
  return Math.round(bytes);
}
