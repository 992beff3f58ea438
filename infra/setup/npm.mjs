// The npm dependencies of the checkout: installed by `npm ci` when they are missing or older than the lock file. Nothing else of set-up needs them.
import { createHash } from 'node:crypto';
import { existsSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { execute, lastLines } from './execute.mjs';
import { checkout } from './places.mjs';
import { sayWhile, SetupError } from './progress.mjs';

const lockFile = join(checkout, 'package-lock.json');
const installedFile = join(checkout, 'node_modules', '.package-lock.json');
const digestFile = join(checkout, 'node_modules', '.gameday-lock-digest');

const lockDigest = () => createHash('sha256').update(readFileSync(lockFile)).digest('hex');

/** A fresh clone has files newer than their content: the digest decides, the times only save reading it. */
function isCurrent() {
  if (!existsSync(installedFile)) return false;
  if (statSync(installedFile).mtimeMs >= statSync(lockFile).mtimeMs) return true;
  return existsSync(digestFile) && readFileSync(digestFile, 'utf8') === lockDigest();
}

/** Throws SetupError when npm cannot install. */
export async function ensureDependencies(env = process.env) {
  if (isCurrent()) return;
  const settings = { ...env, NODE_ENV: 'development' };
  const result = await sayWhile('installing the npm dependencies (npm ci)', () =>
    execute(['npm', 'ci', '--no-audit', '--no-fund'], { cwd: checkout, env: settings }),
  );
  if (result.code !== 0) throw new SetupError(`npm ci failed:\n${lastLines(result)}`, 'npm ci');
  writeFileSync(digestFile, lockDigest());
}
