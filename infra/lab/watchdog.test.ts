import { fed, UNARMED } from './watchdog';

test('a setting arms it for that long, each byte feeds it anew, and the magic close takes it off', () => {
  const armed = fed(UNARMED, 'Ctimeout=15\n', 1_000);
  expect(armed).toEqual({ timeoutMs: 15_000, dueMs: 16_000, pending: '' });
  const later = fed(armed, '1', 9_000);
  expect(later.dueMs).toBe(24_000);
  expect(fed(later, '11', 10_000).dueMs).toBe(25_000);
  expect(fed(later, 'V', 11_000)).toEqual({ timeoutMs: 15_000, dueMs: null, pending: '' });
});

test('a setting that arrives in pieces counts once it is whole, and nonsense in its place changes no time', () => {
  const half = fed(UNARMED, 'Ctime', 0);
  expect(half.dueMs).toBeNull();
  expect(fed(half, 'out=20\n1', 500)).toEqual({ timeoutMs: 20_000, dueMs: 20_500, pending: '' });
  expect(fed(UNARMED, 'Ctimeout=none\n', 0)).toEqual({ timeoutMs: 60_000, dueMs: 60_000, pending: '' });
});

test('what was taken off is armed again by the next byte', () => {
  expect(fed(fed(UNARMED, '1V', 0), '1', 5_000).dueMs).toBe(65_000);
});
