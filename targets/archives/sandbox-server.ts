/**
 * The throwaway server of a restore: its directory, its settings, its start and its end. It listens on no network address, archives nothing,
 * replicates nothing, runs no jobs. It removes only directories that carry its marker and lie inside the target's sandbox directory.
 */
import {
  chownSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  realpathSync,
  rmdirSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { basename, dirname, join, relative, resolve } from 'node:path';
import { until } from '../../core/clock';
import { GamedayError } from '../../core/errors';
import { readJsonFile, writeFileDurably } from '../../core/files';
import { identify, isAlive, lookUpUser, processesIn, processesStartedWith, run, terminate, type ProcessId } from '../../core/process';
import type { JsonObject } from '../../model/json';
import type { Target } from '../../model/target';
import type { RecoveryTarget } from '../ports';
import { endsWithArchive } from './archive-end';
import { isolating, membersOf, removeGroups } from './sandbox-isolation';

export const SANDBOX_PORT = 5432;
const LOG_LIMIT_BYTES = 16 * 1024 * 1024;
const MARKER = 'gameday-sandbox.json';
/** sun_path of Linux holds 108 bytes with its terminator. */
const SOCKET_PATH_LIMIT = 107;

export interface SandboxPlace {
  readonly dir: string;
  readonly dataDir: string;
  readonly walDir: string;
  readonly logFile: string;
  readonly binDir: string;
  readonly owner: { readonly uid: number; readonly gid: number } | null;
  readonly memoryBytes: number | null;
}

/** Where a sandbox stands; throws `setting_invalid` for a directory outside the target's sandbox directory or too long for a socket. */
export function sandboxPlace(target: Target, dir: string): SandboxPlace {
  const sandbox = target.sandbox;
  if (sandbox === null) throw new GamedayError('refused', `target ${target.name} names no sandbox: there is nowhere to restore to`);
  const inside = relative(resolve(sandbox.dir), resolve(dir));
  if (inside === '' || inside.startsWith('..') || resolve(dir) !== dir)
    throw new GamedayError('setting_invalid', `${dir} is not inside the sandbox directory ${sandbox.dir}`);
  if (!/^[A-Za-z0-9/._+-]+$/.test(dir))
    throw new GamedayError('setting_invalid', `the sandbox's path ${dir} may hold only letters, digits and /._+-`);
  const socket = join(dir, `.s.PGSQL.${SANDBOX_PORT}`);
  if (Buffer.byteLength(socket) > SOCKET_PATH_LIMIT) {
    throw new GamedayError(
      'setting_invalid',
      `the unix socket ${socket} has more than ${SOCKET_PATH_LIMIT} bytes`,
      'set sandbox.dir in the target file to a shorter path.',
    );
  }
  const owner = sandbox.osUser === null || process.getuid?.() !== 0 ? null : lookUpUser(sandbox.osUser);
  const { binDir, memoryBytes = null } = sandbox;
  return { dir, dataDir: join(dir, 'data'), walDir: join(dir, 'wal'), logFile: join(dir, 'log'), binDir, owner, memoryBytes };
}

/**
 * Creates the directory, 0700 and owned by the sandbox's user, with its marker. What an earlier try of the same restore left stays if no server ever ran on it,
 * so that the files need not come twice; other leftovers are removed first.
 */
export async function createSandbox(target: Target, place: SandboxPlace, labels: JsonObject): Promise<void> {
  const marker = `${JSON.stringify({ createdBy: 'gameday', target: target.name, labels })}\n`;
  if (existsSync(place.dataDir) && !existsSync(place.logFile) && markerOf(place) === marker) return;
  await removeSandboxDirectory(target, place.dir);
  mkdirSync(dirname(place.dir), { recursive: true, mode: 0o755 });
  mkdirSync(place.dir, { mode: 0o700 });
  writeFileDurably(join(place.dir, MARKER), marker);
  mkdirSync(place.dataDir, { mode: 0o700 });
  for (const path of [place.dir, place.dataDir]) if (place.owner !== null) chownSync(path, place.owner.uid, place.owner.gid);
}

function markerOf(place: SandboxPlace): string | null {
  const path = join(place.dir, MARKER);
  return existsSync(path) ? readFileSync(path, 'utf8') : null;
}

/**
 * Ends the server in `dir` and everything else that works there, removes the directory and the control groups, and looks once more. Idempotent. Returns what
 * it saw in the end. Throws `refused` for a directory without the marker, `restore_failed` for what stays.
 */
export async function removeSandboxDirectory(target: Target, dir: string): Promise<string> {
  const place = sandboxPlace(target, dir);
  const stat = lstatSync(dir, { throwIfNoEntry: false });
  if (stat !== undefined) {
    if (!stat.isDirectory()) throw new GamedayError('refused', `${dir} is no directory; it was not removed`);
    if (existsSync(join(dir, MARKER))) await clearSandbox(place);
    else if (readdirSync(dir).length === 0) rmdirSync(dir);
    else throw new GamedayError('refused', `${dir} was not made by gameday (no ${MARKER} in it); it was not removed`);
  }
  return requireGone(place);
}

async function clearSandbox(place: SandboxPlace): Promise<void> {
  const { dir } = place;
  const server = sandboxPostmaster(place);
  if (server !== null) await terminate(server, 5_000, 'SIGQUIT');
  // What a killed postmaster left behind, and tools that were reading the copy.
  await endWorkers(place);
  // The marker goes last: a removal that is cut short can be continued.
  for (const name of readdirSync(dir))
    if (name !== MARKER) rmSync(join(dir, name), { recursive: true, force: true, maxRetries: 5, retryDelay: 100 });
  rmSync(dir, { recursive: true, force: true, maxRetries: 5, retryDelay: 100 });
}

/**
 * What works for this copy: PostgreSQL's own programs in its directory (nobody's shell is ended for standing there), and whatever the server's commands left
 * behind somewhere else, such as pgBackRest's asynchronous archive-get, which works in / and outlives who asked for it.
 */
function workersOf({ dir, binDir }: SandboxPlace): readonly ProcessId[] {
  const parent = dirname(dir);
  const servers =
    existsSync(parent) && existsSync(binDir) ? processesIn(join(realpathSync(parent), basename(dir)), realpathSync(binDir)) : [];
  const found = [...servers, ...membersOf(dir), ...processesStartedWith(`${SANDBOX_ENV}=${dir}`)];
  return [...new Map(found.map((id) => [id.pid, id])).values()];
}

/** Ends at once what works for this copy, or those of it that `which` picks. */
export async function endWorkers(place: SandboxPlace, which: (worker: ProcessId) => boolean = () => true): Promise<void> {
  for (const left of workersOf(place).filter(which)) await terminate(left, 1_000, 'SIGKILL');
}

async function requireGone(place: SandboxPlace): Promise<string> {
  const { dir } = place;
  const stays = (): readonly string[] => [
    ...(existsSync(dir) ? [`directory ${dir}`] : []),
    ...workersOf(place).map(({ pid }) => `process ${pid}`),
    ...removeGroups(dir).map((group) => `control group ${group}`),
  ];
  await until(() => (stays().length === 0 ? true : null), {
    timeoutMs: 5_000,
    onTimeout: () => new GamedayError('restore_failed', `the sandbox is not gone: ${stays().join(', ')} stays`, 'remove it by hand.'),
  });
  return 'the directory is gone, no process works in it, no control group of it stands';
}

/** Sandboxes below the target's directory that carry our marker: what a dead process may have left. */
export function listSandboxes(target: Target): readonly { readonly dir: string; readonly labels: JsonObject }[] {
  const root = target.sandbox?.dir;
  if (root === undefined || !existsSync(root)) return [];
  return readdirSync(root).flatMap((name) => {
    const dir = join(root, name);
    const marker = readMarker(dir);
    return marker === null || marker.target !== target.name ? [] : [{ dir, labels: marker.labels }];
  });
}

interface Marker {
  readonly target: string;
  readonly labels: JsonObject;
}

/** Null for what carries none, or one that cannot be read: nothing is known of it then. */
function readMarker(dir: string): Marker | null {
  try {
    return readJsonFile<Marker>(join(dir, MARKER));
  } catch {
    return null;
  }
}

/** The postmaster whose working directory is this data directory; null if none runs. A reused pid is never mistaken for it. */
export function sandboxPostmaster(place: SandboxPlace): ProcessId | null {
  try {
    const pid = Number(readFileSync(join(place.dataDir, 'postmaster.pid'), 'utf8').split('\n')[0]);
    const id = Number.isInteger(pid) && pid > 1 ? identify(pid) : null;
    if (id === null || readlinkSync(`/proc/${pid}/cwd`) !== realpathSync(place.dataDir)) return null;
    return isAlive(id) ? id : null;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null;
    throw error;
  }
}

const TOOL_ENV = { PATH: '/usr/bin:/bin', LC_ALL: 'C', TZ: 'UTC' };
/** Names the copy to all that its server starts. */
export const SANDBOX_ENV = 'GAMEDAY_SANDBOX';

function asOwner(place: SandboxPlace): { uid?: number; gid?: number } {
  return place.owner === null ? {} : { uid: place.owner.uid, gid: place.owner.gid };
}

/** Runs one of PostgreSQL's programs as the sandbox's user, in UTC and English, so that its output can be read. */
export function runTool(
  place: SandboxPlace,
  tool: string,
  args: readonly string[],
  options: { readonly timeoutMs: number; readonly signal: AbortSignal },
): Promise<{ code: number; stdout: string; stderr: string }> {
  return run([join(place.binDir, tool), ...args], {
    ...options,
    ...asOwner(place),
    cwd: place.dir,
    env: TOOL_ENV,
  });
}

/** The end of what the server logged. */
export function readSandboxLog(place: SandboxPlace): string {
  return readFileSync(place.logFile, 'utf8').slice(-LOG_LIMIT_BYTES);
}

/** What pg_controldata says, label → value. */
export async function readControl(place: SandboxPlace, signal: AbortSignal): Promise<ReadonlyMap<string, string>> {
  const result = await runTool(place, 'pg_controldata', ['-D', place.dataDir], { timeoutMs: 10_000, signal });
  if (result.code !== 0) throw new GamedayError('restore_failed', `pg_controldata: ${result.stderr.trim()}`);
  return new Map(
    result.stdout.split('\n').map((line) => [line.slice(0, line.indexOf(':')).trim(), line.slice(line.indexOf(':') + 1).trim()]),
  );
}

const quoted = (value: string): string => `'${value.replace(/'/g, "''")}'`;

/** The whole configuration of the sandbox. The backup's own files are not read: they may name libraries, paths and jobs of the original. Exported for its test. */
export function sandboxSettings(
  place: SandboxPlace,
  target: RecoveryTarget,
  restoreCommand: string,
  control: ReadonlyMap<string, string>,
): string {
  const atLeast = (label: string, floor: number): string => String(Math.max(floor, Number(control.get(label) ?? 0)));
  const settings: readonly (readonly [string, string])[] = [
    ['data_directory', place.dataDir],
    ['hba_file', join(place.dir, 'pg_hba.conf')],
    ['ident_file', join(place.dir, 'pg_ident.conf')],
    ['listen_addresses', ''],
    ['port', String(SANDBOX_PORT)],
    ['unix_socket_directories', place.dir],
    ['unix_socket_permissions', '0700'],
    ['cluster_name', 'gameday-sandbox'],
    ['restore_command', restoreCommand],
    // PostgreSQL's own word for "all that there is" is none.
    [target.setting, endsWithArchive(target) ? '' : target.value],
    ['recovery_target_inclusive', target.inclusive ? 'on' : 'off'],
    // Numeric: `latest` follows stray history files.
    ['recovery_target_timeline', String(target.timeline)],
    ['recovery_target_action', 'promote'],
    // Nothing may answer before the target is reached.
    ['hot_standby', 'off'],
    ['archive_mode', 'off'],
    ['archive_command', ''],
    ['primary_conninfo', ''],
    ['primary_slot_name', ''],
    ['synchronous_standby_names', ''],
    ['max_logical_replication_workers', '0'],
    ['shared_preload_libraries', ''],
    ['autovacuum', 'off'],
    ['shared_buffers', '64MB'],
    // It is thrown away: after a crash it is restored again, never repaired.
    ['fsync', 'off'],
    ['full_page_writes', 'off'],
    ['wal_level', 'replica'],
    ['max_connections', atLeast('max_connections setting', 20)],
    ['max_worker_processes', atLeast('max_worker_processes setting', 8)],
    ['max_prepared_transactions', atLeast('max_prepared_xacts setting', 0)],
    ['max_locks_per_transaction', atLeast('max_locks_per_xact setting', 64)],
    ['lc_messages', 'C'],
    ['timezone', 'UTC'],
    ['log_timezone', 'UTC'],
    ['log_line_prefix', '%m [%p] '],
    ['logging_collector', 'off'],
    ['log_min_messages', 'log'],
    ['ssl', 'off'],
  ];
  return settings.map(([name, value]) => `${name} = ${quoted(value)}\n`).join('');
}

/**
 * Writes the configuration into the sandbox and starts the server; says nothing about recovery. `withoutNetwork`: false where recovery fetches WAL over
 * the network by itself.
 */
export async function startSandbox(place: SandboxPlace, settings: string, signal: AbortSignal, withoutNetwork = true): Promise<void> {
  const files: readonly (readonly [string, string])[] = [
    [configFile(place), settings],
    [join(place.dir, 'pg_hba.conf'), 'local all all trust\nlocal replication all trust\n'],
    [join(place.dir, 'pg_ident.conf'), ''],
    [join(place.dataDir, 'recovery.signal'), ''],
    // It would be read after our file and override it.
    [join(place.dataDir, 'postgresql.auto.conf'), ''],
  ];
  for (const [path, text] of files) {
    writeFileSync(path, text, { mode: 0o600 });
    if (place.owner !== null) chownSync(path, place.owner.uid, place.owner.gid);
  }
  rmSync(join(place.dataDir, 'standby.signal'), { force: true });
  await launch(place, signal, withoutNetwork, '-W');
}

/** Starts a copy that was stopped after its recovery, cut off from every network, and waits until it answers. */
export async function restartSandbox(place: SandboxPlace, signal: AbortSignal): Promise<void> {
  await launch(place, signal, true, '-w');
}

/** Stops it cleanly, as what reads its files needs it. */
export async function stopSandbox(place: SandboxPlace, signal: AbortSignal): Promise<void> {
  const result = await runTool(place, 'pg_ctl', ['stop', '-w', '-s', '-m', 'fast', '-t', '120', '-D', place.dataDir], {
    timeoutMs: 130_000,
    signal,
  });
  if (result.code !== 0) throw new GamedayError('restore_failed', `the sandbox did not stop: ${result.stderr.trim()}`);
}

const configFile = (place: SandboxPlace): string => join(place.dir, 'sandbox.conf');

async function launch(place: SandboxPlace, signal: AbortSignal, withoutNetwork: boolean, wait: '-w' | '-W'): Promise<void> {
  const { dir, owner, memoryBytes } = place;
  const lead = await isolating({ dir, owner, withoutNetwork, memoryBytes });
  const argv = ['start', wait, '-s', '-t', '120', '-D', place.dataDir, '-l', place.logFile, '-o', `-c config_file='${configFile(place)}'`];
  const result = await run([...lead, join(place.binDir, 'pg_ctl'), ...argv], {
    cwd: place.dir,
    env: { ...TOOL_ENV, [SANDBOX_ENV]: dir },
    timeoutMs: wait === '-w' ? 130_000 : 15_000,
    signal,
    // Where it is led, the last word of the lead makes it the owner.
    ...(lead.includes('setpriv') ? {} : asOwner(place)),
  });
  if (result.code !== 0) throw new GamedayError('restore_failed', `the sandbox did not start: ${result.stderr.trim()}`);
}
