/** Where a restore landed: what each outcome demands of the restored server, on both sides of the damage. Losses planted in bulk stand in join.test.ts. */
import type { RowBatch } from './copy-out';
import { historyOf, type Fate } from './history.test-data';
import { ledgerOf } from './ledger-reader';
import { compareRestore } from './restore-compare';

const DAMAGE = { aboutToNs: String(2_500.5e6), doneNs: String(2_520.5e6) };
const ALL = Array.from({ length: 1_000 }, (_, at) => at + 1);
/** Due at this instant is the write with this number, if none before it was missed. */
const DUE = (seq: number): number => (seq - 1) * 5;

async function* rows(seqs: readonly number[]): AsyncIterable<RowBatch> {
  yield { count: seqs.length, streams: new Int32Array(seqs.length), seqs: Float64Array.from(seqs) };
}
const land = (
  failed: Readonly<Record<number, 'rejected' | 'indeterminate'>>,
  present: readonly number[],
): ReturnType<typeof compareRestore> => {
  const fate = (due: number): Fate => {
    const outcome = Object.entries(failed).find(([seq]) => DUE(Number(seq)) === due)?.[1];
    return outcome === undefined ? { latencyMs: 1 } : { failed: outcome, afterMs: 1 };
  };
  const ledger = ledgerOf(historyOf(4_995, fate));
  return compareRestore({ ledger, rows: rows(present), damage: DAMAGE, commitsBefore: null, commitsAfter: null });
};
const before = ALL.slice(0, 500);

describe('a restored server', () => {
  it('holds what was acknowledged before the damage', async () => {
    expect(await land({}, before)).toMatchObject({ ledgerBefore: 500, under: 0, over: 0 });
    expect(await land({}, before.slice(0, 498))).toMatchObject({ ledgerBefore: 500, under: 2, over: 0 });
  });

  it('may or may not hold what was in doubt before it', async () => {
    expect(await land({ 10: 'indeterminate' }, before)).toMatchObject({ ledgerBefore: 499, under: 0, over: 0 });
    expect(
      await land(
        { 10: 'indeterminate' },
        before.filter((seq) => seq !== 10),
      ),
    ).toMatchObject({ ledgerBefore: 499, under: 0, over: 0 });
  });

  it('holds nothing that the server had rejected', async () => {
    expect(await land({ 10: 'rejected' }, before)).toMatchObject({
      ledgerBefore: 499,
      under: 0,
      over: 1,
      sample: [{ seq: 10, finding: 'over' }],
    });
    expect(
      await land(
        { 10: 'rejected' },
        before.filter((seq) => seq !== 10),
      ),
    ).toMatchObject({ under: 0, over: 0 });
  });

  it('is told what it lacks of all that was acknowledged, and over how long a time', async () => {
    expect(await land({}, ALL)).toMatchObject({ lacking: { transactions: 0, ms: 0 } });
    expect(await land({}, ALL.slice(0, 900))).toMatchObject({ lacking: { transactions: 100, ms: 500 } });
    expect(await land({ 1_000: 'indeterminate' }, ALL.slice(0, 900))).toMatchObject({ lacking: { transactions: 99, ms: 495 } });
  });

  it('holds nothing that was sent after the damage was done, in doubt or not', async () => {
    expect(await land({ 600: 'indeterminate' }, [...before, 600])).toMatchObject({ over: 1 });
    expect(await land({}, [...before, 600])).toMatchObject({ over: 1 });
  });
});
