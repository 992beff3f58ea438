/** Which commits had to be there, by the rules of recovery: at and around the target, at page boundaries, and where WAL does not tell. */
import { commitsDemanded, microsOf, type Commit } from './restore-boundary';

const commit = (xid: number, lsn: string, micros: number): Commit => ({
  xid: String(xid),
  lsn,
  time: `2026-11-23 04:30:00.${String(micros).padStart(6, '0')} UTC`,
});
const COMMITS = [
  commit(742, '0/3000148', 100),
  commit(745, '0/3000198', 200),
  commit(743, '0/3002018', 200),
  commit(746, '0/4000028', 300),
];

test.each([
  ['xid, included', { kind: 'xid', xid: '745', inclusive: true }, 2],
  ['xid, excluded', { kind: 'xid', xid: '745', inclusive: false }, 1],
  ['xid of a later epoch', { kind: 'xid', xid: String(2n ** 32n + 743n), inclusive: false }, 2],
  ['xid that did not commit', { kind: 'xid', xid: '999', inclusive: true }, null],
  ['position of a commit, included', { kind: 'lsn', lsn: '0/3000198', inclusive: true }, 2],
  ['position of a commit, excluded', { kind: 'lsn', lsn: '0/3000198', inclusive: false }, 1],
  ['start of a page, whose first record is a commit', { kind: 'lsn', lsn: '0/3002000', inclusive: true }, 3],
  ['start of a segment, whose first record is a commit', { kind: 'lsn', lsn: '0/4000000', inclusive: true }, 4],
  ['start of a segment, excluded', { kind: 'lsn', lsn: '0/4000000', inclusive: false }, 3],
  ['end of a restore point', { kind: 'end', lsn: '0/3000198' }, 1],
  ['time of two commits', { kind: 'time', time: '2026-11-23T04:30:00.000200Z' }, 3],
  ['time just before them', { kind: 'time', time: '2026-11-23T05:30:00.000199+01:00' }, 1],
  ['time with no commit behind it', { kind: 'time', time: '2026-11-23T04:30:01Z' }, null],
] as const)('%s', (_what, boundary, demanded) => {
  expect(commitsDemanded(boundary, COMMITS)).toBe(demanded);
});

test('a commit before the time that WAL has after a later one is not replayed, because recovery has stopped', () => {
  const disordered = [commit(1, '0/100', 100), commit(2, '0/200', 300), commit(3, '0/300', 200)];
  expect(commitsDemanded({ kind: 'time', time: '2026-11-23T04:30:00.000250Z' }, disordered)).toBe(1);
});

test('times keep their microseconds in every notation', () => {
  const same = [
    '2026-11-23 04:30:00.123456 UTC',
    '2026-11-23T04:30:00.123456Z',
    '2026-11-23 06:00:00.123456+01:30',
    '2026-11-23 05:30:00.123456+01',
  ];
  expect(new Set(same.map(microsOf)).size).toBe(1);
  expect(microsOf('2026-11-23 04:30:00 UTC')).toBe(BigInt(Date.parse('2026-11-23T04:30:00Z')) * 1_000n);
  expect(microsOf('yesterday')).toBeNull();
});
