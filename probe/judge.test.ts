/** The judge of time on histories made by hand, and against a slow, obvious reference. */
import fc from 'fast-check';
import type { Interval, RtoMeasurement } from '../model/measurement';
import type { JudgeRequest } from './contract';
import { historyOf, PERIOD_MS, sampleAt, testRequest, type Fate } from './history.test-data';
import { judgeLedger } from './judge';
import type { Entry } from './ledger-format';
import { ledgerOf } from './ledger-reader';

const OK: Fate = { latencyMs: 1 };
const judge = async (entries: readonly Entry[], request: Partial<JudgeRequest> = {}): Promise<RtoMeasurement> =>
  (await judgeLedger(ledgerOf(entries), testRequest(request))).rto;
const receipt = (
  atMs: number,
  name: 'detect' | 'decide' | 'promote' | 'route' | 'baseline' | 'verified' | 'declare',
  phase: 'about-to' | 'done',
): Entry => ({
  kind: 'receipt',
  atNs: atMs * 1e6,
  name,
  phase,
  subject: 'n2',
  facts: {},
});
/** Down from 2,000 ms to 3,000 ms, refused at once. */
const downtime = (due: number): Fate => (due >= 2_000 && due < 3_000 ? 'missed' : OK);

describe('judge', () => {
  it('finds an outage and bounds it by the writes around it', async () => {
    const rto = await judge(historyOf(6_000, downtime, { injectMs: [1_998, 1_999] }));
    expect(rto.outages).toHaveLength(1);
    expect(rto.outages[0]).toMatchObject({ t0: { lowMs: 1_995 }, tFirst: { highMs: 3_001 }, unsuccessful: 200 });
    expect(rto.rto?.lowMs).toBeLessThanOrEqual(1_000);
    expect(rto.rto?.highMs).toBeGreaterThanOrEqual(1_000);
    expect(rto.noOutageAboveMs).toBeNull();
    expect(rto.inconclusive).toEqual([]);
    expect(rto.contradictions).toEqual([]);
  });

  it('narrows t_first by the last attempt that failed', async () => {
    const more: Entry[] = [
      { kind: 'connection', connection: 9, stream: 0, event: 'failed', startedNs: 2_994e6, atNs: 2_995e6, error: 'refused' },
    ];
    const rto = await judge(historyOf(6_000, downtime, { injectMs: [1_998, 1_999], more }));
    expect(rto.outages[0]?.tFirst).toEqual({ lowMs: 2_994, highMs: 3_001 });
    expect(rto.rto).toEqual({ lowMs: 2_994 - (rto.outages[0]?.t0.highMs ?? 0), highMs: 3_001 - 1_995 });
  });

  it('says "no outage above 2δ" when every write succeeded, and passes nothing off as an outage that was only slow', async () => {
    const slow = await judge(historyOf(6_000, (due) => (due === 2_000 ? { latencyMs: 40 } : OK), { injectMs: [1_900, 1_901] }));
    expect(slow).toMatchObject({ outages: [], noOutageAboveMs: 10, rto: null, inconclusive: [] });
  });

  it('ignores one failed write between two good ones: 2δ is the limit', async () => {
    const rto = await judge(
      historyOf(6_000, (due) => (due === 2_000 ? { failed: 'rejected', afterMs: 1 } : OK), { injectMs: [1_900, 1_901] }),
    );
    expect(rto.outages).toEqual([]);
    const two = await judge(
      historyOf(6_000, (due) => (due === 2_000 || due === 2_005 ? { failed: 'rejected', afterMs: 1 } : OK), { injectMs: [1_900, 1_901] }),
    );
    expect(two.outages).toHaveLength(1);
  });

  it('dates silence from the first write that was not answered, not from the deadline', async () => {
    const fate = (due: number): Fate =>
      due >= 2_000 && due < 2_020 ? { failed: 'indeterminate', afterMs: 2_000 } : due >= 2_020 && due < 5_000 ? 'missed' : OK;
    const rto = await judge(historyOf(9_000, fate, { injectMs: [1_998, 1_999] }));
    expect(rto.outages[0]?.t0.lowMs).toBe(1_995);
    expect(rto.outages[0]?.t0.highMs).toBeLessThanOrEqual(2_007);
  });

  it('waits for latency to come back before it calls clients recovered', async () => {
    const fate = (due: number): Fate => (due >= 2_000 && due < 3_000 ? 'missed' : due >= 3_000 && due < 4_000 ? { latencyMs: 80 } : OK);
    const rto = await judge(historyOf(8_000, fate, { injectMs: [1_998, 1_999] }));
    expect(rto.outages[0]?.tFirst?.highMs).toBe(3_080);
    // 2 of the 200 writes in a window may be above the p99 limit.
    expect(rto.outages[0]?.tRec?.highMs).toBeGreaterThan(3_900);
    expect(rto.outages[0]?.tRec?.highMs).toBeLessThanOrEqual(4_080);
  });

  it('judges flapping from the first t0 to the last t_rec', async () => {
    const fate = (due: number): Fate => ((due >= 2_000 && due < 2_500) || (due >= 3_000 && due < 3_500) ? 'missed' : OK);
    const rto = await judge(historyOf(7_000, fate, { injectMs: [1_998, 1_999] }));
    expect(rto.outages).toHaveLength(2);
    expect(rto.rto?.highMs).toBe(3_501 - 1_995);
  });

  it('cuts the span at observed instants and merges what was not observed', async () => {
    const more = [
      receipt(2_300, 'detect', 'about-to'),
      receipt(2_310, 'detect', 'done'),
      receipt(2_600, 'promote', 'about-to'),
      receipt(2_700, 'promote', 'done'),
    ];
    const rto = await judge(historyOf(6_000, downtime, { injectMs: [1_998, 1_999], more }));
    expect(rto.segments.map((segment) => segment.name)).toEqual(['detection', 'decision+promotion', 'routing+client recovery']);
    expect(rto.segments[0]?.from).toEqual(rto.outages[0]?.t0);
    expect(rto.segments.at(-1)?.to).toEqual(rto.outages[0]?.tRec);
    expect(rto.segments[1]).toMatchObject({
      from: { lowMs: 2_300, highMs: 2_310 },
      to: { lowMs: 2_600, highMs: 2_700 },
      ms: { lowMs: 290, highMs: 400 },
    });
  });

  it('says when all was verified, by the last time that it was', async () => {
    const seen = [receipt(3_500, 'verified', 'about-to'), receipt(3_510, 'verified', 'done')];
    const again = [receipt(4_800, 'verified', 'about-to'), receipt(4_820, 'verified', 'done')];
    const whole = async (more: readonly Entry[], fate = downtime) =>
      (await judge(historyOf(6_000, fate, { injectMs: [1_998, 1_999], more }))).untilVerified;
    const t0 = (await judge(historyOf(6_000, downtime, { injectMs: [1_998, 1_999] }))).outages[0]?.t0;
    expect(await whole([...seen, ...again])).toEqual({ lowMs: 4_800 - (t0?.highMs ?? 0), highMs: 4_820 - (t0?.lowMs ?? 0) });
    // Begun is not found, found before the outage is of something else, and without an outage there is nothing to count from.
    expect(await whole(seen.slice(0, 1))).toBeNull();
    expect(await whole([receipt(1_500, 'verified', 'about-to'), receipt(1_510, 'verified', 'done')])).toBeNull();
    expect(await whole(seen, () => OK)).toBeNull();
  });

  describe('a declaration', () => {
    const told = async (more: readonly Entry[], fate = downtime, untilMs = 6_000) => {
      const { declared, fromDeclaration, outages } = await judge(historyOf(untilMs, fate, { injectMs: [1_998, 1_999], more }));
      return { declared, fromDeclaration, tRec: outages.at(-1)?.tRec ?? null };
    };
    const ask = (...atMs: number[]): Entry[] => atMs.map((at) => receipt(at, 'declare', 'about-to'));
    const done = receipt(2_460, 'declare', 'done');

    it('lies between the last look that another one confirmed and its receipt', async () => {
      expect((await told([...ask(2_100, 2_200, 2_300, 2_400), done])).declared).toEqual({ lowMs: 2_300, highMs: 2_460 });
      // The only one stands before the question was put; a look after the answer's receipt says nothing.
      expect((await told([...ask(2_100), done])).declared).toEqual({ lowMs: 2_100, highMs: 2_460 });
      expect((await told([...ask(2_100, 2_200, 2_500), done])).declared).toEqual({ lowMs: 2_100, highMs: 2_460 });
    });

    it('begins the span that ends when clients had recovered', async () => {
      const { tRec, fromDeclaration } = await told([...ask(1_500, 1_600, 1_700), receipt(1_900, 'declare', 'done')]);
      expect(fromDeclaration).toEqual({ lowMs: (tRec?.lowMs ?? 0) - 1_900, highMs: (tRec?.highMs ?? 0) - 1_600 });
    });

    it('is none where nobody was asked, answered, or was known not to have', async () => {
      expect(await told([])).toMatchObject({ declared: null, fromDeclaration: null });
      expect(await told(ask(2_100, 2_200))).toMatchObject({ declared: null, fromDeclaration: null });
      expect(await told([done])).toMatchObject({ declared: null });
    });

    it('of what was over already, or is not over yet, is no span', async () => {
      const late = [...ask(4_000, 4_100), receipt(4_200, 'declare', 'done')];
      expect(await told(late)).toMatchObject({ declared: { lowMs: 4_000 }, fromDeclaration: null });
      expect(await told([...ask(2_100), done], (due) => (due >= 2_000 ? 'missed' : OK))).toMatchObject({ fromDeclaration: null });
    });
  });

  it('takes the baseline again where a receipt says so', async () => {
    const fate = (due: number): Fate => (due >= 2_000 && due < 3_000 ? 'missed' : due >= 500 ? { latencyMs: 40 } : OK);
    const rto = await judge(historyOf(6_000, fate, { injectMs: [1_998, 1_999], more: [receipt(1_900, 'baseline', 'done')] }));
    expect(rto.baselineP99Ms).toBe(40);
    expect(rto.recoveryLimitP99Ms).toBe(80);
    expect(rto.rto).not.toBeNull();
  });

  it.each<[string, () => Promise<RtoMeasurement>, RegExp]>([
    [
      'the fault was not confirmed',
      () =>
        judge(historyOf(6_000, downtime, { injectMs: [1_998, 1_999] }), {
          faults: [{ step: 'kill', confirmed: false, endedEarly: false }],
        }),
      /not confirmed/,
    ],
    [
      'the fault ended early',
      () =>
        judge(historyOf(6_000, downtime, { injectMs: [1_998, 1_999] }), { faults: [{ step: 'kill', confirmed: true, endedEarly: true }] }),
      /ended before/,
    ],
    ['the outage began before the fault', () => judge(historyOf(6_000, downtime, { injectMs: [2_400, 2_401] })), /before the fault/],
    ['there is no receipt', () => judge(historyOf(6_000, downtime)), /no injection receipt/],
    [
      'the baseline was slow',
      () => judge(historyOf(6_000, (due) => (due < 1_900 ? { latencyMs: 150 } : downtime(due)), { injectMs: [1_998, 1_999] })),
      /not steady: p99/,
    ],
    [
      'the baseline failed',
      () =>
        judge(
          historyOf(6_000, (due) => (due % 50 === 0 && due < 1_900 ? { failed: 'rejected', afterMs: 1 } : downtime(due)), {
            injectMs: [1_998, 1_999],
          }),
        ),
      /not steady/,
    ],
    [
      'nobody recovered',
      () => judge(historyOf(3_500, (due) => (due >= 2_000 ? 'missed' : OK), { injectMs: [1_998, 1_999] })),
      /not recovered/,
    ],
    [
      'the prober was starved',
      () => judge(historyOf(6_000, downtime, { injectMs: [1_998, 1_999], more: [{ kind: 'starved', fromNs: 2_200e6, toNs: 2_400e6 }] })),
      /starved/,
    ],
    [
      'the prober was absent',
      () =>
        judge(
          historyOf(9_000, (due) => (due >= 2_000 && due < 6_000 ? 'missed' : OK), { injectMs: [1_998, 1_999] }).filter(
            (e) => e.kind !== 'watch' || e.atNs > 6e9 || e.atNs < 2e9,
          ),
        ),
      /absent/,
    ],
    [
      'too few writes were due',
      () =>
        judge(historyOf(6_000, downtime, { injectMs: [1_998, 1_999] }), { settings: { ...testRequest().settings, minWritesDue: 100_000 } }),
      /writes were due/,
    ],
  ])('is inconclusive when %s', async (_why, run, reason) => {
    expect((await run()).inconclusive.join('\n')).toMatch(reason);
  });

  it('does not say of what it could not see that nothing was', async () => {
    const starved = (...spans: readonly (readonly [number, number])[]): Entry[] =>
      spans.map(([from, to]) => ({ kind: 'starved', fromNs: from * 1e6, toNs: to * 1e6 }));
    const rto = await judge(historyOf(6_000, () => OK, { injectMs: [1_998, 1_999], more: starved([2_500, 2_540], [3_000, 3_090]) }));
    expect(rto).toMatchObject({ outages: [], noOutageAboveMs: 90 + 10, starvedMs: 130, inconclusive: [] });
  });

  it('takes more failures than there was time for as a contradiction', async () => {
    const twice = historyOf(6_000, downtime, { injectMs: [1_998, 1_999] }).flatMap((entry): Entry[] =>
      entry.kind === 'missed' ? [entry, entry] : [entry],
    );
    expect((await judge(twice)).contradictions).toEqual([
      expect.stringMatching(/^availability lost \(2000\.0 ms\) exceeds the RTO of at most/),
    ]);
  });

  it('widens an instant that touches a starved span', async () => {
    const more: Entry[] = [{ kind: 'starved', fromNs: 1_980e6, toNs: 1_996e6 }];
    const rto = await judge(historyOf(6_000, downtime, { injectMs: [1_998, 1_999], more }));
    expect(rto.outages[0]?.t0.lowMs).toBe(1_980);
  });

  it('widens an instant that meets a starved span in one point alone', async () => {
    const t0With = async (more: readonly Entry[]): Promise<Interval> => {
      const { outages } = await judge(historyOf(6_000, downtime, { injectMs: [1_998, 1_999], more: [...more] }));
      return outages[0]!.t0;
    };
    const { lowMs, highMs } = await t0With([]);
    expect(await t0With([{ kind: 'starved', fromNs: (lowMs - 10) * 1e6, toNs: lowMs * 1e6 }])).toEqual({ lowMs: lowMs - 10, highMs });
    expect(await t0With([{ kind: 'starved', fromNs: (lowMs - 10) * 1e6, toNs: lowMs * 1e6 - 1 }])).toEqual({ lowMs, highMs });
    expect((await t0With([{ kind: 'starved', fromNs: highMs * 1e6, toNs: (highMs + 10) * 1e6 }])).highMs).toBe(highMs + 10);
  });

  it('names split brain when two nodes were writable within overlapping bounds, and not in an orderly switchover', async () => {
    const samples = (overlap: number): Entry[] => [
      ...[100, 200, 300, 400].map((ms) => sampleAt('n1', ms, ms <= 200 + overlap ? 'primary' : 'down', ms <= 200 + overlap ? 1 : null)),
      ...[110, 210, 310, 410].map((ms) => sampleAt('n2', ms, ms >= 310 ? 'primary' : 'standby', ms >= 310 ? 2 : 1)),
    ];
    const run = async (overlap: number): Promise<number> =>
      (await judgeLedger(ledgerOf(historyOf(3_000, () => OK, { more: samples(overlap) })), testRequest({ faults: [] }))).splitBrain.length;
    expect(await run(0)).toBe(0);
    expect(await run(200)).toBe(1);
  });

  it('finds exactly the outages that a slow, obvious reference finds', async () => {
    const fateName = fc.constantFrom('ok', 'ok', 'ok', 'ok', 'late', 'rejected', 'indeterminate', 'missed');
    await fc.assert(
      fc.asyncProperty(fc.array(fc.tuple(fateName, fc.integer({ min: 1, max: 12 })), { minLength: 5, maxLength: 60 }), async (runs) => {
        const fates: Fate[] = runs.flatMap(([name, times]) => Array.from({ length: times }, () => fateOf(name)));
        const history = historyOf((fates.length - 1) * PERIOD_MS, (due) => fates[due / PERIOD_MS] ?? OK);
        const rto = await judge(history, { faults: [], steady: { ...testRequest().steady, windowMs: 1e6 } });
        expect(rto.outages.map((o) => [o.t0.lowMs, o.tFirst?.highMs ?? null])).toEqual(referenceOutages(fates));
        for (const outage of rto.outages) {
          expect(outage.t0.lowMs).toBeLessThanOrEqual(outage.t0.highMs);
          if (outage.tFirst !== null) expect(outage.tFirst.lowMs).toBeLessThanOrEqual(outage.tFirst.highMs);
          if (outage.tRec !== null && outage.tFirst !== null) expect(outage.tRec.highMs).toBeGreaterThanOrEqual(outage.tFirst.highMs);
        }
      }),
      { numRuns: 300 },
    );
  });
});

function fateOf(name: string): Fate {
  if (name === 'ok') return OK;
  if (name === 'late') return { latencyMs: 23 };
  return name === 'missed' ? 'missed' : { failed: name as 'rejected' | 'indeterminate', afterMs: 2 };
}

/** Walks a millisecond at a time: nobody would call it fast, anybody can check it. Latencies are whole milliseconds. */
function referenceOutages(fates: readonly Fate[]): [number, number | null][] {
  const end = Math.max(
    ...fates.map((fate, at) => at * PERIOD_MS + (fate === 'missed' ? 0 : 'failed' in fate ? fate.afterMs : fate.latencyMs)),
    Math.floor(((fates.length - 1) * PERIOD_MS) / 1_000) * 1_000,
  );
  const ackAt = new Map<number, number>();
  fates.forEach((fate, at) => {
    if (fate !== 'missed' && !('failed' in fate)) ackAt.set(at * PERIOD_MS + fate.latencyMs, at * PERIOD_MS);
  });
  const found: [number, number | null][] = [];
  let last: number | null = null;
  let newestSent = -1;
  for (let ms = 0; ms <= end; ms += 1) {
    const acked = ackAt.has(ms);
    if (!acked && ms !== end) continue;
    if (last !== null && ms - last > 2 * PERIOD_MS) {
      const [from, to] = [last, ms];
      const failed = fates.some((fate, at) => {
        const due = at * PERIOD_MS;
        if (fate === 'missed') return due > from && due < to;
        return 'failed' in fate && due < to && due + fate.afterMs > from;
      });
      if (failed) found.push([newestSent, acked ? ms : null]);
    }
    if (acked) {
      last = ms;
      newestSent = Math.max(newestSent, ...[...ackAt].filter(([done]) => done <= ms).map(([, sent]) => sent));
    }
  }
  return found;
}
