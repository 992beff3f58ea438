/**
 * Runs one command of a target's own runbook on this machine: a list of words, no shell, a time limit, SIGTERM to its whole group and then SIGKILL.
 * It must never wait for what the command leaves running behind it, nor for the pipes that such a process holds open.
 */
import { spawn } from 'node:child_process';
import { GamedayError } from '../../core/errors';
import { environmentForOthers } from '../../core/process';
import { withoutServerWords } from '../excerpts/log-lines';
import { openServerMessages } from '../excerpts/server-messages';

/** What a runbook may still put in order after SIGTERM. */
const GRACE_MS = 5_000;
/** What was printed before the end may arrive after it. */
const DRAIN_MS = 200;
const KEPT_CHARACTERS = 64 * 1024;
const SHOWN_CHARACTERS = 500;
/** A runbook's psql repeats what the server said; that may hold anybody's values. */
const SERVER_MESSAGES = openServerMessages([]);

export type Placeholder = 'node' | 'candidate' | 'primary';
type Values = { readonly [name in Placeholder]?: string | null };

export const asksFor = (argv: readonly string[], name: Placeholder): boolean => argv.some((word) => word.includes(`{${name}}`));

/** The words with `{node}`, `{candidate}` and `{primary}` put in, also inside a word; other braces stay. Throws `setting_invalid` for a name nobody knows. */
export function fillWords(argv: readonly string[], values: Values): readonly string[] {
  return argv.map((word) =>
    word.replaceAll(/\{(node|candidate|primary)\}/g, (_, name: Placeholder) => {
      const value = values[name] ?? null;
      if (value === null)
        throw new GamedayError(
          'setting_invalid',
          `\`${argv.join(' ')}\` asks for {${name}}, and nobody can say which node that is`,
          name === 'primary' ? 'name `controller.status`, a command that prints the primary’s name.' : 'see docs/CONTROLLERS.md.',
        );
      return value;
    }),
  );
}

export interface CommandOptions {
  readonly timeoutMs: number;
  readonly signal?: AbortSignal;
  /** `failover_failed` for the failover itself, `step_failed` for the rest. */
  readonly code: 'failover_failed' | 'step_failed';
}

/** Resolves with what it printed. Throws `code` when it cannot be started, ends with anything but 0, or does not end in time; else the caller's abort reason. */
export function runCommand(argv: readonly string[], options: CommandOptions): Promise<string> {
  const [program = '', ...words] = argv;
  const shown = argv.join(' ');
  return new Promise((resolve, reject) => {
    // A group of its own, so that what a shell script has started is reached too.
    const child = spawn(program, words, { cwd: '/', env: environmentForOthers(), stdio: ['ignore', 'pipe', 'pipe'], detached: true });
    let [stdout, stderr] = ['', ''];
    let stopped: Error | null = null;
    let kill: NodeJS.Timeout | undefined;
    child.stdout.setEncoding('utf8').on('data', (chunk: string) => (stdout = (stdout + chunk).slice(-KEPT_CHARACTERS)));
    child.stderr.setEncoding('utf8').on('data', (chunk: string) => (stderr = (stderr + chunk).slice(-KEPT_CHARACTERS)));
    const failed = (what: string): GamedayError =>
      new GamedayError(
        options.code,
        `\`${shown}\` ${what}: ${withoutServerWords(stderr.trim(), SERVER_MESSAGES).slice(-SHOWN_CHARACTERS) || 'it said nothing on stderr'}`,
        'run it by hand as the user who runs gameday’s worker, with the same words.',
      );
    const toGroup = (name: 'SIGTERM' | 'SIGKILL'): void => {
      try {
        if (child.pid !== undefined) process.kill(-child.pid, name);
      } catch {
        // The whole group has ended.
      }
    };
    const stop = (why: Error | null): void => {
      stopped ??= why ?? failed(`did not end within ${options.timeoutMs} ms`);
      toGroup('SIGTERM');
      kill ??= setTimeout(() => toGroup('SIGKILL'), GRACE_MS);
    };
    const timer = setTimeout(() => stop(null), options.timeoutMs);
    const onAbort = (): void => stop(options.signal?.reason instanceof Error ? options.signal.reason : new Error('aborted'));
    if (options.signal?.aborted === true) onAbort();
    options.signal?.addEventListener('abort', onAbort, { once: true });
    const end = (error: Error | null): void => {
      clearTimeout(timer);
      clearTimeout(kill);
      options.signal?.removeEventListener('abort', onAbort);
      child.stdout.destroy();
      child.stderr.destroy();
      if (error === null) resolve(stdout);
      else reject(error);
    };
    child.once('error', (error) => end(failed(`cannot be started (${error.message})`)));
    child.once('exit', (code, name) => {
      const drained = setTimeout(finish, DRAIN_MS);
      child.once('close', finish);
      let done = false;
      function finish(): void {
        clearTimeout(drained);
        if (done) return;
        done = true;
        // What ignores SIGTERM in its group does not outlive a stop.
        if (stopped !== null) toGroup('SIGKILL');
        end(stopped ?? (code === 0 ? null : failed(code === null ? `was ended by ${name ?? 'a signal'}` : `ended with ${code}`)));
      }
    });
  });
}
