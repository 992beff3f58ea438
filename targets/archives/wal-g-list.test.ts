/** What wal-g 3.0.8 printed about a small cluster: a full backup, two deltas, packed WAL. Only names of the machine are left out. */
import { readFileList, readTablespaces, readWalGBackups, readWalListing } from './wal-g-list';
import { walGError, walGSaid } from './wal-g-run';

const FULL = {
  backup_name: 'base_000000010000000000000003',
  time: '2026-11-29T18:21:30Z',
  wal_file_name: '000000010000000000000003',
  storage_name: 'default',
  start_time: '2026-11-29T18:21:29.821265Z',
  finish_time: '2026-11-29T18:21:30.239881Z',
  date_fmt: '%Y-%m-%dT%H:%M:%S.%fZ',
  pg_version: 150018,
  start_lsn: 50331688,
  finish_lsn: 50331904,
  is_permanent: false,
  uncompressed_size: 27048137,
  compressed_size: 5194773,
};
const DELTA = {
  ...FULL,
  backup_name: 'base_000000010000000000000005_D_000000010000000000000003',
  wal_file_name: '000000010000000000000005',
  finish_time: '2026-11-29T18:21:30.782584Z',
  start_lsn: 83886120,
  finish_lsn: 83886336,
  uncompressed_size: 57675,
};
const SECOND = {
  ...FULL,
  backup_name: 'base_000000010000000000000006_D_000000010000000000000005',
  wal_file_name: '000000010000000000000006',
  finish_time: '2026-11-29T18:21:31.172862Z',
  start_lsn: 100663336,
  finish_lsn: 100663552,
  uncompressed_size: 8451,
};

const read = (...listed: readonly object[]): ReturnType<typeof readWalGBackups> => readWalGBackups(JSON.stringify(listed));

test('backups come oldest first, with positions, and with the bytes of all that they build on', () => {
  const { backups, unusable } = read(SECOND, DELTA, FULL);
  expect(unusable).toEqual([]);
  expect(backups).toEqual([
    {
      name: 'base_000000010000000000000003',
      timeline: 1,
      startLsn: '0/3000028',
      stopLsn: '0/3000100',
      startWal: '000000010000000000000003',
      finishedAt: '2026-11-29T18:21:30.239Z',
      bytes: 27048137,
    },
    expect.objectContaining({ name: DELTA.backup_name, startLsn: '0/5000028', bytes: 27048137 + 57675 }),
    expect.objectContaining({ name: SECOND.backup_name, startWal: '000000010000000000000006', bytes: 27048137 + 57675 + 8451 }),
  ]);
});

test('a chain that is broken anywhere leaves no backup behind the break', () => {
  const { backups, unusable } = read(FULL, SECOND);
  expect(backups.map(({ name }) => name)).toEqual([FULL.backup_name]);
  expect(unusable).toEqual([`${SECOND.backup_name} builds on the backup that starts at 000000010000000000000005, which is not there`]);
});

test.each([
  [{ backup_name: 'stream_20261129T182130Z' }, /has no name of a backup of PostgreSQL/],
  [{ finish_lsn: 0 }, /states no position/],
  [{ finish_time: 'soon' }, /states no time/],
])('%j is no backup, and says why', (over, why) => {
  expect(read({ ...FULL, ...over })).toEqual({ backups: [], unusable: [expect.stringMatching(why)] });
});

test('an archive without backups prints an empty list, or none', () => {
  expect(readWalGBackups('[]\n')).toEqual({ backups: [], unusable: [] });
  expect(readWalGBackups('null\n')).toEqual({ backups: [], unusable: [] });
  expect(() => readWalGBackups('usage: wal-g')).toThrow(/printed no JSON/);
  expect(() => readWalGBackups('{}')).toThrow(/printed no list/);
});

const LISTING = `type size    last modified                 name
dir  0       0001-01-01 00:00:00 +0000 UTC deltas/
obj  4042696 2026-11-29 18:21:29 +0000 UTC 000000010000000000000001.lz4                 
obj  264     2026-11-29 18:21:30.5 +0200 CEST 000000010000000000000003.00000028.backup.lz4 
obj  66017   2026-11-29 18:21:29 +0000 UTC 000000010000000000000002.partial.lz4
obj  66017   2026-11-29 18:21:30.5 +0200 CEST 000000010000000000000003.br
obj  66017   2026-11-29 18:21:30 +0000 UTC 000000010000000000000004
obj  120     2026-11-29 18:21:30 +0000 UTC 00000002.history.lz4                         
obj  99      2026-11-29 18:21:30 +0000 UTC 000000010000000000000003_delta.lz4
`;

test('whole segments and history files are read with their times, whatever they are packed with', () => {
  expect(readWalListing(LISTING)).toEqual([
    { name: '000000010000000000000001', modifiedAt: '2026-11-29T18:21:29.000Z' },
    { name: '000000010000000000000003', modifiedAt: '2026-11-29T16:21:30.500Z' },
    { name: '000000010000000000000004', modifiedAt: '2026-11-29T18:21:30.000Z' },
    { name: '00000002.history', modifiedAt: '2026-11-29T18:21:30.000Z' },
  ]);
});

test('in a bucket that keeps versions the newest of each counts, and what was deleted does not', () => {
  const listing = `type size  last modified                 name
obj  66099 2026-11-29 22:26:50 +0000 UTC 000000010000000000000006.lz4                 01M8MPP2SW7JYZ1R7CYVF8SM7A LATEST
obj  261   2026-11-29 22:26:50 +0000 UTC 000000010000000000000006.00000028.backup.lz4 01M8MPP2SDDZ7GZ90P73HWMFPB LATEST
obj  70001 2026-11-29 22:26:58 +0000 UTC 000000010000000000000007.lz4                 01M8MPPASW7JYZ1R7CYVF8SM7C LATEST
obj  70000 2026-11-29 22:26:55 +0000 UTC 000000010000000000000007.lz4                 01M8MPP7SW7JYZ1R7CYVF8SM7B
obj  0     2026-11-29 22:27:00 +0000 UTC 000000010000000000000008.lz4                 01M8MPPCSW7JYZ1R7CYVF8SM7D LATEST DELETE
obj  70000 2026-11-29 22:26:59 +0000 UTC 000000010000000000000008.lz4                 01M8MPPBSW7JYZ1R7CYVF8SM7E
`;
  expect(readWalListing(listing)).toEqual([
    { name: '000000010000000000000006', modifiedAt: '2026-11-29T22:26:50.000Z' },
    { name: '000000010000000000000007', modifiedAt: '2026-11-29T22:26:58.000Z' },
  ]);
});

test('tablespaces and files of a backup are those that it names', () => {
  const spec = { base_prefix: '/d', tablespaces: ['16385'], '16385': { loc: '/spc', link: 'pg_tblspc/16385' } };
  expect(readTablespaces(JSON.stringify({ LSN: 1, Spec: spec }))).toEqual(['16385']);
  expect(readTablespaces('{"LSN":1}')).toEqual([]);
  expect(readFileList('{"Files":{"/base/1/112":{"IsIncremented":false},"/PG_VERSION":{}}}')).toEqual(['base/1/112', 'PG_VERSION']);
  expect(readFileList('{"TarFileSets":{}}')).toEqual([]);
});

const ended = (stderr: string): { code: number; stdout: string; stderr: string } => ({ code: 1, stdout: '', stderr });
const AT = '2026/11/29 18:21:43.732305';

test.each([
  [
    `INFO: ${AT} List backups\nERROR: ${AT} list folder: failed to list s3 folder: 'pg/wal_005/': SignatureDoesNotMatch: The request\n\tstatus code: 403`,
    'store_unreachable',
    /keys in archive\.config/,
  ],
  [`ERROR: ${AT} list folder: XAdminUserNotFound: No user exists with the provided access key ID.`, 'store_unreachable', /keys in/],
  [`ERROR: ${AT} NoSuchBucket: The specified bucket does not exist.`, 'store_unreachable', /bucket that archive\.config names/],
  [`ERROR: ${AT} RequestError: send request failed\ncaused by: dial tcp: connection refused`, 'store_unreachable', /endpoint/],
  [`ERROR: ${AT} Failed to find any configured storage`, 'setting_invalid', /must name a storage/],
  [
    `ERROR: ${AT} configure primary storage: configure storage with prefix "team/pg": extract bucket and path: missing url scheme="" and/or host=""`,
    'setting_invalid',
    /must name a storage/,
  ],
  [
    `WARNING: ${AT} Failed to parse config file /w.yaml. open /w.yaml: permission denied.\nERROR: ${AT} Failed to find any configured storage`,
    'setting_invalid',
    /able to read it/,
  ],
  [`ERROR: ${AT} failed to init decrypt reader: openpgp: incorrect key`, 'archive_key_wrong', /WALG_PGP_KEY/],
  [`ERROR: ${AT} write /d: no space left on device`, 'disk_full', /./],
  [`ERROR: ${AT} Failed to fetch backup: it is Monday`, 'restore_failed', /by hand/],
])('%s', (stderr, code, hint) => {
  expect(walGError({ config: '/w.yaml' }, 'st ls', ended(stderr))).toMatchObject({ code, hint: expect.stringMatching(hint) });
});

test('what it says is told without its time of day; of a file that cannot be read, the reason', () => {
  expect(walGSaid(`INFO: ${AT} fine\nERROR: ${AT} Archive 'x' does not exist.\n`)).toBe("Archive 'x' does not exist.");
  const unread = `WARNING: ${AT} Failed to parse config file /w.yaml. open /w.yaml: permission denied.\nERROR: ${AT} no storage`;
  expect(walGError({ config: '/w.yaml' }, 'st ls', ended(unread)).message).toBe('wal-g st ls: cannot read /w.yaml: permission denied');
});
