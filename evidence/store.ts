/** Where evidence is kept. Today the directory under GAMEDAY_HOME; every other room gets it from here and never opens a store of its own. */
import { openDirectoryStore } from '../objects/directory-store';
import type { ObjectStore } from '../objects/store';

const open = new Map<string, ObjectStore>();

/** One store per directory and process, so that chains read once stay cached. */
export function openEvidenceStore(drillsDir: string): ObjectStore {
  const known = open.get(drillsDir);
  if (known !== undefined) return known;
  const store = openDirectoryStore(drillsDir);
  open.set(drillsDir, store);
  return store;
}
