/**
 * The quarantine forgets: what an old primary alone held is somebody's data, kept so that lost rows can be recovered, and not for ever.
 * It removes only what a manifest of ours names, and nothing whose age it cannot tell.
 */
import { createHash } from 'node:crypto';
import { closeSync, createReadStream, existsSync, fsyncSync, openSync, readdirSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { fsyncDirectory } from '../../core/files';

/** Long enough to notice a loss and to recover rows by hand; in the measurement's contract. */
const KEPT_MS = 30 * 86_400_000;

/**
 * Removes forks that were saved more than 30 days ago: `<name>.json`, the directory `<name>`, and what stands beside it as `<name>.…`. Returns their names.
 * Safe to interrupt: the manifest goes last. A quarantine that is not there holds nothing.
 */
export function removeExpired(quarantine: string, nowMs: number): readonly string[] {
  if (!existsSync(quarantine)) return [];
  const entries = readdirSync(quarantine).sort();
  const expired = entries
    .filter((name) => name.endsWith('.json') && holdsFork(entries, name.slice(0, -'.json'.length)))
    .filter((manifest) => nowMs - (statSync(join(quarantine, manifest), { throwIfNoEntry: false })?.mtimeMs ?? nowMs) > KEPT_MS)
    .map((manifest) => manifest.slice(0, -'.json'.length));
  for (const name of expired) {
    const beside = entries.filter((entry) => entry === name || (entry.startsWith(`${name}.`) && entry !== `${name}.json`));
    for (const entry of [...beside, `${name}.json`]) rmSync(join(quarantine, entry), { recursive: true, force: true });
  }
  return expired;
}

/** In the clear, or encrypted. */
function holdsFork(entries: readonly string[], name: string): boolean {
  return entries.includes(name) || entries.includes(`${name}.cms`);
}

export function fsyncFile(path: string): void {
  const fd = openSync(path, 'r');
  try {
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}

/** SHA-256 over `name NUL sha256 LF` of every file in name order, each fsynced first. */
export async function sealDirectory(directory: string): Promise<{ readonly sha256: string; readonly files: number }> {
  const whole = createHash('sha256');
  const names = readdirSync(directory).sort();
  for (const name of names) {
    const path = join(directory, name);
    fsyncFile(path);
    const hash = createHash('sha256');
    for await (const chunk of createReadStream(path)) hash.update(chunk as Buffer);
    whole.update(`${name}\0${hash.digest('hex')}\n`);
  }
  fsyncDirectory(directory);
  return { sha256: whole.digest('hex'), files: names.length };
}
