import { lagAdvice, readSegmentSettings } from './patroni-lag';

const MB = 1024 ** 2;
const MINUTELY = { segmentBytes: 16 * MB, archiveTimeoutMs: 60_000 };

test('Patroni’s default is less than a segment: what may happen, and the line to set', () => {
  expect(lagAdvice({ ttl: 30 }, MINUTELY)).toEqual({
    name: 'a standby stays a candidate when a WAL segment ends early',
    found:
      'maximum_lag_on_failover is 1.0 MB, Patroni’s default; a WAL segment is 16.0 MB: a primary that is cut off while archive_timeout (60 s) ends its segment ' +
      'seems up to 16.0 MB ahead: no standby is a candidate then, and nobody is promoted until it is back',
    expected: '≥ 16.0 MB',
    remedy:
      '`patronictl edit-config --set maximum_lag_on_failover=67108864` (4 segments); under asynchronous replication a standby that truly lacks as much may be promoted then',
  });
});

test('without archive_timeout a backup ends a segment early', () => {
  const { found, remedy } = lagAdvice({ maximum_lag_on_failover: 16 * MB }, { segmentBytes: 64 * MB, archiveTimeoutMs: 0 });
  expect(found).toMatch(
    /^maximum_lag_on_failover is 16\.0 MB; a WAL segment is 64\.0 MB: .* while a base backup or pg_switch_wal\(\) ends its segment/,
  );
  expect(remedy).toContain('maximum_lag_on_failover=268435456');
});

test('a whole segment is enough', () => {
  expect(lagAdvice({ maximum_lag_on_failover: 16 * MB }, MINUTELY)).toMatchObject({
    found: 'maximum_lag_on_failover is 16.0 MB; a WAL segment is 16.0 MB',
    remedy: null,
  });
});

test('the server tells a segment in bytes and archive_timeout in seconds', () => {
  const rows = [
    { name: 'archive_timeout', setting: '60' },
    { name: 'wal_segment_size', setting: '16777216' },
  ];
  expect(readSegmentSettings(rows)).toEqual(MINUTELY);
});
