/**
 * Where the lab's data lies and who owns it. Servers do not run as root, so their data must lie where their user can reach it:
 * if a home is not, `lab` becomes a link to /var/lib/gameday/…. Creates directories; never removes one.
 */
import {
  accessSync,
  chmodSync,
  chownSync,
  constants,
  copyFileSync,
  existsSync,
  linkSync,
  lstatSync,
  mkdirSync,
  readFileSync,
  realpathSync,
  renameSync,
  rmSync,
  statfsSync,
  statSync,
  symlinkSync,
} from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { GamedayError } from '../../core/errors';
import { sha256Hex } from '../../core/files';
import { homePaths } from '../../core/home';
import { lookUpUser, run } from '../../core/process';
import { formatBytes } from '../../core/units';

/** Below this much free space no lab is started: three nodes, a base backup and the WAL of one drill need about half of it. */
const MIN_FREE_BYTES = 1024 ** 3;
/** Longest path of a unix socket on Linux, with its closing zero byte. */
const SOCKET_PATH_LIMIT = 107;
const SHARED_STATE = '/var/lib/gameday';

/** Who runs the lab's servers; null: whoever runs gameday. */
export function serverUser(): string | null {
  if (process.getuid?.() !== 0) return null;
  const names = readFileSync('/etc/passwd', 'utf8')
    .split('\n')
    .map((line) => line.split(':')[0]);
  const found = ['postgres', 'nobody'].find((name) => names.includes(name));
  if (found === undefined)
    throw new GamedayError(
      'lab_failed',
      'there is no user "postgres" or "nobody" to run the servers as',
      'create one with `useradd --system postgres`, or run gameday as an ordinary user.',
    );
  return found;
}

/** May this user pass through every directory above `path`? Access lists are not looked at. */
export function isReachable(path: string, user: string | null): boolean {
  if (user === null) return true;
  const { uid, gid } = lookUpUser(user);
  for (let at = dirname(path); ; at = dirname(at)) {
    const stat = statSync(at, { throwIfNoEntry: false });
    if (stat !== undefined) {
      const bit = stat.uid === uid ? 0o100 : stat.gid === gid ? 0o010 : 0o001;
      if ((stat.mode & bit) === 0) return false;
    }
    if (at === dirname(at)) return true;
  }
}

/** Real path of the lab's directory if there is one already; null otherwise. */
export function findLabDir(home: string): string | null {
  const { lab } = homePaths(home);
  try {
    return realpathSync(lab);
  } catch {
    return null;
  }
}

/** Makes home and lab directory and returns the lab's real path. Throws `setting_invalid` for a home whose sockets' names would be too long. */
export function prepareLabDir(home: string, user: string | null): string {
  const paths = homePaths(home);
  const longest = join(paths.run, 'prober-drill-000000.sock');
  if (Buffer.byteLength(longest) > SOCKET_PATH_LIMIT) {
    throw new GamedayError(
      'setting_invalid',
      `home ${home} is ${Buffer.byteLength(longest) - SOCKET_PATH_LIMIT} bytes too long: the system's limit for a socket is ${SOCKET_PATH_LIMIT}`,
      'set GAMEDAY_HOME to a shorter path.',
    );
  }
  mkdirSync(home, { recursive: true, mode: 0o755 });
  for (const dir of [paths.run, paths.logs, paths.targets, paths.guardian]) mkdirSync(dir, { recursive: true, mode: 0o755 });
  const there = lstatSync(paths.lab, { throwIfNoEntry: false });
  if (there === undefined && !isReachable(paths.lab, user)) {
    const elsewhere = join(SHARED_STATE, sha256Hex(realpathSync(home)).slice(0, 12));
    mkdirSync(elsewhere, { recursive: true, mode: 0o755 });
    symlinkSync(elsewhere, paths.lab);
  } else if (there?.isSymbolicLink() === true) {
    // The link's goal may be gone, with its data: then the lab is made anew, rather than failing for ever.
    mkdirSync(join(SHARED_STATE, sha256Hex(realpathSync(home)).slice(0, 12)), { recursive: true, mode: 0o755 });
  }
  mkdirSync(paths.lab, { recursive: true, mode: 0o755 });
  const lab = realpathSync(paths.lab);
  if (!isReachable(join(lab, 'x'), user)) {
    throw new GamedayError(
      'lab_failed',
      `user ${user} cannot reach ${lab}`,
      'set GAMEDAY_HOME to a directory that this user can pass, e.g. below /var/tmp.',
    );
  }
  return lab;
}

/** Throws `disk_full` when the file system of `dir` has less than 1 GB free. */
export function checkFreeSpace(dir: string): void {
  const stats = statfsSync(dir);
  const free = stats.bavail * stats.bsize;
  if (free < MIN_FREE_BYTES)
    throw new GamedayError('disk_full', `${dir}: ${formatBytes(free)} free, the lab needs ${formatBytes(MIN_FREE_BYTES)}`);
}

/** Creates a directory that belongs to the servers' user. */
export function makeServerDir(path: string, user: string | null, mode = 0o755): void {
  mkdirSync(path, { recursive: true });
  chmodSync(path, mode);
  if (user !== null) {
    const { uid, gid } = lookUpUser(user);
    chownSync(path, uid, gid);
  }
}

/** The program under a path that the servers' user can start: itself, or a link or copy in the lab's `bin`. */
export async function reachableProgram(program: string, lab: string, user: string | null): Promise<string> {
  if (user === null) return program;
  const { uid, gid } = lookUpUser(user);
  const startable = async (path: string): Promise<boolean> => (await run(['test', '-x', path], { uid, gid, timeoutMs: 5_000 })).code === 0;
  if (await startable(program)) return program;
  const own = join(lab, 'bin', basename(program));
  const original = statSync(program);
  const copy = statSync(own, { throwIfNoEntry: false });
  if (copy !== undefined && copy.size === original.size && copy.mtimeMs >= original.mtimeMs && (await startable(own))) return own;
  mkdirSync(dirname(own), { recursive: true, mode: 0o755 });
  const temporary = `${own}.${process.pid}.tmp`;
  rmSync(temporary, { force: true });
  try {
    linkSync(realpathSync(program), temporary);
    if (!(await startable(temporary))) throw new Error('linked, but not for everybody');
  } catch {
    rmSync(temporary, { force: true });
    copyFileSync(program, temporary);
    chmodSync(temporary, 0o755);
  }
  renameSync(temporary, own);
  return own;
}

/** Throws `tool_missing` when the servers' user cannot start PostgreSQL from `binDir`. */
export async function checkPostgresReachable(binDir: string, user: string | null): Promise<void> {
  if (user === null) {
    accessSync(join(binDir, 'postgres'), constants.X_OK);
    return;
  }
  const { uid, gid } = lookUpUser(user);
  if ((await run(['test', '-x', join(binDir, 'postgres')], { uid, gid, timeoutMs: 5_000 })).code === 0) return;
  throw new GamedayError(
    'tool_missing',
    `user ${user} cannot start ${join(binDir, 'postgres')}`,
    'install the distribution’s postgresql package, or set XDG_CACHE_HOME to a directory that this user can reach.',
  );
}

export function removeLabData(home: string): void {
  const { lab, targets } = homePaths(home);
  const real = findLabDir(home);
  if (real !== null) rmSync(real, { recursive: true, force: true });
  if (existsSync(lab) || lstatSync(lab, { throwIfNoEntry: false }) !== undefined) rmSync(lab, { recursive: true, force: true });
  rmSync(join(targets, 'lab.yaml'), { force: true });
}
