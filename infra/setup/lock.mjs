// One set-up at a time per cache. The lock is a file that names its holder; a holder that no longer runs is set aside.
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { say, SetupError } from './progress.mjs';

const WAIT_LIMIT_MS = 20 * 60_000;

function startTicks(pid) {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, 'utf8');
    return text.slice(text.lastIndexOf(')') + 2).split(' ')[19];
  } catch {
    return null;
  }
}

/** Null while the file is being written or after it was removed. */
function readHolder(path) {
  try {
    const [pid, ticks] = readFileSync(path, 'utf8').split(' ');
    return ticks === undefined ? null : { pid, alive: startTicks(pid) === ticks };
  } catch {
    return null;
  }
}

/** Runs `work` while holding the cache's lock; waits at most 20 minutes for another set-up. */
export async function withLock(cache, work) {
  mkdirSync(cache, { recursive: true });
  const path = join(cache, 'set-up.lock');
  const deadline = Date.now() + WAIT_LIMIT_MS;
  let told = false;
  for (;;) {
    try {
      writeFileSync(path, `${process.pid} ${startTicks(process.pid) ?? ''}`, { flag: 'wx' });
      break;
    } catch (error) {
      if (error.code !== 'EEXIST') throw error;
    }
    const holder = readHolder(path);
    if (holder !== null && !holder.alive) {
      rmSync(path, { force: true });
      continue;
    }
    if (!told) say(`another set-up (process ${holder?.pid ?? '?'}) is at work; waiting for it`);
    told = true;
    if (Date.now() > deadline)
      throw new SetupError(`another set-up (process ${holder?.pid ?? '?'}) has held ${path} for 20 minutes`, `rm ${path}`);
    await delay(250);
  }
  try {
    return await work();
  } finally {
    rmSync(path, { force: true });
  }
}
