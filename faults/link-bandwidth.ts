/**
 * Bounds how many bytes a second a link carries: small answers come as ever, and whatever is long (WAL, base backups, large rows) crawls.
 *
 *     down   answers and WAL are bound      (default)
 *     up     requests are bound
 *     both
 */
import { z } from 'zod';
import { GamedayError } from '../core/errors';
import { formatBytes } from '../core/units';
import type { TargetLink } from '../model/target';
import type { LiveTarget } from '../targets/ports';
import { endSchema } from './link-settings';
import { carryPast, carryThrough, describeTransfer, type Transfer } from './link-transfer';
import { sizeBetween, sizeBytes } from './size-setting';
import { toxicFault, type Direction } from './toxic-fault';

/** What the proof sends takes about this long where the bound bites. */
const PROOF_MS = 1_500;
const TIMEOUT_MS = 8 * PROOF_MS;
/** Toxiproxy counts in thousands of bytes a second. */
const UNIT = 1_000;

const schema = z.strictObject({
  from: endSchema,
  to: endSchema,
  rate: sizeBetween('4kB', '4MB').describe('bytes a second, from 4kB to 4MB: what is faster could not be told from a free link'),
  direction: z.enum(['both', 'up', 'down']).default('down'),
});

type Detail = { readonly perSecond: number };

function refuseUnproven(links: readonly TargetLink[], direction: Direction): void {
  const store = links.find((link) => link.to === 's3');
  if (store !== undefined && direction === 'up')
    throw new GamedayError(
      'fault_refused',
      `link ${store.name} can’t be bound upwards alone: no harmless request is long enough to prove it`,
      'choose direction: both, or down.',
    );
}

/** The way that is looked at: with both bound, the answers. */
const way = (direction: Direction): 'up' | 'down' => (direction === 'up' ? 'up' : 'down');
const load = (direction: Direction, { perSecond }: Detail): { way: 'up' | 'down'; bytes: number; timeoutMs: number } => ({
  way: way(direction),
  bytes: Math.round((perSecond * PROOF_MS) / 1_000),
  timeoutMs: TIMEOUT_MS,
});
/** Of one that was not done: 0 if it crawled, null if it never got so far. */
const speed = (transfer: Transfer): number | null => (transfer.done ? (transfer.bytes / transfer.ms) * 1_000 : transfer.late ? 0 : null);

async function bothWays(link: TargetLink, direction: Direction, detail: Detail, live: LiveTarget): Promise<readonly [Transfer, Transfer]> {
  const what = load(direction, detail);
  return [await carryThrough(live, link, what), await carryPast(live, link, what, PROOF_MS / 3)];
}

export const linkBandwidth = toxicFault<z.infer<typeof schema>, Detail>({
  name: 'link-bandwidth',
  summary: 'bounds the bytes a second that links carry',
  schema,
  detail(settings, links) {
    refuseUnproven(links, settings.direction);
    return { perSecond: Math.max(1, Math.round(sizeBytes(settings.rate) / UNIT)) * UNIT };
  },
  type: 'bandwidth',
  attributes: ({ perSecond }) => ({ rate: perSecond / UNIT }),
  words: ({ perSecond }) => `at most ${formatBytes(perSecond)} a second`,
  async bites(link, { direction, detail }, live) {
    const [through, past] = await bothWays(link, direction, detail, live);
    return {
      // One that does not come through in eight times the time is bound as well, as long as its far end is quick by itself.
      holds: (speed(past) ?? 0) > detail.perSecond * 2 && (speed(through) ?? Infinity) < detail.perSecond * 1.5,
      text: `${describeTransfer(through)}; past it ${describeTransfer(past)}`,
    };
  },
  async lingers(link, { direction, detail }, live) {
    const [through, past] = await bothWays(link, direction, detail, live);
    return (speed(through) ?? 0) > detail.perSecond * 2 || (speed(past) ?? 0) <= detail.perSecond * 2
      ? null
      : `${link.name} is still bound: ${describeTransfer(through)}; past it ${describeTransfer(past)}`;
  },
});
