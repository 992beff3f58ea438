/** The files of a restored server as they are written. Synchronous: for a thread that has nothing else to do. All throw `disk_full` or `restore_failed`. */
import { openSync, writeSync } from 'node:fs';
import { GamedayError } from '../../core/errors';

/**
 * Of one write. The page cache keeps what came in one piece as one folio of up to megabytes, and Linux (6.18, ext4) walks all blocks of a folio for each page
 * of 8 kB that PostgreSQL writes into it later: after writes of megabytes replay takes three times as long.
 */
const PIECE_BYTES = 64 * 1024;

export function openPlain(path: string): number {
  return failing(() => openSync(path, 'w', 0o600));
}

/** On return every byte of `data` is in the file, from `position` on. */
export function writePlain(fd: number, data: Uint8Array, position: number): void {
  failing(() => {
    for (let done = 0; done < data.length;) done += writeSync(fd, data, done, Math.min(PIECE_BYTES, data.length - done), position + done);
  });
}

/** Does it, and says in gameday's words what the file system had against it. */
export function failing<T>(work: () => T): T {
  try {
    return work();
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    throw new GamedayError(code === 'ENOSPC' || code === 'EDQUOT' ? 'disk_full' : 'restore_failed', message, null, { cause: error });
  }
}
