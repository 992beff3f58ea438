/**
 * The guardian's own chained events, one file per drill, one line per event, fsynced before the call returns.
 * It only ever appends; a line cut off by a crash is dropped at the next opening, because nothing was promised about it.
 */
import { closeSync, existsSync, fsyncSync, ftruncateSync, mkdirSync, openSync, readFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { nowUtc } from '../../core/clock';
import { chainEvent } from '../../core/event-chain';
import { fsyncDirectory } from '../../core/files';
import { slug } from '../../core/ids';
import type { ChainedEvent } from '../../model/event';
import type { JsonObject } from '../../model/json';

/** A drill has a handful of faults; what repeats for ever (failing undos) must not fill the disk. */
const MAX_EVENTS = 10_000;

export interface JournalEntry {
  readonly drill: string;
  readonly step: string;
  readonly kind: string;
  readonly actor: string;
  readonly text: string;
  readonly facts: JsonObject;
}

export interface Journal {
  /** Durable when it returns. */
  append(entry: JournalEntry): ChainedEvent | null;
  events(drill: string): readonly ChainedEvent[];
}

const fileName = (drill: string): string => (/^[a-z0-9-]{1,60}$/.test(drill) ? `${drill}.ndjson` : `other_${slug(drill)}.ndjson`);

export function openJournal(dir: string): Journal {
  mkdirSync(dir, { recursive: true, mode: 0o700 });
  const chains = new Map<string, ChainedEvent[]>();

  function load(drill: string): ChainedEvent[] {
    const known = chains.get(drill);
    if (known !== undefined) return known;
    const path = join(dir, fileName(drill));
    const text = existsSync(path) ? readFileSync(path, 'utf8') : '';
    const whole = text.slice(0, text.lastIndexOf('\n') + 1);
    if (whole.length < text.length) truncate(path, Buffer.byteLength(whole));
    const events = whole
      .split('\n')
      .filter((line) => line !== '')
      .map((line) => JSON.parse(line) as ChainedEvent);
    chains.set(drill, events);
    return events;
  }

  return {
    append(entry) {
      const chain = load(entry.drill);
      if (chain.length >= MAX_EVENTS) return null;
      const attempt = 1 + chain.filter((event) => event.step === entry.step && event.kind === entry.kind).length;
      const body = {
        drill: entry.drill,
        writer: 'guardian' as const,
        step: entry.step,
        kind: entry.kind,
        attempt,
        at: nowUtc(),
        actor: entry.actor,
        text: entry.text,
        facts: entry.facts,
      };
      const event = chainEvent(body, chain[chain.length - 1] ?? null);
      appendDurably(dir, fileName(entry.drill), `${JSON.stringify(event)}\n`);
      chain.push(event);
      return event;
    },
    events: (drill) => [...load(drill)],
  };
}

function truncate(path: string, length: number): void {
  const fd = openSync(path, 'r+');
  try {
    ftruncateSync(fd, length);
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}

function appendDurably(dir: string, name: string, line: string): void {
  const path = join(dir, name);
  const isNew = !existsSync(path);
  const fd = openSync(path, 'a', 0o600);
  try {
    writeSync(fd, line);
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
  if (isNew) fsyncDirectory(dir);
}
