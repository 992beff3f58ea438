/** Toxics on a target's links that are named as gameday names them. Reads only; with Toxiproxy down there is no toxic either, and it says so by throwing. */
import type { LiveTarget } from '../targets/ports';
import { OUR_LABEL, type Stray } from './contract';

/** What link faults append to their label, one per direction. */
const DIRECTION = /-(upstream|downstream)$/;

export async function findToxics(live: LiveTarget): Promise<readonly Stray[]> {
  const { links } = live;
  if (links === null) return [];
  const found: Stray[] = [];
  for (const link of links.list()) {
    for (const { name } of (await links.state(link)).toxics) {
      if (!OUR_LABEL.test(name)) continue;
      found.push({
        what: `toxic ${name} on ${link.name}`,
        labels: [name, name.replace(DIRECTION, '')],
        remove: () => links.removeToxic(link, name),
      });
    }
  }
  return found;
}
