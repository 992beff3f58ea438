/**
 * What faults made of one toxic per link have in common: late words to links, the toxics' names, the climb that takes them off, and the proof by bytes
 * that they are off. A fault says which toxic it places, and how it is seen to bite and to linger.
 */
import type { z } from 'zod';
import type { JsonObject } from '../model/json';
import type { TargetLink } from '../model/target';
import type { CheckResult } from '../model/record';
import type { LiveTarget, Toxic } from '../targets/ports';
import type { Fault, FaultContext } from './contract';
import { checkLinks } from './link-settings';
import { manualToxicRemoval, proveLinksClear, removeToxics, unblockLinks, type PlacedToxic } from './link-undo';
import { reachOfLinks, requireLinks, resolveLinks } from './resolve-links';

export type Direction = 'both' | 'up' | 'down';
/** Toxiproxy's words: a request goes upstream, an answer comes downstream. */
export const STREAMS = { both: ['upstream', 'downstream'], up: ['upstream'], down: ['downstream'] } as const;

/** A `TargetLink` as plain JSON: interfaces are none to the compiler. */
export type TargetLinkJson = { [K in keyof TargetLink]: TargetLink[K] };
export type OnLinks<D extends JsonObject> = {
  readonly links: readonly TargetLinkJson[];
  readonly toxic: string;
  readonly direction: Direction;
  readonly detail: D;
};

interface ToxicKind<S, D extends JsonObject> {
  readonly name: string;
  readonly summary: string;
  readonly schema: z.ZodType<S>;
  /** Settings without their links, in units. Throws `fault_refused` where these links cannot carry it. */
  readonly detail: (settings: S, links: readonly TargetLink[]) => D;
  readonly type: Toxic['type'];
  readonly attributes: (detail: D) => Toxic['attributes'];
  /** What it does to a link, e.g. `bound to 64 kB/s`. */
  readonly words: (detail: D) => string;
  /** Does traffic show it on this link? */
  readonly bites: (link: TargetLink, resolved: OnLinks<D>, live: LiveTarget) => Promise<{ readonly holds: boolean; readonly text: string }>;
  /** Null, or in words how traffic still shows it. Asked only of a link that answers. */
  readonly lingers: (link: TargetLink, resolved: OnLinks<D>, live: LiveTarget) => Promise<string | null>;
}

interface Ends {
  readonly from: string;
  readonly to: string;
  readonly direction?: Direction;
}

export function toxicsOn(
  resolved: Omit<OnLinks<JsonObject>, 'detail'>,
  type: Toxic['type'],
  attributes: Toxic['attributes'],
): PlacedToxic[] {
  return resolved.links.flatMap((link) =>
    STREAMS[resolved.direction].map((stream) => ({
      link,
      toxic: { name: `${resolved.toxic}-${stream}`, type, stream, toxicity: 1, attributes },
    })),
  );
}

export const linkNames = (links: readonly TargetLink[]): string => links.map((link) => link.name).join(', ');
const WAYS = { both: 'both directions', up: 'requests only', down: 'answers only' } as const;

export function toxicFault<S extends Ends, D extends JsonObject>(kind: ToxicKind<S, D>): Fault<S, OnLinks<D>> {
  const place = (resolved: OnLinks<D>): PlacedToxic[] => toxicsOn(resolved, kind.type, kind.attributes(resolved.detail));
  const resolve = async (settings: S, context: FaultContext): Promise<OnLinks<D>> => {
    const links = await resolveLinks(context.live, settings.from, settings.to);
    return {
      links: links.map((link) => ({ ...link })),
      toxic: context.label,
      direction: settings.direction ?? 'down',
      detail: kind.detail(settings, links),
    };
  };
  return {
    name: kind.name,
    summary: kind.summary,
    schema: kind.schema,
    mayLoseWrites: () => false,
    insideToxiproxy: true,
    resolve,
    preview: (r) => `${linkNames(r.links)}: ${kind.words(r.detail)} (${WAYS[r.direction]})`,
    reach: ({ links }) => reachOfLinks(links),
    manualUndo: (resolved, target) => manualToxicRemoval(place(resolved), target),
    async ready(settings, context): Promise<readonly CheckResult[]> {
      await resolve(settings, context);
      return checkLinks(settings.from, settings.to, context);
    },
    async inject(resolved, context) {
      const links = requireLinks(context.live);
      for (const { link, toxic } of place(resolved)) await links.addToxic(link, toxic);
      return { links: resolved.links.map((link) => link.name), direction: resolved.direction, ...resolved.detail };
    },
    async confirm(resolved, { live }) {
      // Side by side: one proof's time is for all of them.
      const seen = await Promise.all(resolved.links.map((link) => kind.bites(link, resolved, live)));
      return {
        holds: seen.every(({ holds }) => holds),
        by: resolved.links.map((link, at) => `${link.name}: ${seen[at]?.text}`).join('; '),
        facts: { links: resolved.links.map((link) => link.name) },
      };
    },
    async undo(resolved, context) {
      await removeToxics(place(resolved), context);
      await unblockLinks(place(resolved), context);
    },
    confirmGone: (resolved, context) => proveLinksClear(place(resolved), context, (link) => kind.lingers(link, resolved, context.live)),
  };
}
