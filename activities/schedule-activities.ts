/** Slots of a schedule that did not become a drill: one line each, kept beside the drills, because a drill that was not run is a fact as well. */
import { closeSync, existsSync, fsyncSync, mkdirSync, openSync, readFileSync, writeSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { homePaths } from '../core/home';
import { readSkippedSlots } from '../evidence/skipped-slots';
import type { SiteActivities } from './contract';

type Skip = Parameters<SiteActivities['recordSkip']>[0];

/** `drills/<target>/schedule.jsonl`: `{schedule, scenario, dueAt, outcome, reason, recordedAt}` a line; once per schedule and slot. */
export async function recordSkip(skip: Skip): Promise<void> {
  const { home, target, ...facts } = skip;
  const path = join(homePaths(home).drills, target, 'schedule.jsonl');
  const isSame = (a: Pick<Skip, 'schedule' | 'dueAt' | 'outcome'>): boolean =>
    a.schedule === skip.schedule && a.dueAt === skip.dueAt && a.outcome === skip.outcome;
  if (readSkippedSlots(home, target).some(isSame)) return;
  mkdirSync(dirname(path), { recursive: true });
  // A line that a power cut left half written must not swallow this one.
  const torn = existsSync(path) && !/(^|\n)$/.test(readFileSync(path, 'utf8'));
  const fd = openSync(path, 'a', 0o644);
  try {
    writeSync(fd, `${torn ? '\n' : ''}${JSON.stringify({ ...facts, recordedAt: new Date().toISOString() })}\n`);
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
  return Promise.resolve();
}

/** Due times (RFC 3339 UTC) of one schedule that are on record as missed. */
export function missedOnRecord(home: string, target: string, schedule: string): readonly string[] {
  return readSkippedSlots(home, target)
    .filter((slot) => slot.schedule === schedule && slot.outcome === 'missed')
    .map((slot) => slot.dueAt);
}
