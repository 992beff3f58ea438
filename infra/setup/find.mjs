// Looks for a tool that is already here: on PATH, in the places where distributions put it, in the cache. Starts it only to ask its version; changes nothing.
import { accessSync, constants, existsSync, readdirSync, realpathSync } from 'node:fs';
import { delimiter, dirname, join } from 'node:path';
import { execute } from './execute.mjs';

function isExecutable(path) {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

/** The first executable of this name on PATH, or null. */
export function onPath(program, env = process.env) {
  for (const directory of (env.PATH ?? '').split(delimiter)) {
    if (directory.startsWith('/') && isExecutable(join(directory, program))) return join(directory, program);
  }
  return null;
}

/** Directories that hold every program of the tool, best first. A link such as /usr/local/bin/postgres is followed to where its companions are. */
function candidateDirectories(tool, env) {
  const first = onPath(tool.programs[0], env);
  const named = first === null ? tool.places : [dirname(first), dirname(realpathSync(first)), ...tool.places];
  return [...new Set(named)].filter((directory) => tool.programs.every((program) => isExecutable(join(directory, program))));
}

/** The version a tool reports, or null if it does not run or says something else. */
export async function versionOf(tool, directory) {
  const result = await execute([join(directory, tool.programs[0]), ...tool.versionArguments], { timeoutMs: 20_000 });
  return tool.versionPattern.exec(result.stdout + result.stderr)?.[1] ?? null;
}

async function firstGood(tool, directories, source) {
  for (const directory of directories) {
    const version = await versionOf(tool, directory);
    if (version !== null && tool.good(version)) return { directory, version, source };
  }
  return null;
}

/** { directory, version, source: 'path' } or null. */
export function findInstalled(tool, env = process.env) {
  return firstGood(tool, candidateDirectories(tool, env), 'path');
}

/** { directory, version, source: 'cache' } or null. What is in the cache was renamed there whole, so a directory that exists is complete. */
export function findCached(tool, cache) {
  if (!existsSync(cache)) return Promise.resolve(null);
  const prefix = `${tool.name}-`;
  const directories = readdirSync(cache)
    .filter((name) => name.startsWith(prefix) && /^\d[\d.]*$/.test(name.slice(prefix.length)))
    .map((name) => join(cache, name, 'bin'))
    .filter((directory) => tool.programs.every((program) => isExecutable(join(directory, program))));
  return firstGood(tool, directories.reverse(), 'cache');
}
