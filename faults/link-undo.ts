/**
 * Takes toxics off links and climbs when it hangs: remove and read back, then disable and enable, then restart Toxiproxy, in that order.
 * Removing, reading back and disabling can all block on one lock inside Toxiproxy, so the first two rungs together get 2 s. Never uses `/reset`.
 */
import { monotonicNs } from '../core/clock';
import { GamedayError, messageOf } from '../core/errors';
import type { FaultProof } from '../model/fault';
import type { Target, TargetLink, TargetLinks } from '../model/target';
import { commandLine, quoteWord } from '../targets/hosts/shell-words';
import type { Links, Toxic } from '../targets/ports';
import type { FaultContext } from './contract';
import { askPast, askThrough } from './link-traffic';
import { requireLinks } from './resolve-links';

/** Design, "Known trap": after 2 s in all the Toxiproxy process is restarted. */
const RUNGS_MS = 2_000;
const TRIP_TIMEOUT_MS = 1_500;
/** Stands in the lease's memory while the last rung is climbed. */
const RESTARTING = 'restarting';

export type PlacedToxic = { readonly link: TargetLink; readonly toxic: Toxic };

/** A rung that is given up must end where it is: it would otherwise go on to the next link, and disable it behind a later rung's back. */
async function within(ms: number, what: string, work: (signal: AbortSignal) => Promise<void>): Promise<void> {
  const givenUp = new AbortController();
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(
      () => {
        const reason = new GamedayError('link_unreachable', `${what}: not done within ${Math.round(ms)} ms`);
        givenUp.abort(reason);
        reject(reason);
      },
      Math.max(1, ms),
    );
  });
  try {
    await Promise.race([work(givenUp.signal), late]);
  } finally {
    clearTimeout(timer);
  }
}

async function removeAndReadBack(links: Links, placed: readonly PlacedToxic[], signal?: AbortSignal): Promise<void> {
  for (const { link, toxic } of placed) {
    signal?.throwIfAborted();
    if ((await links.state(link)).exists) await links.removeToxic(link, toxic.name);
    else await links.ensure(link);
    const state = await links.state(link);
    if (!state.enabled) await links.setEnabled(link, true);
    if (state.toxics.some((each) => each.name === toxic.name))
      throw new GamedayError('link_unreachable', `toxic ${toxic.name} is still on ${link.name} after its removal`);
  }
}

async function disableAndEnable(links: Links, placed: readonly PlacedToxic[], signal?: AbortSignal): Promise<void> {
  for (const { link } of placed) {
    signal?.throwIfAborted();
    await links.setEnabled(link, false);
    await links.setEnabled(link, true);
  }
  await removeAndReadBack(links, placed, signal);
}

/** Removes these toxics by whichever rung works. Idempotent. Throws the errors of every rung when the last one failed too. */
export async function removeToxics(placed: readonly PlacedToxic[], context: FaultContext): Promise<void> {
  const links = requireLinks(context.live);
  // Whoever restarted it before may have ended before its links were declared again, and before other leases were told.
  if (context.memory.read()?.[RESTARTING] === true) return restart(links, placed, context, ['a restart of Toxiproxy was cut off']);
  const start = monotonicNs();
  const left = (): number => RUNGS_MS - Number(monotonicNs() - start) / 1e6;
  const errors: string[] = [];
  try {
    await within(RUNGS_MS / 2, 'removing toxics', (signal) => removeAndReadBack(links, placed, signal));
    return;
  } catch (error) {
    errors.push(messageOf(error));
  }
  try {
    await within(left(), 'disabling and enabling', (signal) => disableAndEnable(links, placed, signal));
    context.note?.('link-restarted', `removing a toxic failed (${errors.join('; ')}); the link was disabled and enabled`, { errors });
    return;
  } catch (error) {
    errors.push(messageOf(error));
  }
  await restart(links, placed, context, errors);
}

async function restart(links: Links, placed: readonly PlacedToxic[], context: FaultContext, errors: string[]): Promise<void> {
  const { [RESTARTING]: _, ...memory } = context.memory.read() ?? {};
  context.memory.write({ ...memory, [RESTARTING]: true });
  try {
    await links.restartProxy();
    await removeAndReadBack(links, placed);
  } catch (error) {
    // It failed and was not cut off: where Toxiproxy answers meanwhile, or somebody restarted it by hand, the first rung does.
    context.memory.write(memory);
    throw new GamedayError('undo_failed', `3 rungs failed: ${[...errors, messageOf(error)].join('; ')}`, null, { cause: error });
  }
  context.note?.(
    'proxy-restarted',
    `Toxiproxy was restarted (${errors.join('; ')}); every connection through it was cut, which taints what was measured`,
    { errors },
  );
  context.memory.write(memory);
}

/** A link whose far end answers must answer through the proxy too; where it does not, disabling and then restarting is tried. */
export async function unblockLinks(placed: readonly PlacedToxic[], context: FaultContext): Promise<void> {
  const links = requireLinks(context.live);
  const blocked = (): Promise<boolean> => anyBlocked(placed.map(({ link }) => link));
  if (!(await blocked())) return;
  await within(RUNGS_MS, 'disabling and enabling', (signal) => disableAndEnable(links, placed, signal)).catch(() => undefined);
  if (!(await blocked())) return;
  await restart(links, placed, context, ['no bytes pass though every toxic is removed']);
}

async function anyBlocked(links: readonly TargetLink[]): Promise<boolean> {
  for (const link of links) {
    if (!(await askPast(link, TRIP_TIMEOUT_MS)).answered) continue;
    if (!(await askThrough(link, TRIP_TIMEOUT_MS)).answered) return true;
  }
  return false;
}

/** The toxics are off, the links are enabled, and bytes pass wherever the far end answers. `limitMs`: what a round trip may cost more than past the proxy. */
export async function proveLinksClear(
  placed: readonly PlacedToxic[],
  context: FaultContext,
  slower: (link: TargetLink) => Promise<string | null>,
): Promise<FaultProof> {
  const links = requireLinks(context.live);
  const said: string[] = [];
  for (const { link, toxic } of placed) {
    const state = await links.state(link);
    if (!state.exists || !state.enabled)
      return { holds: false, by: `link ${link.name} ${state.exists ? 'is disabled' : 'does not exist'}`, facts: { link: link.name } };
    if (state.toxics.some((each) => each.name === toxic.name))
      return { holds: false, by: `toxic ${toxic.name} is still on ${link.name}`, facts: { link: link.name } };
    if (!(await askPast(link, TRIP_TIMEOUT_MS)).answered) {
      said.push(`${link.name}: the toxic is off; its far end is down, so no bytes could be sent`);
      continue;
    }
    const through = await askThrough(link, TRIP_TIMEOUT_MS);
    if (!through.answered)
      return { holds: false, by: `link ${link.name}: ${through.reason}, though its far end answers`, facts: { link: link.name } };
    const why = await slower(link);
    if (why !== null) return { holds: false, by: why, facts: { link: link.name } };
    said.push(`${link.name}: round trip ${through.ms.toFixed(1)} ms`);
  }
  return { holds: true, by: said.join('; '), facts: { links: [...new Set(placed.map(({ link }) => link.name))] } };
}

/** The last rung by hand: Toxiproxy comes back empty, so every link is declared again, as soon as it answers. */
function restartByHand({ api, restart: again, list }: TargetLinks): string {
  const proxies = list.map((link) =>
    quoteWord(
      JSON.stringify({
        name: link.name,
        listen: `${link.listenHost}:${link.listenPort}`,
        upstream: `${link.upstreamHost}:${link.upstreamPort}`,
        enabled: true,
      }),
    ),
  );
  const declare = `curl -sS -m 5 --retry 15 --retry-delay 1 --retry-connrefused -o /dev/null -X POST -d "$link" ${quoteWord(`${api}/proxies`)}`;
  return `${commandLine(again)} && for link in ${proxies.join(' ')}; do ${declare}; done`;
}

/** What a person types when the guardian cannot: removal; then the last line, which decides: it reads back, and climbs where Toxiproxy hangs. */
export function manualToxicRemoval(placed: readonly PlacedToxic[], { links }: Target): readonly string[] {
  if (links === null) return [];
  const names = [...new Set(placed.map(({ toxic }) => `*'"name":"${toxic.name}"'*`))];
  const clear = `said=$(curl -fsS -m 5 ${quoteWord(`${links.api}/proxies`)}) && case $said in ${names.join('|')}) false;; esac`;
  return [
    ...placed.map(
      ({ link, toxic }) => `curl -sS -m 5 -X DELETE ${quoteWord(`${links.api}/proxies/${link.name}/toxics/${toxic.name}`)} || :`,
    ),
    '# reads back; where a toxic is still there or Toxiproxy hangs, restarts it, which takes every toxic off, and declares its links again:',
    `(${clear}) || (${restartByHand(links)})`,
  ];
}
