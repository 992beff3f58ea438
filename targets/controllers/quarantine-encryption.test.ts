/** The quarantine outside labs, with openssl itself: encrypted, removed, decrypted as the documentation says, and cut short at every step. */
import { execFileSync } from 'node:child_process';
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gunzipSync, gzipSync } from 'node:zlib';
import { packageRoot } from '../../core/files';
import { run } from '../../core/process';
import type { ForkRecord } from '../../model/record';
import { sampleTarget } from '../../test/sample-plan';
import type { Host, LiveTarget, SalvageResult } from '../ports';
import { removeExpired, sealDirectory } from './quarantine';
import {
  certificateSha256,
  encryptFork,
  encryptLeftovers,
  manifestOf,
  sealFork,
  whyInTheClear,
  type Manifest,
} from './quarantine-encryption';

let keys: string;
let certificate: string;
let quarantine: string;
let saved: string;

/** Runs what it is told; `cut`: the power goes before the command that matches it. */
function hostThat(cut: RegExp | null = null): Host {
  const exec: Host['exec'] = (argv, { timeoutMs }) => {
    if (cut?.test(argv.join(' ')) === true) return Promise.reject(new Error('power cut'));
    return run(argv, { timeoutMs });
  };
  return { kind: 'local', exec } as Host;
}

function makeKey(name: string): void {
  const argv = ['req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-days', '30', '-subj', '/CN=quarantine'];
  execFileSync('openssl', [...argv, '-keyout', join(keys, `${name}.key`), '-out', join(keys, `${name}.pem`)], { stdio: 'ignore' });
}

beforeAll(() => {
  keys = mkdtempSync(join(tmpdir(), 'gameday-keys-'));
  makeKey('quarantine');
  certificate = join(keys, 'quarantine.pem');
});
afterAll(() => rmSync(keys, { recursive: true, force: true }));
beforeEach(async () => {
  quarantine = mkdtempSync(join(tmpdir(), 'gameday-quarantine-'));
  saved = join(quarantine, 'n1-2');
  await saveFork();
});
afterEach(() => rmSync(quarantine, { recursive: true, force: true }));

const WAL = Buffer.alloc(300_000, 'rows of somebody');
const ROWS = '{"stream":0,"seq":4}\n';
async function saveFork(): Promise<SalvageResult> {
  mkdirSync(saved, { mode: 0o700 });
  writeFileSync(join(saved, '000000010000000000000003'), WAL);
  writeFileSync(join(saved, 'pg_control'), 'control');
  writeFileSync(join(quarantine, 'n1-2.probe_000001.ndjson.gz'), gzipSync(ROWS));
  const result = { node: 'n1', forkLsn: '0/3000000', endLsn: '0/3000100', divergedBytes: 256, timeline: 1, directory: saved };
  const salvage: SalvageResult = { ...result, ...(await sealDirectory(saved)) };
  writeFileSync(manifestOf(saved), JSON.stringify(salvage));
  return salvage;
}
const manifest = (): Manifest => JSON.parse(readFileSync(manifestOf(saved), 'utf8')) as Manifest;
const ENCRYPTED = ['n1-2.cms', 'n1-2.json', 'n1-2.probe_000001.ndjson.gz.cms'];

test('what was saved is encrypted, its digest recorded, and nothing stays in the clear', async () => {
  const before = manifest();
  const encrypted = await encryptFork(hostThat(), saved, certificate);
  expect(readdirSync(quarantine).sort()).toEqual(ENCRYPTED);
  expect(readdirSync(`${saved}.cms`)).toEqual(['000000010000000000000003.cms', 'pg_control.cms']);
  expect(manifest()).toEqual({ ...before, encrypted });
  expect(encrypted).toEqual({ ...(await sealDirectory(`${saved}.cms`)), certificateSha256: certificateSha256(certificate) });
  for (const file of readdirSync(`${saved}.cms`)) expect(readFileSync(join(`${saved}.cms`, file)).includes('somebody')).toBe(false);
  // Again, and by whoever no longer has the certificate: it is done.
  expect(await encryptFork(hostThat(/./), saved, '/nowhere.pem')).toEqual(encrypted);
});

/** The shell block of the documentation that decrypts, word for word but for its first line, which says what is where. */
function documented(): string {
  const text = readFileSync(join(packageRoot(), 'docs', 'MEASUREMENT.md'), 'utf8');
  const block = [...text.matchAll(/```sh\n([\s\S]*?)```/g)].map(([, body = '']) => body).find((body) => body.includes('cms -decrypt'));
  const [first = '', ...rest] = (block ?? '').split('\n');
  expect(first).toMatch(/^fork=\S+ key=\S+$/);
  return [`fork=${saved} key=${join(keys, 'quarantine.key')}`, ...rest].join('\n');
}

test('whoever has the key decrypts it as the documentation says, byte for byte', async () => {
  const before = await sealDirectory(saved);
  await encryptFork(hostThat(), saved, certificate);
  const work = mkdtempSync(join(tmpdir(), 'gameday-decrypt-'));
  try {
    execFileSync('sh', ['-euc', documented()], { cwd: work });
    expect(await sealDirectory(join(work, 'n1-2'))).toEqual(before);
    expect(statSync(join(work, 'n1-2')).mode & 0o777).toBe(0o700);
    expect(readFileSync(join(work, 'n1-2.probe_000001.ndjson'), 'utf8')).toBe(ROWS);
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
});

test('another key does not', async () => {
  makeKey('other');
  await encryptFork(hostThat(), saved, certificate);
  const file = join(`${saved}.cms`, 'pg_control.cms');
  const decrypt = (key: string) =>
    execFileSync('openssl', ['cms', '-decrypt', '-binary', '-inform', 'DER', '-inkey', key, '-in', file], { stdio: 'pipe' });
  expect(decrypt(join(keys, 'quarantine.key')).toString()).toBe('control');
  let opened: string | null = null;
  try {
    opened = decrypt(join(keys, 'other.key')).toString();
  } catch {
    // Some versions answer with noise instead of an error, so that nobody learns from the difference.
  }
  expect(opened).not.toBe('control');
});

test.each([
  ['before the first file', /n1-2\/000000010000000000000003/],
  ['between two files', /n1-2\/pg_control/],
  ['before the rows', /ndjson/],
])('a crash %s leaves all in the clear, and the next try encrypts it', async (_, cut) => {
  await expect(encryptFork(hostThat(cut), saved, certificate)).rejects.toThrow('power cut');
  expect(readFileSync(join(saved, '000000010000000000000003')).equals(WAL)).toBe(true);
  expect(await sealDirectory(saved)).toMatchObject({ sha256: manifest().sha256 });
  await encryptFork(hostThat(), saved, certificate);
  expect(readdirSync(quarantine).sort()).toEqual(ENCRYPTED);
});

test.each<[string, () => void]>([
  ['before its digest was recorded', () => writeFileSync(manifestOf(saved), JSON.stringify({ ...manifest(), encrypted: undefined }))],
  ['before what lay in the clear was removed', () => undefined],
  ['before its directory was made', () => rmSync(`${saved}.cms`, { recursive: true })],
])('a crash after the encryption and %s costs nothing', async (_, undo) => {
  const aside = `${quarantine}-aside`;
  cpSync(saved, aside, { recursive: true });
  await encryptFork(hostThat(), saved, certificate);
  cpSync(aside, saved, { recursive: true });
  rmSync(aside, { recursive: true });
  undo();
  const encrypted = await encryptFork(hostThat(), saved, certificate);
  expect(readdirSync(quarantine).sort()).toEqual(ENCRYPTED);
  expect(manifest().encrypted).toEqual(encrypted);
  expect((await sealDirectory(`${saved}.cms`)).sha256).toBe(encrypted.sha256);
});

test('a removal that was cut short is finished, and what is not what was encrypted stays', async () => {
  await encryptFork(hostThat(), saved, certificate);
  mkdirSync(`${saved}.removed`);
  writeFileSync(join(`${saved}.removed`, 'half'), 'x');
  await encryptFork(hostThat(), saved, certificate);
  expect(readdirSync(quarantine).sort()).toEqual(ENCRYPTED);
  mkdirSync(saved);
  writeFileSync(join(saved, 'more'), 'x');
  await expect(encryptFork(hostThat(), saved, certificate)).rejects.toThrow(/is not what was encrypted; it is left as it is/);
  expect(readdirSync(saved)).toEqual(['more']);
});

test('a certificate that is none, or missing, costs no row and is told', async () => {
  writeFileSync(join(quarantine, 'bad.pem'), 'x');
  for (const bad of [join(quarantine, 'bad.pem'), join(quarantine, 'none.pem')]) {
    await expect(encryptFork(hostThat(), saved, bad)).rejects.toThrow(bad);
    expect(existsSync(join(quarantine, 'n1-2.probe_000001.ndjson.gz'))).toBe(true);
    expect(await sealDirectory(saved)).toMatchObject({ sha256: manifest().sha256 });
  }
});

const live = (kind: 'lab' | 'staging', named = true): Pick<LiveTarget, 'target' | 'host'> => {
  const target = { ...sampleTarget(), kind };
  return { target: named ? { ...target, quarantine: { certificate } } : target, host: () => hostThat() };
};

test('what a halted drill left is encrypted by whoever comes next; without a certificate, and in a lab, it stays', async () => {
  expect(await encryptLeftovers(live('lab'), quarantine)).toEqual([]);
  expect(await encryptLeftovers(live('staging', false), quarantine)).toEqual([
    `${saved}: what n1 alone held lies there in the clear: the target file names no \`quarantine.certificate\``,
  ]);
  expect(existsSync(saved)).toBe(true);
  expect(await encryptLeftovers(live('staging'), quarantine)).toEqual([]);
  expect(readdirSync(quarantine).sort()).toEqual(ENCRYPTED);
  expect(await encryptLeftovers(live('staging'), join(quarantine, 'nowhere'))).toEqual([]);
});

test('what was found in a fork is kept with it, and the record says to whom it is encrypted', async () => {
  const { files, sha256 } = manifest();
  const examined: ForkRecord = {
    node: 'n1',
    timeline: 1,
    forkLsn: '0/3000000',
    endLsn: '0/3000100',
    divergedBytes: 256,
    wal: { notRecorded: 'x' },
    probeRows: { count: 1, sha256: 'a'.repeat(64) },
    quarantine: { files, sha256 },
  };
  expect(await sealFork(live('lab'), manifest(), examined)).toEqual(examined);
  const clear = await sealFork(live('staging', false), manifest(), examined);
  expect(clear.quarantine.encrypted).toEqual({ notRecorded: whyInTheClear({ kind: 'staging' }) });
  const sealed = await sealFork(live('staging'), manifest(), examined);
  expect(sealed.quarantine).toEqual({ files, sha256, encrypted: manifest().encrypted });
  expect(manifest().examined).toEqual(examined);
});

test('thirty days later it is removed, counted from when it was saved', async () => {
  const savedAt = 1_900_000_000;
  utimesSync(manifestOf(saved), savedAt, savedAt);
  await encryptFork(hostThat(), saved, certificate);
  expect(removeExpired(quarantine, (savedAt + 29 * 86_400) * 1_000)).toEqual([]);
  expect(removeExpired(quarantine, (savedAt + 31 * 86_400) * 1_000)).toEqual(['n1-2']);
  expect(readdirSync(quarantine)).toEqual([]);
});

test('rows come out as they went in', async () => {
  await encryptFork(hostThat(), saved, certificate);
  const file = join(quarantine, 'n1-2.probe_000001.ndjson.gz.cms');
  const argv = ['cms', '-decrypt', '-binary', '-inform', 'DER', '-inkey', join(keys, 'quarantine.key'), '-in', file];
  expect(gunzipSync(execFileSync('openssl', argv)).toString()).toBe(ROWS);
});
