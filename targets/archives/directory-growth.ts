/**
 * How far somebody else's tool has come in filling a directory: tools of backups tell nothing of it while they work. It reads sizes alone, takes at most a
 * tenth of the time for it, and never keeps the tool from ending.
 */
import { readdir, lstat } from 'node:fs/promises';
import { join } from 'node:path';
import { monotonicNs, sleep } from '../../core/clock';

const LOOK_EVERY_MS = 500;
const SHARE = 10;

/** Bytes of the files below `dir`; what comes and goes meanwhile counts as nothing. */
export async function bytesBelow(dir: string, signal?: AbortSignal): Promise<number> {
  let bytes = 0;
  const pending = [dir];
  for (let at = pending.pop(); at !== undefined && signal?.aborted !== true; at = pending.pop()) {
    const directory = at;
    for (const entry of await readdir(directory, { withFileTypes: true }).catch(() => [])) {
      const path = join(directory, entry.name);
      if (entry.isDirectory()) pending.push(path);
      else if (entry.isFile())
        bytes += await lstat(path).then(
          ({ size }) => size,
          () => 0,
        );
    }
  }
  return bytes;
}

/** Resolves or rejects as `work` does; until then `onBytes` hears how many bytes stand below `dir`. */
export async function tellGrowth<T>(dir: string, work: Promise<T>, onBytes: (bytes: number) => void): Promise<T> {
  const over = new AbortController();
  const ended = work.finally(() => over.abort());
  const watch = async (): Promise<void> => {
    for (let waitMs = LOOK_EVERY_MS; !over.signal.aborted;) {
      await sleep(waitMs, over.signal);
      const began = monotonicNs();
      const bytes = await bytesBelow(dir, over.signal);
      if (!over.signal.aborted) onBytes(bytes);
      waitMs = Math.max(LOOK_EVERY_MS, (Number(monotonicNs() - began) / 1e6) * SHARE);
    }
  };
  // A sleep that is broken off rejects: then the tool has ended.
  const watching = watch().catch(() => undefined);
  try {
    return await ended;
  } finally {
    await watching;
  }
}
