/**
 * A lock between processes that cannot outlive its holder: the kernel's flock, held by a small child that ends with its standard input.
 * Never a file that somebody would have to remove after a crash.
 */
import { spawn } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { dirname } from 'node:path';
import { GamedayError, messageOf } from '../../core/errors';

/** Waiting for another `lab up` or `down` of the same home. */
export const LOCK_WAIT_MS = 120_000;

export interface Lock {
  release(): Promise<void>;
}

/** Takes the lock or throws `lab_failed` after `waitMs`; `holder` says in the message who has it. */
export async function holdLock(path: string, waitMs: number, holder: string): Promise<Lock> {
  mkdirSync(dirname(path), { recursive: true });
  const child = spawn('flock', ['--exclusive', '--wait', String(waitMs / 1_000), path, 'sh', '-c', 'echo held; exec cat >/dev/null'], {
    stdio: ['pipe', 'pipe', 'ignore'],
    cwd: '/',
  });
  child.stdin.on('error', () => undefined);
  const closed = new Promise<void>((resolve) => child.once('close', () => resolve()));
  await new Promise<void>((resolve, reject) => {
    child.stdout.once('data', () => resolve());
    child.once('error', (error) =>
      reject(new GamedayError('tool_missing', `flock cannot be run: ${messageOf(error)}`, 'install util-linux.')),
    );
    child.once('close', () =>
      reject(new GamedayError('lab_failed', `${path} was held by ${holder} for ${waitMs} ms`, 'wait for it to end, then try again.')),
    );
  });
  child.unref();
  (child.stdin as unknown as { unref?: () => void }).unref?.();
  (child.stdout as unknown as { unref?: () => void }).unref?.();
  return {
    release: async () => {
      child.ref();
      child.stdin.end();
      await closed;
    },
  };
}
