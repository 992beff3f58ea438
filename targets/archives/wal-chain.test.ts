import { parseLsn } from '../../core/lsn';
import { ancestry, liesOn, timelineAt, walPath } from './wal-chain';

const history = '1\t0/5000100\tno recovery target specified\n\n2\t0/7000000\tbefore 2026-11-23\n';
const spans = ancestry(3, history);
const lsn = parseLsn;
const seg = (timeline: number, n: number): string => `0000000${timeline}00000000${n.toString(16).toUpperCase().padStart(8, '0')}`;

test('a history file becomes spans, oldest first', () => {
  expect(spans).toEqual([
    { timeline: 1, begin: 0n, end: lsn('0/5000100') },
    { timeline: 2, begin: lsn('0/5000100'), end: lsn('0/7000000') },
    { timeline: 3, begin: lsn('0/7000000'), end: null },
  ]);
  expect(ancestry(1, '')).toEqual([{ timeline: 1, begin: 0n, end: null }]);
  expect([timelineAt(spans, lsn('0/5000100')), timelineAt(spans, lsn('0/5000101')), timelineAt(spans, lsn('0/9000000'))]).toEqual([
    1, 2, 3,
  ]);
});

test('a backup counts only while its timeline was ours', () => {
  expect(liesOn(spans, 1, lsn('0/4000000'))).toBe(true);
  expect(liesOn(spans, 1, lsn('0/6000000'))).toBe(false);
  expect(liesOn(spans, 4, lsn('0/4000000'))).toBe(false);
});

test('the path takes the newer timeline where a segment has two names', () => {
  const have = new Set([seg(1, 3), seg(1, 4), seg(1, 5), seg(2, 5), seg(2, 6), seg(3, 7), seg(3, 8)]);
  expect(walPath(spans, lsn('0/3000028'), lsn('0/8000010'), (name) => have.has(name))).toEqual({
    segments: [seg(1, 3), seg(1, 4), seg(2, 5), seg(2, 6), seg(3, 7), seg(3, 8)],
    missing: null,
  });
});

test('the older half of a switched segment serves only a target before the switch', () => {
  const have = new Set([seg(1, 3), seg(1, 4), seg(1, 5)]);
  expect(walPath(spans, lsn('0/3000028'), lsn('0/5000100'), (name) => have.has(name)).missing).toBeNull();
  expect(walPath(spans, lsn('0/3000028'), lsn('0/5000101'), (name) => have.has(name)).missing).toBe(seg(2, 5));
});

test('the first hole is named', () => {
  const have = new Set([seg(1, 3), seg(2, 5), seg(2, 6)]);
  expect(walPath(spans, lsn('0/3000028'), lsn('0/6000010'), (name) => have.has(name))).toEqual({
    segments: [seg(1, 3)],
    missing: seg(1, 4),
  });
});
