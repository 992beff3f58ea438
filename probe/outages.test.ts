/** The rules by which spans without success become outages, one at a time, at their very edges. */
import { ACKED, EXCUSED, INDETERMINATE, MISSED, REJECTED, type Ops } from './ops-table';
import { findGaps, type ConnectionSpan, type Gaps, type GapRules } from './outages';
import { Starvation } from './starvation';

interface Op {
  readonly due: number;
  readonly sent?: number;
  readonly done: number;
  readonly state: number;
}

const DELTA_MS = 5;
const END_MS = 1_000;
const acked = (due: number, takesMs = 1): Op => ({ due, sent: due, done: due + takesMs, state: ACKED });
const failed = (due: number, takesMs = 1, state = REJECTED): Op => ({ due, sent: due, done: due + takesMs, state });
const missed = (due: number, state = MISSED): Op => ({ due, done: due, state });
const steady = (fromMs: number, toMs: number): Op[] =>
  Array.from({ length: (toMs - fromMs) / DELTA_MS + 1 }, (_, at) => acked(fromMs + at * DELTA_MS));

function gapsOf(ops: readonly Op[], rules: Partial<GapRules> = {}): Gaps {
  const sorted = [...ops].sort((a, b) => a.due - b.due);
  const table: Ops = {
    count: sorted.length,
    due: Float64Array.from(sorted, ({ due }) => due),
    sent: Float64Array.from(sorted, ({ sent }) => sent ?? NaN),
    done: Float64Array.from(sorted, ({ done }) => done),
    state: Uint8Array.from(sorted, ({ state }) => state),
  };
  return findGaps(table, { periodMs: DELTA_MS, fromMs: 0, toMs: END_MS, starvation: starved(), connections: [], ...rules });
}
const connection = (event: ConnectionSpan['event'], startedMs: number, endedMs: number): ConnectionSpan => ({ event, startedMs, endedMs });

const starved = (...spans: readonly (readonly [number, number])[]): Starvation =>
  new Starvation(spans.map(([from, to]) => ({ kind: 'starved', fromNs: from * 1e6, toNs: to * 1e6 })));

/** Good until 100 ms, down with missed writes, good again: acknowledged at 101 and at 301. */
const DOWN = [...steady(0, 100), ...[105, 150, 200, 250, 295].map((due) => missed(due)), ...steady(300, 995)];

describe('outages', () => {
  it('are longer than 2δ: exactly 2δ is none', () => {
    const around = (secondMs: number): Op[] => [
      ...steady(0, 100),
      failed(104),
      { due: 108, sent: 108, done: secondMs, state: ACKED },
      ...steady(115, 995),
    ];
    expect(gapsOf(around(111))).toMatchObject({ gaps: [], unsuccessfulOutside: 1, longestStallMs: 10 });
    expect(gapsOf(around(111.001))).toMatchObject({ gaps: [{ unsuccessful: 1 }], unsuccessfulOutside: 0 });
  });

  it('hold at least one operation that was due and did not succeed; a span in which all did, late, is a stall', () => {
    const late = [...steady(0, 100), acked(105, 196), ...steady(305, 995)];
    expect(gapsOf(late)).toMatchObject({ gaps: [], longestStallMs: 200 });
    expect(gapsOf([...late, missed(200)])).toMatchObject({ gaps: [{ unsuccessful: 1 }], longestStallMs: 5 });
  });

  it('never rest on operations that the prober itself could not send', () => {
    const excused = [...steady(0, 100), missed(150, EXCUSED), missed(200, EXCUSED), ...steady(300, 995)];
    expect(gapsOf(excused)).toMatchObject({ gaps: [], unsuccessfulOutside: 0, longestStallMs: 200 });
  });

  it.each([
    ['due at the very end', failed(301, 3)],
    ['over at the very start', failed(97, 4)],
  ])('leave out what was not under way: %s', (_what, op) => {
    expect(gapsOf([...steady(0, 100), op, ...steady(300, 995)])).toMatchObject({ gaps: [], unsuccessfulOutside: 1 });
  });

  it.each([
    ['due just before the end', failed(300.9, 3)],
    ['over just after the start', failed(97, 4.1)],
    ['in doubt, and told only long after', failed(105, 600, INDETERMINATE)],
  ])('count what was under way: %s', (_what, op) => {
    expect(gapsOf([...steady(0, 100), op, ...steady(300, 995)])).toMatchObject({ gaps: [{ unsuccessful: 1 }], unsuccessfulOutside: 0 });
  });

  it('count an operation that hung through two of them once, in the first', () => {
    const twice = [...steady(0, 100), failed(105, 400), ...steady(200, 300), missed(350), ...steady(450, 995)];
    expect(gapsOf(twice).gaps.map(({ unsuccessful }) => unsuccessful)).toEqual([1, 1]);
  });

  it('last until the measured span ends when nothing succeeds any more', () => {
    const over = [...steady(0, 100), missed(105), missed(END_MS)];
    expect(gapsOf(over)).toMatchObject({ gaps: [{ tFirst: null, unsuccessful: 2, isPending: false }], unsuccessfulOutside: 0 });
  });

  it('are merely pending when the ledger ends before anything failed', () => {
    const pending = [...steady(0, 100), failed(105, Infinity, INDETERMINATE)];
    expect(gapsOf(pending).gaps).toMatchObject([{ tFirst: null, isPending: true }]);
    expect(gapsOf([...pending, missed(110)]).gaps).toMatchObject([{ tFirst: null, isPending: false }]);
    expect(gapsOf([...pending, ...steady(200, 995)]).gaps).toMatchObject([{ isPending: false }]);
  });

  it('lie in the measured span: what ended before, or was due after, is not counted', () => {
    const rules = { fromMs: 400, toMs: 900 };
    expect(gapsOf(DOWN, rules)).toMatchObject({ gaps: [], unsuccessfulOutside: 0 });
    expect(gapsOf([...DOWN, failed(398, 1), failed(399, 1), failed(900, 1), failed(901, 1)], rules).unsuccessfulOutside).toBe(2);
    // Acknowledged at 101 and at 301: both ends of the measured span are inside it.
    expect(gapsOf(DOWN, { fromMs: 101, toMs: 301 }).gaps).toMatchObject([{ tFirst: { highMs: 301 } }]);
    expect(gapsOf(DOWN, { fromMs: 101.5, toMs: 900 }).gaps).toEqual([]);
    expect(gapsOf(DOWN, { fromMs: 0, toMs: 300.5 }).gaps).toMatchObject([{ tFirst: null }]);
  });
});

describe('bounds of t0', () => {
  const t0 = (ops: readonly Op[], connections: readonly ConnectionSpan[] = []) => gapsOf(ops, { connections }).gaps[0]?.t0;

  it('begin with the newest instant at which something was sent that was still acknowledged', () => {
    expect(t0(DOWN)?.lowMs).toBe(100);
    // Acknowledged at 101 too, but sent before; and one sent at 100.5 and acknowledged earlier.
    expect(t0([...DOWN, { due: 99, sent: 99, done: 101, state: ACKED }])?.lowMs).toBe(100);
    expect(t0([...DOWN, { due: 99, sent: 100.5, done: 100.9, state: ACKED }])?.lowMs).toBe(100.5);
    // Whatever is acknowledged last took very long: the others were sent later.
    expect(t0([...steady(0, 100), acked(20, 700), ...[725, 740].map((due) => missed(due)), ...steady(800, 995)])?.lowMs).toBe(100);
  });

  it('end with the first failure, of an operation or of a connection', () => {
    expect(t0(DOWN)?.highMs).toBe(105);
    expect(t0([...DOWN, failed(101, 2)])?.highMs).toBe(103);
    expect(t0(DOWN, [connection('lost', 0, 102)])?.highMs).toBe(102);
    expect(t0(DOWN, [connection('failed', 101.2, 101.6)])?.highMs).toBe(101.6);
    expect(t0(DOWN, [connection('opened', 101.2, 101.6)])?.highMs).toBe(105);
    // What broke when writes were still acknowledged says nothing of this outage.
    expect(t0(DOWN, [connection('lost', 0, 101)])?.highMs).toBe(105);
    expect(t0(DOWN, [connection('lost', 0, 302)])?.highMs).toBe(105);
  });

  it('never end before the last acknowledgement', () => {
    const hung = [...steady(0, 100), failed(70, 500, INDETERMINATE), failed(98, 500, INDETERMINATE), ...steady(300, 995)];
    expect(t0(hung)?.highMs).toBeGreaterThanOrEqual(101);
  });

  it('take silence for a failure once an answer is overdue, long before the deadline says so', () => {
    const silent = [...steady(0, 100), failed(105, 890, INDETERMINATE), ...steady(700, 995)];
    expect(t0(silent)?.highMs).toBeGreaterThanOrEqual(106);
    expect(t0(silent)?.highMs).toBeLessThanOrEqual(105 + 2 * 1 + 2 * DELTA_MS);
  });

  it('give slow answers as much time as answers took just before, however long ago the fast ones were', () => {
    const slow = [
      ...steady(0, 45),
      ...Array.from({ length: 12 }, (_, at) => acked(50 + at * 5, 8)),
      failed(110, 885, INDETERMINATE),
      ...steady(700, 995),
    ];
    expect(t0(slow)?.highMs).toBeGreaterThanOrEqual(110 + 8);
    expect(t0(slow)?.highMs).toBeLessThanOrEqual(110 + 2 * 8 + 2 * DELTA_MS);
  });
});

describe('bounds of t_first', () => {
  const tFirst = (ops: readonly Op[], connections: readonly ConnectionSpan[] = []) => gapsOf(ops, { connections }).gaps[0]?.tFirst;

  it('end with the first acknowledgement, and begin with the last attempt that failed', () => {
    expect(tFirst(DOWN)).toEqual({ lowMs: 101, highMs: 301 });
    expect(tFirst([...DOWN, failed(280)])).toEqual({ lowMs: 280, highMs: 301 });
    expect(tFirst([...DOWN, failed(280), failed(120)])).toEqual({ lowMs: 280, highMs: 301 });
    expect(tFirst(DOWN, [connection('failed', 290, 299)])).toEqual({ lowMs: 290, highMs: 301 });
    // An attempt that was refused only later had begun before all the same.
    expect(tFirst(DOWN, [connection('failed', 290, 600)])).toEqual({ lowMs: 290, highMs: 301 });
    expect(tFirst(DOWN, [connection('failed', 302, 310)])).toEqual({ lowMs: 101, highMs: 301 });
    expect(tFirst(DOWN, [connection('lost', 290, 299)])).toEqual({ lowMs: 101, highMs: 301 });
    expect(tFirst(DOWN, [connection('opened', 290, 299)])).toEqual({ lowMs: 101, highMs: 301 });
  });

  it('rest on nothing that only the prober’s own lateness made fail', () => {
    const late = [...steady(0, 100), failed(180, 100), ...steady(300, 995)];
    expect(gapsOf(late).gaps).toMatchObject([{ t0: { highMs: 280 }, tFirst: { lowMs: 180 } }]);
    const blind = gapsOf(late, { starvation: starved([181, 279]) });
    expect(blind.gaps).toMatchObject([{ t0: { highMs: 301 }, tFirst: { lowMs: 101 }, unsuccessful: 1 }]);
    // A little lateness does not explain a long silence.
    expect(gapsOf(late, { starvation: starved([181, 190]) })).toEqual(gapsOf(late));
    const refused = [connection('failed', 180, 270)];
    expect(gapsOf(DOWN, { connections: refused }).gaps).toMatchObject([{ tFirst: { lowMs: 180 } }]);
    expect(gapsOf(DOWN, { connections: refused, starvation: starved([181, 269]) }).gaps).toMatchObject([{ tFirst: { lowMs: 101 } }]);
    const lost = [connection('lost', 0, 102)];
    expect(gapsOf(DOWN, { connections: lost, starvation: starved([101.5, 102]) }).gaps).toMatchObject([{ t0: { highMs: 105 } }]);
    expect(gapsOf(DOWN, { connections: lost, starvation: starved([20, 30]) }).gaps).toMatchObject([{ t0: { highMs: 102 } }]);
  });

  it('are not overdue while only the prober was late', () => {
    const hung = (starvation: Starvation) =>
      gapsOf([...steady(0, 100), failed(105, 890, INDETERMINATE), ...steady(700, 995)], { starvation });
    expect(hung(starved([105.5, 696])).gaps[0]?.t0.highMs).toBe(701);
    expect(hung(starved([105.5, 112])).gaps[0]?.t0.highMs).toBeLessThan(150);
  });

  it('begin shortly before the answer to what hung all along', () => {
    const hung = [...steady(0, 100), missed(400), acked(105, 696), ...steady(805, 995)];
    expect(tFirst(hung)?.lowMs).toBeGreaterThan(500);
    expect(tFirst(hung)?.lowMs).toBeLessThan(801 - 2);
    expect(gapsOf(hung, { starvation: starved([110, 790]) }).gaps[0]?.tFirst?.lowMs).toBe(101);
    // Starved until just before, the prober may have noticed the answer that much later than it came.
    const late = gapsOf(hung, { starvation: starved([760, 800]) }).gaps[0]?.tFirst?.lowMs;
    expect(late).toBe((tFirst(hung)?.lowMs ?? 0) - 40);
    const quick = [...steady(0, 100), missed(400), acked(800), ...steady(805, 995)];
    expect(tFirst(quick)?.lowMs).toBe(101);
    expect(tFirst(quick, [connection('opened', 105, 799)])?.lowMs).toBeGreaterThan(500);
    // Opened after the first acknowledgement, or before the outage began: of no account.
    expect(tFirst(quick, [connection('opened', 105, 802)])?.lowMs).toBe(101);
  });
});
