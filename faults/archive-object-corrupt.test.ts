/** What archive-object-corrupt puts on an object and takes off again; a real store is tried in test/live/faults-data.test.ts. */
import { archiveObjectCorrupt } from './archive-object-corrupt';
import { paperStore } from './paper-store.test-data';

const resolve = (store: ReturnType<typeof paperStore>) =>
  archiveObjectCorrupt.resolve(archiveObjectCorrupt.schema.parse({ object: 'random-wal' }), store.context);

test('sixteen bytes in the middle are inverted, the length stays, and the version carries the label', async () => {
  const store = paperStore('rot');
  const resolved = await resolve(store);
  await archiveObjectCorrupt.inject(resolved, store.context);
  await archiveObjectCorrupt.inject(resolved, store.context);
  const [bad, good, ...more] = store.objects.get('wal/one') ?? [];
  expect([bad?.label, good?.id, more.length]).toEqual(['gd-drill-000042-rot', 'v1', 0]);
  const differs = [...(bad?.data ?? '')].filter((letter, at) => letter !== good?.data[at]);
  expect([bad?.data.length, differs.length]).toEqual([good?.data.length, 16]);
  expect(await archiveObjectCorrupt.confirm(resolved, store.context)).toMatchObject({ holds: true });
});

test('what somebody put on top meanwhile stays', async () => {
  const store = paperStore('rot');
  const resolved = await resolve(store);
  await archiveObjectCorrupt.inject(resolved, store.context);
  store.put('wal/one', 'sixteen megabytes of history');
  await archiveObjectCorrupt.undo(resolved, store.context);
  expect(store.objects.get('wal/one')?.map((each) => each.id)).toEqual(['v3', 'v1']);
  expect(await archiveObjectCorrupt.confirmGone(resolved, store.context)).toMatchObject({ holds: true });
});

test('an object that changed since it was resolved is not touched', async () => {
  const store = paperStore('rot');
  const resolved = await resolve(store);
  await expect(archiveObjectCorrupt.inject({ ...resolved, sha256: 'other' }, store.context)).rejects.toMatchObject({
    code: 'object_missing',
  });
  expect(store.objects.get('wal/one')).toHaveLength(1);
});

test('unknown settings are refused', () => {
  expect(archiveObjectCorrupt.schema.safeParse({ bytes: 3 }).success).toBe(false);
});
