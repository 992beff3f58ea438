/**
 * Where gameday keeps its state: one directory per installation, GAMEDAY_HOME, and the directories inside it.
 * Names only; this file never creates, changes or removes anything. Node only.
 */
import { join, resolve } from 'node:path';

export interface HomePaths {
  readonly home: string;
  /** Servers of the lab: their data, configuration and secrets. May be a symbolic link to /var/lib/gameday/…. */
  readonly lab: string;
  /** Unix sockets of supervisor, guardian and archiver. */
  readonly run: string;
  readonly guardian: string;
  readonly keys: string;
  readonly drills: string;
  readonly targets: string;
  /** Signed approvals, one directory per plan's digest. */
  readonly approvals: string;
  /** Sealed bundles that the shared evidence store does not hold yet, by note. */
  readonly outbox: string;
  readonly probes: string;
  readonly logs: string;
}

/** Absolute path of GAMEDAY_HOME; `.gameday` in the working directory when the variable is not set or empty. */
export function gamedayHome(env: NodeJS.ProcessEnv = process.env): string {
  const named = env['GAMEDAY_HOME'];
  return resolve(named === undefined || named === '' ? '.gameday' : named);
}

/** The directories inside a home. Shape: absolute paths, whether or not they exist yet. */
export function homePaths(home: string): HomePaths {
  const at = (name: string): string => join(home, name);
  return {
    home,
    lab: at('lab'),
    run: at('run'),
    guardian: at('guardian'),
    keys: at('keys'),
    drills: at('drills'),
    targets: at('targets'),
    approvals: at('approvals'),
    outbox: at('outbox'),
    probes: at('probes'),
    logs: at('logs'),
  };
}
