/**
 * The prober's own chained events: that it began, what it was asked to stamp, how it ended. One line an event in the ledger's directory, given to the kernel before
 * the caller learns of it and never changed; samples and writes stay in the ledger. A line cut off by a crash is dropped: nothing was promised about it.
 */
import { appendFileSync, existsSync, readFileSync, truncateSync } from 'node:fs';
import { join } from 'node:path';
import { nowUtc } from '../core/clock';
import { chainEvent } from '../core/event-chain';
import type { ChainedEvent } from '../model/event';
import type { JsonObject } from '../model/json';

const FILE = 'prober-events.ndjson';
/** A drill has some dozens; what repeats for ever must not fill the disk. */
const MAX_EVENTS = 10_000;

export class ProberJournal {
  private readonly path: string;
  private readonly counts = new Map<string, number>();
  private last: ChainedEvent | null = null;
  private events = 0;

  /** Goes on behind what an earlier process of the same drill wrote. */
  constructor(
    dir: string,
    private readonly drill: string,
  ) {
    this.path = join(dir, FILE);
    const { chain, bytes } = readWhole(this.path);
    if (existsSync(this.path)) truncateSync(this.path, bytes);
    for (const event of chain) this.remember(event);
  }

  add(step: string, kind: string, text: string, facts: JsonObject): void {
    if (this.events >= MAX_EVENTS) return;
    const attempt = (this.counts.get(keyOf(step, kind)) ?? 0) + 1;
    const { drill } = this;
    const event = chainEvent({ drill, writer: 'prober', step, kind, attempt, at: nowUtc(), actor: 'prober', text, facts }, this.last);
    appendFileSync(this.path, `${JSON.stringify(event)}\n`, { mode: 0o600 });
    this.remember(event);
  }

  private remember(event: ChainedEvent): void {
    this.counts.set(keyOf(event.step, event.kind), event.attempt);
    this.last = event;
    this.events += 1;
  }
}

const keyOf = (step: string, kind: string): string => JSON.stringify([step, kind]);

/** The chain in a ledger's directory; empty where none was written, as by a prober of before. Whether it holds together is for the seal to say. */
export function readProberEvents(dir: string): readonly ChainedEvent[] {
  return readWhole(join(dir, FILE)).chain;
}

function readWhole(path: string): { readonly chain: readonly ChainedEvent[]; readonly bytes: number } {
  const text = existsSync(path) ? readFileSync(path, 'utf8') : '';
  const whole = text.slice(0, text.lastIndexOf('\n') + 1);
  const lines = whole.split('\n').filter((line) => line !== '');
  return { chain: lines.map((line) => JSON.parse(line) as ChainedEvent), bytes: Buffer.byteLength(whole) };
}
