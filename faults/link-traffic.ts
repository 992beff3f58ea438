/**
 * Bytes through a link: one question and its answer, in the protocol spoken there, timed. The proof that a link fault bites, and that it is gone.
 * Opens connections of its own and closes them; needs no password, so no session of the database is used.
 */
import { connect } from 'node:net';
import { monotonicNs } from '../core/clock';
import type { TargetLink, TargetNode, TargetService } from '../model/target';

export type RoundTrip =
  | { readonly answered: true; readonly ms: number }
  /** `silent`: nothing came, not even a refusal. */
  | { readonly answered: false; readonly silent: boolean; readonly reason: string };

/** Of a proof, which has 30 s, and whose last answer may be slowed by half of them. */
const WITHIN_MS = 7_000;
/** What is asked past the proxy is slowed by nobody. */
const PAST_MS = 5_000;

/** PostgreSQL's SSLRequest: length 8, code 80877103 (protocol documentation, "Message Formats"); answered with one byte, `S` or `N`. */
const SSL_REQUEST = Buffer.from([0, 0, 0, 8, 4, 210, 22, 47]);
const HTTP_REQUEST = Buffer.from('HEAD / HTTP/1.1\r\nHost: gameday\r\nConnection: close\r\n\r\n');

/** One round trip, from opening the connection to the first byte of the answer. Never rejects; at most `timeoutMs`. */
function ask(host: string, port: number, question: Buffer, timeoutMs: number): Promise<RoundTrip> {
  return new Promise((resolve) => {
    const start = monotonicNs();
    const socket = connect({ host, port });
    const end = (result: RoundTrip): void => {
      clearTimeout(timer);
      socket.destroy();
      resolve(result);
    };
    const timer = setTimeout(() => end({ answered: false, silent: true, reason: `no answer within ${timeoutMs} ms` }), timeoutMs);
    socket.once('connect', () => socket.write(question));
    socket.once('data', () => end({ answered: true, ms: Number(monotonicNs() - start) / 1e6 }));
    socket.once('error', (error) => end({ answered: false, silent: false, reason: error.message }));
    socket.once('close', () => end({ answered: false, silent: false, reason: 'closed without an answer' }));
  });
}

const question = (link: TargetLink): Buffer => (link.to === 's3' || link.speaks === 'http' ? HTTP_REQUEST : SSL_REQUEST);

/** A round trip through the link's proxy. */
export function askThrough(link: TargetLink, timeoutMs: number): Promise<RoundTrip> {
  return ask(link.listenHost, link.listenPort, question(link), timeoutMs);
}

/** The same past the proxy: what the link's far end answers by itself. */
export function askPast(link: TargetLink, timeoutMs: number): Promise<RoundTrip> {
  return ask(link.upstreamHost, link.upstreamPort, question(link), timeoutMs);
}

/** A node's own answer, past every link and router. */
export function askNode(node: Pick<TargetNode, 'host' | 'port'>, timeoutMs: number): Promise<RoundTrip> {
  return ask(node.host, node.port, SSL_REQUEST, timeoutMs);
}

/** A service's own answer, past every link. */
export function askService({ host, port, kind }: Pick<TargetService, 'host' | 'port' | 'kind'>, timeoutMs: number): Promise<RoundTrip> {
  return ask(host, port, kind === 'dcs' ? HTTP_REQUEST : SSL_REQUEST, timeoutMs);
}

/**
 * How a connection through the link goes on within `ms` after one question: `open`, `closed` in good order, or the code it broke with, e.g. `ECONNRESET`.
 * Never rejects.
 */
export function endThrough(link: TargetLink, ms: number): Promise<string> {
  return new Promise((resolve) => {
    const socket = connect({ host: link.listenHost, port: link.listenPort });
    const end = (text: string): void => {
      clearTimeout(timer);
      socket.destroy();
      resolve(text);
    };
    const timer = setTimeout(() => end('open'), ms);
    socket.once('connect', () => socket.write(question(link)));
    socket.once('error', (error: NodeJS.ErrnoException) => end(error.code ?? error.message));
    socket.once('end', () => end('closed'));
    socket.resume();
  });
}

/** The quicker of two round trips; one that was answered, when the other was not. */
function quicker(one: RoundTrip | null, other: RoundTrip): RoundTrip {
  if (one === null || !one.answered) return other;
  return other.answered && other.ms < one.ms ? other : one;
}

export interface BothWays {
  readonly past: RoundTrip;
  readonly through: RoundTrip;
}

/**
 * Asks past the link's proxy and through it in turn and keeps the quickest of each, which load on this machine disturbs least: at least `tries.least` times, and
 * on to `tries.most` until it is `enough`; not anew once `WITHIN_MS` are over.
 */
export async function askBothWays(
  link: TargetLink,
  timeoutMs: number,
  tries: { readonly least: number; readonly most: number },
  enough: (found: BothWays) => boolean,
): Promise<BothWays> {
  const end = monotonicNs() + BigInt(WITHIN_MS) * 1_000_000n;
  let past: RoundTrip | null = null;
  let through: RoundTrip | null = null;
  for (let n = 1; ; n += 1) {
    past = quicker(past, await askPast(link, Math.min(timeoutMs, PAST_MS)));
    through = quicker(through, await askThrough(link, timeoutMs));
    if (monotonicNs() >= end || (n >= tries.least && (n >= tries.most || enough({ past, through })))) return { past, through };
  }
}
