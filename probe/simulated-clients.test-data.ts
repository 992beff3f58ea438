/**
 * A world whose truth is known: a server that is down over given spans, and open-loop clients that write what they saw into a ledger, as the prober
 * does. Time is simulated, so that minutes take milliseconds. What the judge makes of such a ledger must contain that truth.
 */
import type { Entry } from './ledger-format';
import { PERIOD_MS, testHeader } from './history.test-data';

/**
 * `dead`: connections break and new ones are refused. `silent`: nothing is answered, what was sent is answered after the end. `read-only`: every
 * write is rejected.
 */
export interface Down {
  readonly fromMs: number;
  readonly toMs: number;
  readonly how: 'dead' | 'silent' | 'read-only';
}

export interface World {
  readonly streams: number;
  readonly downs: readonly Down[];
  /** Spans in which the prober itself stood still. */
  readonly starved: readonly (readonly [number, number])[];
  readonly endMs: number;
  /** An exchange takes once to almost twice this. */
  readonly latencyMs: number;
  readonly deadlineMs: number;
  readonly connectTimeoutMs: number;
  readonly seed: number;
}

const QUEUE_LIMIT_MS = 100;
const POOL = 3;
const MAX_CONNECTING = 8;
/** What was held back through a silence is answered within this after its end. */
const RUSH_MS = 100;

/** Numbers in [0, 1) that a seed determines (mulberry32). */
export function randomFrom(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

type Answer = { readonly atMs: number; readonly what: 'answered' | 'rejected' | 'broken' };

class Simulation {
  readonly entries: Entry[] = [];
  private readonly events: { readonly atMs: number; readonly run: (nowMs: number) => void }[] = [];
  private readonly random: () => number;
  private connections = 0;

  constructor(readonly world: World) {
    this.random = randomFrom(world.seed);
  }

  /** When the prober notices what happens at `atMs`. */
  noticed(atMs: number): number {
    return this.world.starved.find(([from, to]) => atMs > from && atMs < to)?.[1] ?? atMs;
  }

  at(atMs: number, run: (nowMs: number) => void): void {
    if (!Number.isFinite(atMs)) return;
    const index = this.events.findLastIndex((event) => event.atMs <= atMs);
    this.events.splice(index + 1, 0, { atMs, run });
  }

  run(): Entry[] {
    for (;;) {
      const event = this.events.shift();
      if (event === undefined || event.atMs > this.world.endMs) return this.entries;
      event.run(this.noticed(event.atMs));
    }
  }

  /** One exchange with the server that begins at `sentMs`: the request arrives after half of its latency, the answer after all of it. */
  exchange(sentMs: number): Answer {
    const latencyMs = this.world.latencyMs * (1 + 0.9 * this.random());
    const arrivedMs = sentMs + latencyMs / 2;
    const answeredMs = sentMs + latencyMs;
    const met = this.world.downs.find(({ fromMs, toMs, how }) => {
      return how === 'read-only' ? arrivedMs >= fromMs && arrivedMs < toMs : answeredMs >= fromMs && sentMs < toMs;
    });
    if (met === undefined) return { atMs: answeredMs, what: 'answered' };
    if (met.how === 'read-only') return { atMs: answeredMs, what: 'rejected' };
    if (met.how === 'dead') return { atMs: Math.max(met.fromMs, sentMs) + 0.2, what: 'broken' };
    return this.exchange(met.toMs + RUSH_MS * 0.9 * this.random());
  }

  nextConnection(): number {
    this.connections += 1;
    return this.connections;
  }

  add(entry: Entry): void {
    this.entries.push(entry);
  }
}

const ns = (ms: number): number => Math.round(ms * 1e6);

interface Slot {
  readonly id: number;
  readonly startedMs: number;
  state: 'connecting' | 'idle' | 'busy' | 'closed';
}

class Client {
  private readonly slots = new Set<Slot>();
  private readonly queue: number[] = [];
  private seq = 0;
  private nextAttemptMs = 0;

  constructor(
    private readonly sim: Simulation,
    private readonly stream: number,
    firstDueMs: number,
  ) {
    for (let slot = 0; slot < POOL; slot += 1) this.slots.add({ id: sim.nextConnection(), startedMs: 0, state: 'idle' });
    this.dueAt(firstDueMs);
    for (const { fromMs, how } of sim.world.downs) if (how === 'dead') sim.at(fromMs + 0.2, (nowMs) => this.breakAll(nowMs));
  }

  private dueAt(dueMs: number): void {
    this.sim.at(dueMs, (nowMs) => {
      if (nowMs - dueMs > QUEUE_LIMIT_MS)
        this.sim.add({ kind: 'missed', stream: this.stream, dueNs: ns(dueMs), atNs: ns(nowMs), cause: 'starved' });
      else this.queue.push(dueMs);
      this.work(nowMs);
      // Like the prober, it stops first and then awaits what is in flight.
      if (dueMs + PERIOD_MS < this.sim.world.endMs - this.sim.world.deadlineMs) this.dueAt(dueMs + PERIOD_MS);
    });
  }

  private work(nowMs: number): void {
    const connected = [...this.slots].some(({ state }) => state === 'idle' || state === 'busy');
    const isOver = (dueMs: number): boolean => (connected ? nowMs - dueMs > QUEUE_LIMIT_MS : nowMs - dueMs >= PERIOD_MS);
    while (this.queue[0] !== undefined && isOver(this.queue[0])) {
      const cause = connected ? 'stuck' : 'no-connection';
      this.sim.add({ kind: 'missed', stream: this.stream, dueNs: ns(this.queue.shift() ?? 0), atNs: ns(nowMs), cause });
    }
    for (const slot of this.slots) {
      const dueMs = slot.state === 'idle' ? this.queue.shift() : undefined;
      if (dueMs !== undefined) this.send(slot, dueMs, nowMs);
    }
    this.keepConnections(nowMs);
  }

  private send(slot: Slot, dueMs: number, sentMs: number): void {
    const { stream, sim } = this;
    this.seq += 1;
    const seq = this.seq;
    slot.state = 'busy';
    sim.add({ kind: 'intent', stream, seq, dueNs: ns(dueMs), sentNs: ns(sentMs), connection: slot.id });
    const answer = sim.exchange(sentMs);
    const deadlineMs = dueMs + sim.world.deadlineMs;
    sim.at(Math.min(answer.atMs, Math.max(deadlineMs, sentMs)), (nowMs) => {
      const what = answer.atMs <= deadlineMs ? answer.what : 'broken';
      const outcome = what === 'answered' ? 'acked' : what === 'rejected' ? 'rejected' : 'indeterminate';
      const doneNs = ns(nowMs);
      sim.add({ kind: 'outcome', stream, seq, outcome, doneNs, sqlstate: null, xid: null, lsn: null, timeline: null, server: null });
      if (what === 'broken') this.drop(slot, nowMs);
      else slot.state = 'idle';
      this.work(nowMs);
    });
  }

  private breakAll(nowMs: number): void {
    // Those in use end with the operation that they carry.
    for (const slot of this.slots) if (slot.state === 'idle') this.drop(slot, nowMs);
    this.work(nowMs);
  }

  private drop(slot: Slot, nowMs: number): void {
    slot.state = 'closed';
    this.slots.delete(slot);
    this.note(slot, 'lost', nowMs);
    this.nextAttemptMs = Math.min(this.nextAttemptMs, nowMs);
  }

  private note(slot: Slot, event: 'opened' | 'failed' | 'lost', nowMs: number): void {
    const { id: connection, startedMs } = slot;
    this.sim.add({ kind: 'connection', connection, stream: this.stream, event, startedNs: ns(startedMs), atNs: ns(nowMs), error: null });
  }

  private keepConnections(nowMs: number): void {
    const connecting = [...this.slots].filter(({ state }) => state === 'connecting').length;
    const missing = this.slots.size === connecting ? connecting < MAX_CONNECTING : this.slots.size < POOL;
    if (!missing || nowMs < this.nextAttemptMs) return;
    const { connectTimeoutMs } = this.sim.world;
    const closestMs = connecting > 0 ? PERIOD_MS : PERIOD_MS / 2;
    this.nextAttemptMs = nowMs + (connecting < 4 ? closestMs : connectTimeoutMs / MAX_CONNECTING);
    const slot: Slot = { id: this.sim.nextConnection(), startedMs: nowMs, state: 'connecting' };
    this.slots.add(slot);
    const answer = this.sim.exchange(nowMs);
    const giveUpMs = nowMs + connectTimeoutMs;
    this.sim.at(Math.min(answer.atMs, giveUpMs), (at) => {
      const opened = answer.what !== 'broken' && answer.atMs <= giveUpMs;
      if (opened) slot.state = 'idle';
      else this.slots.delete(slot);
      this.note(slot, opened ? 'opened' : 'failed', at);
      this.work(at);
    });
  }
}

/** The ledger of that world: the fault's receipts around the first outage, that of healing after the last, a watch entry a second, every starved span. */
export function simulate(world: World): Entry[] {
  const sim = new Simulation(world);
  sim.add(testHeader(world.streams));
  for (let stream = 0; stream < world.streams; stream += 1) void new Client(sim, stream, (stream * PERIOD_MS) / world.streams);
  for (let atMs = 1_000; atMs < world.endMs; atMs += 1_000)
    sim.at(atMs, (nowMs) => sim.add({ kind: 'watch', atNs: ns(nowMs), due: 1, onTime: 1 }));
  for (const [fromMs, toMs] of world.starved) sim.at(toMs, () => sim.add({ kind: 'starved', fromNs: ns(fromMs), toNs: ns(toMs) }));
  const receipt = (name: 'inject' | 'heal', phase: 'about-to' | 'done', atMs: number): void =>
    sim.at(atMs, (nowMs) => sim.add({ kind: 'receipt', atNs: ns(nowMs), name, phase, subject: 'kill', facts: {} }));
  const [first, last] = [world.downs[0], world.downs.at(-1)];
  if (first !== undefined && last !== undefined) {
    receipt('inject', 'about-to', first.fromMs - 1);
    receipt('inject', 'done', first.fromMs + 1);
    receipt('heal', 'done', last.toMs + 1);
  }
  return sim.run();
}
