/** Output of barman-cloud-backup-list 3.4, as printed, and of its `backup.info`. */
import { readBackupList } from './barman-cloud-list';
import { barmanTime, barmanWalKey, barmanWalOf, parseBackupInfo } from './barman-layout';

const one = (over: object): object => ({
  backup_id: '20261128T101500',
  status: 'DONE',
  timeline: 1,
  begin_xlog: '0/3000028',
  end_xlog: '0/3000138',
  begin_wal: '000000010000000000000003',
  end_time: 'Sat Nov 28 10:15:09 2026',
  tablespaces: [['elsewhere', 16384, '/srv/spc']],
  ...over,
});
const list = (...backups: object[]): string => JSON.stringify({ backups_list: backups });

test('backups that ended well are read, oldest first, with their tablespaces', () => {
  const { backups, unusable } = readBackupList(list(one({ backup_id: '20261129T000000' }), one({ tablespaces: null })));
  expect(unusable).toEqual([]);
  expect(backups).toEqual([
    {
      id: '20261128T101500',
      timeline: 1,
      startLsn: '0/3000028',
      stopLsn: '0/3000138',
      startWal: '000000010000000000000003',
      tablespaces: [],
    },
    expect.objectContaining({ id: '20261129T000000', tablespaces: [{ name: 'elsewhere', oid: 16384 }] }),
  ]);
});

test.each([
  [{ status: 'FAILED' }, 'is FAILED'],
  [{ status: null }, 'is without a status'],
  [{ snapshots_info: { provider: 'gcp' } }, 'is made of volume snapshots'],
  [{ end_xlog: null }, 'states no position'],
])('one that cannot be restored is left out, with its reason: %j', (over, reason) => {
  expect(readBackupList(list(one(over)))).toEqual({ backups: [], unusable: [`20261128T101500 ${reason}`] });
});

test.each(['Traceback (most recent call last)', '{}', '[]'])('what is no list is an error: %s', (text) => {
  expect(() => readBackupList(text)).toThrow(/barman-cloud-backup-list printed no/);
});

test('the time of a backup keeps its zone, which the list has lost', () => {
  const info = parseBackupInfo('backup_label=None\nend_time=2026-11-28 12:15:09.123456+02:00\nstatus=DONE\n');
  expect(barmanTime(info.get('end_time'))).toBe('2026-11-28T10:15:09.123Z');
  expect(info.has('backup_label')).toBe(false);
  expect(barmanTime(undefined)).toBeNull();
});

test.each([
  ['wals/0000000100000000/000000010000000000000003.gz', '000000010000000000000003', 'segment'],
  ['wals/0000000100000000/000000010000000000000003', '000000010000000000000003', 'segment'],
  ['wals/0000000100000000/000000010000000000000003.partial.bz2', '000000010000000000000003.partial', 'partial'],
  ['wals/00000002.history', '00000002.history', 'history'],
])('%s holds %s', (key, name, kind) => {
  expect(barmanWalOf(key)).toMatchObject({ name, kind });
  expect(key.startsWith(barmanWalKey(name))).toBe(true);
});

test.each([
  'wals/0000000100000001/000000010000000000000003.gz',
  'wals/000000010000000000000003.gz',
  'wals/0000000100000000/00000002.history',
  'base/20261128T101500/data.tar.gz',
])('%s holds no WAL that Barman put there', (key) => expect(barmanWalOf(key)).toBeNull());
