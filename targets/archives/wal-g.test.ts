/** In which order gameday asks WAL-G, and what it leaves alone: a program in its place that tells what it was asked. What the real one answers is the live test's. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { sampleTarget } from '../../test/sample-plan';
import type { Archive, RestoreProgress } from '../ports';
import { openWalGArchive } from './wal-g';

const BACKUP = {
  backup_name: 'base_000000010000000000000003',
  finish_time: '2026-11-29T18:21:30.239881Z',
  start_lsn: 50331688,
  finish_lsn: 50331904,
  uncompressed_size: 1,
};
const LISTING = ['000000010000000000000003.lz4', '000000010000000000000004.lz4', '00000002.history.lz4'].map(
  (name) => `obj 1 2026-11-29 18:21:29 +0000 UTC ${name}`,
);
const POINT = { setting: 'recovery_target_lsn', value: '0/4000100', lsn: '0/4000100', inclusive: true, timeline: 1 } as const;

let dir: string;
let archive: Archive;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'gd-wal-g-asks-'));
  const [program, config] = [join(dir, 'wal-g'), join(dir, 'wal-g.yaml')];
  writeFileSync(config, 'WALG_S3_PREFIX: s3://team/pg\nWALG_PREFETCH_DIR: /production\n');
  writeFileSync(
    program,
    `#!/bin/sh
shift 2
echo "$*" >> ${dir}/asked
case "$*" in
  backup-list*) echo '${JSON.stringify([BACKUP])}' ;;
  'st ls wal_005') printf '${LISTING.join('\\n')}\\n' ;;
  'st ls '*) echo 'ERROR: 2026/11/29 18:21:43.732305 RequestError: send request failed' >&2; exit 1 ;;
  'st cat '*) echo '{}' ;;
  wal-fetch*) echo "$WALG_PREFETCH_DIR" >> ${dir}/prefetch; printf '1\\t0/5000000\\tno reason\\n' > "$3" ;;
  *) exit 1 ;;
esac
`,
    { mode: 0o755 },
  );
  const kept = { kind: 'wal-g' as const, config, nodeConfig: null, program };
  const sandbox = { dir: join(dir, 'sandbox'), osUser: null, binDir: '/nowhere' };
  archive = openWalGArchive({ ...sampleTarget(), archive: kept, sandbox }, kept, () => {
    throw new Error('no node is asked');
  });
});
afterEach(() => rmSync(dir, { recursive: true, force: true }));

const lines = (name: string): string[] => readFileSync(join(dir, name), 'utf8').trim().split('\n');

test('a look of its own into the WAL takes nothing out of the directory that production prefetches into', async () => {
  await expect(archive.locate({ ...POINT, timeline: 2 })).resolves.toMatchObject({ backup: BACKUP.backup_name });
  const destinations = lines('asked').flatMap((asked) => /^wal-fetch 00000002\.history (.*)\/00000002\.history$/.exec(asked)?.[1] ?? []);
  expect(destinations).not.toEqual([]);
  expect(lines('prefetch')).toEqual(destinations);
});

test('a store that does not give the list of a backup’s files is heard before the base comes', async () => {
  const phases: string[] = [];
  const options = {
    timeoutMs: 20_000,
    signal: new AbortController().signal,
    onProgress: ({ phase }: RestoreProgress) => void phases.push(phase),
  };
  const restore = archive.restore(await archive.locate(POINT), { dir: join(dir, 'sandbox', 'copy'), labels: {} }, options);
  await expect(restore).rejects.toMatchObject({ code: 'store_unreachable' });
  expect(phases).toEqual(['locate']);
  expect(lines('asked').filter((asked) => asked.startsWith('backup-fetch'))).toEqual([]);
});
