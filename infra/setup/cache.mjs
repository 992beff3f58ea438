// Puts a tool into the cache so that it is there whole or not at all: made in a directory beside, renamed at the end. Never changes one that is there.
import { chmodSync, existsSync, mkdirSync, mkdtempSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';

/** Calls `make(directory)` with an empty directory, then renames it to `<cache>/<name>`. Returns the final path. */
export async function intoCache(cache, name, make) {
  const final = join(cache, name);
  mkdirSync(cache, { recursive: true });
  const temporary = mkdtempSync(join(cache, `.making-${name}-`));
  try {
    await make(temporary, final);
    chmodSync(temporary, 0o755);
    if (existsSync(final)) rmSync(final, { recursive: true, force: true });
    renameSync(temporary, final);
  } finally {
    rmSync(temporary, { recursive: true, force: true });
  }
  return final;
}
