/** What WAL-G says is told on; what its configuration keeps secret is not, whoever quotes it. The values are made up. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { tellable, walGError, walGSaid } from './wal-g-run';

const AT = '2026/11/29 18:21:43.732305';
const ended = (stderr: string): { code: number; stdout: string; stderr: string } => ({ code: 1, stdout: '', stderr });

let dir: string;
beforeEach(() => (dir = mkdtempSync(join(tmpdir(), 'gd-wal-g-run-'))));
afterEach(() => rmSync(dir, { recursive: true, force: true }));

const configOf = (name: string, text: string): { config: string } => {
  writeFileSync(join(dir, name), text);
  return { config: join(dir, name) };
};

test.each([
  ['wal-g.env', "line `-hidden/line=` doesn't match format"],
  ['wal-g.env', 'line `-hidden: open it: permission denied` is not right'],
  ['wal-g.yaml', 'yaml: unmarshal errors:\n  line 1: cannot unmarshal !!str `hidden ...` into map\nERROR: hidden'],
])('%s that does not parse is named, and none of its words are: %s', (name, parser) => {
  const archive = configOf(name, 'AWS_SECRET_ACCESS_KEY\n-hidden/line=\n');
  const stderr = `WARNING: ${AT} Failed to parse config file ${archive.config}. While parsing config: ${parser}.\nERROR: ${AT} Failed to find any configured storage\n`;
  const error = walGError(archive, 'st ls', ended(stderr));
  expect(error).toMatchObject({ code: 'setting_invalid', message: `wal-g st ls: cannot parse ${archive.config}` });
  expect(error.hint).toMatch(/by hand/);
  expect(walGSaid(tellable(archive, stderr))).toBe('Failed to find any configured storage');
});

const SECRETS = `WALG_S3_PREFIX: s3://team/pg
PGPORT: 5432
AWS_ACCESS_KEY_ID: AKIAHIDDEN
WALG_PGP_KEY_PATH: /etc/wal-g.key
S3_USE_YC_SESSION_TOKEN: true
WALG_PGP_KEY: |
  -----BEGIN PGP PRIVATE KEY BLOCK-----
  hiddenLineOfTheKey
WALG_FAILOVER_STORAGES:
  other:
    AWS_SECRET_ACCESS_KEY: "hidden/and+more"
`;

test.each([
  ['the key AKIAHIDDEN is not known', 'the key [redacted] is not known'],
  ['illegal data in hiddenLineOfTheKey', 'illegal data in [redacted]'],
  ['hidden/and+more, or hidden%2Fand%2Bmore', '[redacted], or [redacted]'],
  ['get https://h/c?sv=1&sig=abc%2F&se=2: 403', 'get https://h/c?sv=1&sig=[redacted]&se=2: 403'],
  ['get "https://h/o?X-Amz-Signature=0123": EOF', 'get "https://h/o?X-Amz-Signature=[redacted]": EOF'],
  ['open /etc/wal-g.key: true, at s3://team/pg:5432', 'open /etc/wal-g.key: true, at s3://team/pg:5432'],
])('%s', (words, told) => {
  const archive = configOf('wal-g.yaml', SECRETS);
  expect(walGError(archive, 'st ls', ended(`ERROR: ${AT} ${words}`)).message).toBe(`wal-g st ls: ${told}`);
});

test('secrets of a file that does not parse here are known by its lines', () => {
  const archive = configOf('wal-g.yaml', 'AWS_SECRET_ACCESS_KEY: hiddenToo\nOTHER: [\n');
  expect(tellable(archive, 'it was hiddenToo')).toBe('it was [redacted]');
});
