/**
 * One child process of the supervisor: how it is started, recognised after a crash, and ended.
 * A child lives in a session of its own, so it outlives the supervisor; it is never signalled unless pid, start time and boot agree.
 */
import { spawn, type ChildProcess } from 'node:child_process';
import { closeSync, mkdirSync, openSync, readFileSync, readdirSync } from 'node:fs';
import { connect } from 'node:net';
import { homedir } from 'node:os';
import { dirname } from 'node:path';
import { bootId } from '../../core/clock';
import { GamedayError, messageOf } from '../../core/errors';
import { identify, isAlive, lookUpUser, terminate, type ProcessId } from '../../core/process';
import { resolveSecret } from '../../core/secrets';
import { MARK, markOf, type ChildSpec, type ReadyWhen } from './contract';

const DEFAULT_GRACE_MS = 5_000;

function environment(spec: ChildSpec, runDir: string, home: string): NodeJS.ProcessEnv {
  const secrets = Object.entries(spec.secretEnv ?? {}).map(([name, secret]) => [name, resolveSecret(secret)] as const);
  return {
    PATH: process.env['PATH'] ?? '/usr/sbin:/usr/bin:/sbin:/bin',
    HOME: home,
    LANG: 'C.UTF-8',
    TZ: 'UTC',
    ...spec.env,
    ...Object.fromEntries(secrets),
    [MARK]: markOf(runDir, spec.name),
  };
}

/** Starts the child detached, its output appended to `logFile`. Throws `lab_failed` when it cannot be started at all. */
export async function spawnChild(
  spec: ChildSpec,
  runDir: string,
  logFile: string,
): Promise<{ readonly child: ChildProcess; readonly id: ProcessId | null }> {
  const [command, ...args] = spec.argv;
  if (command === undefined) throw new GamedayError('internal', `supervisor: child ${spec.name} has an empty command`);
  const user = spec.user !== undefined && spec.user !== null && process.getuid?.() === 0 ? lookUpUser(spec.user) : null;
  mkdirSync(dirname(logFile), { recursive: true });
  const log = openSync(logFile, 'a', 0o640);
  try {
    const child = spawn(command, args, {
      cwd: spec.cwd ?? '/',
      env: environment(spec, runDir, user?.home ?? homedir()),
      detached: true,
      stdio: ['ignore', log, log],
      ...(user === null ? {} : { uid: user.uid, gid: user.gid }),
    });
    await new Promise<void>((resolve, reject) => {
      child.once('spawn', resolve);
      child.once('error', reject);
    });
    return { child, id: child.pid === undefined ? null : identify(child.pid) };
  } catch (error) {
    throw new GamedayError('lab_failed', `${spec.name} cannot be started: ${command}: ${messageOf(error)}`, `read ${logFile}.`);
  } finally {
    closeSync(log);
  }
}

function readProc(pid: number, file: 'environ' | 'cmdline'): string {
  try {
    return readFileSync(`/proc/${pid}/${file}`, 'utf8');
  } catch {
    return '';
  }
}

/** Every process that carries a mark of this run directory; descendants of children inherit it. */
export function markedProcesses(runDir: string): readonly (ProcessId & { readonly name: string; readonly argv: readonly string[] })[] {
  const prefix = `${MARK}=${runDir}#`;
  const boot = bootId();
  return readdirSync('/proc')
    .filter((name) => /^[0-9]+$/.test(name) && Number(name) !== process.pid)
    .flatMap((name) => {
      const mark = readProc(Number(name), 'environ')
        .split('\0')
        .find((entry) => entry.startsWith(prefix));
      const id = mark === undefined ? null : identify(Number(name));
      if (mark === undefined || id === null || !isAlive(id)) return [];
      return [
        {
          pid: id.pid,
          startTicks: id.startTicks,
          bootId: boot,
          name: mark.slice(prefix.length),
          argv: readProc(id.pid, 'cmdline').split('\0').slice(0, -1),
        },
      ];
    });
}

/** The live process of this child, from what was recorded or, when the supervisor died between start and record, from the process table. */
export function findChild(spec: ChildSpec, runDir: string, recorded: ProcessId | null): ProcessId | null {
  if (recorded !== null && isAlive(recorded)) return recorded;
  // Servers that a child starts inherit its mark: only the very command is the child itself.
  const found = markedProcesses(runDir).find((each) => each.name === spec.name && each.argv.join('\0') === spec.argv.join('\0'));
  return found === undefined ? null : { pid: found.pid, startTicks: found.startTicks, bootId: found.bootId };
}

/** SIGTERM, then SIGKILL; what remains of its process group is killed as well. */
export async function endChild(id: ProcessId, graceMs: number | undefined): Promise<void> {
  await terminate(id, graceMs ?? DEFAULT_GRACE_MS);
  try {
    process.kill(-id.pid, 'SIGKILL');
  } catch {
    // No group: nothing remained.
  }
}

/** True if something accepts a connection there within 500 ms. */
export function isReady(when: ReadyWhen): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = when.kind === 'tcp' ? connect(when.port, when.host) : connect(when.path);
    const end = (value: boolean): void => {
      socket.destroy();
      resolve(value);
    };
    socket.once('connect', () => end(true));
    socket.once('error', () => end(false));
    socket.setTimeout(500, () => end(false));
  });
}

/** The last lines of a log, for error messages; empty if there is none. */
export function logTail(path: string, lines = 8): string {
  try {
    return readFileSync(path, 'utf8').trimEnd().split('\n').slice(-lines).join('\n').slice(-2_000);
  } catch {
    return '';
  }
}
