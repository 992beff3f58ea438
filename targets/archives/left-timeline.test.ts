/** What another branch of the same number archived goes aside, complete; the primary's own is never touched. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openDirectoryStore } from '../../objects/directory-store';
import type { ObjectStore } from '../../objects/store';
import { setAsideLeftTimeline } from './left-timeline';

const bytes = (text: string): Buffer => Buffer.from(text);
const LEFT = bytes('5\t0/19000060\tno recovery target specified\n');
const OWN = bytes('5\t0/26000060\tno recovery target specified\n');
const SEGMENT = 'wal/00000006/00000006000000000000001A.gz';
let dir: string;
let store: ObjectStore;
beforeEach(async () => {
  dir = mkdtempSync(join(tmpdir(), 'gameday-left-'));
  store = openDirectoryStore(dir);
  for (const [key, content] of [
    ['wal/00000005.history', bytes('4\t0/100451C0\tno recovery target specified\n')],
    ['wal/00000005/000000050000000000000026.gz', bytes('of the timeline before')],
    ['wal/00000006.history', LEFT],
    [SEGMENT, bytes('of the branch that was left')],
  ] as const)
    await store.put(key, content);
});
afterEach(() => rmSync(dir, { recursive: true, force: true }));

const keys = async (): Promise<string[]> => {
  const found: string[] = [];
  for await (const { key } of store.list('')) found.push(key);
  return found;
};

test('a branch that the primary does not have goes aside, and its number is free', async () => {
  expect(await setAsideLeftTimeline(store, 6, OWN)).toBe(2);
  const found = await keys();
  expect(found.filter((key) => key.startsWith('wal/'))).toEqual([
    'wal/00000005.history',
    'wal/00000005/000000050000000000000026.gz',
    'wal/00000006.history',
  ]);
  expect(Buffer.from((await store.get('wal/00000006.history')) ?? []).equals(OWN)).toBe(true);
  const aside = found.filter((key) => key.startsWith('forks/'));
  expect(aside).toEqual([
    expect.stringMatching(/^forks\/timeline-00000006\.[0-9a-f]{16}\/00000006\.history$/),
    expect.stringMatching(/^forks\/timeline-00000006\.[0-9a-f]{16}\/00000006\/00000006000000000000001A\.gz$/),
  ]);
  expect(Buffer.from((await store.get(aside[0] ?? '')) ?? []).equals(LEFT)).toBe(true);
  expect(await setAsideLeftTimeline(store, 6, OWN)).toBe(0);
});

test('the primary’s own timeline, and one that nobody archived, stay as they are', async () => {
  const before = await keys();
  expect(await setAsideLeftTimeline(store, 6, LEFT)).toBe(0);
  expect(await setAsideLeftTimeline(store, 7, OWN)).toBe(0);
  expect(await keys()).toEqual(before);
});

test('after a crash in its midst the next call moves the rest', async () => {
  const failing: ObjectStore = {
    ...store,
    delete: () => Promise.reject(new Error('the power went')),
  };
  await expect(setAsideLeftTimeline(failing, 6, OWN)).rejects.toThrow('the power went');
  expect(await store.get(SEGMENT)).not.toBeNull();
  expect(await setAsideLeftTimeline(store, 6, OWN)).toBe(2);
  expect((await keys()).filter((key) => key.startsWith('wal/00000006'))).toEqual(['wal/00000006.history']);
});
