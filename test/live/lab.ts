/**
 * The lab that all live tests share: started once by global-setup, taken down by global-teardown. Tests leave it as they found it;
 * what would disturb others makes a home of its own (`makeHome`).
 */
import { spawn } from 'node:child_process';
import { chmodSync, mkdtempSync, realpathSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { until } from '../../core/clock';
import { packageRoot } from '../../core/files';
import { identify, isAlive, signal } from '../../core/process';
import { labDown } from '../../infra/lab/down';
import { readLabFile, readLabTarget } from '../../infra/lab/lab-file';
import { labProcesses } from '../../infra/lab/residue';
import { openSupervisorClient } from '../../infra/supervisor/client';
import type { Target } from '../../model/target';

export const SHARED_HOME_VARIABLE = 'GAMEDAY_TEST_HOME';
export const SHARED_NET = process.env['GAMEDAY_TEST_NET'] ?? '127.0.77';

export interface SharedLab {
  readonly home: string;
  readonly target: Target;
  readonly net: string;
  readonly temporalAddress: string;
}

export interface CliResult {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

export function lab(): SharedLab {
  const home = process.env[SHARED_HOME_VARIABLE];
  if (home === undefined) throw new Error(`${SHARED_HOME_VARIABLE} is not set: run the live tests by \`npm run test:live\``);
  const file = readLabFile(home);
  if (file === null) throw new Error(`the shared lab in ${home} has no lab.json`);
  return { home, target: readLabTarget(home), net: file.net, temporalAddress: file.temporalAddress };
}

/** Runs `gameday …` in the shared lab's home (or another) and waits for it. SIGKILL after `timeoutMs`, code −1. */
export function cli(
  args: readonly string[],
  options: {
    readonly home?: string;
    readonly timeoutMs?: number;
    readonly input?: string;
    readonly env?: NodeJS.ProcessEnv;
    /** What it has said on stderr so far, each time that there is more. */
    readonly onProgress?: (said: string) => void;
  } = {},
): Promise<CliResult> {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [join(packageRoot(), 'infra', 'bin', 'gameday.js'), ...args], {
      cwd: tmpdir(),
      env: { ...process.env, GAMEDAY_HOME: options.home ?? lab().home, NO_COLOR: '1', ...options.env },
      stdio: ['pipe', 'pipe', 'pipe'],
    });
    let stdout = '';
    let stderr = '';
    child.stdout.setEncoding('utf8').on('data', (chunk: string) => (stdout += chunk));
    child.stderr.setEncoding('utf8').on('data', (chunk: string) => {
      stderr += chunk;
      options.onProgress?.(stderr);
    });
    const timer = setTimeout(() => child.kill('SIGKILL'), options.timeoutMs ?? 120_000);
    child.stdin.on('error', () => undefined);
    child.stdin.end(options.input ?? '');
    child.once('error', reject);
    child.once('close', (code) => {
      clearTimeout(timer);
      resolve({ code: code ?? -1, stdout, stderr });
    });
  });
}

/** A home that the servers' user can reach. */
export function makeHome(): string {
  const home = mkdtempSync(join(tmpdir(), 'gameday-'));
  chmodSync(home, 0o755);
  return home;
}

/** Takes the lab of a test's own home down, and removes it. */
export async function removeHome(home: string): Promise<void> {
  await labDown({ home, purge: true });
  rmSync(home, { recursive: true, force: true });
}

/** As a power cut: SIGKILL to everything of this home at once, the supervisor first, so that it revives nothing. */
export async function cutPower(home: string): Promise<void> {
  const supervisor = identify((await openSupervisorClient(join(home, 'run')).status()).pid);
  const all = [...(supervisor === null ? [] : [supervisor]), ...labProcesses(join(home, 'run'), realpathSync(join(home, 'lab')))];
  for (const id of all) signal(id, 'SIGKILL');
  await until(() => (all.some(isAlive) ? null : true), { timeoutMs: 10_000, onTimeout: () => new Error('processes outlived SIGKILL') });
}
