/** Slots of schedules at which no drill ran: what workers recorded in `drills/<target>/schedule.jsonl`, one line per schedule and slot, never rewritten. */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import { homePaths } from '../core/home';

const line = z.object({
  schedule: z.string(),
  scenario: z.string(),
  dueAt: z.string(),
  outcome: z.enum(['skipped', 'missed']),
  reason: z.string(),
});
export type SkippedSlot = z.output<typeof line>;

/** Lines that are damaged are left out. */
export function readSkippedSlots(home: string, target: string): readonly SkippedSlot[] {
  const path = join(homePaths(home).drills, target, 'schedule.jsonl');
  if (!existsSync(path)) return [];
  return readFileSync(path, 'utf8')
    .split('\n')
    .flatMap((text) => {
      try {
        const parsed = line.safeParse(JSON.parse(text));
        return parsed.success ? [parsed.data] : [];
      } catch {
        return [];
      }
    });
}
