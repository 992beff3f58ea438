/** How others talk to the supervisor, and how it is started. Starting is idempotent; a supervisor that answers is never replaced. */
import { spawn } from 'node:child_process';
import { closeSync, existsSync, mkdirSync, openSync } from 'node:fs';
import { join } from 'node:path';
import { until } from '../../core/clock';
import { GamedayError } from '../../core/errors';
import { packageRoot } from '../../core/files';
import { homePaths } from '../../core/home';
import { answers, callRpc } from '../../core/rpc';
import { logTail } from './children';
import type { ChildSpec, ChildView, SupervisorStatus } from './contract';

const START_TIMEOUT_MS = 15_000;

export interface SupervisorClient {
  status(): Promise<SupervisorStatus>;
  /** Resolves when the child is ready. A child of that name that runs with another specification is replaced. */
  start(spec: ChildSpec): Promise<ChildView>;
  stop(name: string): Promise<ChildView | null>;
  restart(name: string): Promise<ChildView>;
  /** Starts it by its specification if it does not run, and keeps it alive from now on. */
  ensure(name: string): Promise<ChildView>;
  /** Does not start it again when it ends, without ending it. `ensure` takes that back. */
  leaveDown(name: string): Promise<ChildView>;
  /** Stops every child, newest first, then the supervisor itself. */
  shutdown(): Promise<void>;
}

/** Opening touches nothing. Every call throws `supervisor_unreachable` when nobody answers. */
export function openSupervisorClient(runDir: string): SupervisorClient {
  const socket = join(runDir, 'supervisor.sock');
  const call = <T>(name: string, params: unknown, timeoutMs: number): Promise<T> =>
    callRpc<T>(socket, name, params, { timeoutMs, unreachable: 'supervisor_unreachable' });
  return {
    status: () => call('status', null, 5_000),
    start: (spec) => call('start', spec, (spec.readyTimeoutMs ?? 20_000) + 15_000),
    stop: (name) => call('stop', { name }, 60_000),
    restart: (name) => call('restart', { name }, 60_000),
    ensure: (name) => call('ensure', { name }, 60_000),
    leaveDown: (name) => call('leaveDown', { name }, 5_000),
    shutdown: () => call('shutdown', null, 120_000),
  };
}

/** The supervisor of this home, started if none answers. Throws `lab_failed` when it does not come up. */
export async function ensureSupervisor(home: string): Promise<SupervisorClient> {
  const { run: runDir, logs } = homePaths(home);
  const socket = join(runDir, 'supervisor.sock');
  if (await answers(socket)) return openSupervisorClient(runDir);
  const program = join(packageRoot(), 'dist', 'infra', 'supervisor', 'supervisor.js');
  if (!existsSync(program)) throw new GamedayError('lab_failed', `${program} is missing`, 'run `npm run setup`.');
  mkdirSync(logs, { recursive: true });
  const logFile = join(logs, 'supervisor.log');
  const log = openSync(logFile, 'a', 0o640);
  spawn(process.execPath, [program, '--home', home], { cwd: '/', detached: true, stdio: ['ignore', log, log], env: process.env }).unref();
  closeSync(log);
  await until(async () => ((await answers(socket)) ? true : null), {
    timeoutMs: START_TIMEOUT_MS,
    everyMs: 25,
    onTimeout: () =>
      new GamedayError(
        'lab_failed',
        `the supervisor did not answer within ${START_TIMEOUT_MS} ms: ${logTail(logFile)}`,
        `read ${logFile}.`,
      ),
  });
  return openSupervisorClient(runDir);
}
