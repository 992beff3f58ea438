/**
 * How far a restore came, written into its sandbox: whoever takes it up after its worker's death keeps a base that was verified and goes on from there. What
 * was not finished counts as not begun; what belongs to another drill, step or target is never gone on with.
 */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { canonicalJson } from '../../core/canonical-json';
import { readJsonFile, writeFileDurably } from '../../core/files';
import { terminate } from '../../core/process';
import type { JsonObject } from '../../model/json';
import type { CheckResult } from '../../model/record';
import type { RecoveryTarget, RestoreOutcome } from '../ports';
import { findStopOf } from './recovery-log';
import { endWorkers, readSandboxLog, sandboxPostmaster, type SandboxPlace } from './sandbox-server';

/** A base that is complete and verified, and the time that it took. */
export interface BegunRestore {
  readonly recovery: RecoveryTarget;
  readonly labels: JsonObject;
  readonly baseBytes: number;
  readonly verified: CheckResult;
  readonly phases: RestoreOutcome['phases'];
}

const file = (place: SandboxPlace): string => join(place.dir, 'begun.json');

export function saveBegun(place: SandboxPlace, begun: BegunRestore): void {
  writeFileDurably(file(place), `${JSON.stringify(begun)}\n`);
}

/** What an earlier try of exactly this restore left; null: it starts over. */
export function readBegun(place: SandboxPlace, recovery: RecoveryTarget, labels: JsonObject): BegunRestore | null {
  let begun: BegunRestore | null;
  try {
    begun = readJsonFile<BegunRestore>(file(place));
  } catch {
    return null;
  }
  const same = (one: unknown, other: unknown): boolean => canonicalJson(one) === canonicalJson(other);
  return begun !== null && same(begun.recovery, recovery) && same(begun.labels, labels) ? begun : null;
}

/**
 * True when the server of an earlier try has reached its target and still runs: it is attached to. One that is still replaying is ended, because its WAL came
 * from the dead worker: recovery goes on from its own last restart point.
 */
export async function attachToServer(recovery: RecoveryTarget, place: SandboxPlace): Promise<boolean> {
  const server = sandboxPostmaster(place);
  if (server !== null && existsSync(place.logFile) && findStopOf(recovery, readSandboxLog(place)) !== null) return true;
  if (server !== null) await terminate(server, 5_000, 'SIGQUIT');
  await endWorkers(place);
  return false;
}
