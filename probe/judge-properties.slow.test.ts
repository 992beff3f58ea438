/**
 * The judge against a second one that is slow and obvious, on histories of every kind, and against the truth, in a world where that is known. Each
 * property prints its seed when it fails; `GAMEDAY_SEED` sets it, and `GAMEDAY_TIMES` multiplies the number of histories.
 */
import fc from 'fast-check';
import type { Interval, Outage, ProbeView, RtoMeasurement } from '../model/measurement';
import type { JudgeRequest, LedgerJudgement } from './contract';
import { PERIOD_MS, testHeader, testRequest } from './history.test-data';
import { judgeLedger } from './judge';
import type { Entry, OutcomeName, StreamInfo } from './ledger-format';
import { ledgerOf } from './ledger-reader';
import { doubtsSaid, lastInstant, referenceDoubts, referenceRto } from './reference-judge.test-data';
import { simulate, type Down, type World } from './simulated-clients.test-data';

const SEED = Number(process.env['GAMEDAY_SEED'] ?? Date.now() % 2 ** 31);
const TIMES = Number(process.env['GAMEDAY_TIMES'] ?? 1);
const runs = (numRuns: number): fc.Parameters<unknown> => ({ numRuns: numRuns * TIMES, seed: SEED });
const HEADLINE: ProbeView = { kind: 'write', path: 'entry', client: 'tuned' };
const READS: ProbeView = { kind: 'read', path: 'entry', client: 'tuned' };
const ns = (ms: number): number => Math.round(ms * 1e6);

type Fate =
  { readonly waitMs: number; readonly takesMs: number; readonly outcome: OutcomeName | null } | 'no-connection' | 'stuck' | 'starved';

const within = (min: number, max: number): fc.Arbitrary<number> => fc.integer({ min, max });
const answered = (outcome: OutcomeName | null, slowestMs: number): fc.Arbitrary<Fate> =>
  fc.record({ waitMs: fc.constantFrom(0, 0, 0, 1, 7), takesMs: within(1, slowestMs), outcome: fc.constant(outcome) });
/** Runs of good operations between runs of every other kind, so that there are outages, flapping, and failures beside successes. */
const fates: fc.Arbitrary<Fate[]> = fc
  .array(
    fc.oneof(
      { weight: 5, arbitrary: fc.tuple(answered('acked', 6), within(1, 60)) },
      { weight: 1, arbitrary: fc.tuple(answered('acked', 300), within(1, 8)) },
      { weight: 1, arbitrary: fc.tuple(answered('rejected', 4), within(1, 12)) },
      { weight: 1, arbitrary: fc.tuple(answered('indeterminate', 400), within(1, 12)) },
      { weight: 1, arbitrary: fc.tuple(answered(null, 1), within(1, 2)) },
      { weight: 1, arbitrary: fc.tuple(fc.constantFrom<Fate>('no-connection', 'stuck'), within(1, 40)) },
      { weight: 1, arbitrary: fc.tuple(fc.constant<Fate>('starved'), within(1, 20)) },
    ),
    { minLength: 3, maxLength: 14 },
  )
  .map((all) => all.flatMap(([fate, times]) => Array.from({ length: times }, () => fate)));
/** Operations that hang and are all answered at one instant, as after a freeze. */
const frozen: fc.Arbitrary<Fate[]> = fc
  .tuple(within(20, 60), within(1, 60), within(5, 60))
  .map(([before, during, after]) => [
    ...Array.from({ length: before }, (): Fate => ({ waitMs: 0, takesMs: 2, outcome: 'acked' })),
    ...Array.from({ length: during }, (_, at): Fate => ({ waitMs: 0, takesMs: (during - at) * PERIOD_MS, outcome: 'acked' })),
    ...Array.from({ length: after }, (): Fate => ({ waitMs: 0, takesMs: 2, outcome: 'acked' })),
  ]);

const receipts: fc.Arbitrary<Entry[]> = fc.array(
  fc.record({
    kind: fc.constant('receipt' as const),
    atNs: within(0, 1_500).map(ns),
    name: fc.constantFrom(
      'inject' as const,
      'inject' as const,
      'heal' as const,
      'baseline' as const,
      'detect' as const,
      'promote' as const,
    ),
    phase: fc.constantFrom('about-to' as const, 'looking' as const, 'done' as const),
    subject: fc.constantFrom('kill', 'cut'),
    facts: fc.constant({}),
  }),
  { maxLength: 8 },
);

const FAULT = fc.record({
  step: fc.constantFrom('kill', 'cut'),
  confirmed: fc.boolean(),
  endedEarly: fc.boolean(),
});
const request: fc.Arbitrary<JudgeRequest> = fc
  .record({
    faults: fc.uniqueArray(FAULT, { maxLength: 2, selector: ({ step }) => step }),
    fromMs: fc.option(within(0, 300)),
    toMs: fc.option(within(600, 2_500)),
    minWritesDue: within(1, 200),
    windowMs: within(50, 400),
    recoveryWindowMs: within(20, 200),
    successRatio: fc.constantFrom(0.5, 0.9, 0.999),
    maxP99Ms: fc.constantFrom(3, 6, 100),
    recoveryFloorMs: fc.constantFrom(1, 5, 50),
  })
  .map(({ faults, fromMs, toMs, minWritesDue, ...steady }) => {
    const base = testRequest();
    return { settings: { ...base.settings, minWritesDue }, steady: { ...base.steady, ...steady }, faults, fromMs, toMs };
  });

interface History {
  readonly entries: readonly Entry[];
  readonly streams: readonly StreamInfo[];
}

const history: fc.Arbitrary<History> = fc
  .record({
    writes: fc.array(fc.oneof({ weight: 4, arbitrary: fates }, { weight: 1, arbitrary: frozen }), { minLength: 1, maxLength: 3 }),
    reads: fc.option(fates),
    receipts,
    watches: fc.subarray([0, 250, 500, 1_000, 1_500, 2_000]),
    absentMs: fc.constantFrom(0, 0, 3_000, 3_001, 8_000),
  })
  .map(({ writes, reads, receipts: told, watches, absentMs }) => {
    const streams = [
      ...writes.map((): StreamInfo => ({ ...HEADLINE, periodMs: PERIOD_MS })),
      ...(reads === null ? [] : [{ ...READS, periodMs: 2 * PERIOD_MS }]),
    ];
    const all = reads === null ? writes : [...writes, reads];
    const stamped = all.flatMap((each, stream) => {
      const info = streams[stream]!;
      return stampedEntries(each, stream, (stream * PERIOD_MS) / writes.length, info.periodMs);
    });
    stamped.sort((a, b) => a.atMs - b.atMs);
    const endMs = stamped.at(-1)?.atMs ?? 0;
    const marks = [...watches, endMs + absentMs].map((at): Entry => ({ kind: 'watch', atNs: ns(at), due: 1_000, onTime: 990 }));
    return { streams, entries: [{ ...testHeader(), streams }, ...stamped.map(({ entry }) => entry), ...told, ...marks] };
  });

interface Stamped {
  readonly atMs: number;
  readonly entry: Entry;
}

function stampedEntries(all: readonly Fate[], stream: number, firstDueMs: number, periodMs: number): Stamped[] {
  return all.flatMap((fate, at): Stamped[] => {
    const dueMs = firstDueMs + at * periodMs;
    const seq = at + 1;
    if (typeof fate === 'string') {
      const atMs = dueMs + (fate === 'stuck' ? 100 : fate === 'starved' ? 20 : 5);
      return [{ atMs, entry: { kind: 'missed', stream, dueNs: ns(dueMs), atNs: ns(atMs), cause: fate } }];
    }
    const sentMs = dueMs + fate.waitMs;
    const intent: Entry = { kind: 'intent', stream, seq, dueNs: ns(dueMs), sentNs: ns(sentMs), connection: 1 };
    if (fate.outcome === null) return [{ atMs: sentMs, entry: intent }];
    const [doneNs, unknown] = [ns(sentMs + fate.takesMs), { sqlstate: null, xid: null, lsn: null, timeline: null, server: null }];
    return [
      { atMs: sentMs, entry: intent },
      { atMs: sentMs + fate.takesMs, entry: { kind: 'outcome', stream, seq, outcome: fate.outcome, doneNs, ...unknown } },
    ];
  });
}

const contains = (interval: Interval | null | undefined, instant: number): boolean =>
  interval != null && interval.lowMs <= instant + 1e-6 && interval.highMs >= instant - 1e-6;
const covers = (outer: Interval | null | undefined, inner: Interval | null | undefined): boolean =>
  outer != null && inner != null && contains(outer, inner.lowMs) && contains(outer, inner.highMs);

function rtoOf(judged: LedgerJudgement, view: ProbeView): RtoMeasurement {
  return view === HEADLINE ? judged.rto : judged.views[0]!.rto;
}

jest.setTimeout(60_000 * TIMES);

describe(`judge, seed ${SEED}`, () => {
  it('equals the slow, obvious reference on any history', async () => {
    const met = { outages: 0, recovered: 0, none: 0 };
    await fc.assert(
      fc.asyncProperty(history, request, async ({ entries, streams }, asked) => {
        const judged = await judgeLedger(ledgerOf(entries), asked);
        for (const view of streams.some(({ kind }) => kind === 'read') ? [HEADLINE, READS] : [HEADLINE]) {
          const rto = rtoOf(judged, view);
          const reference = referenceRto(entries, asked, view, rto);
          expect(rto).toMatchObject(reference);
          expect(doubtsSaid(rto.inconclusive)).toEqual(referenceDoubts(entries, asked, view, rto, view === HEADLINE));
          met.outages += rto.outages.length;
          met.recovered += Number(rto.rto !== null);
          met.none += Number(rto.noOutageAboveMs !== null);
        }
      }),
      runs(400),
    );
    // A generator that no longer generates proves nothing.
    expect(Math.min(met.outages, met.recovered, met.none)).toBeGreaterThan(20);
  });

  it('contains the truth of a world in which the server is down over known spans', async () => {
    const met = { outages: 0 };
    await fc.assert(
      fc.asyncProperty(world, async (each) => {
        const entries = simulate(each);
        const { rto } = await judgeLedger(ledgerOf(entries), worldRequest(each));
        const acksMs = entries.flatMap((entry) => (entry.kind === 'outcome' && entry.outcome === 'acked' ? [entry.doneNs / 1e6] : []));
        met.outages += holdToTruth(each, acksMs, rto);
      }),
      runs(150),
    );
    expect(met.outages).toBeGreaterThan(100);
  });

  it('is sharp where failures are immediate: within 2δ and the time of an answer at the beginning, and one attempt at the end', async () => {
    await fc.assert(
      fc.asyncProperty(world, async (each) => {
        const downs = each.downs.map((down): Down => ({ ...down, how: 'dead' }));
        const { rto } = await judgeLedger(ledgerOf(simulate({ ...each, downs, starved: [] })), worldRequest(each));
        const answerMs = 2 * each.latencyMs;
        for (const { t0, tFirst } of rto.outages) {
          expect(t0.highMs - t0.lowMs).toBeLessThanOrEqual(2 * PERIOD_MS + 2 * answerMs + 0.3);
          // A client whose attempts were refused tries again a period later; then it connects, and sends.
          expect(tFirst!.highMs - tFirst!.lowMs).toBeLessThanOrEqual(3 * PERIOD_MS + 3 * answerMs + 0.3);
        }
      }),
      runs(60),
    );
  });

  it('only ever widens what it says when the prober was starved, and then over the whole starved span', async () => {
    await fc.assert(
      fc.asyncProperty(history, starvedSpans, async ({ entries }, spans) => {
        const asked = testRequest({ faults: [] });
        const endMs = lastInstant(entries);
        const starved = spans.filter(([, to]) => to < endMs);
        const more = starved.map(([from, to]): Entry => ({ kind: 'starved', fromNs: ns(from), toNs: ns(to) }));
        const plain = (await judgeLedger(ledgerOf(entries), asked)).rto;
        const blind = (await judgeLedger(ledgerOf([...entries, ...more]), asked)).rto;
        expect(blind.outages).toHaveLength(plain.outages.length);
        for (const [at, outage] of plain.outages.entries()) {
          for (const name of ['t0', 'tFirst', 'tRec'] as const) {
            const [before, after] = [outage[name], blind.outages[at]![name]];
            expect(after === null).toBe(before === null);
            if (before === null) continue;
            expect(covers(after, before)).toBe(true);
            // Further than that where a bound rested on what the prober alone may have made fail.
            for (const [from, to] of starved)
              if (from <= before.highMs && to >= before.lowMs) expect(covers(after, { lowMs: from, highMs: to })).toBe(true);
          }
        }
        if (plain.noOutageAboveMs !== null) expect(blind.noOutageAboveMs).toBeGreaterThanOrEqual(plain.noOutageAboveMs);
        if (plain.rtoAtLeastMs !== null) expect(blind.rtoAtLeastMs).toBeLessThanOrEqual(plain.rtoAtLeastMs);
        expect(doubtsSaid(blind.inconclusive)).toEqual(referenceDoubts([...entries, ...more], asked, HEADLINE, blind, true));
      }),
      runs(150),
    );
  });

  it('never hands out a verdict over a ledger that contradicts itself', async () => {
    await fc.assert(
      fc.asyncProperty(history, fc.nat(), fc.constantFrom(...Object.keys(DAMAGES)), async ({ entries }, at, name) => {
        const operations = entries.flatMap((entry, index) => (entry.kind === 'outcome' ? [index] : []));
        fc.pre(operations.length > 0);
        const damaged = DAMAGES[name]!(entries, operations[at % operations.length]!);
        await expect(judgeLedger(ledgerOf(damaged), testRequest())).rejects.toMatchObject({ code: 'object_corrupt' });
      }),
      runs(100),
    );
  });
});

/** Disjoint and in order, as the prober writes them. */
const starvedSpans = fc
  .uniqueArray(within(0, 200), { minLength: 2, maxLength: 8 })
  .map((cuts) => cuts.map((cut) => cut * 7 + 0.5).sort((a, b) => a - b))
  .map((cuts) => cuts.flatMap((from, at) => (at % 2 === 0 && cuts[at + 1] !== undefined ? [[from, cuts[at + 1]!] as const] : [])));

const DAMAGES: Readonly<Record<string, (entries: readonly Entry[], outcome: number) => Entry[]>> = {
  'without its header': (entries) => entries.slice(1),
  empty: () => [],
  'a header that names no stream': ([header]) => [{ ...(header as Extract<Entry, { kind: 'segment' }>), streams: [] }],
  'an outcome twice': (entries, at) => [...entries, entries[at]!],
  'an outcome without its intent': (entries, at) => {
    const { stream, seq } = entries[at] as Extract<Entry, { kind: 'outcome' }>;
    return entries.filter((entry) => !(entry.kind === 'intent' && entry.stream === stream && entry.seq === seq));
  },
  'an outcome before its intent': (entries, at) => [entries[0]!, entries[at]!, ...entries.slice(1, at), ...entries.slice(at + 1)],
  'a stream that its header does not name': (entries, at) => [
    ...entries,
    { ...(entries[at] as Extract<Entry, { kind: 'outcome' }>), stream: 9 },
  ],
};

const world: fc.Arbitrary<World> = fc
  .record({
    streams: within(1, 3),
    downs: fc.array(
      // Long enough for all clients to be back: before that, nobody can say of whose outage a failure is.
      fc.record({ upMs: within(400, 2_000), downMs: within(30, 900), how: fc.constantFrom<Down['how']>('dead', 'silent', 'read-only') }),
      { minLength: 1, maxLength: 3 },
    ),
    fraction: fc.double({ min: 0, max: 1, noNaN: true }),
    // Answers vary by less than δ: otherwise 2δ without one would be nothing unusual.
    latencyMs: fc.constantFrom(0.4, 1, 2.2),
    deadlineMs: fc.constantFrom(100, 300, 2_000),
    connectTimeoutMs: fc.constantFrom(50, 200, 1_000),
    starved: fc.option(fc.tuple(within(-400, 1_500), within(6, 400)), { freq: 3 }),
    seed: fc.nat(),
  })
  .map(({ downs, fraction, starved, ...rest }) => {
    let atMs = 1_500 + fraction;
    const spans = downs.map(({ upMs, downMs, how }): Down => {
      const fromMs = atMs;
      atMs += downMs + fraction / 3 + upMs;
      return { fromMs, toMs: fromMs + downMs + fraction / 3, how };
    });
    const blind = starved === null ? [] : [[1_500 + starved[0], 1_500 + starved[0] + starved[1]] as const];
    return { ...rest, downs: spans, starved: blind, endMs: atMs + 1_500 + rest.deadlineMs };
  });

const RECOVERY_MS = 300;

function worldRequest(each: World): JudgeRequest {
  const base = testRequest();
  const steady = { ...base.steady, recoveryWindowMs: RECOVERY_MS, recoveryFloorMs: 1_000 };
  return { ...base, settings: { ...base.settings, clientDeadlineMs: each.deadlineMs }, steady };
}

/** Every outage that the judge tells contains one that was; none that was is missing, unless everything sent in it was answered in the end. */
function holdToTruth({ downs, streams, starved }: World, acksMs: readonly number[], rto: RtoMeasurement): number {
  const downsIn = ({ tFirst }: Outage): Down[] => {
    const endMs = tFirst?.highMs ?? Infinity;
    const lastAckMs = Math.max(0, ...acksMs.filter((atMs) => atMs < endMs));
    return downs.filter(({ fromMs, toMs }) => fromMs <= endMs && toMs >= lastAckMs);
  };
  const blurs = ({ t0, tFirst, down }: Outage): boolean =>
    down?.lowMs === 0 && starved.some(([from, to]) => from < (tFirst?.highMs ?? Infinity) && to > t0.lowMs);
  // After a silence all that was held back comes at once: whatever fails in that rush is its aftermath.
  const isAftermath = (outage: Outage): boolean =>
    downsIn(outage).length === 0 &&
    downs.some(({ toMs, how }) => how === 'silent' && outage.t0.lowMs >= toMs && outage.t0.lowMs < toMs + 250);
  // What the prober's own starvation may have feigned is told, but never as proven.
  const told = rto.outages
    .flatMap((outage) => (blurs(outage) || isAftermath(outage) ? [] : [outage]))
    .map((outage) => {
      // Answers that a starved prober noticed late may have come before the last of these spans, or even the first.
      const spans = starved.length === 0 ? [downsIn(outage)] : slicesOf(downsIn(outage));
      const truth = spans.find((slice) => holds(outage, slice));
      if (truth === undefined) throw new Error(`no such outage was: ${JSON.stringify({ outage, spans })}`);
      return truth;
    });
  const covered = rto.outages.flatMap(downsIn);
  const missing = downs.filter((down) => !covered.includes(down));
  for (const { fromMs, toMs, how } of missing) {
    // The writes that hung were answered: a stall, told as such.
    if (how === 'silent' && rto.longestStallMs >= toMs - fromMs - PERIOD_MS) continue;
    // Otherwise the prober was blind; and what it has not seen it must not rule out.
    expect(starved.some(([from, to]) => from < toMs && to > fromMs)).toBe(true);
    expect(rto.starvedMs).toBeGreaterThan(0);
    if (rto.noOutageAboveMs !== null) expect(rto.noOutageAboveMs).toBeGreaterThanOrEqual(toMs - fromMs);
  }
  const [begin, end] = [told.flat()[0]?.fromMs, told.flat().at(-1)?.toMs];
  if (begin !== undefined && end !== undefined) {
    if (starved.length === 0) expect(rto.rto).not.toBeNull();
    if (rto.rto !== null) expect(rto.rto.highMs).toBeGreaterThanOrEqual(end - begin);
    // One stream knows when it is well; several come back one after the other, and clients are well when the last has. So it is after a silence.
    const atMostMs = Math.max(...covered.map(({ toMs }) => toMs)) - Math.min(...covered.map(({ fromMs }) => fromMs));
    const isAtOnce = streams === 1 && downs.every(({ how }) => how !== 'silent');
    expect(rto.rto?.lowMs ?? rto.rtoAtLeastMs).toBeLessThanOrEqual(atMostMs + (isAtOnce ? 0 : 300));
  } else {
    expect(rto.rto?.lowMs ?? rto.rtoAtLeastMs ?? 0).toBe(0);
  }
  return told.length;
}

function holds({ t0, tFirst, down }: Outage, spans: readonly Down[]): boolean {
  const [first, last] = [spans[0], spans.at(-1)];
  if (first === undefined || last === undefined) return false;
  return contains(t0, first.fromMs) && contains(tFirst, last.toMs) && contains(down, last.toMs - first.fromMs);
}

/** Longest first. */
function slicesOf<T>(all: readonly T[]): T[][] {
  const slices = all.flatMap((_, from) => all.slice(from).map((__, length) => all.slice(from, from + length + 1)));
  return slices.sort((a, b) => b.length - a.length);
}
