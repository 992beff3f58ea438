import { walPlan } from './native-source';

const to = (timeline: number) => ({ timeline, setting: 'recovery_target_lsn', value: '0/1' }) as const;

test('recovery on the first timeline needs its segments, and looks for the one behind, a later timeline, and its own history', () => {
  const [first, last] = ['000000010000000000000007', '000000010000000000000008'];
  expect(walPlan([first, last], to(1))).toEqual({
    needed: [first, last],
    besides: ['000000010000000000000009', '00000002.history', '00000001.history'],
    again: new Set([last, '00000001.history']),
  });
});

test('on a later one its history comes first, and the segment behind the last is that of the next log', () => {
  const [first, last] = ['000000010000000000000007', '0000000B00000000000000FF'];
  expect(walPlan([first, last], to(11))).toEqual({
    needed: ['0000000B.history', first, last],
    besides: ['0000000B0000000100000000', '0000000C.history'],
    again: new Set([last, '0000000B.history']),
  });
});

test('without segments there is nothing behind them', () => {
  expect(walPlan([], to(1))).toEqual({
    needed: [],
    besides: ['00000002.history', '00000001.history'],
    again: new Set(['00000001.history']),
  });
});

test('what lies behind the last segment is not settled beforehand where all of the archive is asked for, nor where the timeline begins behind it', () => {
  const last = '000000010000000000000008';
  const all = { timeline: 1, setting: 'recovery_target', value: 'latest' } as const;
  expect(walPlan([last], all).besides).toEqual(['00000002.history', '00000001.history']);
  expect(walPlan([last], to(2)).besides).toEqual(['00000003.history']);
});
