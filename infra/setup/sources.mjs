// Lists the sources of the checkout and digests them, so that a build happens exactly when something changed. Reads only; never follows links.
import { createHash } from 'node:crypto';
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';

/** Rooms whose files run from dist. test/ and docs/ do not. */
const ROOMS = [
  'activities',
  'cli',
  'console',
  'core',
  'evidence',
  'faults',
  'infra',
  'model',
  'objects',
  'probe',
  'report',
  'scenarios',
  'targets',
  'worker',
  'workflows',
];
/** Parts of infra that are not TypeScript of the product: set-up itself and the pinned modules. */
const NOT_BUILT = new Set(['infra/bin', 'infra/setup', 'infra/tools', 'node_modules']);
const ASSET = /\.(ya?ml|sh|json|css|html|svg|sql|cfg|txt)$/;

function walk(root, directory, found) {
  for (const entry of readdirSync(join(root, directory), { withFileTypes: true })) {
    const path = `${directory}/${entry.name}`;
    if (entry.isDirectory()) {
      if (!NOT_BUILT.has(path) && !entry.name.startsWith('.')) walk(root, path, found);
    } else if (entry.isFile()) {
      found.push(path);
    }
  }
}

/** { code, assets }: paths relative to the checkout, sorted. Tests are left out. */
export function listSources(root) {
  const found = [];
  const present = new Set(readdirSync(root));
  for (const room of ROOMS) if (present.has(room)) walk(root, room, found);
  found.sort();
  const code = found.filter((path) => /\.tsx?$/.test(path) && !/\.(test|test-data|d)\.tsx?$/.test(path));
  return { code, assets: found.filter((path) => ASSET.test(path)) };
}

/** Content digest of files, by path. */
export function digestOf(root, paths) {
  const hash = createHash('sha256');
  for (const path of paths)
    hash
      .update(path)
      .update('\0')
      .update(readFileSync(join(root, path)))
      .update('\0');
  return hash.digest('hex');
}

/** Cheap digest by size and time, to notice that nothing changed without reading. */
export function stampOf(root, paths) {
  const hash = createHash('sha256');
  for (const path of paths) {
    const { size, mtimeMs } = statSync(join(root, path));
    hash.update(`${path}\0${size}\0${mtimeMs}\0`);
  }
  return hash.digest('hex');
}
