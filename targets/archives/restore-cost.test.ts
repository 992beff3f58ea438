/** Refusals before bytes move: retention, the policy's limit, the disk. */
import { sampleTarget } from '../../test/sample-plan';
import type { BackupView } from '../ports';
import { chooseBackup, refuseCost } from './restore-cost';

const backup = (name: string, finishedAt: string, stopLsn: string): BackupView => ({
  name,
  timeline: 1,
  startLsn: '0/2000028',
  stopLsn,
  startWal: '000000010000000000000002',
  finishedAt,
  bytes: 100,
});
const BACKUPS = [backup('one', '2026-11-20T00:00:00Z', '0/3000000'), backup('two', '2026-11-21T00:00:00Z', '0/9000000')];

test.each([
  ['a time between two backups', { to: { kind: 'time', time: '2026-11-20T12:00:00Z' } }, 'one'],
  ['a time after both', { to: { kind: 'time', time: '2026-11-22T12:00:00+02:00' } }, 'two'],
  ['a position before the second', { to: { kind: 'lsn', lsn: '0/8000000', inclusive: true } }, 'one'],
  ['whatever is newest', { to: { kind: 'immediate' } }, 'two'],
  ['one by its name', { to: { kind: 'xid', xid: '5', inclusive: true }, backup: 'one' }, 'one'],
] as const)('%s', (_what, step, name) => {
  expect(chooseBackup(step, BACKUPS).name).toBe(name);
});

test.each([
  [
    'a time before the oldest backup',
    { to: { kind: 'time', time: '2026-11-19T23:59:59Z' } },
    /outside retention: the oldest backup, one, ended at 2026-11-20/,
  ],
  ['a position before it', { to: { kind: 'lsn', lsn: '0/2000000', inclusive: true } }, /0\/2000000 is outside retention/],
  ['a backup that is not there', { to: { kind: 'immediate' }, backup: 'three' }, /holds no backup three/],
] as const)('%s is refused', (_what, step, message) => {
  expect(() => chooseBackup(step, BACKUPS)).toThrow(message);
});

test('the policy’s limit and the disk refuse; no limit, and room enough, do not', () => {
  const target = sampleTarget();
  const cost = { baseBytes: 3_000, walBytes: 2_000, diskBytes: 5_000, freeBytes: 6_000 };
  const limited = { ...target, policy: { ...target.policy, maxRestoreBytes: 4_096 } };
  expect(refuseCost(target, cost)).toBeNull();
  expect(refuseCost({ ...target, policy: { ...target.policy, maxRestoreBytes: null } }, cost)).toBeNull();
  expect(refuseCost(limited, cost)).toMatchObject({
    path: ['policy', 'maxRestoreBytes'],
    why: 'policy.maxRestoreBytes is 4.0 kB, and the restore moves 4.9 kB',
  });
  expect(refuseCost(target, { ...cost, freeBytes: 4_000 })).toMatchObject({ path: null, why: expect.stringContaining('3.9 kB are free') });
});
