/** Leases and halts on disk after crashes at awkward places. */
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Target } from '../../model/target';
import { armLease, buryLease, type Moment } from './lease-machine';
import { leaseId, openLeaseStore, readHalt, writeHalt } from './lease-store';

let dir: string;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'gd-leases-'));
});
afterEach(() => rmSync(dir, { recursive: true }));

const now: Moment = { bootId: 'b', bootMs: 10, utc: new Date().toISOString() };
const handle = { fault: 'noop', drill: 'drill-000001', resolved: {}, preview: '', manualUndo: [] };
const lease = (step: string, order: number) =>
  armLease({ key: { workflowId: 'w', runId: 'r', step }, handle, target: {} as Target, ttlMs: 1, maxMs: 1, order }, now);

test('leases come back as saved, newest armed first', () => {
  const store = openLeaseStore(dir);
  store.save(lease('first', 1));
  store.save(lease('second', 2));
  expect(openLeaseStore(dir).load()).toEqual({ leases: [lease('second', 2), lease('first', 1)], unreadable: [] });
});

test('a half-written temporary file of a crash is removed and the lease is what it was before', () => {
  const store = openLeaseStore(dir);
  store.save(lease('one', 1));
  const id = leaseId(lease('one', 1).key);
  writeFileSync(join(dir, `${id}.json.4242.tmp`), '{"formatVersion":1,"state":"gon');
  expect(openLeaseStore(dir).load().leases).toEqual([lease('one', 1)]);
  expect(readdirSync(dir)).toEqual([`${id}.json`]);
});

test('a lease file that does not parse is reported by name, never skipped in silence', () => {
  writeFileSync(join(dir, 'torn.json'), '{"formatVersion":1,');
  const { leases, unreadable } = openLeaseStore(dir).load();
  expect(leases).toEqual([]);
  expect(unreadable).toEqual([expect.stringContaining('torn.json')]);
});

test('only tombstones grow old', () => {
  const store = openLeaseStore(dir);
  const old: Moment = { ...now, utc: '2020-01-01T00:00:00.000Z' };
  store.save(buryLease({ workflowId: 'w', runId: 'r', step: 'old' }, 1, 'undone', old));
  store.save({ ...lease('stands', 2), armedAt: old.utc });
  expect(store.load().leases.map((each) => each.key.step)).toEqual(['stands']);
});

test('a halt file that cannot be read counts as a halt', () => {
  const path = join(dir, 'halt.json');
  expect(readHalt(path)).toBeNull();
  writeHalt(path, { by: 'ann', reason: 'incident', at: now.utc });
  expect(readHalt(path)?.by).toBe('ann');
  writeFileSync(path, '{');
  expect(readHalt(path)?.reason).toContain('cannot be read');
  writeHalt(path, null);
  expect(readHalt(path)).toBeNull();
});
