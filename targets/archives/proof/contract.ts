/**
 * What one check of a restored copy is given and gives back. A check reads the copy, and may write into it, for it is thrown away; it never asks the
 * original. Names of schemas, tables and roles may stand in what it found; values never.
 */
import type { ProofName } from '../../../model/plan';
import type { CheckResult, FirstUse, MarkFacts } from '../../../model/record';
import type { Target } from '../../../model/target';
import type { Sql } from '../../sql';
import type { SandboxPlace } from '../sandbox-server';

export interface ProofContext {
  readonly target: Target;
  readonly place: SandboxPlace;
  /** Every database of the copy that takes connections, templates left out. */
  readonly databases: readonly string[];
  /** Bytes of all databases together. */
  readonly bytes: number;
  /** What was recorded at the restore point that was asked for; null: nothing was. */
  readonly marked: MarkFacts | null;
  readonly signal: AbortSignal;
  /** Connects as role operate; every statement has `limitMs` (default one minute). Throws the signal's reason as soon as it is aborted. */
  readonly sql: <T>(database: string, work: (sql: Sql) => Promise<T>, limitMs?: number) => Promise<T>;
  readonly tool: (
    name: string,
    args: readonly string[],
  ) => Promise<{ readonly code: number; readonly stdout: string; readonly stderr: string }>;
  /** Stops the copy cleanly, runs `work` on its files, starts it again as it was. */
  readonly whileStopped: <T>(work: () => Promise<T>) => Promise<T>;
}

/** `notRecorded`: what could not be asked, and why; checks may stand beside it. */
export interface Proved {
  readonly checks?: readonly CheckResult[];
  readonly firstUse?: FirstUse;
  readonly notRecorded?: string;
}

export interface ProofCheck {
  readonly name: ProofName;
  prove(context: ProofContext): Promise<Proved>;
}

/** Long statements: a table is read whole. */
export const READ_LIMIT_MS = 6 * 3_600_000;
const NAMES_SHOWN = 5;

/** `3: a, b, c`, with the first few by name. */
export function listed(names: readonly string[]): string {
  if (names.length === 0) return 'none';
  const more = names.length > NAMES_SHOWN ? ` and ${names.length - NAMES_SHOWN} more` : '';
  return `${names.length}: ${names.slice(0, NAMES_SHOWN).join(', ')}${more}`;
}

/** One check that holds when nothing was found. */
export function noneOf(name: string, bad: readonly string[], found: string, hint: string): CheckResult {
  const ok = bad.length === 0;
  return { name, ok, found: ok ? found : listed(bad), expected: 'none', hint: ok ? null : hint };
}
