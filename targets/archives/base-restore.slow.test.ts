import { execFileSync } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { openDirectoryStore } from '../../objects/directory-store';
import type { ObjectStore } from '../../objects/store';
import type { BackupManifest, BackupPart } from './base-backup';
import { restoreBase, type BaseRestored } from './base-restore';
import { Unpacker } from './unpacker';

/** Of the plain stream: cuts headers, contents and padding alike. */
const PART = 61_003;

let dir: string;
let source: string;
let store: ObjectStore;
let manifest: BackupManifest;
let dataDir: string;
let reads: string[];
const unpacker = new Unpacker();

function packParts(tar: Buffer): { parts: BackupPart[]; objects: Map<string, Buffer> } {
  const [parts, objects]: [BackupPart[], Map<string, Buffer>] = [[], new Map()];
  for (let at = 0; at < tar.length; at += PART) {
    const plain = tar.subarray(at, at + PART);
    const packed = gzipSync(plain, { level: 1 });
    const key = `base/b1/part-${String(parts.length).padStart(6, '0')}.gz`;
    parts.push({ key, sha256: createHash('sha256').update(packed).digest('hex'), bytes: packed.length, plainBytes: plain.length });
    objects.set(key, packed);
  }
  return { parts, objects };
}

beforeEach(async () => {
  dir = mkdtempSync(join(tmpdir(), 'gd-base-'));
  source = join(dir, 'source');
  dataDir = join(dir, 'data');
  reads = [];
  mkdirSync(join(source, 'base', '5'), { recursive: true });
  mkdirSync(join(source, 'pg_wal', 'archive_status'), { recursive: true });
  for (const [name, bytes] of [
    ['PG_VERSION', 3],
    ['empty', 0],
    ['base/5/1', 511],
    ['base/5/2', 512],
    ['base/5/3', 70_000],
    ['base/5/4', 300_000],
    ['last', 1],
  ] as const)
    writeFileSync(join(source, name), randomBytes(bytes), { mode: 0o600 });
  const tar = execFileSync('tar', ['-cf', '-', '--format=ustar', 'PG_VERSION', 'empty', 'base', 'pg_wal', 'last'], {
    cwd: source,
    maxBuffer: 64 * 1024 * 1024,
  });
  const { parts, objects } = packParts(tar);
  const files = openDirectoryStore(join(dir, 'store'));
  for (const [key, data] of objects) await files.put(key, data);
  store = { ...files, read: (key, range, signal) => (reads.push(key), files.read(key, range, signal)) };
  manifest = {
    format: 1,
    name: 'b1',
    node: 'n1',
    systemIdentifier: '1',
    timeline: 1,
    startLsn: '0/1',
    stopLsn: '0/2',
    startWal: '',
    startedAt: '',
    finishedAt: '',
    bytes: tar.length,
    parts,
  };
});

afterEach(() => rmSync(dir, { recursive: true, force: true }));
afterAll(() => unpacker.close());

const restore = (
  options: { readonly signal?: AbortSignal; readonly onBytes?: (bytes: number) => void; readonly of?: BackupManifest } = {},
): Promise<BaseRestored> =>
  restoreBase({
    store,
    unpacker,
    manifest: options.of ?? manifest,
    dataDir,
    journal: join(dir, 'journal'),
    owner: null,
    signal: options.signal ?? new AbortController().signal,
    onBytes: options.onBytes ?? (() => undefined),
  });

const tree = (root: string): string[] => (readdirSync(root, { recursive: true }) as string[]).sort();
const isFile = (path: string): boolean => statSync(path).isFile();

function expectWhole(): void {
  expect(tree(dataDir)).toEqual(tree(source));
  for (const name of tree(source).filter((each) => isFile(join(source, each))))
    expect(readFileSync(join(dataDir, name)).equals(readFileSync(join(source, name)))).toBe(true);
}

/** What is there is the beginning of what should be there: no byte of a bad part was used. */
function expectBeginnings(): void {
  for (const name of existsSync(dataDir) ? tree(dataDir).filter((each) => isFile(join(dataDir, each))) : []) {
    const found = readFileSync(join(dataDir, name));
    expect(readFileSync(join(source, name)).subarray(0, found.length).equals(found)).toBe(true);
  }
}

test('the files come as they were', async () => {
  expect(await restore()).toEqual({ kept: 0, fetched: manifest.parts.length });
  expectWhole();
  expect(statSync(join(dataDir, 'last')).mode & 0o777).toBe(0o600);
});

test('one that was cut off goes on: what was written is not fetched again, wherever the cut was', async () => {
  for (let cut = 1; cut < manifest.parts.length; cut += 1) {
    rmSync(dataDir, { recursive: true, force: true });
    rmSync(join(dir, 'journal'), { force: true });
    const stop = new AbortController();
    let parts = 0;
    const first = restore({ signal: stop.signal, onBytes: () => ((parts += 1) === cut ? stop.abort(new Error('killed')) : undefined) });
    await expect(first).rejects.toThrow('killed');
    reads = [];
    expect(await restore()).toEqual({ kept: cut, fetched: manifest.parts.length - cut });
    expect(reads).toEqual(manifest.parts.slice(cut).map(({ key }) => key));
    expectWhole();
  }
  reads = [];
  expect(await restore()).toEqual({ kept: manifest.parts.length, fetched: 0 });
  expect(reads).toEqual([]);
});

test('what another backup or another boot left counts for nothing', async () => {
  await restore();
  writeFileSync(join(dataDir, 'foreign'), 'x');
  const journal = JSON.parse(readFileSync(join(dir, 'journal'), 'utf8')) as Record<string, unknown>;
  for (const change of [{ backup: 'b0' }, { boot: 'another' }, { format: 2 }]) {
    writeFileSync(join(dir, 'journal'), JSON.stringify({ ...journal, ...change }));
    expect(await restore()).toMatchObject({ kept: 0 });
    expectWhole();
  }
  writeFileSync(join(dir, 'journal'), '{"form');
  expect(await restore()).toMatchObject({ kept: 0 });
});

test('a part that was altered, cut, lengthened or taken for another is never used, whichever it is', async () => {
  for (const [at, part] of manifest.parts.entries()) {
    const good = Buffer.from((await store.get(part.key)) ?? []);
    const flipped = Buffer.from(good);
    const place = (at * 7_919) % good.length;
    flipped[place] = (flipped[place] ?? 0) ^ 0x10;
    const other = Buffer.from((await store.get(manifest.parts[(at + 1) % manifest.parts.length]?.key ?? '')) ?? []);
    for (const bad of [flipped, good.subarray(0, good.length - 1), good.subarray(0, 20), Buffer.alloc(0), other]) {
      rmSync(dataDir, { recursive: true, force: true });
      rmSync(join(dir, 'journal'), { force: true });
      await store.put(part.key, bad);
      await expect(restore()).rejects.toMatchObject({ code: 'object_corrupt' });
      expectBeginnings();
    }
    await store.put(part.key, Buffer.concat([good, Buffer.from('more')]));
    await restore();
    expectWhole();
    await store.put(part.key, good);
  }
}, 30_000);

test('a part that is missing is named, and so is a stream that ends too early', async () => {
  const last = manifest.parts.at(-1);
  await expect(restore({ of: { ...manifest, parts: manifest.parts.slice(0, -1) } })).rejects.toMatchObject({ code: 'object_corrupt' });
  await store.delete(last?.key ?? '');
  await expect(restore()).rejects.toThrow(last?.key);
});

test('a name that leads out of the directory is refused, and so is a link', async () => {
  for (const [flag, name, code] of [
    ['--transform=s,PG_VERSION,../out,', 'PG_VERSION', 'object_corrupt'],
    ['--format=ustar', 'link', 'restore_failed'],
  ] as const) {
    if (name === 'link') execFileSync('ln', ['-s', '/etc/passwd', 'link'], { cwd: source });
    const tar = execFileSync('tar', ['-cPf', '-', '--format=ustar', flag, name], { cwd: source });
    const { parts, objects } = packParts(tar);
    for (const [key, data] of objects) await store.put(key, data);
    await expect(restore({ of: { ...manifest, name: `b-${name}`, bytes: tar.length, parts } })).rejects.toMatchObject({ code });
    expect(existsSync(join(dir, 'out'))).toBe(false);
  }
});

test('an unpacking thread that died is the reason, and nobody waits for it', async () => {
  const dead = new Unpacker();
  const asked = expect(dead.ask<'end'>({ kind: 'end' })).rejects.toMatchObject({ code: 'restore_failed' });
  await dead.close();
  await asked;
  await expect(dead.ask<'end'>({ kind: 'end' })).rejects.toThrow('nobody unpacks any more');
});
