/** The join on planted losses: found exactly, no more, no fewer; a slow and obvious reference finds the same; and where a restore landed. */
import fc from 'fast-check';
import type { Interval, RpoMeasurement } from '../model/measurement';
import type { RowBatch } from './copy-out';
import { historyOf, PERIOD_MS, sampleAt, testHeader, type Fate } from './history.test-data';
import { joinLedger } from './join';
import type { Entry, IntentEntry, OutcomeEntry, SampleEntry } from './ledger-format';
import { ledgerOf } from './ledger-reader';
import { promotions } from './nodes';
import { compareRestore } from './restore-compare';
import { compareReplica } from './survivors';

const WRITES = 1_000;
const history = (fate: (due: number) => Fate = () => ({ latencyMs: 1 }), more: readonly Entry[] = []): Entry[] =>
  historyOf((WRITES - 1) * PERIOD_MS, fate, { more });
type Pair = readonly [stream: number, seq: number];
/** Rows in batches as small as they can be and yet be batches. */
async function* batchesOf(pairs: readonly Pair[], size = 3): AsyncIterable<RowBatch> {
  for (let at = 0; at < pairs.length; at += size) {
    const part = pairs.slice(at, at + size);
    yield { count: part.length, streams: Int32Array.from(part, ([stream]) => stream), seqs: Float64Array.from(part, ([, seq]) => seq) };
  }
}
const rows = (seqs: readonly number[]): AsyncIterable<RowBatch> => batchesOf(seqs.map((seq) => [0, seq] as const));
const all = Array.from({ length: WRITES }, (_, at) => at + 1);
const join = (
  seqs: readonly number[],
  entries: readonly Entry[] = history(),
  t0: { lowMs: number; highMs: number } | null = null,
): Promise<RpoMeasurement> =>
  joinLedger(ledgerOf(entries), rows(seqs), { t0, synchronousCommit: 'on', joinedOn: 'n2', replicas: [], rpoBytes: null });

describe('join', () => {
  it.each([0, 1, 2, 399])('finds %i writes lost at the end, and calls them no hole', async (lost) => {
    const rpo = await join(all.slice(0, WRITES - lost));
    expect(rpo).toMatchObject({ attempted: WRITES, acked: WRITES, kept: WRITES - lost, lost, holes: 0, duplicates: 0, phantoms: 0 });
    expect(rpo.lostSample).toHaveLength(Math.min(lost, 20));
  });

  it.each([1, 2, 399])('finds %i writes lost in the middle, each a hole', async (lost) => {
    const rpo = await join(all.filter((seq) => seq <= 300 || seq > 300 + lost));
    expect(rpo).toMatchObject({ lost, holes: lost });
  });

  it('calls lost and kept writes that overlapped in time an ordinary failover', async () => {
    // The last but one was still under way when the last was sent: the order of their commits is nobody's promise.
    const slow = history((due) => ({ latencyMs: due === (WRITES - 2) * PERIOD_MS ? 9 : 1 }));
    expect(
      await join(
        all.filter((seq) => seq !== WRITES - 1),
        slow,
      ),
    ).toMatchObject({ lost: 1, holes: 0 });
    expect(await join(all.filter((seq) => seq !== WRITES - 1))).toMatchObject({ lost: 1, holes: 1 });
  });

  it('counts a row twice as a duplicate, and what was rejected or never written as a phantom', async () => {
    const fate = (due: number): Fate => (due === 50 ? { failed: 'rejected', afterMs: 1 } : { latencyMs: 1 });
    expect(await join([1, 2, 2, 2, ...all.slice(2), WRITES + 7], history(fate))).toMatchObject({
      lost: 0,
      duplicates: 2,
      phantoms: 2,
      acked: WRITES - 1,
    });
  });

  it('holds no promise about writes in doubt, and reports both kinds', async () => {
    const fate = (due: number): Fate => (due === 50 || due === 55 ? { failed: 'indeterminate', afterMs: 1 } : { latencyMs: 1 });
    expect(
      await join(
        all.filter((seq) => seq !== 11),
        history(fate),
      ),
    ).toMatchObject({ lost: 0, indeterminateCommitted: 1, indeterminateVanished: 1 });
  });

  it('measures lost time from the oldest lost acknowledgement', async () => {
    const t0 = { lowMs: 4_995, highMs: 5_003 };
    expect((await join(all.slice(0, 900), history(), t0)).rpoTimeMs).toEqual({ lowMs: 4_995 - 4_501, highMs: 5_003 - 4_501 });
    expect((await join(all.slice(0, 900))).rpoTimeMs).toEqual({ lowMs: 495, highMs: 495 });
    expect((await join(all, history(), t0)).rpoTimeMs).toEqual({ lowMs: 0, highMs: 0 });
  });

  it('never measures lost time from a stall that was over before the loss: that would be no time at all', async () => {
    // The judge's first outage was at 2 s; the last write of the lost ones was acknowledged at 4,996.
    const stall = { lowMs: 2_000, highMs: 2_012 };
    const rpo = await join(all.slice(0, 900), history(), stall);
    expect(rpo.rpoTimeMs).toEqual({ lowMs: 4_996 - 4_501, highMs: 4_996 - 4_501 });
    expect(rpo.recoveryPointAgeMs).toEqual({ lowMs: 4_996 - 4_496, highMs: 4_996 - 4_495 });
  });

  it('counts writes that the old timeline acknowledged after the new primary stood', async () => {
    const more = [sampleAt('n1', 100, 'primary', 1), sampleAt('n2', 100, 'standby', 1), sampleAt('n2', 3_999, 'primary', 2)];
    expect((await join(all, history(undefined, more))).splitBrainWrites).toBe(199);
    // What the new timeline acknowledges is none.
    const moved = history(undefined, more).map((entry) =>
      entry.kind === 'outcome' && entry.seq > 900 ? { ...entry, timeline: 2 } : entry,
    );
    expect((await join(all, moved)).splitBrainWrites).toBe(99);
  });

  it('states zero with its resolution', async () => {
    expect((await join(all)).statement).toBe(
      '0 of 1,000 acknowledged writes lost; 95 % bound on the rate: 0.30 %; synchronous_commit = on',
    );
  });

  it('takes the rows in any order, and thousands of copies of one', async () => {
    const copies = Array.from({ length: 1_000 }, () => 7);
    expect(await join([...copies, ...all.toReversed()])).toMatchObject({ lost: 0, kept: WRITES, duplicates: 1_000, phantoms: 0 });
    expect(await join([...all, 0, -3, ...Array.from({ length: 600 }, () => 2 ** 50)])).toMatchObject({ lost: 0, phantoms: 602 });
  });

  it('lays every lost write to the timeline that acknowledged it, and says how old the newest kept one is', async () => {
    const entries = history().map((entry) =>
      entry.kind === 'outcome' && entry.seq > 900 ? { ...entry, timeline: entry.seq > 990 ? null : 2 } : entry,
    );
    const t0 = { lowMs: 4_995, highMs: 5_003 };
    const rpo = await join(all.slice(0, 890), entries, t0);
    expect(rpo.lostByTimeline).toEqual([
      { timeline: null, lost: 10 },
      { timeline: 1, lost: 10 },
      { timeline: 2, lost: 90 },
    ]);
    // Seq 890 was sent at 4,445 and acknowledged at 4,446.
    expect(rpo.recoveryPointAgeMs).toEqual({ lowMs: 4_995 - 4_446, highMs: 5_003 - 4_445 });
    expect((await join(all, entries, { lowMs: 2_000, highMs: 2_004 })).recoveryPointAgeMs).toEqual({ lowMs: 0, highMs: 4 });
    expect((await join(all)).recoveryPointAgeMs).toBeNull();
    expect((await join([], entries, t0)).recoveryPointAgeMs).toBeNull();
  });

  it('counts what a slow and obvious reference counts, whatever happened', async () => {
    await fc.assert(
      fc.asyncProperty(scenario, async ({ operations, samples, copies, strangers, t0 }) => {
        const entries: Entry[] = [testHeader(2), ...samples, ...operations];
        const pairs: Pair[] = [...strangers];
        for (const [at, { stream, seq }] of operations.filter((each): each is IntentEntry => each.kind === 'intent').entries())
          for (let copy = 0; copy < (copies[at % copies.length] as number); copy += 1) pairs.push([stream, seq]);
        pairs.sort(([a], [b]) => ((a * 7) % 5) - ((b * 7) % 5));
        const found = await joinLedger(ledgerOf(entries), batchesOf(pairs), { ...INFO, t0 });
        expect(found).toMatchObject(reference(operations, samples, pairs, t0));
      }),
      { numRuns: 500 },
    );
  });
});

const INFO = { synchronousCommit: 'on', joinedOn: 'n2', replicas: [], rpoBytes: null };

/** Attempts of two streams that overlap, are answered late or never, on two timelines; rows that vanished, came twice, or came from nowhere. */
const scenario = fc
  .record({
    attempts: fc.array(
      fc.record({
        stream: fc.nat(1),
        gapMs: fc.nat(3),
        latencyMs: fc.nat(8),
        skipped: fc.nat(2),
        outcome: fc.oneof(
          { weight: 6, arbitrary: fc.constant('acked' as const) },
          { weight: 3, arbitrary: fc.constantFrom('rejected' as const, 'indeterminate' as const, null) },
        ),
        timeline: fc.constantFrom(1, 1, 2, null),
      }),
      { maxLength: 40 },
    ),
    samples: fc.array(fc.record({ node: fc.constantFrom('n1', 'n2'), ms: fc.nat(25), timeline: fc.integer({ min: 1, max: 3 }) }), {
      maxLength: 6,
    }),
    copies: fc.array(fc.constantFrom(0, 1, 1, 1, 2, 3), { minLength: 1, maxLength: 40 }),
    strangers: fc.array(fc.tuple(fc.nat(3), fc.nat(150)), { maxLength: 5 }),
    t0: fc.option(fc.record({ lowMs: fc.nat(60), widthMs: fc.nat(9) })),
  })
  .map(({ attempts, samples, t0, ...rest }) => {
    const next = [0, 0];
    let nowNs = 0;
    const timed: { readonly atNs: number; readonly entry: IntentEntry | OutcomeEntry }[] = [];
    for (const { stream, gapMs, latencyMs, skipped, outcome, timeline } of attempts) {
      const seq = (next[stream] = (next[stream] as number) + 1 + skipped);
      nowNs += gapMs * 1e6;
      timed.push({ atNs: nowNs, entry: { kind: 'intent', stream, seq, dueNs: nowNs, sentNs: nowNs, connection: 1 } });
      const doneNs = nowNs + latencyMs * 1e6;
      if (outcome !== null)
        timed.push({
          atNs: doneNs,
          entry: { kind: 'outcome', stream, seq, outcome, doneNs, sqlstate: null, xid: null, lsn: null, timeline, server: null },
        });
    }
    // Stable: what happened at the same instant stays in the order in which it was attempted.
    const operations = timed.sort((a, b) => a.atNs - b.atNs).map(({ entry }) => entry);
    const taken = samples.sort((a, b) => a.ms - b.ms).map(({ node, ms, timeline }) => sampleAt(node, ms, 'primary', timeline));
    return { ...rest, operations, samples: taken, t0: t0 === null ? null : { lowMs: t0.lowMs, highMs: t0.lowMs + t0.widthMs } };
  });

/** MEASUREMENT.md, "RPO", word for word: maps, sets, and every pair of writes looked at. */
function reference(
  operations: readonly (IntentEntry | OutcomeEntry)[],
  samples: readonly SampleEntry[],
  pairs: readonly Pair[],
  t0: Interval | null,
): Partial<RpoMeasurement> {
  const name = ({ stream, seq }: { readonly stream: number; readonly seq: number }): string => `${stream}/${seq}`;
  const intents = new Map(operations.filter((each): each is IntentEntry => each.kind === 'intent').map((each) => [name(each), each]));
  const outcomes = new Map(operations.filter((each): each is OutcomeEntry => each.kind === 'outcome').map((each) => [name(each), each]));
  const copies = new Map<string, number>();
  for (const [stream, seq] of pairs) copies.set(`${stream}/${seq}`, (copies.get(`${stream}/${seq}`) ?? 0) + 1);
  const present = (key: string): boolean => (copies.get(key) ?? 0) > 0;
  const whose = (outcome: string): string[] =>
    [...intents.keys()].filter((key) => (outcomes.get(key)?.outcome ?? 'indeterminate') === outcome);
  const acked = whose('acked').map((key) => ({ key, sent: intents.get(key)!.sentNs, ...outcomes.get(key)! }));
  const kept = acked.filter(({ key }) => present(key));
  const lost = acked.filter(({ key }) => !present(key));
  const holes = lost.filter((w) => kept.some((k) => k.timeline === w.timeline && k.sent > w.doneNs));
  const oldest = Math.min(...lost.map(({ doneNs }) => doneNs));
  // Of several equally old ones any fork is right; the join takes the first that the ledger names.
  const fork = lost
    .filter(({ doneNs }) => doneNs === oldest)
    .sort((a, b) => operations.indexOf(outcomes.get(a.key)!) - operations.indexOf(outcomes.get(b.key)!))[0]?.timeline;
  const lastAck = Math.max(...acked.filter(({ timeline }) => timeline === fork).map(({ doneNs }) => doneNs));
  const until = (low: number, high: number): Interval => ({ lowMs: Math.max(0, low), highMs: Math.max(0, high) });
  // A t0 after which the losing fork still acknowledged is not that fork's end.
  const end = t0 !== null && (lost.length === 0 || t0.highMs >= lastAck / 1e6) ? t0 : { lowMs: lastAck / 1e6, highMs: lastAck / 1e6 };
  const before =
    lost.length === 0
      ? kept.filter(({ doneNs }) => doneNs / 1e6 <= end.highMs)
      : kept.filter(({ timeline }) => (timeline ?? 0) <= (fork ?? 0));
  return {
    attempted: intents.size,
    acked: acked.length,
    kept: kept.length,
    lost: lost.length,
    lostByTimeline: [null, 1, 2]
      .map((timeline) => ({ timeline, lost: lost.filter((write) => write.timeline === timeline).length }))
      .filter((each) => each.lost > 0),
    indeterminateCommitted: whose('indeterminate').filter(present).length,
    indeterminateVanished: whose('indeterminate').filter((key) => !present(key)).length,
    phantoms: whose('rejected').filter(present).length + pairs.filter(([stream, seq]) => !intents.has(`${stream}/${seq}`)).length,
    duplicates: [...intents.keys()].reduce((sum, key) => sum + Math.max(0, (copies.get(key) ?? 0) - 1), 0),
    splitBrainWrites: acked.filter(
      ({ timeline, sent }) => timeline !== null && promotions(samples).some((p) => p.timeline > timeline && sent / 1e6 > p.at.highMs),
    ).length,
    holes: holes.length,
    lostSample: lost
      .map(({ stream, seq }) => ({ stream, seq }))
      .sort((a, b) => a.stream - b.stream || a.seq - b.seq)
      .slice(0, 20),
    rpoTimeMs: lost.length === 0 ? { lowMs: 0, highMs: 0 } : until(end.lowMs - oldest / 1e6, end.highMs - oldest / 1e6),
    recoveryPointAgeMs:
      t0 === null || before.length === 0
        ? null
        : until(
            end.lowMs - Math.max(...before.map(({ doneNs }) => doneNs)) / 1e6,
            end.highMs - Math.max(...before.map(({ sent }) => sent)) / 1e6,
          ),
  };
}

describe('comparison with a replica', () => {
  it('counts what is missing and what is extra, copies included', async () => {
    const pair = fc.tuple(fc.nat(2), fc.nat(6));
    const list = fc.array(pair, { maxLength: 30 });
    await fc.assert(
      fc.asyncProperty(list, list, fc.integer({ min: 1, max: 5 }), async (left, right, size) => {
        const sorted = (pairs: readonly Pair[]): Pair[] => pairs.toSorted(([a, b], [c, d]) => a - c || b - d);
        const over = (a: readonly Pair[], b: readonly Pair[]): number => {
          const rest = b.map(String);
          return a.filter((each) => !(rest.includes(String(each)) && rest.splice(rest.indexOf(String(each)), 1))).length;
        };
        expect(await compareReplica('n3', batchesOf(sorted(left), size), batchesOf(sorted(right), 3))).toEqual({
          node: 'n3',
          missing: over(left, right),
          extra: over(right, left),
        });
      }),
    );
  });

  it('refuses rows that are not sorted', async () => {
    await expect(compareReplica('n3', rows([1, 2]), rows([2, 1]))).rejects.toThrow(/n3 are not sorted: 0\/1 after 0\/2/);
  });
});

describe('restore comparison', () => {
  // Sent at 2,500 and acknowledged at 2,501 is seq 501; the damage runs from 2,500.5 to 2,520.5.
  const damage = { aboutToNs: String(2_500.5e6), doneNs: String(2_520.5e6) };
  const compare = (seqs: readonly number[], before: readonly number[] | null): ReturnType<typeof compareRestore> =>
    compareRestore({
      ledger: ledgerOf(history()),
      rows: rows(seqs),
      damage,
      commitsBefore: before === null ? null : new Set(before.map((seq) => String(1_000 + seq))),
      commitsAfter:
        before === null
          ? null
          : new Set([501, 502, 503, 504, 505].filter((seq) => !before.includes(seq)).map((seq) => String(1_000 + seq))),
    });

  it('settles concurrent writes by the order of commits in WAL', async () => {
    expect(await compare(all.slice(0, 503), [501, 502, 503])).toMatchObject({ ledgerBefore: 503, under: 0, over: 0, unsettled: 0 });
    expect(await compare(all.slice(0, 502), [501, 502, 503])).toMatchObject({
      under: 1,
      over: 0,
      sample: [{ stream: 0, seq: 503, finding: 'under' }],
    });
    expect(await compare(all.slice(0, 504), [501, 502, 503])).toMatchObject({
      under: 0,
      over: 1,
      sample: [{ stream: 0, seq: 504, finding: 'over' }],
    });
  });

  it('leaves them unsettled when that order is not known, and still finds what cannot be right', async () => {
    expect(await compare(all.slice(0, 502), null)).toMatchObject({ ledgerBefore: 500, under: 0, over: 0, unsettled: 5 });
    expect(await compare(all.slice(0, 490), null)).toMatchObject({ under: 10 });
    expect(await compare(all.slice(0, 510), null)).toMatchObject({ over: 5 });
  });

  it('asks WAL first: a receipt may have been stamped anew by a second attempt at the same damage', async () => {
    // WAL says that 480 came after the damage, though the receipt was stamped later; 506 was sent after it was done, and came before.
    const verdict = await compareRestore({
      ledger: ledgerOf(history()),
      rows: rows([...all.slice(0, 479), 506]),
      damage,
      commitsBefore: new Set([String(1_000 + 506 + 2 ** 32)]),
      commitsAfter: new Set(Array.from({ length: 26 }, (_, at) => String(1_000 + 480 + at))),
    });
    expect(verdict).toMatchObject({ ledgerBefore: 480, under: 0, over: 0, unsettled: 0 });
  });

  it('takes what no archived WAL holds for lost, where nothing lies behind the target: none of it may be there', async () => {
    const held = all.slice(0, 490);
    const bracket = { aboutToNs: damage.aboutToNs, doneNs: String(Number.MAX_SAFE_INTEGER) };
    const commitsBefore = new Set(held.map((seq) => String(1_000 + seq)));
    const compareEnd = (present: readonly number[], nothingBehind: boolean) =>
      compareRestore({
        ledger: ledgerOf(history()),
        rows: rows(present),
        damage: bracket,
        commitsBefore,
        commitsAfter: new Set(),
        nothingBehind,
      });
    // Acknowledged before the last archived write was sent, and not in WAL: that is a loss of the copy's own.
    expect(await compareEnd(held, true)).toMatchObject({ ledgerBefore: 500, under: 10, over: 0, unsettled: 0 });
    expect(await compareEnd(held, false)).toMatchObject({ under: 10, unsettled: 500 });
    expect(await compareEnd([...held, 600], true)).toMatchObject({ over: 1 });
  });

  it('finds rows that nobody attempted, inside and beyond the numbers of the ledger', async () => {
    const gap = history().filter((entry) => !('seq' in entry) || entry.seq !== 100);
    const found = await compareRestore({
      ledger: ledgerOf(gap),
      rows: rows([5_000, ...all.slice(0, 500), 100]),
      damage,
      commitsBefore: null,
      commitsAfter: null,
    });
    expect(found).toMatchObject({ ledgerBefore: 499, under: 0, over: 3 });
    expect(found.sample).toEqual([
      { stream: 0, seq: 100, finding: 'over' },
      { stream: 0, seq: 5_000, finding: 'over' },
    ]);
  });
});
