/**
 * Reads what a recovering server says in its log. Pure. `pg_ctl -w` and even an answering server prove nothing about the target;
 * these lines, written by recovery itself, do. Lines as of PostgreSQL 12 to 18 with lc_messages = C.
 */

import { readServerLine } from '../excerpts/log-lines';
import { openServerMessages } from '../excerpts/server-messages';
import type { RecoveryTarget } from '../ports';
import { endsWithArchive } from './archive-end';

const SERVER_MESSAGES = openServerMessages([]);

export interface RecoveryStop {
  /** The line without its prefix, for the record. */
  readonly line: string;
  readonly side: 'before' | 'after';
  readonly xid: string | null;
  readonly lsn: string | null;
  /** As printed: `2026-11-23 04:30:00.123456+00`. */
  readonly time: string | null;
  readonly name: string | null;
}

/** The line by which recovery says where it stopped; null while there is none. */
export function findRecoveryStop(log: string): RecoveryStop | null {
  const match = /recovery stopping (before|after|at) (.*)$/m.exec(log);
  if (match?.[1] === undefined || match[2] === undefined) return null;
  const what = match[2];
  const pick = (pattern: RegExp): string | null => pattern.exec(what)?.[1] ?? null;
  return {
    line: match[0],
    side: match[1] === 'before' ? 'before' : 'after',
    xid: pick(/(?:commit|abort) of (?:prepared )?transaction ([0-9]+)/),
    lsn: pick(/WAL location \(LSN\) "([0-9A-F]+\/[0-9A-F]+)"/),
    time: pick(/time ([0-9][^,"]*)/),
    name: pick(/restore point "([^"]*)"/),
  };
}

/** The line by which recovery says that there was no more to replay, with the start of the last record; null while there is none. For restores without a target. */
export function findRecoveryEnd(log: string): RecoveryStop | null {
  const match = /redo done at ([0-9A-F]+\/[0-9A-F]+)/.exec(log);
  if (match?.[1] === undefined) return null;
  return { line: match[0], side: 'after', xid: null, lsn: match[1], time: null, name: null };
}

/** Where a recovery to this target stopped, by its own words; null while it goes on. */
export function findStopOf(recovery: Pick<RecoveryTarget, 'setting' | 'value'>, log: string): RecoveryStop | null {
  return endsWithArchive(recovery) ? findRecoveryEnd(log) : findRecoveryStop(log);
}

/** Time of the last commit that was replayed, as printed; null if none was. */
export function lastReplayedTime(log: string): string | null {
  return /last completed transaction was at log time (.*)$/m.exec(log)?.[1] ?? null;
}

/**
 * The last lines worth showing, with everything that could hold data removed: statements, details, quoted literals, and errors but for known ones. Nobody's
 * sessions reach a sandbox, so what remains is recovery's own. At most `lines`.
 */
export function logExcerpt(log: string, lines: number): string {
  return log
    .split('\n')
    .filter((line) => /(LOG|FATAL|PANIC|ERROR|WARNING|HINT):/.test(line) || /^gameday/.test(line))
    .filter((line) => !/\bERROR: /.test(line) || SERVER_MESSAGES(readServerLine(line)?.message ?? '') !== null)
    .map((line) =>
      line
        .replace(/'(?:[^']|'')*'/g, "'…'")
        .replace(/"[^"]*"/g, (quoted) => (/^"[0-9A-F]+\/[0-9A-F]+"$|^"[0-9A-F.a-z]*(?:history)?"$/.test(quoted) ? quoted : '"…"')),
    )
    .slice(-lines)
    .join('\n');
}
