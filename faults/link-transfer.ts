/**
 * A known number of bytes carried over a link and past it, timed: the proof of faults that slow bytes and not answers. PostgreSQL is asked for one long
 * value (or sent one), S3 for one page of many refusals, so that nothing is read or written that was not made for it.
 */
import { connect } from 'node:net';
import { monotonicNs } from '../core/clock';
import { messageOf } from '../core/errors';
import { resolveSecret } from '../core/secrets';
import type { TargetLink } from '../model/target';
import type { LiveTarget } from '../targets/ports';
import { withSql } from '../targets/sql';

export type Transfer =
  | { readonly done: true; readonly ms: number; readonly bytes: number }
  /** `late`: it was under way and had not come through when its time was over. */
  | { readonly done: false; readonly late: boolean; readonly reason: string };
type Way = 'down' | 'up';
interface Load {
  readonly way: Way;
  readonly bytes: number;
  readonly timeoutMs: number;
}

/** Connecting costs a login's dozen small packets, which a slow link slows as well. */
const CONNECT_MS = 25_000;
/** One stall of a disk or a processor is over by then. */
const PAST_TRIES = 3;
/** Nobody tries anew after that. */
const PAST_MS = 4_000;
const msSince = (start: bigint): number => Number(monotonicNs() - start) / 1e6;

export function carryThrough(live: LiveTarget, link: TargetLink, load: Load): Promise<Transfer> {
  return carry(live, link, { host: link.listenHost, port: link.listenPort }, load);
}

/** The same past the proxy, what the link's far end can do by itself: the quickest of a few tries, and no more of them once one took at most `enoughMs`. */
export async function carryPast(live: LiveTarget, link: TargetLink, load: Load, enoughMs: number): Promise<Transfer> {
  const start = monotonicNs();
  const past = (): Promise<Transfer> => carry(live, link, { host: link.upstreamHost, port: link.upstreamPort }, load);
  let best = await past();
  for (let tries = 1; tries < PAST_TRIES && msSince(start) < PAST_MS && !(best.done && best.ms <= enoughMs); tries += 1) {
    const next = await past();
    if (next.done && (!best.done || next.ms < best.ms)) best = next;
  }
  return best;
}

async function carry(live: LiveTarget, link: TargetLink, at: { host: string; port: number }, load: Load): Promise<Transfer> {
  try {
    return link.to === 's3' ? await pages(at, load) : await value(live, at, load);
  } catch (error) {
    return { done: false, late: false, reason: messageOf(error) };
  }
}

/** One value of this length, to the server or from it; the login before it is not timed. */
function value(live: LiveTarget, at: { host: string; port: number }, { way, bytes, timeoutMs }: Load): Promise<Transfer> {
  const { user, password } = live.target.roles.observe;
  const address = { ...at, user, password: password === null ? null : resolveSecret(password), database: live.target.entry.database };
  return withSql(
    address,
    async (sql) => {
      const start = monotonicNs();
      try {
        if (way === 'down') await sql.query(`SELECT repeat('x', $1::int) AS load`, [bytes]);
        else await sql.query('SELECT length($1)::text AS bytes', ['x'.repeat(bytes)]);
      } catch (error) {
        return { done: false, late: msSince(start) >= timeoutMs, reason: messageOf(error) };
      }
      return { done: true, ms: msSince(start), bytes };
    },
    { connectTimeoutMs: CONNECT_MS, queryTimeoutMs: timeoutMs },
  );
}

const REFUSED = 'GET /gameday-no-such-bucket/load HTTP/1.1\r\nHost: gameday\r\n\r\n';
/** The least that a store's refusal weighs, headers included. */
const REFUSAL_BYTES = 150;

/** As many refusals as weigh this much, asked for at once on one connection: what counts is the bytes that have come. */
function pages({ host, port }: { host: string; port: number }, { bytes, timeoutMs }: Load): Promise<Transfer> {
  return new Promise((resolve) => {
    const start = monotonicNs();
    let came = 0;
    const socket = connect({ host, port });
    const end = (transfer: Transfer): void => {
      clearTimeout(timer);
      socket.destroy();
      resolve(transfer);
    };
    const timer = setTimeout(() => end({ done: false, late: true, reason: `${came} of ${bytes} bytes within ${timeoutMs} ms` }), timeoutMs);
    socket.once('connect', () => socket.write(REFUSED.repeat(Math.ceil(bytes / REFUSAL_BYTES))));
    socket.on('data', (chunk) => {
      came += chunk.length;
      if (came >= bytes) end({ done: true, ms: msSince(start), bytes: came });
    });
    socket.once('error', (error) => end({ done: false, late: false, reason: error.message }));
    socket.once('close', () => end({ done: false, late: false, reason: `closed after ${came} of ${bytes} bytes` }));
  });
}

export function describeTransfer(transfer: Transfer): string {
  return transfer.done
    ? `${transfer.bytes} bytes took ${transfer.ms.toFixed(0)} ms (${((transfer.bytes / transfer.ms) * 1_000).toFixed(0)} bytes/s)`
    : transfer.reason;
}
