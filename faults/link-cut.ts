/**
 * Cuts links as a network does: silence, not a refusal. Bytes are dropped, connections stay open and nobody is told (`timeout` toxic without end).
 *
 *     up     standby ───✂        primary      requests are lost
 *     down   standby        ✂─── primary      answers and WAL are lost
 *     both   standby ───✂   ✂─── primary
 *
 * A new connection is still accepted, by Toxiproxy, and then hears nothing. When the cut ends Toxiproxy closes what it had silenced, because bytes
 * were lost in it: clients must reconnect. Disabling the proxy instead would refuse at once, which is what a dead process looks like.
 */
import { z } from 'zod';
import type { FaultProof } from '../model/fault';
import type { Fault } from './contract';
import { checkLinks, endSchema } from './link-settings';
import { askPast, askThrough } from './link-traffic';
import { manualToxicRemoval, proveLinksClear, removeToxics, unblockLinks, type PlacedToxic } from './link-undo';
import { reachOfLinks, requireLinks, resolveLinks } from './resolve-links';
import { toxicsOn, type Direction, type TargetLinkJson } from './toxic-fault';

/** Silence this long past a far end that answers within `PAST_MS` is no slowness. */
const SILENCE_MS = 1_500;
const PAST_MS = 1_500;

const schema = z.strictObject({ from: endSchema, to: endSchema, direction: z.enum(['both', 'up', 'down']).default('both') });
type Settings = z.infer<typeof schema>;
type Resolved = { readonly links: readonly TargetLinkJson[]; readonly toxic: string; readonly direction: Direction };

const place = (resolved: Resolved): PlacedToxic[] => toxicsOn(resolved, 'timeout', { timeout: 0 });

async function confirm(resolved: Resolved): Promise<FaultProof> {
  const said: string[] = [];
  let holds = true;
  for (const link of resolved.links) {
    const past = await askPast(link, PAST_MS);
    const through = await askThrough(link, SILENCE_MS);
    // A refusal is an answer: of a proxy that is gone, not of a network that is cut.
    if (!past.answered || through.answered || !through.silent) holds = false;
    said.push(
      !past.answered
        ? `${link.name}: the far end does not answer by itself (${past.reason}), so silence proves nothing`
        : `${link.name}: ${through.answered ? `still answers after ${through.ms.toFixed(1)} ms` : through.reason} through it (${past.ms.toFixed(1)} ms past it)`,
    );
  }
  return { holds, by: said.join('; '), facts: { links: resolved.links.map((link) => link.name), direction: resolved.direction } };
}

export const linkCut: Fault<Settings, Resolved> = {
  name: 'link-cut',
  summary: 'cuts links silently, in one direction or both',
  schema,
  // Cutting a standby off under asynchronous replication does not lose writes by itself; losing the primary then does.
  mayLoseWrites: () => false,
  async resolve(settings, context) {
    const links = await resolveLinks(context.live, settings.from, settings.to);
    return { links: links.map((link) => ({ ...link })), toxic: context.label, direction: settings.direction };
  },
  preview: (r) =>
    `cut ${r.links.map((link) => link.name).join(', ')} (${r.direction === 'both' ? 'both directions' : r.direction === 'up' ? 'requests only' : 'answers only'})`,
  reach: ({ links }) => reachOfLinks(links),
  insideToxiproxy: true,
  manualUndo: (resolved, target) => manualToxicRemoval(place(resolved), target),
  ready: (settings, context) => checkLinks(settings.from, settings.to, context),
  async inject(resolved, context) {
    const links = requireLinks(context.live);
    for (const { link, toxic } of place(resolved)) await links.addToxic(link, toxic);
    return { links: resolved.links.map((link) => link.name), direction: resolved.direction };
  },
  confirm,
  async undo(resolved, context) {
    await removeToxics(place(resolved), context);
    await unblockLinks(place(resolved), context);
  },
  confirmGone: (resolved, context) => proveLinksClear(place(resolved), context, async () => null),
};
