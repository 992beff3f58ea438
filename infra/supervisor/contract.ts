/**
 * What the supervisor is asked and what it answers, and the mark by which its children are recognised in the process table.
 * Plain data only; secrets travel by name and are resolved where the child is started.
 */
import type { ProcessId } from '../../core/process';

/** `tcp`: something accepts connections there. `socket`: the same for a unix socket. */
export type ReadyWhen =
  { readonly kind: 'tcp'; readonly host: string; readonly port: number } | { readonly kind: 'socket'; readonly path: string };

export interface ChildSpec {
  readonly name: string;
  readonly argv: readonly string[];
  /** Added to a small environment (PATH, HOME, LANG, TZ); nothing else of the caller's is inherited. */
  readonly env?: { readonly [name: string]: string };
  /** Environment variables whose values are secrets, named as `env:NAME` or `file:/path`. */
  readonly secretEnv?: { readonly [name: string]: string };
  readonly cwd?: string;
  /** Operating system user to become when the supervisor is root; absent or null: the supervisor's own. */
  readonly user?: string | null;
  /** Started again whenever it ends without being stopped. */
  readonly restart: boolean;
  readonly readyWhen?: ReadyWhen | null;
  /** Default 20 s. */
  readonly readyTimeoutMs?: number;
  /** Time between SIGTERM and SIGKILL when it is stopped. Default 5 s. */
  readonly stopGraceMs?: number;
}

export interface ChildView {
  readonly name: string;
  readonly running: boolean;
  readonly pid: number | null;
  /** Starts beyond the first, whether by itself or on request. */
  readonly restarts: number;
  /** How it ended last: `exit 1`, `signal SIGKILL`, `gone`; null if it never ended. */
  readonly lastEnd: string | null;
  readonly logFile: string;
  readonly argv: readonly string[];
  readonly startedAt: string | null;
}

export interface SupervisorStatus {
  readonly pid: number;
  readonly startedAt: string;
  readonly children: readonly ChildView[];
}

/** One child as the state file keeps it. `wanted`: it shall run. */
export interface ChildRecord {
  readonly spec: ChildSpec;
  readonly wanted: boolean;
  readonly process: ProcessId | null;
  readonly restarts: number;
  readonly lastEnd: string | null;
  readonly startedAt: string | null;
}

export interface SupervisorState {
  readonly formatVersion: 1;
  readonly children: readonly ChildRecord[];
}

export const MARK = 'GAMEDAY_SUPERVISED';
/** Value of the mark: which supervisor (by its run directory) and which child. */
export const markOf = (runDir: string, name: string): string => `${runDir}#${name}`;
