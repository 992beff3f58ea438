/** The join on planted losses: found exactly, no more, no fewer; and where a restore landed. */
import type { RpoMeasurement } from '../model/measurement';
import { historyOf, PERIOD_MS, sampleAt, type Fate } from './history.test-data';
import { joinLedger, type SurvivingRow } from './join';
import type { Entry } from './ledger-format';
import { ledgerOf } from './ledger-reader';
import { compareRestore } from './restore-compare';

const WRITES = 1_000;
const history = (fate: (due: number) => Fate = () => ({ latencyMs: 1 }), more: readonly Entry[] = []): Entry[] =>
  historyOf((WRITES - 1) * PERIOD_MS, fate, { more });
async function* rows(seqs: readonly number[]): AsyncIterable<SurvivingRow> {
  for (const seq of seqs) yield { stream: 0, seq: String(seq) };
}
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

  it('counts writes that the old timeline acknowledged after the new primary stood', async () => {
    const more = [sampleAt('n1', 100, 'primary', 1), sampleAt('n2', 100, 'standby', 1), sampleAt('n2', 3_999, 'primary', 2)];
    expect((await join(all, history(undefined, more))).splitBrainWrites).toBe(199);
  });

  it('states zero with its resolution', async () => {
    expect((await join(all)).statement).toBe(
      '0 of 1,000 acknowledged writes lost; 95 % bound on the rate: 0.30 %; synchronous_commit = on',
    );
  });

  it('refuses rows that are not sorted', async () => {
    await expect(join([2, 1])).rejects.toThrow(/not sorted/);
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
});
