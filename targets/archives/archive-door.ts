/**
 * The archive's own way to its store, for whoever must try it as a node does, or put something on top of an object and take it off again.
 * It removes nothing but versions whose id it is given, and its own notes.
 */
import { createHash } from 'node:crypto';
import { GamedayError } from '../../core/errors';
import { nativeArchiveOf, type Target } from '../../model/target';
import { askStore, exchangeWithStore } from '../../objects/s3-door';
import { openVersionedStore } from '../../objects/s3-versions';
import type { ObjectStore } from '../../objects/store';
import type { ArchiveDoor, ObjectWord } from '../ports';
import { archiveSettings, openArchiveStore } from './archive-store';
import { listBackups } from './base-backup';
import { openHaproxyGate } from './haproxy-gate';
import { walFileKind, walNameOfKey } from './wal-object';

/** Beside `wal/` and `base/`: what faults leave, by label. */
const NOTES = 'faults/';
/** Of one that lists every object of an archive. */
const NOTE_LIMIT_BYTES = 8 * 1024 ** 2;
/** Requests at the same time. */
const AT_ONCE = 16;
const REQUEST_TIMEOUT_MS = 10_000;

export function openArchiveDoor(target: Target): ArchiveDoor {
  const store = openArchiveStore(target, null);
  const gate = nativeArchiveOf(target)?.gate;
  const objects = openVersionedStore(archiveSettings(target, null, REQUEST_TIMEOUT_MS));
  const noteKey = (label: string): string => `${NOTES}${label}`;
  const visible = async (): Promise<string[]> => {
    const keys: string[] = [];
    for await (const { key } of store.list('')) if (!key.startsWith(NOTES)) keys.push(key);
    return keys;
  };
  const removeNote = async (label: string): Promise<void> => {
    for (const { id } of await objects.versions(noteKey(label))) await objects.removeVersion(noteKey(label), id);
  };
  return {
    gate: gate === undefined ? null : openHaproxyGate(gate),
    ask: (node, timeoutMs) => askStore(archiveSettings(target, node, timeoutMs), `${NOTES}nobody`),
    exchange: (node, label, timeoutMs) => exchangeWithStore(archiveSettings(target, node, timeoutMs), noteKey(label), Buffer.from(label)),
    isVersioned: () => objects.isVersioned(),
    find: (word, seed) => findKey(store, word, seed),
    sizeOf: async (key) => (await store.head(key))?.bytes ?? null,
    versions: (key) => objects.versions(key),
    getVersion: (key, id) => objects.getVersion(key, id),
    labelOf: (key, id) => objects.labelOf(key, id),
    putLabelled: (key, data, label) => objects.putLabelled(key, data, label),
    hide: (key) => objects.hide(key),
    removeVersion: (key, id) => objects.removeVersion(key, id),
    removeVersions: async (versions) => void (await someAtATime(versions, ({ key, id }) => objects.removeVersion(key, id))),
    visible,
    hideAll: async (keys) => void (await someAtATime(keys, (key) => objects.hide(key))),
    async hidden(keys) {
      const newest = await someAtATime(keys, async (key) => ({ key, version: (await objects.versions(key))[0] }));
      return newest.flatMap(({ key, version }) => (version?.marker === true ? [{ key, id: version.id }] : []));
    },
    note: (label, text) => store.put(noteKey(label), Buffer.from(text.slice(0, NOTE_LIMIT_BYTES))),
    async notes() {
      const found: { label: string; text: string }[] = [];
      for await (const { key } of store.list(NOTES)) {
        const text = await store.get(key);
        if (text !== null) found.push({ label: key.slice(NOTES.length), text: Buffer.from(text).toString('utf8') });
      }
      return found;
    },
    removeNote,
  };
}

async function someAtATime<T, R>(items: readonly T[], work: (item: T) => Promise<R>): Promise<R[]> {
  const done: R[] = new Array<R>(items.length);
  let next = 0;
  const take = async (): Promise<void> => {
    for (let at = next++; at < items.length; at = next++) done[at] = await work(items[at] as T);
  };
  // None may still be at work when one of them has failed.
  const takers = Array.from({ length: AT_ONCE }, take);
  await Promise.allSettled(takers);
  await Promise.all(takers);
  return done;
}

/** The key that a word stands for now. `seed` decides which of many, the same one every time. Throws `object_missing`. */
async function findKey(store: ObjectStore, word: ObjectWord, seed: string): Promise<string> {
  switch (word) {
    case 'backup': {
      const part = (await listBackups(store)).at(-1)?.parts[0];
      if (part === undefined) throw new GamedayError('object_missing', `${store.description} holds no backup`, 'take a base backup first.');
      return part.key;
    }
    case 'newest-history': {
      const keys: string[] = [];
      for await (const { key } of store.list('wal/')) if (walFileKind(walNameOfKey(key) ?? '') === 'history') keys.push(key);
      const newest = keys.sort((a, b) => (walNameOfKey(a) ?? '').localeCompare(walNameOfKey(b) ?? '')).at(-1);
      if (newest === undefined)
        throw new GamedayError(
          'object_missing',
          `${store.description} holds no history file`,
          'no standby was ever promoted here; fail over first.',
        );
      return newest;
    }
    case 'newest-wal':
    case 'random-wal': {
      const segments: { key: string; modifiedAt: string }[] = [];
      for await (const head of store.list('wal/')) {
        const name = walNameOfKey(head.key);
        if (name !== null && walFileKind(name) === 'segment') segments.push(head);
      }
      const newest = [...segments].sort((a, b) => a.modifiedAt.localeCompare(b.modifiedAt) || a.key.localeCompare(b.key)).at(-1);
      const at = createHash('sha256').update(seed).digest().readUInt32BE(0) % Math.max(1, segments.length);
      const chosen = word === 'newest-wal' ? newest : segments[at];
      if (chosen === undefined)
        throw new GamedayError('object_missing', `${store.description} holds no WAL segment`, 'archive some first.');
      return chosen.key;
    }
  }
}
