/**
 * One WAL file from the store to a place on disk, verified on its way: what the feeder asks for. It holds a file's packed bytes and a few pieces of the
 * plain ones, never a whole segment, and leaves nothing usable behind unless every byte is what the archive says.
 */
import { writeFile } from 'node:fs/promises';
import { fetchObject } from '../../objects/fetch-object';
import type { ObjectStore } from '../../objects/store';
import type { FeederOptions } from './wal-feeder';
import { unpackWalInto, walFileKind, walKey } from './wal-object';

export interface WalSource {
  readonly store: ObjectStore;
  readonly systemIdentifier: string;
  /** Bytes of the objects that are known to be there, by WAL file name: these need one request instead of two. */
  readonly sizes: ReadonlyMap<string, number>;
}

/** Null if the archive has no such file. Throws `object_corrupt`, `store_unreachable`, or the signal's reason. */
export function walFetcher({ store, systemIdentifier, sizes }: WalSource): FeederOptions['fetch'] {
  return async (name, path, signal) => {
    if (walFileKind(name) === null) return null;
    const key = walKey(name);
    const bytes = sizes.get(name) ?? (await store.head(key))?.bytes;
    if (bytes === undefined) return null;
    const object = await fetchObject(store, key, bytes, signal);
    if (walFileKind(name) === 'history') {
      await writeFile(path, object, { mode: 0o600 });
      return object.length;
    }
    return (await unpackWalInto(name, object, path, systemIdentifier)).bytes;
  };
}
