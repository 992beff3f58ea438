/** Keys of restores against keys of production: the same ones refuse outside labs, and what cannot be compared is said. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Target, TargetArchive } from '../model/target';
import { sampleTarget } from '../test/sample-plan';
import { credentialChecks } from './restore-credentials';

let dir: string;
beforeEach(() => (dir = mkdtempSync(join(tmpdir(), 'gd-keys-'))));
afterEach(() => rmSync(dir, { recursive: true, force: true }));

const file = (name: string, text: string): string => {
  const path = join(dir, name);
  writeFileSync(path, text);
  return path;
};
const target = (archive: TargetArchive, kind: Target['kind'] = 'staging'): Target => ({ ...sampleTarget(), kind, archive });
const nowhere = async (): Promise<null> => null;

const native = (restoreKey: string | null): TargetArchive => ({
  kind: 'native',
  endpoint: 'http://127.0.0.1:1',
  region: 'r',
  bucket: 'b',
  prefix: 'p',
  accessKey: `file:${file('archiver', 'AKIAWRITES\n')}`,
  secretKey: `file:${file('secret', 's')}`,
  spoolDir: '/spool',
  ...(restoreKey === null
    ? {}
    : { restoreKeys: { accessKey: `file:${file('reader', restoreKey)}`, secretKey: `file:${file('reader-secret', 't')}` } }),
});

test.each([
  ['no keys of its own', null, false, /names none/],
  ['the same key under another name', 'AKIAWRITES', false, /the very key that archives/],
  ['another key', 'AKIAREADS', true, /another key/],
] as const)('gameday’s own archive with %s', async (_what, key, ok, found) => {
  const [check] = await credentialChecks(target(native(key)), nowhere);
  expect(check).toMatchObject({ ok, found: expect.stringMatching(found) });
  expect(check?.hint === null).toBe(ok);
  expect(JSON.stringify(check)).not.toMatch(/AKIA/);
});

test('a lab is asked nothing', async () => {
  expect(await credentialChecks(target(native(null), 'lab'), nowhere)).toEqual([]);
});

const pgbackrest = (text: string): TargetArchive => ({
  kind: 'pgbackrest',
  stanza: 'main',
  config: file('here.conf', text),
  nodeConfig: '/etc/pgbackrest.conf',
  program: '/p',
});
const barman = (text: string): TargetArchive => ({
  kind: 'barman-cloud',
  source: 's3://b',
  server: 'main',
  endpoint: null,
  region: 'r',
  credentials: file('here', text),
  profile: 'shop',
  awsConfig: null,
  nodeCredentials: '/root/.aws/credentials',
  compression: 'gzip',
  programs: '/usr/bin',
});
const walG = (text: string): TargetArchive => ({
  kind: 'wal-g',
  config: file('here.yaml', text),
  nodeConfig: '/etc/wal-g.json',
  program: '/p',
});
const yaml = (key: string): string => `WALG_S3_PREFIX: s3://b\nAWS_ACCESS_KEY_ID: ${key}\nAWS_SECRET_ACCESS_KEY: same\n`;
const json = (key: string): string => `{"AWS_SECRET_ACCESS_KEY":"same","AWS_ACCESS_KEY_ID":"${key}"}`;
const repo = (key: string): string => `[global]\nrepo1-s3-key=${key}\nrepo1-s3-key-secret=same\n`;
const profiles = (key: string): string => `[default]\naws_access_key_id = AKIAONE\n[shop]\naws_access_key_id = ${key}\n`;

test.each([
  ['pgBackRest, the same key', () => pgbackrest(repo('AKIAONE')), repo('AKIAONE'), false, /hold the same key/],
  ['pgBackRest, another key', () => pgbackrest(repo('AKIATWO')), repo('AKIAONE'), true, /holds another key than/],
  ['pgBackRest, no key in the file', () => pgbackrest('[global]\n'), repo('AKIAONE'), true, /not compared: no key stands in/],
  ['pgBackRest, a node that cannot be read', () => pgbackrest(repo('AKIATWO')), null, true, /not compared: no key could be read/],
  ['Barman, the same key', () => barman(profiles('AKIATWO')), profiles('AKIATWO'), false, /hold the same key/],
  ['WAL-G, the same key in another format', () => walG(yaml('AKIAONE')), json('AKIAONE'), false, /hold the same key/],
  ['WAL-G, another key', () => walG(json('AKIATWO')), `export AWS_ACCESS_KEY_ID='AKIAONE'\n`, true, /holds another key than/],
  ['WAL-G, a role', () => walG('WALG_S3_PREFIX: s3://b\n'), yaml('AKIAONE'), true, /not compared: no key stands in/],
  ['Barman, the same key in another profile alone', () => barman(profiles('AKIATWO')), profiles('AKIATHREE'), true, /another key than/],
] as const)('%s', async (_what, archive, onNode, ok, found) => {
  const [check] = await credentialChecks(target(archive()), async () => onNode);
  expect(check).toMatchObject({ ok, found: expect.stringMatching(found) });
  expect(JSON.stringify(check)).not.toMatch(/AKIA/);
});
