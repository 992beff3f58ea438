import { formatLsn, parseLsn } from '../../core/lsn';
import { ancestry } from '../archives/wal-chain';
import { endsBefore, forkPoint, parseWalEnd, walEndOf } from './standalone-salvage';
import { mostAdvanced } from './standalone-failover';

const current = ancestry(3, '1\t0/4023F28\tno recovery target specified\n\n2\t0/5000060\tno recovery target specified\n');
const first = ancestry(1, '');
const fork = (node: ReturnType<typeof ancestry>): string | null => {
  const lsn = forkPoint(node, current);
  return lsn === null ? null : formatLsn(lsn);
};

test('a node on an ancestor timeline forks where the current history left that timeline', () => {
  expect(fork(first)).toBe('0/4023F28');
  expect(fork(ancestry(2, '1\t0/4023F28\tx\n'))).toBe('0/5000060');
});

test('a node on the current timeline does not fork', () => {
  expect(fork(current)).toBeNull();
});

test('a node that was promoted on its own forks where the earlier of both left the common timeline', () => {
  expect(fork(ancestry(2, '1\t0/4023000\tx\n'))).toBe('0/4023000');
  expect(fork(ancestry(2, '1\t0/4099999\tx\n'))).toBe('0/4023F28');
});

test('the end of valid WAL is where the next record should have been', () => {
  const message = 'pg_waldump: error: error in WAL record at 0/40752F8: invalid record length at 0/4075330: wanted 24, got 0';
  expect(parseWalEnd(message, parseLsn('0/4023F58'))).toBe(parseLsn('0/4075330'));
});

test('no record after the fork means nothing diverged', () => {
  expect(parseWalEnd('pg_waldump: error: could not find a valid record after 0/4023F58', parseLsn('0/4023F58'))).toBeNull();
});

test('an end of WAL that cannot be told is an error, never nothing', () => {
  const messages = ['', 'pg_waldump: error: could not find file "000000010000000000000004": No such file or directory', 'Killed'];
  for (const message of messages) expect(() => parseWalEnd(message, parseLsn('0/4023F58'))).toThrow(/the end of WAL cannot be told/);
});

test('the most advanced standby has the highest timeline, then the highest position; a tie goes to the first', () => {
  const at = (node: string, timeline: number, lsn: string): { node: string; timeline: number; lsn: string } => ({ node, timeline, lsn });
  expect(mostAdvanced([at('n2', 1, '0/9000000'), at('n3', 1, '0/10000000')])).toBe('n3');
  expect(mostAdvanced([at('n2', 2, '0/9000000'), at('n3', 1, '0/10000000')])).toBe('n2');
  expect(mostAdvanced([at('n2', 1, '0/9000000'), at('n3', 1, '0/9000000')])).toBe('n2');
  expect(mostAdvanced([])).toBeNull();
});

test.each([
  ['the segment before is the last one', '0/4000000', ['000000010000000000000002', '000000010000000000000003'], true],
  ['the next one was begun', '0/4000000', ['000000010000000000000003', '000000010000000000000004'], false],
  ['one further on was made ahead', '0/4000000', ['000000010000000000000003', '000000010000000000000006'], false],
  ['the segment before is gone as well', '0/4000000', ['000000010000000000000002'], false],
  ['only another timeline has it', '0/4000000', ['000000020000000000000003'], false],
  ['it lies within a segment', '0/4000028', ['000000010000000000000003'], false],
])('a fork at a segment’s end, and %s', (_, from, names, nothing) => {
  expect(endsBefore(parseLsn(from), 1, names)).toBe(nothing);
});

const missing = 'pg_waldump: error: could not find file "000000020000000000000009": No such file or directory';

test('WAL that was switched to a segment that nobody began ends with the one before', () => {
  const end = walEndOf(missing, parseLsn('0/80000A0'), 2, ['000000010000000000000008', '000000020000000000000008']);
  expect(end).toBe(parseLsn('0/9000000'));
});

test('a segment that is missing while a later one is there is unreadable WAL, not its end', () => {
  const names = ['000000020000000000000008', '00000002000000000000000A'];
  expect(() => walEndOf(missing, parseLsn('0/80000A0'), 2, names)).toThrow(/the end of WAL cannot be told/);
});
