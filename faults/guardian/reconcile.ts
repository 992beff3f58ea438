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
  const text = `${JSON.stringify(target)}\n`;
  if (JSON.stringify(readJsonFile<Target>(path)) !== text.trim()) writeFileDurably(path, text);
}

export function knownTargets(dir: string): readonly Target[] {
  const names = readdirSync(dir, { withFileTypes: true }).filter((entry) => entry.isFile() && entry.name.endsWith('.json'));
  return names.map((entry) => readJsonFile<Target>(join(dir, entry.name))).filter((target): target is Target => target !== null);
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
