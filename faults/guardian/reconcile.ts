/**
 * Removes what a dead guardian may have left without a lease: toxics named `gd-<drill>-<step>` that no lease holds.
 * Looks only at links of targets it was told of, and never at a toxic whose name is not gameday's.
 */
import { join } from 'node:path';
import { readdirSync } from 'node:fs';
import { messageOf } from '../../core/errors';
import { readJsonFile, writeFileDurably } from '../../core/files';
import type { Target } from '../../model/target';
import type { Links } from '../../targets/ports';
import { faultLabel } from '../contract';
import type { Lease } from './lease-machine';

const OURS = /^gd-drill-[0-9]{6}-/;

/** Remembers a target's links before the first toxic is set there. */
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

const belongs = (toxic: string, leases: readonly Lease[]): boolean =>
  leases.some((lease) => {
    const label = faultLabel(lease.handle.drill, lease.key.step);
    return toxic === label || toxic === `${label}-upstream` || toxic === `${label}-downstream`;
  });

/** Removes strays from all links; returns `link: toxic` of each. Unreachable links are told to `log`: with Toxiproxy down there is no toxic either. */
export async function removeStrays(links: Links, live: () => readonly Lease[], log: (text: string) => void): Promise<readonly string[]> {
  const removed: string[] = [];
  for (const link of links.list()) {
    try {
      for (const toxic of (await links.state(link)).toxics) {
        // Asked again for each toxic: a lease may have been armed since.
        if (!OURS.test(toxic.name) || belongs(toxic.name, live())) continue;
        await links.removeToxic(link, toxic.name);
        removed.push(`${link.name}: ${toxic.name}`);
      }
    } catch (error) {
      log(`reconcile ${link.name}: ${messageOf(error)}`);
    }
  }
  return removed;
}
