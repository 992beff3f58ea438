/**
 * Processes of this machine: run a command without a shell, name a process so that a reused pid is never mistaken for it.
 * A process is pid + start time + boot id. Node only, Linux.
 */
import { spawn } from 'node:child_process';
import { readFileSync, readdirSync, readlinkSync } from 'node:fs';
import { bootId, until } from './clock';
import { GamedayError } from './errors';

export interface ProcessId {
  readonly pid: number;
  /** Clock ticks since boot (field 22 of /proc/PID/stat). */
  readonly startTicks: string;
  readonly bootId: string;
}

interface Stat {
  readonly state: string;
  readonly ppid: number;
  readonly startTicks: string;
}

function readStat(pid: number): Stat | null {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, 'utf8');
    const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
    return { state: fields[0] ?? '?', ppid: Number(fields[1]), startTicks: fields[19] ?? '' };
  } catch {
    return null;
  }
}

/** Null if no such process runs now. */
export function identify(pid: number): ProcessId | null {
  const stat = readStat(pid);
  return stat === null ? null : { pid, startTicks: stat.startTicks, bootId: bootId() };
}

/** True while exactly this process exists and is not a zombie. */
export function isAlive(id: ProcessId): boolean {
  if (id.bootId !== bootId()) return false;
  const stat = readStat(id.pid);
  return stat !== null && stat.startTicks === id.startTicks && stat.state !== 'Z' && stat.state !== 'X';
}

/** `R`, `S`, `T` … as in /proc/PID/stat; null if the process is gone. */
export function processState(id: ProcessId): string | null {
  const stat = readStat(id.pid);
  return stat !== null && stat.startTicks === id.startTicks ? stat.state : null;
}

function runningPids(): number[] {
  return readdirSync('/proc')
    .filter((name) => /^[0-9]+$/.test(name))
    .map(Number);
}

/** Direct and indirect children by parent pid, as they are at this moment. */
export function descendants(pid: number): ProcessId[] {
  const boot = bootId();
  const children = new Map<number, ProcessId[]>();
  for (const each of runningPids()) {
    const stat = readStat(each);
    if (stat === null) continue;
    const list = children.get(stat.ppid) ?? [];
    list.push({ pid: each, startTicks: stat.startTicks, bootId: boot });
    children.set(stat.ppid, list);
  }
  const found: ProcessId[] = [];
  const queue = [pid];
  for (let next = queue.shift(); next !== undefined; next = queue.shift()) {
    for (const child of children.get(next) ?? []) {
      found.push(child);
      queue.push(child.pid);
    }
  }
  return found;
}

/** Processes of programs below `programs` that work in `dir` or below it; both are real paths. */
export function processesIn(dir: string, programs: string): ProcessId[] {
  const inside = (pid: number): boolean => {
    try {
      // The kernel says so of a directory that was removed under a process.
      const cwd = readlinkSync(`/proc/${pid}/cwd`).replace(/ \(deleted\)$/, '');
      return (cwd === dir || cwd.startsWith(`${dir}/`)) && readlinkSync(`/proc/${pid}/exe`).startsWith(`${programs}/`);
    } catch {
      return false;
    }
  };
  return runningPids()
    .filter(inside)
    .flatMap((pid) => identify(pid) ?? []);
}

/** Processes that were started with exactly this `NAME=value` in their environment, and those of other users as far as /proc shows them. */
export function processesStartedWith(entry: string): ProcessId[] {
  const carries = (pid: number): boolean => {
    try {
      return readFileSync(`/proc/${pid}/environ`, 'latin1').split('\0').includes(entry);
    } catch {
      return false;
    }
  };
  return runningPids()
    .filter(carries)
    .flatMap((pid) => identify(pid) ?? []);
}

/** Sends a signal to exactly this process; false if it is gone. */
export function signal(id: ProcessId, name: NodeJS.Signals): boolean {
  if (!isAlive(id)) return false;
  try {
    process.kill(id.pid, name);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ESRCH') return false;
    throw error;
  }
}

/** SIGTERM (or `first`), then SIGKILL after `graceMs`; returns when the process is gone. */
export async function terminate(id: ProcessId, graceMs: number, first: NodeJS.Signals = 'SIGTERM'): Promise<void> {
  if (!signal(id, first)) return;
  const gone = (): true | null => (isAlive(id) ? null : true);
  try {
    await until(gone, { timeoutMs: graceMs, onTimeout: () => new Error('still alive') });
  } catch {
    signal(id, 'SIGKILL');
    await until(gone, { timeoutMs: 10_000, onTimeout: () => new GamedayError('internal', `process ${id.pid} outlived SIGKILL for 10 s`) });
  }
}

/**
 * The environment for what is somebody else's: servers, agents, runbooks. Without gameday's own variables, the supervisor's mark among them: what carries that
 * counts as gameday's and is ended with it.
 */
export function environmentForOthers(): NodeJS.ProcessEnv {
  return Object.fromEntries(Object.entries(process.env).filter(([name]) => !/^(GAMEDAY|TEMPORAL)_/.test(name)));
}

export interface RunOptions {
  readonly timeoutMs: number;
  readonly cwd?: string;
  readonly env?: NodeJS.ProcessEnv;
  readonly uid?: number;
  readonly gid?: number;
  readonly input?: string;
  readonly signal?: AbortSignal;
  /** Output beyond that is dropped; default 8 MiB. */
  readonly outputLimitBytes?: number;
}
export interface RunResult {
  /** Exit code; 128 + n if ended by signal n is not reported by Node, so −1 stands for "ended by a signal". */
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

const OUTPUT_LIMIT = 8 * 1024 * 1024;

/** Runs argv without a shell. Never rejects for a non-zero exit; rejects when it cannot be started, times out, or is aborted. */
export function run(argv: readonly string[], options: RunOptions): Promise<RunResult> {
  const [command, ...args] = argv;
  if (command === undefined) throw new GamedayError('internal', 'run: empty command');
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, {
      cwd: options.cwd ?? '/',
      env: options.env ?? process.env,
      stdio: [options.input === undefined ? 'ignore' : 'pipe', 'pipe', 'pipe'],
      ...(options.uid === undefined ? {} : { uid: options.uid }),
      ...(options.gid === undefined ? {} : { gid: options.gid }),
    });
    let stdout = '';
    let stderr = '';
    const limit = options.outputLimitBytes ?? OUTPUT_LIMIT;
    let failure: Error | null = null;
    const stop = (error: Error): void => {
      failure ??= error;
      child.kill('SIGKILL');
      // A grandchild may hold the pipes open: do not wait for it.
      child.stdout?.destroy();
      child.stderr?.destroy();
    };
    const timer = setTimeout(
      () => stop(new GamedayError('step_failed', `${command} did not end within ${options.timeoutMs} ms`)),
      options.timeoutMs,
    );
    const onAbort = (): void => stop(options.signal?.reason instanceof Error ? options.signal.reason : new Error('aborted'));
    options.signal?.addEventListener('abort', onAbort, { once: true });
    child.stdout?.setEncoding('utf8').on('data', (chunk: string) => {
      if (stdout.length < limit) stdout += chunk;
    });
    child.stderr?.setEncoding('utf8').on('data', (chunk: string) => {
      if (stderr.length < limit) stderr += chunk;
    });
    if (options.input !== undefined) {
      child.stdin?.on('error', () => undefined);
      child.stdin?.end(options.input);
    }
    const done = (): void => {
      clearTimeout(timer);
      options.signal?.removeEventListener('abort', onAbort);
    };
    child.on('error', (error) => {
      done();
      reject(error);
    });
    child.on('close', (code) => {
      done();
      if (failure !== null) reject(failure);
      else resolve({ code: code ?? -1, stdout, stderr });
    });
  });
}

/** uid and gid of a user name from /etc/passwd; throws `setting_invalid` if there is none. */
export function lookUpUser(name: string): { readonly uid: number; readonly gid: number; readonly home: string } {
  for (const line of readFileSync('/etc/passwd', 'utf8').split('\n')) {
    const [user, , uid, gid, , home] = line.split(':');
    if (user === name) return { uid: Number(uid), gid: Number(gid), home: home ?? '/' };
  }
  throw new GamedayError('setting_invalid', `operating system user "${name}" does not exist`);
}
