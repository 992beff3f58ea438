/**
 * Makes outages of exactly known length, has the judge read the ledger, and lays each reported interval beside the truth. Both clocks are the
 * machine's monotonic one. The truth is an interval too: the door's own stamps before and after it acted, a fraction of a millisecond apart.
 */
import { Client } from 'pg';
import { sleep, until } from '../../core/clock';
import type { Interval, Outage, RtoMeasurement } from '../../model/measurement';
import type { SteadyState } from '../../model/plan';
import { judgeLedger } from '../../probe/judge';
import { ledgerIn, readHeader } from '../../probe/ledger-reader';
import { WriteStatement } from '../../probe/statement';
import { CALIBRATION_SETTINGS, type DoorStamp, type Ground } from './ground';

export type Way = 'cut' | 'freeze';
export interface Planned {
  readonly way: Way;
  readonly lengthMs: number;
  /** From the recovery of the one before; random, so that the phase against the prober's period is. */
  readonly pauseMs: number;
}
export interface Calibrated {
  readonly way: Way;
  readonly truth: Interval;
  /** Null: the judge found no outage here. */
  readonly reported: Interval | null;
  readonly contained: boolean;
  /**
   * Contained, or what is missing is explained by a machine that is busy with other things: by what another client needed to be back at this very end,
   * or by writes that failed again within the recovery window, which the judge reports as an outage of its own; then t_first must hold the end.
   */
  readonly explained: boolean;
  readonly widthMs: number | null;
  /** What the judge said of the beginning and the end, against the truth, in ms since the prober's start. */
  readonly t0: Interval | null;
  readonly tRec: Interval | null;
  readonly began: Interval;
  readonly ended: Interval;
  /** What another client needed to be back at this very end. */
  readonly backMs: number;
}
export interface Calibration {
  readonly outages: readonly Calibrated[];
  /**
   * A fresh connection through the door with one commit, by a client that is not the prober, in ms: once at the end of each cut, in the very rush that the
   * interval's end holds too. A machine that is held up just then holds up both.
   */
  readonly connectCommitMs: readonly number[];
  /** The same while nothing was wrong. */
  readonly restedConnectCommitMs: readonly number[];
  /** Outages that the judge reported and nobody made. */
  readonly invented: readonly Outage[];
  readonly rto: RtoMeasurement;
}

/** Recovery windows of 0.5 s, so that one outage a second can be told apart; the p99 limit is far above what the machine's noise does. */
export const CALIBRATION_STEADY: SteadyState = {
  windowMs: 1_000,
  timeoutMs: 10_000,
  successRatio: 0.999,
  maxP99Ms: 500,
  recoveryFactor: 2,
  recoveryFloorMs: 500,
  recoveryWindowMs: 500,
};

/** A frozen way shorter than this is a stall, not an outage: what waits is answered in the end. */
const SHORTEST_FREEZE_MS = 400;

/** Mulberry32: small, seeded, good enough to draw lengths with. */
export function seeded(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t = (t + Math.imul(t ^ (t >>> 7), t | 61)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** Lengths from 20 ms to `longestMs`, most of them short; both ends are always among them. */
export function planOutages(count: number, longestMs: number, random: () => number): readonly Planned[] {
  return Array.from({ length: count }, (_, at) => {
    const lengthMs = at === 0 ? 20 : at === count - 1 ? longestMs : 20 * (longestMs / 20) ** (random() ** 2);
    const way: Way = lengthMs >= SHORTEST_FREEZE_MS && random() < 0.7 ? 'freeze' : 'cut';
    return { way, lengthMs, pauseMs: 20 + 60 * random() };
  });
}

/** Runs all planned outages with one prober and judges its ledger. */
export async function calibrate(
  ground: Ground,
  name: string,
  planned: readonly Planned[],
  say: (text: string) => void,
): Promise<Calibration> {
  const { calls, config } = await ground.startProber(name, { settings: CALIBRATION_SETTINGS });
  const window = { windowMs: 600, successRatio: 0.999, maxP99Ms: 500 };
  const good = (): Promise<true> =>
    until(async () => ((await calls.window({ ...window, after: null })).good ? true : null), {
      timeoutMs: 20_000,
      everyMs: 20,
      onTimeout: () => new Error('clients did not recover'),
    });
  await good();
  await sleep(1_200);
  const made: { readonly way: Way; readonly began: DoorStamp; readonly ended: DoorStamp; readonly backMs: number }[] = [];
  const [connectCommitMs, restedConnectCommitMs]: [number[], number[]] = [[], []];
  for (const [at, { way, lengthMs, pauseMs }] of planned.entries()) {
    await good();
    restedConnectCommitMs.push(await connectAndCommit(ground));
    await sleep(pauseMs);
    const began = await ground.door.act(way);
    await sleep(lengthMs);
    const ended = await ground.door.act('restore');
    const backMs = await connectAndCommit(ground);
    made.push({ way, began, ended, backMs });
    if (way === 'cut') connectCommitMs.push(backMs);
    if ((at + 1) % 20 === 0) say(`${at + 1} of ${planned.length} outages`);
  }
  await good();
  await sleep(300);
  await calls.stop();
  const zeroNs = BigInt((await readHeader(ledgerIn(config.dir))).monotonicZeroNs);
  const { rto } = await judgeLedger(config.dir, {
    settings: CALIBRATION_SETTINGS,
    steady: CALIBRATION_STEADY,
    faults: [],
    fromMs: null,
    toMs: null,
  });
  const at = ({ beforeNs, afterNs }: DoorStamp): Interval => ({
    lowMs: Number(beforeNs - zeroNs) / 1e6,
    highMs: Number(afterNs - zeroNs) / 1e6,
  });
  const matched = new Set<number>();
  const outages = made.map(({ way, began, ended, backMs }): Calibrated =>
    compare(rto, matched, { way, began: at(began), ended: at(ended), backMs }),
  );
  const invented = rto.outages.filter((_, index) => !matched.has(index));
  return { outages, connectCommitMs, restedConnectCommitMs, invented, rto };
}

/** What a client needs at best to be back: one new connection through the door and one row committed by the statement that the prober sends. */
async function connectAndCommit({ door }: Ground): Promise<number> {
  const statement = statementText('connect_commit', 0);
  const client = new Client({ host: door.host, port: door.port, user: 'postgres', database: 'postgres' });
  const begun = process.hrtime.bigint();
  await client.connect();
  await client.query(statement);
  const ms = Number(process.hrtime.bigint() - begun) / 1e6;
  await client.end();
  return ms;
}

/** The prober's own write, for another client to send. */
export function statementText(table: string, stream: number): string {
  return new WriteStatement(table, stream, CALIBRATION_SETTINGS.statementTimeoutMs).message(1).toString('utf8', 5).slice(0, -1);
}

interface Made {
  readonly way: Way;
  readonly began: Interval;
  readonly ended: Interval;
  /** From the end until a client that is not the prober had connected and committed. */
  readonly backMs: number;
}

function compare(rto: RtoMeasurement, matched: Set<number>, { way, began, ended, backMs }: Made): Calibrated {
  const truth = { lowMs: ended.lowMs - began.highMs, highMs: ended.highMs - began.lowMs };
  const index = rto.outages.findIndex(
    (each, at) => !matched.has(at) && each.t0.lowMs <= ended.highMs && (each.tFirst?.highMs ?? Infinity) >= began.lowMs,
  );
  const found = rto.outages[index];
  if (found === undefined) {
    return { way, truth, reported: null, contained: false, explained: false, widthMs: null, t0: null, tRec: null, began, ended, backMs };
  }
  matched.add(index);
  const reported = found.duration;
  const holds = (moreMs: number): boolean =>
    reported !== null &&
    reported.lowMs <= truth.highMs + moreMs &&
    reported.highMs >= truth.lowMs &&
    overlaps(found.t0, began) &&
    found.tRec !== null &&
    overlaps(found.tRec, { lowMs: ended.lowMs, highMs: ended.highMs + moreMs });
  const { tFirst, tRec } = found;
  const holdsFirst =
    tFirst !== null && overlaps(found.t0, began) && overlaps(tFirst, { lowMs: ended.lowMs, highMs: ended.highMs + backMs });
  const spoilt =
    tRec !== null &&
    rto.outages.some(({ t0 }, at) => at > index && t0.highMs >= ended.lowMs && t0.lowMs <= tRec.highMs && !matched.has(at));
  return {
    way,
    truth,
    reported,
    contained: holds(0),
    explained: holds(backMs) || (holdsFirst && spoilt),
    widthMs: reported === null ? null : reported.highMs - reported.lowMs,
    t0: found.t0,
    tRec: found.tRec,
    began,
    ended,
    backMs,
  };
}

function overlaps(a: Interval, b: Interval): boolean {
  return a.lowMs <= b.highMs && a.highMs >= b.lowMs;
}
