/**
 * What this machine itself can tell about a node that runs on it: who owns its data directory, which binaries run, where its log goes.
 * Reads /proc and the file system as whoever runs gameday may; what is not readable is simply not known.
 */
import { existsSync, readFileSync, readlinkSync, statSync } from 'node:fs';
import { networkInterfaces } from 'node:os';
import { dirname, join } from 'node:path';

export interface LocalLook {
  readonly binDir: string | null;
  readonly logFile: string | null;
  readonly osUser: string | null;
}

/** Is this address one of this machine's? Names other than `localhost` are not looked up. */
export function isLocalAddress(host: string): boolean {
  if (host === 'localhost' || host.startsWith('/') || host.startsWith('127.') || host === '::1') return true;
  return Object.values(networkInterfaces()).some((addresses) => (addresses ?? []).some(({ address }) => address === host));
}

function attempt<T>(read: () => T): T | null {
  try {
    return read();
  } catch {
    return null;
  }
}

/** Looks at the postmaster that works in this directory now. */
export function lookAtLocal(dataDir: string): LocalLook {
  const uid = attempt(() => statSync(dataDir).uid);
  const osUser = uid === null ? null : userOf(attempt(() => readFileSync('/etc/passwd', 'utf8')) ?? '', uid);
  const pid = Number(attempt(() => readFileSync(join(dataDir, 'postmaster.pid'), 'utf8').split('\n')[0]) ?? 0);
  if (!Number.isSafeInteger(pid) || pid <= 1) return { binDir: null, logFile: null, osUser };
  const exe = attempt(() => readlinkSync(`/proc/${pid}/exe`));
  const stderr = attempt(() => readlinkSync(`/proc/${pid}/fd/2`));
  return {
    binDir: exe === null || exe.endsWith(' (deleted)') ? null : dirname(exe),
    logFile: stderr !== null && stderr.startsWith('/') && !stderr.startsWith('/dev/') && existsSync(stderr) ? stderr : null,
    osUser,
  };
}

/** Name of a user by number, from the text of /etc/passwd. */
export function userOf(passwd: string, uid: number): string | null {
  const line = passwd.split('\n').find((each) => each.split(':')[2] === String(uid));
  return line?.split(':')[0] ?? null;
}
