// Patroni from PyPI, one version at a time: a virtual environment in the cache, made from the packages that infra/tools/patroni/patroni-<version>.txt pins
// with their checksums. It must be startable by the user that servers run as, so it is made from the system's Python before any of a person's own.
import { chmodSync, existsSync, lstatSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { intoCache } from './cache.mjs';
import { compareVersions } from './catalog.mjs';
import { execute, lastLines } from './execute.mjs';
import { onPath } from './find.mjs';
import { withLock } from './lock.mjs';
import { checkout } from './places.mjs';
import { pythonWithPip } from './python.mjs';
import { sayWhile, SetupError } from './progress.mjs';

const OLDEST_PYTHON = '3.9';
const SYSTEM_PYTHON = '/usr/bin/python3';
const PACKAGES = 'apt-get install python3 python3-venv python3-pip';
const pinned = join(checkout, 'infra', 'tools', 'patroni');

/** Name of the environment in the cache. */
const nameOf = (version) => `patroni-${version}`;

async function pythonVersion(python) {
  const result = await execute([python, '-c', 'import platform, venv; print(platform.python_version())'], { timeoutMs: 30_000 });
  return result.code === 0 ? (/^\d+(?:\.\d+)*/.exec(result.stdout)?.[0] ?? null) : null;
}

/** The system's Python if it will do, because every user may start it; else the first on PATH. Throws SetupError when neither will. */
export async function findPython(env = process.env, system = SYSTEM_PYTHON) {
  const named = onPath('python3', env);
  for (const python of [system, ...(named === null ? [] : [named])]) {
    const version = existsSync(python) ? await pythonVersion(python) : null;
    if (version !== null && compareVersions(version, OLDEST_PYTHON) >= 0) return python;
  }
  throw new SetupError(`Patroni from PyPI needs Python ${OLDEST_PYTHON} or newer with its module venv, and there is none`, PACKAGES);
}

/**
 * What is run in turn with `pip` (words that start it for this environment). Nothing is taken whose checksum is not pinned: the tools that build come first,
 * because a build of its own would fetch them unchecked. What is published as sources only (python-etcd, ydiff) is built by them.
 */
export function installCommands(pip, version) {
  const install = [...pip, 'install', '--quiet', '--disable-pip-version-check', '--no-input', '--require-hashes', '--no-deps'];
  return [
    [...install, '--only-binary=:all:', '-r', join(pinned, 'build.txt')],
    [...install, '--no-build-isolation', '-r', join(pinned, `${nameOf(version)}.txt`)],
  ];
}

/** The environment's own pip, or where the distribution ships none with its Python, another one told to work there. */
async function pipFor(python, directory, cache, env) {
  const inside = join(directory, 'bin', 'python3');
  const whole = await execute([python, '-m', 'venv', directory], { timeoutMs: 120_000, env });
  if (whole.code === 0) return [inside, '-m', 'pip'];
  const bare = await execute([python, '-m', 'venv', '--clear', '--without-pip', directory], { timeoutMs: 60_000, env });
  const outside = bare.code === 0 ? await pythonWithPip(cache, env) : null;
  if (outside === null)
    throw new SetupError(`no Python environment could be made:\n${lastLines(bare.code === 0 ? whole : bare)}`, PACKAGES);
  return ['env', ...Object.entries(outside.env).map(([key, value]) => `${key}=${value}`), ...outside.argv, '--python', inside];
}

/** Readable for every user, whatever the umask of whoever made it: servers run as another one. */
function makeReadable(root) {
  for (const entry of readdirSync(root, { withFileTypes: true, recursive: true })) {
    if (entry.isSymbolicLink()) continue;
    const path = join(entry.parentPath ?? entry.path, entry.name);
    chmodSync(path, entry.isDirectory() || (lstatSync(path).mode & 0o100) !== 0 ? 0o755 : 0o644);
  }
}

async function make(version, directory, cache, env) {
  const pip = await pipFor(await findPython(env), directory, cache, env);
  for (const argv of installCommands(pip, version)) {
    const result = await execute(argv, { timeoutMs: 600_000, env });
    if (result.code !== 0)
      throw new SetupError(
        `Patroni ${version} could not be installed from PyPI:
${lastLines(result)}`,
        `python3 -m pip download --require-hashes --no-deps -r ${argv.at(-1)}`,
      );
  }
  makeReadable(directory);
}

/** Directory of the environment, made if it is not there: its Patroni is started by `bin/python3 bin/patroni`. Throws SetupError. */
export async function ensurePatroni(version, cache, env = process.env) {
  if (!existsSync(join(pinned, `${nameOf(version)}.txt`)))
    throw new SetupError(`Patroni ${version} is not pinned in ${pinned}`, 'ls infra/tools/patroni');
  const final = join(cache, nameOf(version));
  if (existsSync(final)) return final;
  return withLock(cache, async () => {
    if (existsSync(final)) return final;
    return sayWhile(`fetching Patroni ${version} from PyPI into an environment of its own`, () =>
      intoCache(cache, nameOf(version), (temporary) => make(version, temporary, cache, env)),
    );
  });
}
