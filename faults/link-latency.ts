/**
 * Slows links: every answer comes back `latency` (± `jitter`) later than it would.
 *
 *     standby ──── request ───▶ toxiproxy ───▶ primary
 *     standby ◀── + latency ─── toxiproxy ◀─── answer, WAL
 *
 * The delay lies on the way back alone, so that a round trip costs exactly `latency` more. It must never be left on: undo climbs up to restarting Toxiproxy.
 */
import { z } from 'zod';
import { bootTimeMs } from '../core/clock';
import { formatMs, parseDurationMs } from '../core/units';
import type { FaultProof } from '../model/fault';
import type { TargetLink } from '../model/target';
import type { Fault } from './contract';
import { checkLinks, durationMs, durationSchema, endSchema } from './link-settings';
import { askPast, askThrough, quicker, quickest, type RoundTrip } from './link-traffic';
import { manualToxicRemoval, proveLinksClear, removeToxics, unblockLinks, type PlacedToxic } from './link-undo';
import { reachOfLinks, requireLinks, resolveLinks } from './resolve-links';
import type { TargetLinkJson } from './toxic-fault';

const TRIES = 5;
/** A machine under load takes milliseconds for the answer itself, so that a latency of a few is not seen at once: it is asked for again, this often. */
const CONFIRM_TRIES = 10;
/** Behind it only an answer that is quick by itself is lacking; a latency of seconds needs no second look. */
const CONFIRM_MS = 5_000;
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

type Extra = { readonly extraMs: number | null; readonly text: string };

/** How much longer a round trip takes through the proxy than past it; null with the reason when there was no answer. */
async function measureExtra(link: TargetLink, timeoutMs: number, tries: number): Promise<Extra> {
  const past = await quickest(() => askPast(link, timeoutMs), tries);
  const through = await quickest(() => askThrough(link, timeoutMs), tries);
  return extraOf(link, past, through);
}

function extraOf(link: TargetLink, past: RoundTrip, through: RoundTrip): Extra {
  if (!past.answered) return { extraMs: null, text: `the far end of ${link.name} does not answer: ${past.reason}` };
  if (!through.answered) return { extraMs: null, text: `no answer through ${link.name}: ${through.reason}` };
  return {
    extraMs: through.ms - past.ms,
    text: `round trip through ${link.name} took ${formatMs(through.ms)} (${formatMs(past.ms)} past it)`,
  };
}

/**
 * Asks both ways in turn until the quickest of each lie `leastMs` apart. That the far end was slow by itself is outlasted so; that a toxic is not there
 * can't be: the quickest answer through the proxy only ever becomes quicker.
 */
async function seeExtra(link: TargetLink, leastMs: number, timeoutMs: number): Promise<Extra> {
  const until = bootTimeMs() + CONFIRM_MS;
  let past: RoundTrip | null = null;
  let through: RoundTrip | null = null;
  for (let tries = 1; ; tries += 1) {
    past = quicker(past, await askPast(link, timeoutMs));
    through = quicker(through, await askThrough(link, timeoutMs));
    const extra = extraOf(link, past, through);
    const seen = extra.extraMs !== null && extra.extraMs >= leastMs;
    if ((tries > 1 && (seen || tries === CONFIRM_TRIES)) || bootTimeMs() >= until) return extra;
  }
}
async function confirm(resolved: Resolved): Promise<FaultProof> {
  const least = (resolved.latencyMs - resolved.jitterMs) * 0.8;
  const timeoutMs = resolved.latencyMs + resolved.jitterMs + 2_000;
  const seen = await Promise.all(resolved.links.map(async (link) => ({ link: link.name, ...(await seeExtra(link, least, timeoutMs)) })));
  const facts: Record<string, number> = {};
  for (const { link, extraMs } of seen) if (extraMs !== null) facts[`${link}_extra_ms`] = Math.round(extraMs * 10) / 10;
  return { holds: seen.every(({ extraMs }) => extraMs !== null && extraMs >= least), by: seen.map(({ text }) => text).join('; '), facts };
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
      const { extraMs, text } = await measureExtra(link, resolved.latencyMs + 2_000, TRIES);
      return extraMs !== null && extraMs < limit ? null : `still slow: ${text}`;
    }),
};
