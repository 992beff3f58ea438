// Makes sure that every tool of the catalog is at hand and written down in the manifest. Fast when nothing changed; safe to run twice at once.
import { CATALOG } from './catalog.mjs';
import { fromDebian } from './debian.mjs';
import { findCached, findInstalled } from './find.mjs';
import { buildFromGo, removeGoWork } from './go.mjs';
import { withLock } from './lock.mjs';
import { entryFor, isCurrent, readManifest, writeManifest } from './manifest.mjs';
import { cacheRoot, manifestPath } from './places.mjs';
import { say } from './progress.mjs';
import { resolveTool } from './resolve.mjs';

const present = (cache, env) => [
  { name: 'PATH', find: (tool) => findInstalled(tool, env) },
  { name: 'cache', find: (tool) => findCached(tool, cache) },
];
const provided = (cache, env) => [
  { name: 'Debian package', find: (tool) => fromDebian(tool, cache, env) },
  { name: 'Go modules', find: (tool) => (tool.go === null ? null : buildFromGo(tool, cache, env)) },
];

/** Returns the manifest { name: { path, version, source, stamp } }. Throws SetupError for the first tool that is not to be had. */
export async function ensureTools(env = process.env, manifestFile = manifestPath()) {
  const cache = cacheRoot(env);
  const manifest = readManifest(manifestFile);
  const missing = CATALOG.filter((tool) => !isCurrent(tool, manifest[tool.name]));
  if (missing.length === 0) return manifest;
  await withLock(cache, async () => {
    for (const tool of missing) {
      const found = await resolveTool(tool, [...present(cache, env), ...provided(cache, env)]);
      manifest[tool.name] = entryFor(tool, found);
      say(`${tool.name} ${found.version} · ${found.source} · ${manifest[tool.name].path}`);
      writeManifest(manifestFile, manifest);
    }
    removeGoWork(cache);
  });
  return manifest;
}
