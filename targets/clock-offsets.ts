/**
 * How far each node's wall clock is from that of the machine that asks. A session of the observe role is asked for `clock_timestamp()`; the answer lies between
 * the question and its receipt, so the offset has bounds and no error that nobody knows. It changes nothing, and never sets a clock.
 */
import { monotonicNs, nowUtc } from '../core/clock';
import { readClockSync } from '../core/clock-sync';
import { GamedayError, messageOf } from '../core/errors';
import type { Interval } from '../model/measurement';
import type { ClockReading, Maybe } from '../model/record';
import type { LiveTarget } from './ports';

/** Over one connection; the tightest counts. */
export const CLOCK_TRIES = 5;
const STAMP = 'SELECT (extract(epoch FROM clock_timestamp()) * 1000)::text AS ms';
/** Both clocks cut off what is smaller: `Date.now()` below a millisecond, PostgreSQL below a microsecond. */
const OWN_TICK_MS = 1;
const SERVER_TICK_MS = 0.001;

/** Never rejects: a node that does not answer has no offset, with the reason. */
export async function readClocks(live: LiveTarget): Promise<ClockReading> {
  const at = nowUtc();
  const nodes = await Promise.all(live.target.nodes.map(async ({ name }) => ({ node: name, offset: await readOffset(live, name) })));
  return { at, nodes, synchronised: await readClockSync() };
}

async function readOffset(live: LiveTarget, node: string): Promise<Maybe<Interval>> {
  try {
    return await live.sql(node, 'observe', async (sql) => {
      const found: Interval[] = [];
      for (let tries = 0; tries < CLOCK_TRIES; tries += 1) {
        const startedNs = monotonicNs();
        const beforeMs = Date.now();
        const rows = await sql.query(STAMP);
        const tookMs = Number(monotonicNs() - startedNs) / 1e6;
        const serverMs = Number(rows[0]?.['ms'] ?? NaN);
        if (!Number.isFinite(serverMs)) throw new GamedayError('internal', `${node} answered no time`);
        found.push(offsetBetween({ beforeMs, tookMs, serverMs }));
      }
      return tightest(found);
    });
  } catch (error) {
    return { notRecorded: `${node} did not answer: ${messageOf(error)}` };
  }
}

/**
 * Server − ours at the instant at which the server looked at its clock: that was after `beforeMs` (our wall clock, read last before asking) and at most
 * `tookMs` (monotonic, so that a step of our own clock meanwhile cannot bend it) later. In ms, rounded outwards to microseconds.
 */
export function offsetBetween(stamps: { readonly beforeMs: number; readonly tookMs: number; readonly serverMs: number }): Interval {
  const { beforeMs, tookMs, serverMs } = stamps;
  return {
    lowMs: Math.floor((serverMs - beforeMs - OWN_TICK_MS - tookMs) * 1_000) / 1_000,
    highMs: Math.ceil((serverMs - beforeMs + SERVER_TICK_MS) * 1_000) / 1_000,
  };
}

/** The narrowest of at least one. */
export function tightest(found: readonly Interval[]): Interval {
  const width = ({ lowMs, highMs }: Interval): number => highMs - lowMs;
  return found.reduce((best, next) => (width(next) < width(best) ? next : best));
}
