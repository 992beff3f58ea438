import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { readSkippedSlots } from '../evidence/skipped-slots';
import { missedOnRecord, recordSkip } from './schedule-activities';

let home: string;
beforeEach(() => (home = mkdtempSync(join(tmpdir(), 'gameday-slots-'))));
afterEach(() => rmSync(home, { recursive: true, force: true }));

const slot = (dueAt: string) => ({ schedule: 'monthly', target: 'lab', scenario: 'primary-loss', dueAt, reason: 'Temporal was down' });
const path = (): string => join(home, 'drills', 'lab', 'schedule.jsonl');

test('a slot is written once per schedule and outcome, and read back', async () => {
  await recordSkip({ ...slot('2026-11-10T09:00:00.000Z'), home, outcome: 'missed' });
  await recordSkip({ ...slot('2026-11-10T09:00:00.000Z'), home, outcome: 'missed' });
  await recordSkip({ ...slot('2026-12-08T09:00:00.000Z'), home, outcome: 'skipped' });
  expect(readFileSync(path(), 'utf8').split('\n')).toHaveLength(3);
  expect(readSkippedSlots(home, 'lab').map(({ outcome }) => outcome)).toEqual(['missed', 'skipped']);
  expect(missedOnRecord(home, 'lab', 'monthly')).toEqual(['2026-11-10T09:00:00.000Z']);
  expect(missedOnRecord(home, 'lab', 'weekly')).toEqual([]);
});

test('a line that was cut off in the middle costs itself and nothing else', async () => {
  mkdirSync(join(home, 'drills', 'lab'), { recursive: true });
  writeFileSync(path(), '{"schedule":"monthly","dueAt":"2026-1');
  await recordSkip({ ...slot('2026-12-08T09:00:00.000Z'), home, outcome: 'missed' });
  expect(missedOnRecord(home, 'lab', 'monthly')).toEqual(['2026-12-08T09:00:00.000Z']);
});
