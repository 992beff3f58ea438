/**
 * WAL files from the store to places on disk, verified on their way: what the feeder asks for. Nothing usable is left behind unless every byte is what the archive says.
 */
import { writeFile } from 'node:fs/promises';
import { unlessAborted } from '../../core/clock';
import { fetchObject } from '../../objects/fetch-object';
import type { ObjectStore } from '../../objects/store';
import type { Unpacker } from './unpacker';
import type { FeederOptions } from './wal-feeder';
import { walFileKind, walKey } from './wal-object';

export interface WalSource {
  readonly store: ObjectStore;
  readonly unpacker: Unpacker;
  readonly systemIdentifier: string;
  /** Bytes of the objects that are known to be there, by WAL file name: these need one request instead of two. */
  readonly sizes: ReadonlyMap<string, number>;
}

/** Null if the archive has no such file. Throws `object_corrupt`, `store_unreachable`, or the signal's reason. */
export function walFetcher({ store, unpacker, systemIdentifier, sizes }: WalSource): FeederOptions['fetch'] {
  return async (name, path, signal) => {
    if (walFileKind(name) === null) return null;
    const key = walKey(name);
    const bytes = sizes.get(name) ?? (await unlessAborted(signal, store.head(key)))?.bytes;
    if (bytes === undefined) return null;
    const packed = await fetchObject(store, key, bytes, signal);
    if (walFileKind(name) !== 'history') return unpacker.ask<'wal'>({ kind: 'wal', name, packed, path, systemIdentifier });
    await writeFile(path, packed, { mode: 0o600 });
    return packed.length;
  };
}
