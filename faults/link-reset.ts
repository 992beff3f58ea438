/**
 * Resets every connection over links, those that stand and those that are opened: TCP RST at its next answer, or a while after that, as from a firewall
 * that forgot its states or a host that came back. Clients see an error at once and nothing is answered; a connection that is idle stays.
 */
import { z } from 'zod';
import { formatMs, parseDurationMs } from '../core/units';
import { durationMs, durationSchema, endSchema } from './link-settings';
import { askPast, askThrough, endThrough } from './link-traffic';
import { toxicFault } from './toxic-fault';

const PAST_MS = 1_500;
const MARGIN_MS = 1_500;
/** Its end is waited for within the time that a proof has. */
const LONGEST_MS = 12_000;

const schema = z
  .strictObject({
    from: endSchema,
    to: endSchema,
    after: durationSchema.default('0ms').describe('how long a connection lives on after its next answer, at most 12s'),
  })
  .refine((s) => (parseDurationMs(s.after) ?? 0) <= LONGEST_MS, { message: 'after is at most 12s', path: ['after'] });

type Detail = { readonly afterMs: number };

export const linkReset = toxicFault<z.infer<typeof schema>, Detail>({
  name: 'link-reset',
  summary: 'resets every connection over links',
  schema,
  detail: (settings) => ({ afterMs: durationMs(settings.after) }),
  type: 'reset_peer',
  attributes: ({ afterMs }) => ({ timeout: afterMs }),
  words: ({ afterMs }) =>
    afterMs === 0 ? 'reset every connection at its next answer' : `reset every connection ${formatMs(afterMs)} after its next answer`,
  async bites(link, { detail }) {
    const past = await askPast(link, PAST_MS);
    const ended = await endThrough(link, detail.afterMs + MARGIN_MS);
    return {
      holds: past.answered && ended === 'ECONNRESET',
      text: `a connection ends as ${ended}; past it ${past.answered ? `an answer after ${past.ms.toFixed(1)} ms` : past.reason}`,
    };
  },
  async lingers(link) {
    const through = await askThrough(link, PAST_MS);
    const ended = await endThrough(link, MARGIN_MS / 3);
    return through.answered && ended !== 'ECONNRESET' ? null : `${link.name} still resets: a connection ends as ${ended}`;
  },
});
