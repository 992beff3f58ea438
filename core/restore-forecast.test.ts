/** Forecasts of restore time: rates are medians, twice the size takes what twice the bytes take, and a date follows only from growth that was seen. */
import { expectRestore, forecastRestore, growthPerDay, restoreRates, type RestoreSample } from './restore-forecast';

const MB = 1e6;
const sample = (baseMbPerS: number, walMbPerS: number, at = '2026-11-01T00:00:00Z'): RestoreSample => ({
  at,
  locateMs: 500,
  baseMs: (1_000 / baseMbPerS) * 1_000,
  baseBytes: 1_000 * MB,
  replayMs: (200 / walMbPerS) * 1_000,
  walBytes: 200 * MB,
  promoteMs: 1_500,
});
const facts = {
  samples: [sample(100, 80)],
  baseBytes: 1_000 * MB,
  walBytes: 200 * MB,
  sizes: [],
  targetMs: 60_000,
  now: '2026-11-28T12:00:00Z',
};
const day = (n: number): string => new Date(Date.parse('2026-11-01T00:00:00Z') + n * 86_400_000).toISOString();

test('without a sample there is no forecast, and without a rate none for bytes that need it', () => {
  expect(forecastRestore({ ...facts, samples: [] })).toBeNull();
  const idle = restoreRates([{ ...sample(100, 80), walBytes: 0 }]);
  expect(idle).toMatchObject({ walBytesPerS: null });
  expect(expectRestore(idle!, 100 * MB, 1)).toBeNull();
  expect(expectRestore(idle!, 100 * MB, 0)?.total).toBe(500 + 1_000 + 1_500);
});

test('one slow restore among three moves nothing', () => {
  expect(restoreRates([sample(100, 80), sample(5, 2), sample(100, 80)])).toMatchObject({
    n: 3,
    baseBytesPerS: 100 * MB,
    walBytesPerS: 80 * MB,
  });
});

test('today and at twice the size', () => {
  const forecast = forecastRestore(facts);
  expect(forecast?.today).toEqual({ locate: 500, base: 10_000, replay: 2_500, promote: 1_500, total: 14_500 });
  expect(forecast?.doubled.total).toBe(500 + 20_000 + 5_000 + 1_500);
  expect(forecast?.dominating).toMatchObject({ phase: 'base', share: 10_000 / 14_500, advice: expect.stringContaining('process-max') });
});

test('replay far below what one process can do waits for WAL; else there is too much of it', () => {
  const slow = forecastRestore({ ...facts, samples: [sample(1_000, 20)] });
  expect(slow?.dominating).toMatchObject({ phase: 'replay', advice: expect.stringContaining('prefetch') });
  const busy = forecastRestore({ ...facts, samples: [sample(10_000, 90)] });
  expect(busy?.dominating).toMatchObject({ phase: 'replay', advice: expect.stringContaining('back up more often') });
});

test('the day on which the target is missed follows from growth', () => {
  const sizes = [0, 10, 20].map((n) => ({ at: day(n), bytes: (1_000 + 50 * n) * MB }));
  expect(growthPerDay(sizes)).toBeCloseTo(50 * MB, 0);
  // 45.5 s are left, at 100 MB/s 4550 MB, at 50 MB a day 91 days.
  expect(forecastRestore({ ...facts, sizes })).toMatchObject({ missedOn: '2027-02-27' });
  expect(forecastRestore({ ...facts, sizes, targetMs: 14_000 })).toMatchObject({
    missedOn: '2026-11-28',
    why: 'the target is missed already',
  });
});

test.each([
  ['no target', { targetMs: null }, 'no target'],
  ['no growth known', { sizes: [{ at: day(0), bytes: 1 }] }, 'less than a day'],
  ['backups of one hour', { sizes: [0, 1 / 24].map((n) => ({ at: day(n), bytes: 1 + n })) }, 'less than a day'],
  ['it shrinks', { sizes: [0, 10].map((n) => ({ at: day(n), bytes: 1_000 - n })) }, 'does not grow'],
  ['it grows too slowly', { sizes: [0, 10].map((n) => ({ at: day(n), bytes: 1_000 + n })) }, 'ten years'],
])('%s: no day is named, and why', (_what, change, why) => {
  expect(forecastRestore({ ...facts, ...change })).toMatchObject({ missedOn: null, why: expect.stringContaining(why) });
});
