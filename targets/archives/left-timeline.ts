/**
 * A timeline number that was begun twice. Two nodes promoted from the same timeline without seeing each other's history take the same next number; whoever
 * archived first blocks the archive of the other, which leads now, for good. What the cluster has left moves aside, complete, nothing is deleted before its copy
 * stands, and the history of the primary takes the other's place:
 *
 *     wal/00000006.history, wal/00000006/…   ──▶   forks/timeline-00000006.<sum of its history>/…
 */
import { sha256Hex } from '../../core/files';
import type { ObjectStore } from '../../objects/store';

const inHex = (timeline: number): string => timeline.toString(16).toUpperCase().padStart(8, '0');

/**
 * Moves the archived timeline aside unless its history is `own`, the file that the current primary has of it. Returns the number of objects moved, 0 where
 * nothing was archived of it or it is the primary's own. The history goes last: after a crash the next call goes on. Throws `store_unreachable`.
 */
export async function setAsideLeftTimeline(store: ObjectStore, timeline: number, own: Uint8Array): Promise<number> {
  const number = inHex(timeline);
  const historyKey = `wal/${number}.history`;
  const archived = await store.get(historyKey);
  if (archived === null || sha256Hex(archived) === sha256Hex(own)) return 0;
  const keys: string[] = [];
  for await (const { key } of store.list(`wal/${number}/`)) keys.push(key);
  const aside = (key: string): string => `forks/timeline-${number}.${sha256Hex(archived).slice(0, 16)}/${key.slice('wal/'.length)}`;
  for (const key of keys) {
    const object = await store.get(key);
    if (object === null) continue;
    await store.put(aside(key), object);
    await store.delete(key);
  }
  await store.put(aside(historyKey), archived);
  await store.put(historyKey, own);
  return keys.length + 1;
}
