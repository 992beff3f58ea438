/**
 * The event chains: one per writer, one object per event, created exclusively, so that any worker on any machine may write the next one.
 * They lie beside the bundle until the seal merges them into `events.jsonl`. An event once written is never changed and never removed.
 */
import { z } from 'zod';
import { canonicalJson } from '../core/canonical-json';
import { GamedayError, messageOf } from '../core/errors';
import { CHAIN_START, chainEvent, findChainBreak } from '../core/event-chain';
import { sha256Hex } from '../core/files';
import type { ChainedEvent, EventBody, EventKey, Writer } from '../model/event';
import type { ObjectStore } from '../objects/store';

/** In the order in which ties are broken. */
export const WRITERS: readonly Writer[] = ['workflow', 'guardian', 'prober', 'operator', 'halt'];
const MAX_EVENTS = 100_000;
/** Lost races in a row before the store is called broken. */
const MAX_RACES = 1_000;
const MAX_CACHED_CHAINS = 16;

export const chainedEventSchema = z.strictObject({
  drill: z.string(),
  writer: z.enum(['workflow', 'guardian', 'prober', 'operator', 'halt']),
  step: z.string(),
  kind: z.string(),
  attempt: z.number().int().nonnegative(),
  at: z.string(),
  actor: z.string(),
  text: z.string(),
  facts: z.record(z.string(), z.json()),
  n: z.number().int().nonnegative(),
  previousSha256: z.string(),
});

/** One line of `events.jsonl`: the event as its writer chained it, and the SHA-256 of the line before (without its newline; 64 zeros for the first). */
export interface EventLine {
  readonly event: ChainedEvent;
  readonly line: number;
  readonly previousLineSha256: string;
}

// A chain only ever grows, so what was read once stays true; a restarted worker reads it again.
const chains = new WeakMap<ObjectStore, Map<string, ChainedEvent[]>>();

/** Where a drill's events lie: beside the bundle, so that the bundle holds nothing that its seal does not cover. */
export function eventsPrefix(bundle: string): string {
  const cut = bundle.lastIndexOf('/');
  return `${bundle.slice(0, cut + 1)}events/${bundle.slice(cut + 1)}`;
}

/**
 * Appends what is not there yet to the writer's chain, in the order given, and returns each as stored. Idempotent by
 * (drill, writer, step, kind, attempt): the first writer wins, a repetition gets the event that won. Throws `store_unreachable`, `bundle_invalid`.
 */
export async function recordEvents(
  store: ObjectStore,
  bundle: string,
  writer: Writer,
  bodies: readonly EventBody[],
): Promise<readonly ChainedEvent[]> {
  const stored: ChainedEvent[] = [];
  for (const body of bodies) {
    if (body.writer !== writer) throw new GamedayError('internal', `an event of ${body.writer} was given to the chain of ${writer}`);
    stored.push(await append(store, bundle, body));
  }
  return stored;
}

/** Copies events of a chain as they are into another store. Throws `object_exists` if that one holds another event in the same place. */
export async function copyEvents(store: ObjectStore, bundle: string, events: readonly ChainedEvent[]): Promise<void> {
  for (const event of events) {
    const key = eventKey(bundle, event.writer, event.n);
    const data = Buffer.from(canonicalJson(event));
    if (await store.create(key, data)) continue;
    const there = await store.get(key);
    if (there === null || !data.equals(there))
      throw new GamedayError('object_exists', `${store.description} holds another event as ${key}`);
  }
}

/** One writer's chain from its beginning. Throws `bundle_invalid` if it does not hold together. */
export async function readEvents(store: ObjectStore, bundle: string, writer: Writer): Promise<readonly ChainedEvent[]> {
  const chain = await advance(store, bundle, writer);
  const broken = findChainBreak(chain);
  if (broken !== null)
    throw new GamedayError('bundle_invalid', `the event chain of ${writer} breaks at event ${broken} under ${eventsPrefix(bundle)}`);
  return [...chain];
}

/** Every writer's chain; writers without events are left out. */
export async function readAllEvents(store: ObjectStore, bundle: string): Promise<readonly (readonly ChainedEvent[])[]> {
  const all: (readonly ChainedEvent[])[] = [];
  for (const writer of WRITERS) {
    const chain = await readEvents(store, bundle, writer);
    if (chain.length > 0) all.push(chain);
  }
  return all;
}

/** Merges chains into one order that depends on nothing but them: earliest head first, ties by writer; each writer's own order is kept. */
export function mergeEvents(all: readonly (readonly ChainedEvent[])[]): readonly EventLine[] {
  const heads = all.map((chain) => ({ chain, at: 0 }));
  const lines: EventLine[] = [];
  let previousLineSha256 = CHAIN_START;
  for (;;) {
    const open = heads.filter(({ chain, at }) => at < chain.length);
    if (open.length === 0) return lines;
    const next = open.reduce((best, candidate) => (sortKey(candidate) < sortKey(best) ? candidate : best));
    const event = next.chain[next.at];
    if (event === undefined) return lines;
    next.at += 1;
    const line: EventLine = { event, line: lines.length, previousLineSha256 };
    previousLineSha256 = sha256Hex(encodeEventLine(line));
    lines.push(line);
  }
}

/** The line's text without its newline. */
export function encodeEventLine(line: EventLine): string {
  return canonicalJson(line);
}

export function encodeEventLines(lines: readonly EventLine[]): string {
  return lines.map((line) => `${encodeEventLine(line)}\n`).join('');
}

function sortKey({ chain, at }: { readonly chain: readonly ChainedEvent[]; readonly at: number }): string {
  const event = chain[at];
  if (event === undefined) return '￿';
  const [, seconds = event.at, fraction = ''] = /^([^.]*?)(?:\.(\d+))?Z$/.exec(event.at) ?? [];
  return `${seconds}.${fraction.padEnd(9, '0')} ${WRITERS.indexOf(event.writer)}`;
}

function sameKey(a: EventKey, b: EventKey): boolean {
  return a.drill === b.drill && a.writer === b.writer && a.step === b.step && a.kind === b.kind && a.attempt === b.attempt;
}

async function append(store: ObjectStore, bundle: string, body: EventBody): Promise<ChainedEvent> {
  for (let race = 0; race < MAX_RACES; race += 1) {
    const chain = await advance(store, bundle, body.writer);
    const found = chain.find((event) => sameKey(event, body));
    if (found !== undefined) return found;
    if (chain.length >= MAX_EVENTS)
      throw new GamedayError('internal', `the chain of ${body.writer} has ${MAX_EVENTS} events; no more are taken`);
    const event = chainEvent(body, chain.at(-1) ?? null);
    if (await store.create(eventKey(bundle, body.writer, event.n), Buffer.from(canonicalJson(event)))) return event;
  }
  throw new GamedayError(
    'store_unreachable',
    `${MAX_RACES} attempts to append to the chain of ${body.writer} under ${bundle} lost their race`,
  );
}

function eventKey(bundle: string, writer: Writer, n: number): string {
  return `${eventsPrefix(bundle)}/${writer}/${String(n).padStart(6, '0')}.json`;
}

/** The chain as far as it is known, after reading what was added since. */
async function advance(store: ObjectStore, bundle: string, writer: Writer): Promise<ChainedEvent[]> {
  const cache = chains.get(store) ?? new Map<string, ChainedEvent[]>();
  chains.set(store, cache);
  const name = `${bundle} ${writer}`;
  const chain = cache.get(name) ?? [];
  // The most recently used chain stands last; the oldest is forgotten first.
  cache.delete(name);
  cache.set(name, chain);
  for (const oldest of cache.keys()) if (cache.size > MAX_CACHED_CHAINS) cache.delete(oldest);
  for (;;) {
    const n = chain.length;
    const data = await store.get(eventKey(bundle, writer, n));
    if (data === null) return chain;
    const event = decodeEvent(data, eventKey(bundle, writer, n));
    // Another call may have read the same event while this one waited.
    if (chain.length === n) chain.push(event);
  }
}

function decodeEvent(data: Uint8Array, key: string): ChainedEvent {
  try {
    return chainedEventSchema.parse(JSON.parse(Buffer.from(data).toString('utf8')));
  } catch (error) {
    throw new GamedayError('bundle_invalid', `${key} is no event: ${messageOf(error).split('\n')[0] ?? ''}`, null, { cause: error });
  }
}
