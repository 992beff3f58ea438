import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { GamedayError } from '../../core/errors';
import { formatLsn, WAL_SEGMENT_BYTES, walSegmentName } from '../../core/lsn';
import { openDirectoryStore } from '../../objects/directory-store';
import type { ObjectStore } from '../../objects/store';
import { listBackups } from './base-backup';
import { expireBackups, planRetention } from './native-retention';
import { walKey } from './wal-object';

const DAY = 86_400_000;
const NOW = Date.parse('2026-05-31T00:00:00Z');
/** One a day, the newest a day old; the nth begins inside segment 10 n. */
const backups = [1, 2, 3, 4, 5].map((n) => ({
  name: `b${n}`,
  startLsn: formatLsn(BigInt(n * 10) * WAL_SEGMENT_BYTES + 40n),
  finishedAt: new Date(NOW - (6 - n) * DAY).toISOString(),
}));
const segment = (n: number, timeline = 1): string => walSegmentName(timeline, BigInt(n) * WAL_SEGMENT_BYTES);
const wal = [
  ...Array.from({ length: 60 }, (_, n) => segment(n)),
  segment(29, 2),
  segment(30, 2),
  `${segment(30)}.00000028.backup`,
  '00000002.history',
].sort();

test('so many of the newest stay, with every segment from the first of them on', () => {
  const plan = planRetention(backups, wal, { backups: 3, days: 0 }, NOW);
  expect(plan.keep).toEqual(['b3', 'b4', 'b5']);
  expect(plan.expire).toEqual(['b1', 'b2']);
  expect(plan.wal).toEqual([...Array.from({ length: 30 }, (_, n) => segment(n)), segment(29, 2)].sort());
});

test('a window of days keeps the backup from which its first moment is reached', () => {
  expect(planRetention(backups, wal, { backups: 1, days: 2.5 }, NOW).keep).toEqual(['b3', 'b4', 'b5']);
  expect(planRetention(backups, wal, { backups: 1, days: 2 }, NOW).keep).toEqual(['b4', 'b5']);
  expect(planRetention(backups, wal, { backups: 2, days: 0.1 }, NOW).keep).toEqual(['b4', 'b5']);
  expect(planRetention(backups, wal, { backups: 1, days: 100 }, NOW).expire).toEqual([]);
});

test('no kept backup ever loses a segment that it needs, whatever the rule', () => {
  for (let keep = 1; keep <= 6; keep += 1)
    for (const days of [0, 0.5, 1, 3, 4.5, 10]) {
      const plan = planRetention(backups, wal, { backups: keep, days }, NOW);
      expect(plan.keep).toContain('b5');
      const first = Math.min(...plan.keep.map((name) => Number(name.slice(1)) * 10));
      const left = wal.filter((name) => !plan.wal.includes(name));
      for (let n = first; n < 60; n += 1) expect(left).toContain(segment(n));
      expect(left).toContain('00000002.history');
    }
});

test('an archive without a backup keeps all its WAL, and a rule that keeps nothing is refused', () => {
  expect(planRetention([], wal, { backups: 1, days: 0 }, NOW)).toEqual({ keep: [], expire: [], wal: [] });
  for (const keep of [
    { backups: 0, days: 0 },
    { backups: 1.5, days: 0 },
    { backups: 1, days: -1 },
    { backups: 1, days: Number.NaN },
  ])
    expect(() => planRetention(backups, wal, keep, NOW)).toThrow(GamedayError);
});

describe('in a store', () => {
  let dir: string;
  let store: ObjectStore;
  const never = new AbortController().signal;

  beforeEach(async () => {
    dir = mkdtempSync(join(tmpdir(), 'gd-keep-'));
    store = openDirectoryStore(dir);
    for (const each of backups) {
      const parts = [0, 1].map((at) => ({ key: `base/${each.name}/part-${at}`, sha256: '', bytes: 1, plainBytes: 1 }));
      for (const { key } of parts) await store.put(key, Buffer.from('x'));
      await store.put(
        `base/${each.name}/manifest.json`,
        Buffer.from(JSON.stringify({ format: 1, stopLsn: each.startLsn, ...each, parts })),
      );
    }
    // One that is being taken: parts without a manifest.
    await store.put('base/running/part-0', Buffer.from('x'));
    for (const name of wal) await store.put(walKey(name), Buffer.from('x'));
  });
  afterEach(() => rmSync(dir, { recursive: true, force: true }));

  const keys = async (prefix: string): Promise<string[]> => {
    const found: string[] = [];
    for await (const { key } of store.list(prefix)) found.push(key);
    return found;
  };

  test('what is not needed is gone, what is being taken stays, and a second call finds nothing to do', async () => {
    const done = await expireBackups(store, { backups: 2, days: 0 }, NOW, never);
    expect(done).toMatchObject({ objects: 3 * 3 + done.plan.wal.length, stopped: null });
    expect((await listBackups(store)).map(({ name }) => name)).toEqual(['b4', 'b5']);
    expect(await keys('base/running/')).toEqual(['base/running/part-0']);
    expect(await keys('wal/')).toEqual(
      wal
        .filter((name) => !done.plan.wal.includes(name))
        .map(walKey)
        .sort(),
    );
    expect(await expireBackups(store, { backups: 2, days: 0 }, NOW, never)).toMatchObject({ objects: 0, stopped: null });
  });

  test('a store that refuses ends it with its reason: the backup whose manifest is locked stays whole, and so does all WAL', async () => {
    const locked: ObjectStore = {
      ...store,
      delete: (key) =>
        key === 'base/b2/manifest.json'
          ? Promise.reject(new GamedayError('store_unreachable', '1 attempt: 1 403 AccessDenied'))
          : store.delete(key),
    };
    const done = await expireBackups(locked, { backups: 2, days: 0 }, NOW, never);
    expect(done.stopped).toContain('AccessDenied');
    expect(await keys('base/b2/')).toHaveLength(3);
    expect(await keys('wal/')).toHaveLength(wal.length);
  });
});
