/** A versioned store on paper for unit tests of faults in the archive: versions as objects in memory, newest first. Nothing here leaves the process. */
import type { ArchiveDoor, LiveTarget } from '../targets/ports';
import type { FaultContext } from './contract';
import { paperContext } from './paper-target.test-data';

export interface PaperVersion {
  readonly id: string;
  readonly marker: boolean;
  readonly data: string;
  readonly label: string | null;
}

export interface PaperStore {
  readonly context: FaultContext;
  readonly objects: Map<string, PaperVersion[]>;
  readonly notes: Map<string, string>;
  /** As somebody else would: no label. */
  put(key: string, data: string): void;
}

/** The paper target with an archive that holds one WAL segment. */
export function paperStore(step: string, versioned = true): PaperStore {
  const objects = new Map<string, PaperVersion[]>();
  const notes = new Map<string, string>();
  let next = 1;
  const add = (key: string, version: Omit<PaperVersion, 'id'>): string => {
    const id = `v${next++}`;
    objects.set(key, [{ ...version, id }, ...(objects.get(key) ?? [])]);
    return id;
  };
  const remove = (key: string, id: string): void =>
    void objects.set(
      key,
      (objects.get(key) ?? []).filter((each) => each.id !== id),
    );
  const find = (key: string, id: string | null): PaperVersion | undefined =>
    (objects.get(key) ?? []).find((each, n) => (id === null ? n === 0 : each.id === id));
  const visible = (): string[] => [...objects].flatMap(([key, [newest]]) => (newest === undefined || newest.marker ? [] : [key]));
  const backups = async (): Promise<{ name: string }[]> => visible().flatMap((key) => (key.startsWith('base/') ? [{ name: key }] : []));
  const door = {
    gate: null,
    isVersioned: async () => versioned,
    find: async () => 'wal/one',
    sizeOf: async (key) => find(key, null)?.data.length ?? null,
    versions: async (key) => objects.get(key) ?? [],
    getVersion: async (key, id) => {
      const version = find(key, id);
      return version === undefined || version.marker ? null : Buffer.from(version.data, 'latin1');
    },
    labelOf: async (key, id) => find(key, id)?.label ?? null,
    putLabelled: async (key, data, label) => void add(key, { marker: false, data: Buffer.from(data).toString('latin1'), label }),
    hide: async (key) => add(key, { marker: true, data: '', label: null }),
    removeVersion: async (key, id) => remove(key, id),
    removeVersions: async (versions) => versions.forEach(({ key, id }) => remove(key, id)),
    visible: async () => visible(),
    hideAll: async (keys) => {
      for (const key of keys) add(key, { marker: true, data: '', label: null });
    },
    hidden: async (keys) =>
      keys.flatMap((key) => {
        const newest = find(key, null);
        return newest?.marker === true ? [{ key, id: newest.id }] : [];
      }),
    note: async (label, text) => void notes.set(label, text),
    notes: async () => [...notes].map(([label, text]) => ({ label, text })),
    removeNote: async (label) => void notes.delete(label),
  } satisfies Partial<ArchiveDoor>;
  const context = paperContext(step);
  const put = (key: string, data: string): void => void add(key, { marker: false, data, label: null });
  put('wal/one', 'sixteen megabytes of history');
  return { context: { ...context, live: { ...context.live, archive: { door, backups } } as unknown as LiveTarget }, objects, notes, put };
}
