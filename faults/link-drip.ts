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
/** A login's answers weigh about this much; behind a drip it must still end, or the fault is a cut and not a drip. */
const LOGIN_BYTES = 600;
const LOGIN_MS = 15_000;
const MICROSECONDS = 1_000;

const loginMs = (bytes: number, delay: string): number => (LOGIN_BYTES / Math.max(1, bytes)) * (parseDurationMs(delay) ?? 0);

const schema = z
  .strictObject({
    from: endSchema,
    to: endSchema,
    bytes: z.int().min(1).max(10_000).default(64).describe('size of a piece'),
    delay: durationSchema.default('10ms').describe('pause after each piece'),
  })
  .refine((s) => (parseDurationMs(s.delay) ?? 1) >= 1, { message: 'delay is at least 1ms', path: ['delay'] })
  .refine((s) => loginMs(s.bytes, s.delay) <= LOGIN_MS, {
    message: 'so slow a drip lets no login through; take larger pieces or a shorter delay, or link-cut',
    path: ['delay'],
  });

type Detail = { readonly bytes: number; readonly delayMs: number };

async function measure(
  link: TargetLink,
  { bytes, delayMs }: Detail,
  live: LiveTarget,
): Promise<{ readonly through: Transfer; readonly past: Transfer; readonly dripMs: number }> {
  const pieces = Math.max(5, Math.ceil(PROOF_MS / delayMs));
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
