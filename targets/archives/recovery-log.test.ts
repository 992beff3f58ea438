import { findRecoveryStop, findStopOf, lastReplayedTime, logExcerpt } from './recovery-log';

const line = (text: string): string => `2026-11-23 05:00:00.000 UTC [42] ${text}\n`;

test('every kind of stop is read', () => {
  expect(findRecoveryStop(line('LOG:  recovery stopping before commit of transaction 742, time 2026-11-23 04:30:00.123456+00'))).toEqual({
    line: 'recovery stopping before commit of transaction 742, time 2026-11-23 04:30:00.123456+00',
    side: 'before',
    xid: '742',
    lsn: null,
    time: '2026-11-23 04:30:00.123456+00',
    name: null,
  });
  expect(findRecoveryStop(line('LOG:  recovery stopping after abort of transaction 7, time 2026-11-23 04:30:00+00'))).toMatchObject({
    side: 'after',
    xid: '7',
  });
  expect(findRecoveryStop(line('LOG:  recovery stopping after WAL location (LSN) "0/3000148"'))).toMatchObject({
    side: 'after',
    lsn: '0/3000148',
    xid: null,
  });
  expect(findRecoveryStop(line('LOG:  recovery stopping at restore point "before_release", time 2026-11-23 04:30:00+00'))).toMatchObject({
    side: 'after',
    name: 'before_release',
  });
});

test('without a target recovery ends where WAL does; with one that is no stop', () => {
  const log = line('LOG:  redo done at 0/5000148 system usage: CPU: user: 0.00 s, system: 0.00 s, elapsed: 0.10 s');
  expect(findStopOf({ setting: 'recovery_target', value: 'latest' }, log)).toMatchObject({
    line: 'redo done at 0/5000148',
    lsn: '0/5000148',
  });
  expect(findStopOf({ setting: 'recovery_target', value: 'latest' }, line('LOG:  redo starts at 0/2000028'))).toBeNull();
  expect(findStopOf({ setting: 'recovery_target', value: 'immediate' }, log)).toBeNull();
});

test('a log without a stop has none, whatever else it says', () => {
  expect(findRecoveryStop(line('LOG:  database system is ready to accept connections'))).toBeNull();
  expect(lastReplayedTime(line('LOG:  last completed transaction was at log time 2026-11-23 04:30:00+00'))).toBe('2026-11-23 04:30:00+00');
});

test('an excerpt shows the cause and none of the data', () => {
  const log =
    line('ERROR:  duplicate key value violates unique constraint "people_pkey"') +
    line('DETAIL:  Key (name)=(Ada) already exists.') +
    line("STATEMENT:  insert into people values ('Ada')") +
    line("FATAL:  could not read 'Ada''s file'") +
    line('ERROR:  the customer Ada Lovelace is not known') +
    line('FATAL:  requested timeline is in "00000002.history"');
  const excerpt = logExcerpt(log, 8);
  expect(excerpt).not.toContain('Ada');
  expect(excerpt).not.toContain('people');
  expect(excerpt).toContain("could not read '…'");
  expect(excerpt).toContain('"00000002.history"');
});
