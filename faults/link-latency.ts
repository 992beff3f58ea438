/**
 * Slows links: every answer comes back `latency` (± `jitter`) later than it would.
 *
 *     standby ──── request ───▶ toxiproxy ───▶ primary
 *     standby ◀── + latency ─── toxiproxy ◀─── answer, WAL
 *
 * The delay lies on the way back alone, so that a round trip costs exactly `latency` more. It must never be left on: undo climbs up to restarting Toxiproxy.
 */
import { z } from 'zod';
import { formatMs, parseDurationMs } from '../core/units';
import type { FaultProof } from '../model/fault';
import type { TargetLink } from '../model/target';
import type { Fault } from './contract';
import { checkLinks, durationMs, durationSchema, endSchema } from './link-settings';
import { askBothWays, type BothWays } from './link-traffic';
import { manualToxicRemoval, proveLinksClear, removeToxics, unblockLinks, type PlacedToxic } from './link-undo';
import { reachOfLinks, requireLinks, resolveLinks } from './resolve-links';
import type { TargetLinkJson } from './toxic-fault';

/** A machine under load takes milliseconds for an answer, now more and now fewer: what is of that size is judged by the quickest of this many. */
const TRIES = 10;
/** Above it two say as much. */
const NOISY_MS = 100;
/** Below this a machine's own noise is larger than the fault. */
const NOISE_MS = 2;

/** Below 5 ms nothing could be proven; above 15 s, with its jitter, not within the time that a proof has. What is no duration at all is told by its own schema. */
const inRange = (latency: string): boolean => {
  const ms = parseDurationMs(latency) ?? 5;
  return ms >= 5 && ms <= 15_000;
};

const schema = z
  .strictObject({ from: endSchema, to: endSchema, latency: durationSchema, jitter: durationSchema.optional() })
  .refine((s) => inRange(s.latency), {
    message: 'latency lies between 5ms and 15s',
    path: ['latency'],
  })
  .refine((s) => (parseDurationMs(s.jitter ?? '0') ?? 0) <= (parseDurationMs(s.latency) ?? Infinity) / 2, {
    message: 'jitter is at most half the latency',
    path: ['jitter'],
  });
type Settings = z.infer<typeof schema>;
type Resolved = {
  readonly links: readonly TargetLinkJson[];
  readonly toxic: string;
  readonly latencyMs: number;
  readonly jitterMs: number;
};

function place(resolved: Resolved): PlacedToxic[] {
  const attributes = { latency: resolved.latencyMs, jitter: resolved.jitterMs };
  return resolved.links.map((link) => ({
    link,
    toxic: { name: resolved.toxic, type: 'latency', stream: 'downstream', toxicity: 1, attributes },
  }));
}

/** How much longer a round trip takes through the proxy than past it, ms; null when either was not answered. */
const extraOf = ({ past, through }: BothWays): number | null => (past.answered && through.answered ? through.ms - past.ms : null);

function describe({ name }: TargetLink, { past, through }: BothWays): string {
  if (!past.answered) return `the far end of ${name} does not answer: ${past.reason}`;
  if (!through.answered) return `no answer through ${name}: ${through.reason}`;
  return `round trip through ${name} took ${formatMs(through.ms)} (${formatMs(past.ms)} past it)`;
}

async function confirm(resolved: Resolved): Promise<FaultProof> {
  const { links, latencyMs, jitterMs } = resolved;
  const least = (latencyMs - jitterMs) * 0.8;
  const bites = (found: BothWays): boolean => (extraOf(found) ?? 0) >= least;
  const tries = { least: latencyMs < NOISY_MS ? TRIES : 2, most: latencyMs < 1_000 ? TRIES : 2 };
  const seen = await Promise.all(
    links.map(async (link) => ({ link, found: await askBothWays(link, latencyMs + jitterMs + 2_000, tries, bites) })),
  );
  const facts: Record<string, number> = {};
  for (const { link, found } of seen) {
    const extraMs = extraOf(found);
    if (extraMs !== null) facts[`${link.name}_extra_ms`] = Math.round(extraMs * 10) / 10;
  }
  return {
    holds: seen.every(({ found }) => bites(found)),
    by: seen.map(({ link, found }) => describe(link, found)).join('; '),
    facts,
  };
}

export const linkLatency: Fault<Settings, Resolved> = {
  name: 'link-latency',
  summary: 'adds latency (and jitter) to every round trip over links',
  schema,
  mayLoseWrites: () => false,
  async resolve(settings, context) {
    const links = await resolveLinks(context.live, settings.from, settings.to);
    return {
      links: links.map((link) => ({ ...link })),
      toxic: context.label,
      latencyMs: durationMs(settings.latency),
      jitterMs: durationMs(settings.jitter ?? '0'),
    };
  },
  preview: (r) =>
    `slow ${r.links.map((link) => link.name).join(', ')} by ${formatMs(r.latencyMs)}${r.jitterMs === 0 ? '' : ` ± ${formatMs(r.jitterMs)}`} a round trip`,
  reach: ({ links }) => reachOfLinks(links),
  insideToxiproxy: true,
  manualUndo: (resolved, target) => manualToxicRemoval(place(resolved), target),
  ready: (settings, context) => checkLinks(settings.from, settings.to, context),
  async inject(resolved, context) {
    const links = requireLinks(context.live);
    for (const { link, toxic } of place(resolved)) await links.addToxic(link, toxic);
    return { links: resolved.links.map((link) => link.name), latencyMs: resolved.latencyMs, jitterMs: resolved.jitterMs };
  },
  confirm,
  async undo(resolved, context) {
    await removeToxics(place(resolved), context);
    await unblockLinks(place(resolved), context);
  },
  confirmGone: (resolved, context) =>
    proveLinksClear(place(resolved), context, async (link) => {
      const limit = Math.max(NOISE_MS, (resolved.latencyMs - resolved.jitterMs) / 2);
      const clear = (found: BothWays): boolean => (extraOf(found) ?? Infinity) < limit;
      const found = await askBothWays(link, resolved.latencyMs + 2_000, { least: 3, most: TRIES }, clear);
      return clear(found) ? null : `still slow: ${describe(link, found)}`;
    }),
};
