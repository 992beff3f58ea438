/**
 * Where the command line writes: results to stdout, progress to stderr, and with `--json` exactly one JSON line per result on stdout.
 * Nothing else in `cli/` writes to a stream.
 */
import { userInfo } from 'node:os';
import { GamedayError, messageOf, type ErrorCode } from '../core/errors';
import { type ExitCode } from '../model/constants';

export interface Terminal {
  readonly json: boolean;
  /** May colours be used, and may a person be asked? */
  readonly color: boolean;
  readonly interactive: boolean;
  /** The result, for people; dropped with `--json`. */
  print(text: string): void;
  /** The result as one line of JSON; dropped without `--json`. */
  result(value: unknown): void;
  /** Progress and asides, on stderr. */
  progress(text: string): void;
  /** One line on stderr that the next one replaces; null removes it. Where stderr is no terminal nothing is shown, and `rewrites` is false. */
  live(text: string | null): void;
  readonly rewrites: boolean;
}

export function openTerminal(json: boolean): Terminal {
  let liveShown = false;
  const wipe = (): void => {
    if (liveShown) process.stderr.write('\r\u001b[2K');
    liveShown = false;
  };
  const line = (stream: NodeJS.WriteStream, text: string): void => {
    wipe();
    stream.write(`${text}\n`);
  };
  return {
    json,
    color: process.stdout.isTTY && !json && process.env['NO_COLOR'] === undefined,
    interactive: process.stdin.isTTY && process.stderr.isTTY,
    print: (text) => {
      if (!json) line(process.stdout, printable(text));
    },
    result: (value) => {
      if (json) line(process.stdout, JSON.stringify(value));
    },
    progress: (text) => line(process.stderr, printable(text)),
    live: (text) => {
      wipe();
      if (text === null || !process.stderr.isTTY) return;
      process.stderr.write(printable(text).slice(0, Math.max(20, process.stderr.columns - 1)));
      liveShown = true;
    },
    rewrites: process.stderr.isTTY,
  };
}

/** Without control characters but tab, line feed and the colours that we put there ourselves: a name must not steer the terminal. */
export function printable(text: string): string {
  // eslint-disable-next-line no-control-regex
  return text.replace(/\u001b(?!\[[0-9;]*m)|[\u0000-\u0008\u000b-\u001a\u001c-\u001f\u007f-\u009f]/g, ' ');
}

/** `gameday: message` and `HINT: …`; with `--json` also the same as one line on stdout. Returns the exit code. */
export function reportError(error: unknown, json: boolean): ExitCode {
  const known = error instanceof GamedayError ? error : asGamedayError(error);
  process.stderr.write(`gameday: ${printable(known.message)}\nHINT: ${printable(known.hint)}\n`);
  if (known.code === 'internal' && process.env['GAMEDAY_DEBUG'] !== undefined && error instanceof Error)
    process.stderr.write(`${error.stack ?? ''}\n`);
  if (json)
    process.stdout.write(
      `${JSON.stringify({ error: { code: known.code, message: known.message, hint: known.hint, exit: known.exit } })}\n`,
    );
  return known.exit;
}

/** What Node throws for files and disks, as errors of ours; everything else is a defect: 70, never 1. */
function asGamedayError(error: unknown): GamedayError {
  const code = error instanceof Error && 'code' in error ? String(error.code) : '';
  const known: Readonly<Record<string, ErrorCode>> = {
    ENOSPC: 'disk_full',
    EDQUOT: 'disk_full',
    ENOENT: 'file_unreadable',
    EACCES: 'file_unreadable',
    EISDIR: 'file_unreadable',
    EROFS: 'file_unreadable',
  };
  return new GamedayError(known[code] ?? 'internal', messageOf(error), null, { cause: error });
}

/** Who acts, for records: `--as`, else the name of the login. */
export function personId(given: string | undefined): string {
  if (given !== undefined && given.trim() !== '') return given.trim();
  try {
    return userInfo().username;
  } catch {
    return `uid ${process.getuid?.() ?? '?'}`;
  }
}

/** A command sets its exit code this way; the process ends when nothing is left to do. */
export function exitWith(code: ExitCode): void {
  process.exitCode = code;
}
