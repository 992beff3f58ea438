// Finds a Python with pip, which is how the Go toolchain is fetched where there is no Go. Never installs anything into a Python that is there.
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { intoCache } from './cache.mjs';
import { hasApt, isRoot, unpackPackages } from './debian.mjs';
import { execute } from './execute.mjs';
import { checkout } from './places.mjs';
import { sayWhile } from './progress.mjs';

async function works(argv, env) {
  return (await execute([...argv, '--version'], { timeoutMs: 30_000, env })).code === 0;
}

/** Python packages of Debian, unpacked into the cache and led to each other by PYTHONPATH. */
async function unpackedPip(cache, env) {
  const root = join(cache, 'pip-1');
  if (!existsSync(root)) {
    const make = (temporary) =>
      sayWhile('unpacking the Debian packages python3 and python3-pip into the cache', () =>
        unpackPackages(['python3-minimal', 'python3-pip'], [], temporary),
      );
    try {
      await intoCache(cache, 'pip-1', make);
    } catch {
      return null;
    }
  }
  const settings = { PYTHONPATH: join(root, 'usr/lib/python3/dist-packages') };
  for (const python of ['python3', join(root, 'usr/bin/python3')]) {
    const argv = [python, '-m', 'pip'];
    if (await works(argv, { ...env, ...settings })) return { argv, env: settings };
  }
  return null;
}

/** { argv, env } that runs pip, or null. Tried: python3 -m pip, pip3, pip, Debian's packages. */
export async function pythonWithPip(cache, env = process.env) {
  for (const argv of [['python3', '-m', 'pip'], ['pip3'], ['pip']]) {
    if (await works(argv, env)) return { argv, env: {} };
  }
  if (!hasApt(env)) return null;
  if (!isRoot()) return unpackedPip(cache, env);
  const script = join(checkout, 'infra', 'setup', 'apt-install.sh');
  await sayWhile('installing the Debian package python3-pip', () => execute(['sh', script, 'python3-pip'], { timeoutMs: 600_000, env }));
  return (await works(['python3', '-m', 'pip'], env)) ? { argv: ['python3', '-m', 'pip'], env: {} } : null;
}
