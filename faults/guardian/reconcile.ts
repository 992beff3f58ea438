/**
 * Removes what a dead guardian may have left without a lease: whatever is named `gd-<drill>-<step>` and held by none.
 * Looks only at targets it was told of, and never touches what is not named as gameday names things.
 */
import { join } from 'node:path';
import { readdirSync } from 'node:fs';
import { messageOf } from '../../core/errors';
import { readJsonFile, writeFileDurably } from '../../core/files';
import type { Target } from '../../model/target';
import type { LiveTarget } from '../../targets/ports';
import { faultLabel } from '../contract';
import { STRAY_FINDERS } from '../strays';
import type { Lease } from './lease-machine';

/** Remembers a target before the first fault is set there. */
export function rememberTarget(dir: string, target: Target): void {
  const path = join(dir, `${target.systemIdentifier.replace(/[^0-9]/g, '')}.json`);
  writeFileDurably(path, `${JSON.stringify(target)}\n`);
}

/** Targets of earlier drills; a file that cannot be read is told to `log` and left out, because nothing else may wait for it. */
export function knownTargets(dir: string, log: (text: string) => void): readonly Target[] {
  const targets: Target[] = [];
  for (const name of readdirSync(dir).filter((each) => each.endsWith('.json'))) {
    try {
      const target = readJsonFile<Target>(join(dir, name));
      if (target !== null) targets.push(target);
    } catch (error) {
      log(`reconcile ${join(dir, name)}: ${messageOf(error)}`);
    }
  }
  return targets;
}

/** Removes strays of one target; returns each in words. A place that cannot be read, or a stray that stays, is told to `log` and never stops the rest. */
export async function removeStrays(
  live: LiveTarget,
  leases: () => readonly Lease[],
  log: (text: string) => void,
  finders: typeof STRAY_FINDERS = STRAY_FINDERS,
): Promise<readonly string[]> {
  const removed: string[] = [];
  for (const { place, find } of finders) {
    const orLog = async <T>(what: string, work: () => Promise<T>): Promise<T | null> => {
      try {
        return await work();
      } catch (error) {
        log(`reconcile ${place} of ${live.target.name}: ${what}${messageOf(error)}`);
        return null;
      }
    };
    for (const stray of (await orLog('', () => find(live))) ?? []) {
      // Asked again for each: a lease may have been armed since.
      if (leases().some((lease) => stray.labels.includes(faultLabel(lease.handle.drill, lease.key.step)))) continue;
      if (await orLog(`${stray.what}: `, async () => (await stray.remove(), true))) removed.push(stray.what);
    }
  }
  return removed;
}
