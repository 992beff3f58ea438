/** One line about a restore, out of what heartbeats carry. */
import { readTold, RestoreMeter, type RestoreTold } from './restore-meter';

const MB = 1024 ** 2;
const of = { baseBytes: 400 * MB, walBytes: 640 * MB, segments: 40 };
const told = (over: Partial<RestoreTold>): RestoreTold => ({
  step: 'pitr',
  phase: 'base',
  bytes: 0,
  segments: 0,
  of,
  check: null,
  ...over,
});

test('bytes of bytes, pace and time left of the base; nothing is promised before there is a pace', () => {
  const meter = new RestoreMeter();
  expect(meter.line(told({ phase: 'locate', of: null }), 0)).toBe('pitr: looking for backup and WAL');
  expect(meter.line(told({ bytes: 100 * MB }), 1_000)).toBe('pitr: base 100.0 MB of 400.0 MB');
  expect(meter.line(told({ bytes: 200 * MB }), 3_000)).toBe('pitr: base 200.0 MB of 400.0 MB, 50.0 MB/s, about 4.00 s left');
});

test('the pace of replay is its own, and counts segments', () => {
  const meter = new RestoreMeter();
  meter.line(told({ bytes: 1 }), 0);
  expect(meter.line(told({ phase: 'replay', segments: 4 }), 10_000)).toBe('pitr: replay, segment 4 of 40');
  expect(meter.line(told({ phase: 'replay', segments: 10 }), 12_000)).toBe('pitr: replay, segment 10 of 40, about 10.0 s left');
  expect(meter.line(told({ phase: 'replay', segments: 40 }), 22_000)).toBe('pitr: replay, segment 40 of 40');
  expect(meter.line(told({ phase: 'promote' }), 22_100)).toBe('pitr: promoting the copy');
  expect(meter.line(told({ phase: 'checks', check: 'pg_amcheck' }), 22_200)).toBe('pitr: checking the copy: pg_amcheck');
});

test('more than was estimated is shown as it is, without a time', () => {
  const meter = new RestoreMeter();
  meter.line(told({ bytes: 300 * MB }), 0);
  expect(meter.line(told({ bytes: 500 * MB }), 2_000)).toBe('pitr: base 500.0 MB of 400.0 MB, 100.0 MB/s');
});

test.each([null, undefined, 7, 'x', {}, { step: 'pitr' }, { phase: 'base' }])('%j is no progress of a restore', (value) => {
  expect(readTold(value)).toBeNull();
});

test('what another version reports is read as far as it goes', () => {
  expect(readTold({ step: 'pitr', phase: 'base', bytes: 'many' })).toEqual(told({ of: null }));
  expect(readTold({ step: 'pitr', phase: 'base', bytes: 3, segments: 1, of: { baseBytes: 5 } })).toMatchObject({
    bytes: 3,
    of: { baseBytes: 5, walBytes: 0, segments: 0 },
  });
});
