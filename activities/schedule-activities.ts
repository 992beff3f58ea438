/** Slots of a schedule that did not become a drill: one line each, kept beside the drills, because a drill that was not run is a fact as well. */
import { closeSync, existsSync, fsyncSync, mkdirSync, openSync, readFileSync, writeSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { homePaths } from '../core/home';
import type { SiteActivities } from './contract';

type Skip = Parameters<SiteActivities['recordSkip']>[0];

/** `drills/<target>/schedule.jsonl`: `{schedule, scenario, dueAt, outcome, reason, recordedAt}` a line; once per schedule and slot. */
export async function recordSkip(skip: Skip): Promise<void> {
  const { home, target, ...facts } = skip;
  const path = join(homePaths(home).drills, target, 'schedule.jsonl');
  mkdirSync(dirname(path), { recursive: true });
  const known = existsSync(path) ? readFileSync(path, 'utf8').split('\n') : [];
  const same = known.some((line) => line !== '' && isSameSlot(JSON.parse(line) as Skip, skip));
  if (same) return;
  const fd = openSync(path, 'a', 0o644);
  try {
    writeSync(fd, `${JSON.stringify({ ...facts, recordedAt: new Date().toISOString() })}\n`);
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
  return Promise.resolve();
}

function isSameSlot(a: Skip, b: Skip): boolean {
  return a.schedule === b.schedule && a.dueAt === b.dueAt && a.outcome === b.outcome;
}
