/** When clients were well again: the first good window, at its very edges. */
import type { SteadyState } from '../model/plan';
import { testRequest } from './history.test-data';
import { ACKED, EXCUSED, MISSED, REJECTED, type Ops } from './ops-table';
import { percentile, percentilesOf } from './percentiles';
import { findRecovery, type Recovery } from './recovery';
import { Starvation } from './starvation';

interface Op {
  readonly due: number;
  readonly done: number;
  readonly state: number;
}

const acked = (due: number, takesMs = 1): Op => ({ due, done: due + takesMs, state: ACKED });
const every5 = (fromMs: number, toMs: number, takesMs = 1): Op[] =>
  Array.from({ length: (toMs - fromMs) / 5 }, (_, at) => acked(fromMs + at * 5, takesMs));
/** Down from 100; the first acknowledgement is that of 200, at 201. */
const GAP = { t0: { lowMs: 95, highMs: 100 }, tFirst: { lowMs: 190, highMs: 201 }, unsuccessful: 1, isPending: false };

const starvationIn = (spans: readonly (readonly [number, number])[]): Starvation =>
  new Starvation(spans.map(([from, to]) => ({ kind: 'starved', fromNs: from * 1e6, toNs: to * 1e6 })));

function recovery(
  ops: readonly Op[],
  more: Partial<SteadyState> & { toMs?: number; limitMs?: number | null; starved?: readonly (readonly [number, number])[] } = {},
): Recovery {
  const sorted = [...ops].sort((a, b) => a.due - b.due);
  const table: Ops = {
    count: sorted.length,
    due: Float64Array.from(sorted, ({ due }) => due),
    sent: Float64Array.from(sorted, ({ due }) => due),
    done: Float64Array.from(sorted, ({ done }) => done),
    state: Uint8Array.from(sorted, ({ state }) => state),
  };
  const { toMs = 10_000, limitMs = 10, starved = [], ...rest } = more;
  const steady = { ...testRequest().steady, recoveryWindowMs: 500, successRatio: 0.99, ...rest };
  return findRecovery(table, GAP, { steady, limitP99Ms: limitMs, starvation: starvationIn(starved), toMs });
}
const before = every5(0, 100);

describe('recovery', () => {
  it('is the first acknowledgement when all is well from then on', () => {
    expect(recovery([...before, ...every5(200, 800)])).toEqual({ lowMs: 190, highMs: 201 });
  });

  it('needs a whole window before the measured span ends', () => {
    expect(recovery([...before, ...every5(200, 800)], { toMs: 700 })).toEqual({ lowMs: 190, highMs: 201 });
    expect(recovery([...before, ...every5(200, 800)], { toMs: 699.9 })).toEqual({ lowMs: 190, highMs: null });
  });

  it('counts exactly the operations due in the window, its start included and its end not', () => {
    const bad = (due: number): Op => ({ due, done: due, state: MISSED });
    const strict = { successRatio: 1 };
    expect(recovery([...before, ...every5(200, 1_500), bad(700)], strict)).toEqual({ lowMs: 190, highMs: 201 });
    expect(recovery([...before, ...every5(200, 1_500), bad(699)], strict)).toEqual({ lowMs: 695, highMs: 701 });
  });

  it('allows as many failures as the plan, and no more', () => {
    const failing = (count: number): Op[] => Array.from({ length: count }, (_, at) => ({ due: 301 + at, done: 302 + at, state: REJECTED }));
    // 100 writes in the window: 99 of 100 is 0.99.
    expect(recovery([...before, ...every5(200, 695), ...failing(1), ...every5(700, 1_500)])).toMatchObject({ highMs: 201 });
    expect(recovery([...before, ...every5(200, 700), ...failing(2), ...every5(700, 1_500)]).highMs).toBeGreaterThan(301);
    expect(recovery([...before, ...every5(200, 700), ...failing(0), ...every5(700, 1_500)])).toMatchObject({ highMs: 201 });
  });

  it('does not count what the prober itself could not send', () => {
    const excused = Array.from({ length: 50 }, (_, at) => ({ due: 301 + at, done: 301 + at, state: EXCUSED }));
    expect(recovery([...before, ...every5(200, 1_500), ...excused])).toMatchObject({ highMs: 201 });
  });

  it('holds 99 of 100 acknowledgements to the latency limit, which itself is allowed', () => {
    const window = (slow: number, ms: number): Op[] => [
      ...before,
      ...every5(200, 300),
      ...every5(300, 300 + slow * 5, ms),
      ...every5(300 + slow * 5, 1_500),
    ];
    expect(recovery(window(20, 10))).toMatchObject({ highMs: 201 });
    expect(recovery(window(1, 10.1))).toMatchObject({ highMs: 201 });
    // One of the two is due at 300: the first window without it begins after.
    expect(recovery(window(2, 10.1))).toEqual({ lowMs: 300, highMs: 306 + 9.1 });
  });

  it('measures latency from the due instant', () => {
    const late = every5(200, 300).map(({ due }) => ({ due, done: due + 40, state: ACKED }));
    expect(recovery([...before, ...late, ...every5(300, 1_500)]).highMs).toBeGreaterThan(300);
  });

  it('does not begin with a write that was due before but acknowledged only while others were still down', () => {
    // Acknowledged at 150, before the first acknowledgement of this outage: no candidate.
    expect(recovery([...before, acked(100, 50), ...every5(200, 1_500)])).toEqual({ lowMs: 190, highMs: 201 });
  });

  it('lies between the last write that began no good window and the first that did', () => {
    const limping = every5(200, 400).flatMap((op, at) => (at % 2 === 0 ? [op] : [{ ...op, state: REJECTED }]));
    const { lowMs, highMs } = recovery([...before, ...limping, ...every5(400, 1_500)], { successRatio: 1 });
    expect([lowMs, highMs]).toEqual([390, 401]);
  });

  it('is not before the last window that was disproved, when none was good', () => {
    const limping = every5(200, 1_000).flatMap((op, at) => (at % 2 === 0 ? [op] : [{ ...op, state: REJECTED }]));
    expect(recovery([...before, ...limping], { toMs: 1_000 })).toEqual({ lowMs: 500, highMs: null });
  });

  it('is not before the end where nothing was acknowledged, and unknown where no limit is', () => {
    const none = new Float64Array();
    const rules = { steady: testRequest().steady, limitP99Ms: 10, starvation: starvationIn([]), toMs: 777 };
    const never = findRecovery({ count: 0, due: none, sent: none, done: none, state: new Uint8Array() }, { ...GAP, tFirst: null }, rules);
    expect(never).toEqual({ lowMs: 777, highMs: null });
    expect(recovery([...before, ...every5(200, 1_500)], { limitMs: null })).toEqual({ lowMs: 190, highMs: null });
  });
});

describe('recovery, seen by a prober that was late itself', () => {
  // In windows of 500 ms and writes every 5 ms, two failures are one too many.
  const spoiled = (takesMs: number, ...dues: readonly number[]): Op[] =>
    [...before, ...every5(200, 2_000)].map((op) => (dues.includes(op.due) ? { due: op.due, done: op.due + takesMs, state: REJECTED } : op));

  it('is where a window was good, but possibly as early as a window that only the prober spoiled', () => {
    expect(recovery(spoiled(4, 400, 405))).toEqual({ lowMs: 395, highMs: 411 });
    expect(recovery(spoiled(4, 400, 405), { starved: [[401, 408]] })).toEqual({ lowMs: 190, highMs: 411 });
    expect(recovery(spoiled(4, 400, 405), { starved: [[401, 402]] })).toEqual({ lowMs: 190, highMs: 411 });
  });

  it('is disproved all the same by what the prober had no part in', () => {
    expect(recovery(spoiled(4, 400, 405, 410), { starved: [[411, 413]] })).toMatchObject({ lowMs: 395 });
    expect(recovery(spoiled(4, 400, 405), { starved: [[300, 303]] })).toMatchObject({ lowMs: 395 });
    // Starved for 5 ms of the 100 that they took: too slow without it.
    expect(recovery(spoiled(100, 400, 405), { starved: [[401, 406]] })).toMatchObject({ lowMs: 395 });
  });

  it('takes from a latency what the prober was starved for', () => {
    const slow = [...before, ...every5(200, 2_000)].map((op) => ([400, 405].includes(op.due) ? acked(op.due, 14) : op));
    expect(recovery(slow)).toMatchObject({ lowMs: 400 });
    expect(recovery(slow, { starved: [[407, 411]] })).toMatchObject({ lowMs: 190 });
    expect(recovery(slow, { starved: [[407, 410]] })).toMatchObject({ lowMs: 400 });
  });

  it('learns nothing from a window that failed after one that may have been good', () => {
    // From 200 on, only what the prober spoiled counts against it; from 210 on there are two failures more.
    const late = spoiled(4, 210, 215, 705, 710);
    expect(recovery(late)).toEqual({ lowMs: 700, highMs: 716 });
    expect(recovery(late, { starved: [[211, 218]] })).toEqual({ lowMs: 190, highMs: 716 });
  });
});

describe('starvation', () => {
  it('is the time in starved spans between two instants', () => {
    const starvation = starvationIn([
      [10, 20],
      [40, 70],
      [70, 80],
    ]);
    const rulers = [
      [0, 10, 0],
      [0, 15, 5],
      [12, 15, 3],
      [15, 50, 15],
      [20, 40, 0],
      [60, 75, 15],
      [0, 1_000, 50],
      [0, Infinity, 50],
      [80, 90, 0],
      [50, 40, 0],
    ] as const;
    for (const [from, to, ms] of rulers) expect(starvation.withinMs(from, to)).toBe(ms);
    expect(starvationIn([]).withinMs(0, 100)).toBe(0);
  });
});

describe('percentiles', () => {
  it('are values that were measured, at their nearest rank', () => {
    const hundred = Float64Array.from({ length: 100 }, (_, at) => at + 1);
    expect([percentile(hundred, 0.5), percentile(hundred, 0.99), percentile(hundred, 1)]).toEqual([50, 99, 100]);
    expect(percentile(Float64Array.of(1, 2), 0.5)).toBe(1);
    expect(percentile(Float64Array.of(1, 2, 3), 0.5)).toBe(2);
    expect(percentile(Float64Array.of(7), 0)).toBe(7);
    expect(percentile(Float64Array.of(), 0.5)).toBeNull();
  });

  it('need no order, and are none of nothing', () => {
    expect(percentilesOf(Float64Array.of(3, 1, 2))).toEqual({ count: 3, p50Ms: 2, p99Ms: 3, maxMs: 3 });
    expect(percentilesOf(Float64Array.of())).toBeNull();
  });
});
