/** Settings of archive-object-lost and what it removes; real delete markers are tried in test/live/faults-data.test.ts. */
import { archiveObjectLost } from './archive-object-lost';
import { findCovered } from './archive-objects';
import { paperStore } from './paper-store.test-data';

const lose = async (store: ReturnType<typeof paperStore>) => {
  const resolved = await archiveObjectLost.resolve(archiveObjectLost.schema.parse({}), store.context);
  await archiveObjectLost.inject(resolved, store.context);
  return resolved;
};

test('the handle names the good version, and a restore may fail for want of it: data loss must be accepted', async () => {
  const store = paperStore('lose');
  const resolved = await archiveObjectLost.resolve(archiveObjectLost.schema.parse({}), store.context);
  expect(resolved).toMatchObject({ key: 'wal/one', versionId: 'v1', bytes: 28, label: 'gd-drill-000042-lose' });
  expect(archiveObjectLost.mayLoseWrites({ object: 'backup' })).toBe(true);
});

test('one marker hides it, however often it is injected, and undo leaves the object as it was', async () => {
  const store = paperStore('lose');
  const resolved = await lose(store);
  await archiveObjectLost.inject(resolved, store.context);
  expect(store.objects.get('wal/one')?.map((each) => each.id)).toEqual(['v2', 'v1']);
  await archiveObjectLost.undo(resolved, store.context);
  expect(store.objects.get('wal/one')?.map((each) => each.id)).toEqual(['v1']);
  expect(store.notes.size).toBe(0);
});

test('a marker that somebody else put, where nothing was injected, is never removed', async () => {
  const store = paperStore('lose');
  const resolved = await archiveObjectLost.resolve(archiveObjectLost.schema.parse({}), store.context);
  store.objects.get('wal/one')?.unshift({ id: 'theirs', marker: true, data: '', label: null });
  await archiveObjectLost.undo(resolved, store.context);
  expect(store.objects.get('wal/one')?.map((each) => each.id)).toEqual(['theirs', 'v1']);
});

test('what a lost guardian left is found by its note alone', async () => {
  const store = paperStore('lose');
  await lose(store);
  store.notes.set('somebody-else', '{"key":"wal/one","versionId":"v1"}');
  const found = await findCovered(store.context.live);
  expect(found.map((stray) => stray.what)).toEqual(['what gd-drill-000042-lose put on wal/one in the archive']);
  await found[0]?.remove();
  expect(store.objects.get('wal/one')?.map((each) => each.id)).toEqual(['v1']);
});

test('a bucket that keeps no versions is refused, in pre-flight and after', async () => {
  const { context } = paperStore('lose', false);
  await expect(archiveObjectLost.resolve(archiveObjectLost.schema.parse({}), context)).rejects.toMatchObject({ code: 'fault_refused' });
  expect(await archiveObjectLost.ready(archiveObjectLost.schema.parse({}), context)).toMatchObject([{ ok: false, found: 'not enabled' }]);
});

test('an object that is not there is refused', async () => {
  const { context } = paperStore('lose');
  const settings = archiveObjectLost.schema.parse({ object: 'wal/none' });
  await expect(archiveObjectLost.resolve(settings, context)).rejects.toMatchObject({ message: 'the archive has no object wal/none' });
  expect(await archiveObjectLost.ready(settings, context)).toMatchObject([{ ok: true }, { ok: false }]);
  expect(archiveObjectLost.schema.safeParse({ object: '' }).success).toBe(false);
});
