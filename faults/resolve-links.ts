/**
 * From two late words to declared links. A link is directed as its connection is opened: the standby connects to the primary, the client to the router.
 * Reads only. Refuses a pair that exists but carries nothing, because a fault there could never bite.
 */
import { GamedayError } from '../core/errors';
import { bookKeepers, MONITOR, type TargetLink } from '../model/target';
import type { Links, LiveTarget } from '../targets/ports';
import type { Reach } from './contract';
import { resolveNodes } from './resolve-node';

const PLACES: readonly string[] = ['client', 'router', 's3'];
const FEWEST_LINKS_HINT = 'links are declared in the target under `links.list`.';

/** The target's links, or `fault_refused` when it has none. */
export function requireLinks(live: LiveTarget): Links {
  if (live.links === null)
    throw new GamedayError(
      'fault_refused',
      `target ${live.target.name} has no links through Toxiproxy`,
      'link faults need Toxiproxy in the path; see `links` in the target file.',
    );
  return live.links;
}

/** Members of the store that holds the leader's key, by name; under pg_auto_failover its monitor. */
const dcsMembers = ({ target }: LiveTarget): readonly string[] => bookKeepers(target.controller);

const isPlace = (live: LiveTarget, end: string): boolean => PLACES.includes(end) || dcsMembers(live).includes(end);

async function ends(live: LiveTarget, word: string): Promise<readonly string[]> {
  if (isPlace(live, word)) return [word];
  const members = dcsMembers(live);
  if (word !== 'dcs') return resolveNodes(live, word);
  if (members.length === 0)
    throw new GamedayError(
      'fault_refused',
      `"dcs" names nothing: target ${live.target.name} names no members of one`,
      'name them in `controller.dcs`.',
    );
  return members;
}

async function refuseBackwards(live: LiveTarget, link: TargetLink): Promise<void> {
  const upstream = (await live.controller.status()).find((node) => node.node === link.to);
  if (upstream?.streamingFrom === link.from) {
    throw new GamedayError(
      'fault_refused',
      `link ${link.name} carries nothing: ${link.to} streams from ${link.from}, so the connection goes ${link.to} → ${link.from}`,
      `write from: ${link.to}, to: ${link.from} (the standby connects to the primary).`,
    );
  }
}

/**
 * A link hurts the node that opens it; a way to a node that no node opens (the router's, the monitor's) hurts the one it leads to; clients' way to the router
 * hurts no node.
 */
export function reachOfLinks(links: readonly Pick<TargetLink, 'from' | 'to'>[]): Reach {
  const hurt = links.flatMap(({ from, to }) => [from, to].filter((end) => !PLACES.includes(end) && end !== MONITOR).slice(0, 1));
  return { nodes: [...new Set(hurt)].sort() };
}

/** Every declared link from one of `from` to one of `to`. Throws `fault_refused` when there is none. */
export async function resolveLinks(live: LiveTarget, from: string, to: string): Promise<readonly TargetLink[]> {
  const links = requireLinks(live);
  const [froms, tos] = [await ends(live, from), await ends(live, to)];
  const found: TargetLink[] = [];
  for (const a of froms) {
    for (const b of tos) {
      const link = a === b ? null : links.find(a, b);
      if (link === null) continue;
      if (!isPlace(live, a) && !isPlace(live, b)) await refuseBackwards(live, link);
      found.push(link);
    }
  }
  if (found.length === 0)
    throw new GamedayError(
      'fault_refused',
      `target ${live.target.name} has no link from ${from} (${froms.join(', ')}) to ${to} (${tos.join(', ')})`,
      FEWEST_LINKS_HINT,
    );
  return found;
}
