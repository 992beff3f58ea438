import type { LedgerJudgement } from './contract';
import { rebuildsOf } from './rebuilds';

type Receipts = LedgerJudgement['receipts'];
const stamps = (step: string, ...phases: readonly (readonly [Receipts[number]['phase'], number])[]): Receipts =>
  phases.map(([phase, atMs]) => ({ name: 'rebuild', phase, subject: step, atMs }));

test('it lies between the look before the one that saw it stream, and the receipt that it does', () => {
  const receipts = stamps('a', ['about-to', 1_000], ['looking', 5_000], ['looking', 5_100], ['looking', 5_200], ['done', 5_230]);
  expect(rebuildsOf(receipts)).toEqual([{ step: 'a', lowMs: 4_100, highMs: 4_230 }]);
});

test('seen at the first look, it may have streamed ever since the order', () => {
  const receipts = stamps('a', ['about-to', 1_000], ['looking', 5_000], ['done', 5_020]);
  expect(rebuildsOf(receipts)).toEqual([{ step: 'a', lowMs: 0, highMs: 4_020 }]);
});

test('what never streamed took at least until the last look that was answered', () => {
  const receipts = stamps('a', ['about-to', 1_000], ['looking', 5_000], ['looking', 61_000], ['looking', 61_050]);
  expect(rebuildsOf(receipts)).toEqual([{ step: 'a', lowMs: 60_000, highMs: null }]);
});

test('a look that nobody answered says nothing: it may have streamed by then', () => {
  const lost = [
    ['looking', 39_000],
    ['about-to', 41_000],
    ['looking', 75_000],
    ['done', 75_040],
  ] as const;
  expect(rebuildsOf(stamps('a', ['about-to', 1_000], ['looking', 5_000], ...lost))).toEqual([{ step: 'a', lowMs: 4_000, highMs: 74_040 }]);
});

test('a worker’s death repeats the order, and the first one counts; steps are told apart', () => {
  const receipts = [
    ...stamps('a', ['about-to', 1_000], ['about-to', 9_000], ['looking', 12_000], ['looking', 12_100], ['done', 12_150]),
    ...stamps('b', ['about-to', 20_000]),
    { name: 'redundant' as const, phase: 'about-to' as const, subject: 'target', atMs: 1 },
  ];
  expect(rebuildsOf(receipts)).toEqual([
    { step: 'a', lowMs: 11_000, highMs: 11_150 },
    { step: 'b', lowMs: 0, highMs: null },
  ]);
});
