/**
 * Cuts what links carry into small pieces, with a pause after each: bytes keep coming, so no idle timeout fires, and nothing long ever seems to end.
 * It makes code visible that takes one read for one message.
 */
import { z } from 'zod';
import { formatMs, parseDurationMs } from '../core/units';
import type { TargetLink } from '../model/target';
import type { LiveTarget } from '../targets/ports';
import { durationMs, durationSchema, endSchema } from './link-settings';
import { carryPast, carryThrough, describeTransfer, type Transfer } from './link-transfer';
import { toxicFault } from './toxic-fault';

const PROOF_MS = 1_500;
const TIMEOUT_MS = 8 * PROOF_MS;
const PIECES = 5;
/** A login has so many answers that weigh about this much together, and a pause follows each, however large a piece may be. */
const LOGIN_ANSWERS = 3;
const LOGIN_BYTES = 600;
/** The proof logs in behind the drip and takes its pieces, on a slow machine as well; what takes longer is a cut and not a drip. */
const LOGIN_AND_PIECES_MS = 15_000;
const MICROSECONDS = 1_000;

function leastProofMs(bytes: number, delay: string): number {
  const login = Math.max(LOGIN_ANSWERS, LOGIN_BYTES / Math.max(1, bytes));
  return (login + PIECES) * (parseDurationMs(delay) ?? 0);
}

const schema = z
  .strictObject({
    from: endSchema,
    to: endSchema,
    bytes: z.int().min(1).max(10_000).default(64).describe('size of a piece'),
    delay: durationSchema.default('10ms').describe('pause after each piece'),
  })
  .refine((s) => (parseDurationMs(s.delay) ?? 1) >= 1, { message: 'delay is at least 1ms', path: ['delay'] })
  .refine((s) => leastProofMs(s.bytes, s.delay) <= LOGIN_AND_PIECES_MS, {
    message: 'so slow a drip lets no login and its proof through; take larger pieces or a shorter delay, or link-cut',
    path: ['delay'],
  });

type Detail = { readonly bytes: number; readonly delayMs: number };

async function measure(
  link: TargetLink,
  { bytes, delayMs }: Detail,
  live: LiveTarget,
): Promise<{ readonly through: Transfer; readonly past: Transfer; readonly dripMs: number }> {
  const pieces = Math.max(PIECES, Math.ceil(PROOF_MS / delayMs));
  const load = { way: 'down' as const, bytes: bytes * pieces, timeoutMs: TIMEOUT_MS + pieces * delayMs };
  return {
    through: await carryThrough(live, link, load),
    past: await carryPast(live, link, load, (pieces * delayMs) / 3),
    dripMs: pieces * delayMs,
  };
}

export const linkDrip = toxicFault<z.infer<typeof schema>, Detail>({
  name: 'link-drip',
  summary: 'delivers the answers over links in small pieces with pauses',
  schema,
  detail: (settings) => ({ bytes: settings.bytes, delayMs: durationMs(settings.delay) }),
  type: 'slicer',
  attributes: ({ bytes, delayMs }) => ({ average_size: bytes, size_variation: 0, delay: delayMs * MICROSECONDS }),
  words: ({ bytes, delayMs }) => `pieces of ${bytes} bytes, ${formatMs(delayMs)} apart`,
  async bites(link, { detail }, live) {
    const { through, past, dripMs } = await measure(link, detail, live);
    return {
      holds: past.done && past.ms < dripMs / 3 && through.done && through.ms > dripMs * 0.6,
      text: `${describeTransfer(through)}; past it ${describeTransfer(past)}`,
    };
  },
  async lingers(link, { detail }, live) {
    const { through, past, dripMs } = await measure(link, detail, live);
    const clear = through.done && through.ms < dripMs / 2;
    return clear || !past.done || past.ms >= dripMs / 3
      ? null
      : `${link.name} still drips: ${describeTransfer(through)}; past it ${describeTransfer(past)}`;
  },
});
