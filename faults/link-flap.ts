/**
 * Links that come and go: `up` long they carry everything, `down` long nothing, again and again, as a failing cable or switch does. Whatever was open is
 * closed at the end of each silence, since bytes of it were lost.
 *
 *     ▔▔▔▔▁▁▁▔▔▔▔▁▁▁▔▔▔▔   begins with a silence
 *
 * The guardian's own process holds it: when that dies a link may be left silent, and what is found on it without a lease is taken off.
 */
import { z } from 'zod';
import { monotonicNs, sleep, until } from '../core/clock';
import { GamedayError, messageOf } from '../core/errors';
import { formatMs, parseDurationMs } from '../core/units';
import type { FaultProof } from '../model/fault';
import type { TargetLink } from '../model/target';
import type { Fault, FaultContext } from './contract';
import { checkLinks, durationMs, durationSchema, endSchema } from './link-settings';
import { askPast, askThrough } from './link-traffic';
import { manualToxicRemoval, proveLinksClear, removeToxics, unblockLinks, type PlacedToxic } from './link-undo';
import { hold, letGo, whyNotHeld } from './residents';
import { reachOfLinks, requireLinks, resolveLinks } from './resolve-links';
import { linkNames, toxicsOn, type Direction, type TargetLinkJson } from './toxic-fault';

const PAST_MS = 1_500;
const BITES_WITHIN_MS = 5_000;
/** A phase that the proof begins in is over, and the next one seen, within the time that a proof has. */
const [SHORTEST_MS, LONGEST_MS] = [300, 25_000];
const WATCH_MOST_MS = 26_000;
/** A Toxiproxy that is late is told again. One that stays away this long leaves the link silent or clear, and it flaps no more. */
const STUCK_AFTER_MS = 15_000;

const phase = durationSchema.refine((text) => {
  const ms = parseDurationMs(text) ?? SHORTEST_MS;
  return ms >= SHORTEST_MS && ms <= LONGEST_MS;
}, 'lies between 300ms and 25s');
const schema = z.strictObject({
  from: endSchema,
  to: endSchema,
  up: phase.default('5s'),
  down: phase.default('2s'),
  direction: z.enum(['both', 'up', 'down']).default('both'),
});
type Settings = z.infer<typeof schema>;
type Resolved = {
  readonly links: readonly TargetLinkJson[];
  readonly toxic: string;
  readonly direction: Direction;
  readonly upMs: number;
  readonly downMs: number;
};

const place = (resolved: Resolved): PlacedToxic[] => toxicsOn(resolved, 'timeout', { timeout: 0 });

async function flap(resolved: Resolved, context: FaultContext, signal: AbortSignal, bites: () => void): Promise<void> {
  const links = requireLinks(context.live);
  const each = (act: (one: PlacedToxic) => Promise<void>) => async (): Promise<true> => {
    for (const one of place(resolved)) await act(one);
    return true;
  };
  const silence = each(({ link, toxic }) => links.addToxic(link, toxic));
  const clear = each(({ link, toxic }) => links.removeToxic(link, toxic.name));
  const onTimeout = (last: unknown): Error =>
    new GamedayError(
      'link_unreachable',
      `it flaps no more, Toxiproxy was told in vain for ${formatMs(STUCK_AFTER_MS)}: ${messageOf(last)}`,
    );
  const tell = (turn: () => Promise<true>): Promise<true> => until(turn, { timeoutMs: STUCK_AFTER_MS, signal, onTimeout });
  await silence();
  bites();
  for (;;) {
    await sleep(resolved.downMs, signal);
    await tell(clear);
    await sleep(resolved.upMs, signal);
    await tell(silence);
  }
}

interface Seen {
  answered: boolean;
  silent: boolean;
  readonly forMs: number;
}

/** Asks until both was seen, for two whole turns at most, or one phase of the longest. */
async function watch(link: TargetLink, { upMs, downMs }: Resolved): Promise<Seen> {
  const patience = Math.min(1_000, Math.max(200, downMs / 2));
  const forMs = Math.min(WATCH_MOST_MS, Math.round(2 * (upMs + downMs) + 2 * patience));
  const seen: Seen = { answered: false, silent: false, forMs };
  const end = monotonicNs() + BigInt(forMs) * 1_000_000n;
  while (monotonicNs() < end && !(seen.answered && seen.silent)) {
    const trip = await askThrough(link, patience);
    if (trip.answered) seen.answered = true;
    // A refusal is nobody's silence: the proxy itself is gone.
    else if (trip.silent) seen.silent = true;
    await sleep(20);
  }
  return seen;
}

async function confirm(resolved: Resolved): Promise<FaultProof> {
  const said = await Promise.all(
    resolved.links.map(async (link) => {
      const past = await askPast(link, PAST_MS);
      if (!past.answered) return { holds: false, text: `the far end of ${link.name} does not answer by itself (${past.reason})` };
      const seen = await watch(link, resolved);
      const text = `${link.name} ${seen.silent ? 'fell silent' : 'was never silent'} and ${seen.answered ? 'answered' : 'never answered'} within ${formatMs(seen.forMs)}`;
      return { holds: seen.answered && seen.silent, text };
    }),
  );
  // Asked last: what fails while it is watched holds nothing any more.
  const missing = whyNotHeld(resolved.toxic);
  return {
    holds: missing === null && said.every(({ holds }) => holds),
    by: [...said.map(({ text }) => text), ...(missing === null ? [] : [missing])].join('; '),
    facts: { links: resolved.links.map((link) => link.name), upMs: resolved.upMs, downMs: resolved.downMs },
  };
}

export const linkFlap: Fault<Settings, Resolved> = {
  name: 'link-flap',
  summary: 'lets links come and go',
  schema,
  mayLoseWrites: () => false,
  resident: true,
  insideToxiproxy: true,
  async resolve(settings, context) {
    const links = await resolveLinks(context.live, settings.from, settings.to);
    return {
      links: links.map((link) => ({ ...link })),
      toxic: context.label,
      direction: settings.direction,
      upMs: durationMs(settings.up),
      downMs: durationMs(settings.down),
    };
  },
  preview: (r) => `${linkNames(r.links)}: silent for ${formatMs(r.downMs)}, well for ${formatMs(r.upMs)}, again and again`,
  reach: ({ links }) => reachOfLinks(links),
  manualUndo: (resolved, target) => manualToxicRemoval(place(resolved), target),
  ready: (settings, context) => checkLinks(settings.from, settings.to, context),
  async inject(resolved, context) {
    await hold(resolved.toxic, BITES_WITHIN_MS, (signal, bites) => flap(resolved, context, signal, bites));
    return { links: resolved.links.map((link) => link.name), upMs: resolved.upMs, downMs: resolved.downMs };
  },
  confirm,
  async undo(resolved, context) {
    await letGo(resolved.toxic);
    await removeToxics(place(resolved), context);
    await unblockLinks(place(resolved), context);
  },
  async confirmGone(resolved, context) {
    if (whyNotHeld(resolved.toxic) === null) return { holds: false, by: 'the links still flap', facts: {} };
    return proveLinksClear(place(resolved), context, async () => null);
  },
};
