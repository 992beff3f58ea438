/** Where an archive stands by WAL-G's own settings: read, named, and never with a value of a secret. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { WalGTargetArchive } from '../../model/target';
import { walGPlace, walGSettings } from './wal-g-config';

let dir: string;
beforeEach(() => (dir = mkdtempSync(join(tmpdir(), 'gd-wal-g-'))));
afterEach(() => rmSync(dir, { recursive: true, force: true }));

const KEYS = { WALG_S3_PREFIX: 's3://team/pg/main/', AWS_ACCESS_KEY_ID: 'AKIA', AWS_SECRET_ACCESS_KEY: 'hidden' };

function archiveWith(settings: object): WalGTargetArchive {
  const config = join(dir, 'wal-g.json');
  writeFileSync(config, JSON.stringify(settings));
  return { kind: 'wal-g', config, nodeConfig: null, program: '/p' };
}

test('bucket, path and region are those of the tool; keys are named, not held', () => {
  const archive = archiveWith({ ...KEYS, AWS_ENDPOINT: 's3.example.com/', AWS_REGION: 'eu-1', WALG_STORAGE_PREFIX: 'shop' });
  const settings = walGSettings(archive, 1_000);
  expect(settings).toMatchObject({ endpoint: 'https://s3.example.com', region: 'eu-1', bucket: 'team', prefix: 'pg/main/shop' });
  expect(settings.secretKey).toBe(`setting:${archive.config}#AWS_SECRET_ACCESS_KEY`);
  expect(JSON.stringify(settings)).not.toMatch(/hidden|AKIA/);
  expect(walGPlace(archive)).toBe('s3://team/pg/main/shop');
});

test('without an endpoint it is Amazon’s own; WAL-E’s names do as well', () => {
  const archive = archiveWith({ WALE_S3_PREFIX: 's3://team', AWS_ACCESS_KEY: 'AKIA', AWS_SECRET_KEY: 'hidden', AWS_REGION: 'eu-1' });
  expect(walGSettings(archive, 1_000)).toMatchObject({ endpoint: 'https://s3.eu-1.amazonaws.com', bucket: 'team', prefix: '' });
});

test('without a region it is the tool’s own default, but for Amazon, which the tool asks', () => {
  const settings = walGSettings(archiveWith({ ...KEYS, AWS_ENDPOINT: 'http://s3.example.com' }), 1_000);
  expect(settings).toMatchObject({ endpoint: 'http://s3.example.com', region: 'us-east-1' });
});

test.each([
  [{ WALG_GS_PREFIX: 'gs://team/pg' }, /not in S3/],
  [{ ...KEYS, AWS_ACCESS_KEY_ID: undefined }, /no lasting keys/],
  [{ ...KEYS, AWS_SESSION_TOKEN: 'hidden' }, /no lasting keys/],
  [{ ...KEYS }, /no AWS_REGION/],
  [{ ...KEYS, AWS_ENDPOINT: 'https://s3.eu-central-1.amazonaws.com/', AWS_REGION: '' }, /no AWS_REGION/],
  [{ ...KEYS, AWS_REGION: 'eu-1', S3_CA_CERT_FILE: '/ca.pem' }, /names S3_CA_CERT_FILE/],
  [{ ...KEYS, AWS_REGION: 'eu-1', S3_ENDPOINT_SOURCE: 'http://h/e' }, /names S3_ENDPOINT_SOURCE/],
])('what only the tool gets into says so: %j', (settings, why) => {
  expect(() => walGSettings(archiveWith(settings), 1_000)).toThrow(why);
});
