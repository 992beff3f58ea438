/** What archive-emptied hides and what it leaves alone; real delete markers are tried in test/live/faults-data.test.ts. */
import { archiveEmptied } from './archive-emptied';
import { findCovered } from './archive-objects';
import { paperStore } from './paper-store.test-data';

const ids = (store: ReturnType<typeof paperStore>): Record<string, string[]> =>
  Object.fromEntries([...store.objects].map(([key, versions]) => [key, versions.map(({ id }) => id)]));

/** One WAL segment, one backup, and an object that somebody else deleted long ago. */
function filled(): ReturnType<typeof paperStore> {
  const store = paperStore('empty');
  store.put('base/one', 'a backup');
  store.put('base/expired', 'an older one');
  store.objects.get('base/expired')?.unshift({ id: 'v0', marker: true, data: '', label: null });
  return store;
}

const empty = async (store: ReturnType<typeof paperStore>) => {
  const resolved = await archiveEmptied.resolve({}, store.context);
  await archiveEmptied.inject(resolved, store.context);
  return resolved;
};

test('everything is hidden, told by the archive itself, and data loss must be accepted', async () => {
  const store = filled();
  const resolved = await empty(store);
  expect(resolved).toEqual({ objects: 2, backups: ['base/one'], label: 'gd-drill-000042-empty' });
  expect(await archiveEmptied.confirm(resolved, store.context)).toMatchObject({ holds: true, facts: { backups: 0, hidden: 2 } });
  expect(archiveEmptied.mayLoseWrites({})).toBe(true);
});

test('undo leaves the store as it was, also twice and without an injection, and never lays bare what others deleted', async () => {
  const store = filled();
  const before = ids(store);
  const resolved = await archiveEmptied.resolve({}, store.context);
  await archiveEmptied.undo(resolved, store.context);
  expect(ids(store)).toEqual(before);
  await archiveEmptied.inject(resolved, store.context);
  await archiveEmptied.inject(resolved, store.context);
  expect((await archiveEmptied.confirmGone(resolved, store.context)).holds).toBe(false);
  await archiveEmptied.undo(resolved, store.context);
  await archiveEmptied.undo(resolved, store.context);
  expect(ids(store)).toEqual(before);
  expect(store.notes.size).toBe(0);
  expect((await archiveEmptied.confirmGone(resolved, store.context)).holds).toBe(true);
});

test('a backup that stays away is not gone: it is named', async () => {
  const store = filled();
  const resolved = await empty(store);
  await archiveEmptied.undo(resolved, store.context);
  store.objects.delete('base/one');
  expect(await archiveEmptied.confirmGone(resolved, store.context)).toMatchObject({ holds: false, facts: { lost: ['base/one'] } });
});

test('what a lost guardian left is found by its note alone', async () => {
  const store = filled();
  const before = ids(store);
  await empty(store);
  const found = await findCovered(store.context.live);
  expect(found.map(({ what }) => what)).toEqual(['what gd-drill-000042-empty hid of the whole archive']);
  await found[0]?.remove();
  expect(ids(store)).toEqual(before);
});

test('a bucket that keeps no versions, and an empty one, are refused, in pre-flight and after', async () => {
  const { context } = paperStore('empty', false);
  await expect(archiveEmptied.resolve({}, context)).rejects.toMatchObject({ code: 'fault_refused' });
  expect(await archiveEmptied.ready({}, context)).toMatchObject([{ ok: false, hint: 'enable versioning on the bucket.' }]);
  const bare = paperStore('empty');
  bare.objects.clear();
  await expect(archiveEmptied.resolve({}, bare.context)).rejects.toMatchObject({ message: 'the archive is empty already' });
});

test('more objects than can be brought back in time are refused', async () => {
  const store = paperStore('empty');
  for (let n = 1; n < 5_000; n += 1) store.put(`wal/${n}`, '');
  expect(await archiveEmptied.resolve({}, store.context)).toMatchObject({ objects: 5_000 });
  store.put('wal/5000', '');
  await expect(archiveEmptied.resolve({}, store.context)).rejects.toMatchObject({
    message: 'the archive holds 5001 objects; at most 5000 are hidden',
  });
});
