/** Where the minutes went: observed boundaries cut the span, others merge; what is cut adds up to the whole. */
import fc from 'fast-check';
import type { Interval } from '../model/measurement';
import type { ReceiptName } from './contract';
import type { ControllerEntry, ReceiptEntry } from './ledger-format';
import type { Promotion } from './nodes';
import { segmentsOf } from './segments';

const T0 = { lowMs: 1_000, highMs: 1_006 };
const T_REC = { lowMs: 5_000, highMs: 5_010 };
const receipt = (name: ReceiptName, phase: ReceiptEntry['phase'], ms: number): ReceiptEntry => ({
  kind: 'receipt',
  atNs: ms * 1e6,
  name,
  phase,
  subject: 'n2',
  facts: {},
});
const both = (name: ReceiptName, lowMs: number, highMs: number): ReceiptEntry[] => [
  receipt(name, 'about-to', lowMs),
  receipt(name, 'done', highMs),
];
const cut = (receipts: readonly ReceiptEntry[], promotions: readonly Promotion[] = []) => segmentsOf(T0, T_REC, receipts, promotions);
const names = (receipts: readonly ReceiptEntry[], promotions: readonly Promotion[] = []): string[] =>
  cut(receipts, promotions).map(({ name }) => name);
const WHOLE = 'detection+decision+promotion+routing+client recovery';
const seen = (lowMs: number, highMs: number): Promotion => ({ node: 'n2', timeline: 2, at: { lowMs, highMs } });

describe('segments', () => {
  it('are one when nothing was observed between', () => {
    expect(cut([])).toEqual([{ name: WHOLE, from: T0, to: T_REC, ms: { lowMs: 3_994, highMs: 4_010 } }]);
  });

  it('are five when everything was', () => {
    const all = [
      ...both('detect', 2_000, 2_001),
      ...both('decide', 2_100, 2_101),
      ...both('promote', 3_000, 3_001),
      ...both('route', 4_000, 4_001),
    ];
    expect(cut(all).map(({ name, ms }) => [name, ms.lowMs, ms.highMs])).toEqual([
      ['detection', 994, 1_001],
      ['decision', 99, 101],
      ['promotion', 899, 901],
      ['routing', 999, 1_001],
      ['client recovery', 999, 1_010],
    ]);
  });

  it('do not cut where only the intent is known, and cut anywhere since t0 where only the end is', () => {
    expect(names([receipt('detect', 'about-to', 2_000)])).toEqual([WHOLE]);
    expect(cut([receipt('detect', 'done', 2_000)])[0]?.to).toEqual({ lowMs: 1_000, highMs: 2_000 });
  });

  it('take the first intent of a receipt that was tried again: it may have come about then', () => {
    const again = [receipt('detect', 'about-to', 1_500), receipt('detect', 'about-to', 1_900), receipt('detect', 'done', 2_000)];
    expect(cut([...again, receipt('detect', 'about-to', 2_500)])[0]?.to).toEqual({ lowMs: 1_500, highMs: 2_000 });
  });

  it('hold what was watched for from the last look in vain to the one that saw it', () => {
    const looks = [1_500, 1_700, 1_900].map((ms) => receipt('route', 'looking', ms));
    const to = (seen: readonly ReceiptEntry[]) => cut(seen)[0]?.to;
    expect(to([...looks, receipt('route', 'done', 1_950)])).toEqual({ lowMs: 1_700, highMs: 1_950 });
    expect(to([receipt('route', 'looking', 1_900), receipt('route', 'done', 1_950)])).toEqual({ lowMs: 1_000, highMs: 1_950 });
    // A look after the end, for another failover, is none of this one's.
    expect(to([...looks, receipt('route', 'done', 1_950), receipt('route', 'looking', 2_100)])).toEqual({ lowMs: 1_700, highMs: 1_950 });
  });

  it('ignore receipts of another outage, before t0 or after t_rec', () => {
    expect(names([...both('detect', 500, 600), ...both('route', 5_011, 5_012)])).toEqual([WHOLE]);
    expect(cut([...both('detect', 1_000, 1_000)])[0]?.to).toEqual({ lowMs: 1_000, highMs: 1_000 });
    expect(cut([...both('route', 5_010, 5_010)])[0]?.to).toEqual({ lowMs: 5_010, highMs: 5_010 });
  });

  it('find the receipt of this outage behind that of another', () => {
    expect(cut([...both('detect', 500, 600), ...both('detect', 2_000, 2_001)])[0]?.to).toEqual({ lowMs: 2_000, highMs: 2_001 });
  });

  it('tell two segments as one when their boundaries are out of order', () => {
    expect(names([...both('detect', 3_000, 3_001), ...both('decide', 2_000, 2_001)])).toEqual([
      'detection',
      WHOLE.slice('detection+'.length),
    ]);
  });

  it('narrow a promotion by what the sampler saw of it, and believe the sampler where both exclude each other', () => {
    expect(cut(both('promote', 3_000, 3_100), [seen(3_050, 3_200)])[0]?.to).toEqual({ lowMs: 3_050, highMs: 3_100 });
    expect(cut(both('promote', 3_000, 3_100), [seen(2_900, 3_050)])[0]?.to).toEqual({ lowMs: 3_000, highMs: 3_050 });
    expect(cut(both('promote', 3_000, 3_100), [seen(3_100, 3_300)])[0]?.to).toEqual({ lowMs: 3_100, highMs: 3_100 });
    expect(cut(both('promote', 3_000, 3_100), [seen(3_150, 3_300)])[0]?.to).toEqual({ lowMs: 3_150, highMs: 3_300 });
    expect(cut([], [seen(3_150, 3_300)])[0]).toMatchObject({ name: 'detection+decision+promotion', to: { lowMs: 3_150, highMs: 3_300 } });
  });

  it('leave out a promotion that ended before the outage or began after it', () => {
    expect(names([], [seen(900, 999)])).toEqual([WHOLE]);
    expect(names([], [seen(5_011, 5_100)])).toEqual([WHOLE]);
    expect(names([], [seen(900, 999), seen(3_000, 3_100)])).toHaveLength(2);
    expect(names([], [seen(900, 1_000)])).toHaveLength(2);
    expect(names([], [seen(5_010, 5_100)])).toHaveLength(2);
  });

  it('always reach from t0 to t_rec, end to end, and contain what truly happened between', () => {
    const instants = fc
      .uniqueArray(fc.integer({ min: 1_010, max: 4_990 }), { minLength: 4, maxLength: 4 })
      .map((all) => all.sort((a, b) => a - b));
    const slack = fc.tuple(fc.integer({ min: 0, max: 400 }), fc.integer({ min: 0, max: 400 }), fc.boolean());
    const all = ['detect', 'decide', 'promote', 'route'] as const;
    fc.assert(
      fc.property(
        instants,
        fc.array(slack, { minLength: 4, maxLength: 4 }),
        fc.integer({ min: 1_000, max: 1_006 }),
        (truth, slacks, t0Ms) => {
          const receipts = all.flatMap((name, at) => {
            const [before, after, observed] = slacks[at]!;
            return observed ? both(name, truth[at]! - before, truth[at]! + after) : [];
          });
          const segments = cut(receipts);
          expect(segments[0]?.from).toEqual(T0);
          expect(segments.at(-1)?.to).toEqual(T_REC);
          expect(segments.map(({ name }) => name).join('+')).toBe(WHOLE);
          for (const [at, segment] of segments.entries()) if (at > 0) expect(segment.from).toEqual(segments[at - 1]?.to);
          // The truth: t0, the four boundaries, t_rec. A segment that ends with the k-th name ends at the k-th boundary.
          const ends = [t0Ms, ...truth, 5_005];
          let done = 0;
          for (const { name, ms } of segments) {
            const begun = done;
            done += name.split('+').length;
            expect(contains(ms, ends[done]! - ends[begun]!)).toBe(true);
          }
        },
      ),
    );
  });

  it('of a controller that acts by itself begin and end with what it said, ten times a second', () => {
    const said = (ms: number, primary: string | null, error: string | null = null): ControllerEntry => ({
      kind: 'controller',
      askedNs: ms * 1e6,
      answeredNs: (ms + 5) * 1e6,
      primary,
      error,
    });
    const view = [
      said(900, 'n1'),
      said(1_900, 'n1'),
      said(2_000, null),
      said(2_100, null, 'no answer'),
      said(2_900, null),
      said(3_000, 'n2'),
    ];
    const segments = segmentsOf(T0, T_REC, [], [seen(3_500, 3_510)], view);
    expect(segments.map(({ name, to }) => [name, to.lowMs, to.highMs])).toEqual([
      ['detection', 1_900, 2_005],
      ['decision', 2_900, 3_005],
      ['promotion', 3_500, 3_510],
      ['routing+client recovery', 5_000, 5_010],
    ]);
    // Logs of its agents narrow that, and stand alone where it did not answer.
    const logged = { detect: { lowMs: 1_000, highMs: 1_950 }, decide: { lowMs: 2_950, highMs: 9_000 } };
    expect(segmentsOf(T0, T_REC, [], [], view, logged).map(({ to }) => [to.lowMs, to.highMs])).toEqual([
      [1_900, 1_950],
      [2_950, 3_005],
      [5_000, 5_010],
    ]);
    expect(segmentsOf(T0, T_REC, [], [], [], logged)[0]).toMatchObject({ name: 'detection', to: logged.detect });
    // Who is named by nobody is replaced by nobody: an outage in which the controller kept its primary has no such instants.
    expect(segmentsOf(T0, T_REC, [], [], [said(900, 'n1'), said(1_900, 'n1'), said(4_000, 'n1')]).map(({ name }) => name)).toEqual([WHOLE]);
  });
});

function contains({ lowMs, highMs }: Interval, ms: number): boolean {
  return lowMs <= ms && ms <= highMs;
}
