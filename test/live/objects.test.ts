/**
 * The object stores against their contract: a directory, and S3 as VersityGW speaks it, through the same tests.
 * It starts a gateway of its own on an address no other test uses and ends it by its process id.
 */
import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openDirectoryStore } from '../../objects/directory-store';
import { ensureBucket, openS3Store, type S3Settings } from '../../objects/s3-store';
import type { ObjectStore } from '../../objects/store';
import { startGateway, type Gateway } from './own-servers';

const HOST = '127.0.86.41';

let dir: string;
let gateway: Gateway;
let settings: S3Settings;

beforeAll(async () => {
  dir = mkdtempSync(join(tmpdir(), 'gd-objects-'));
  gateway = await startGateway({ dir: join(dir, 's3'), host: HOST });
  settings = { ...gateway.settings, bucket: 'objects', prefix: 'some/prefix', timeoutMs: 5_000 };
  await ensureBucket({ ...settings, versioning: true });
}, 30_000);

afterAll(async () => {
  await gateway.stop();
  rmSync(dir, { recursive: true, force: true });
});

async function text(chunks: AsyncIterable<Uint8Array>): Promise<string> {
  const parts: Uint8Array[] = [];
  for await (const chunk of chunks) parts.push(chunk);
  return Buffer.concat(parts).toString('utf8');
}

async function keys(store: ObjectStore, prefix: string): Promise<string[]> {
  const found: string[] = [];
  for await (const head of store.list(prefix)) found.push(head.key);
  return found;
}

describe.each([
  ['directory', () => openDirectoryStore(join(dir, 'objects'))],
  ['s3', () => openS3Store(settings)],
])('%s store', (_kind, open) => {
  test('gives back what was put, whole and in part', async () => {
    const store = open();
    const data = randomBytes(300_000);
    await store.put('a/b.bin', data);
    await store.put('a/text', Buffer.from('0123456789'));
    expect(Buffer.compare((await store.get('a/b.bin')) ?? Buffer.alloc(0), data)).toBe(0);
    expect(await store.head('a/b.bin')).toMatchObject({ key: 'a/b.bin', bytes: 300_000 });
    expect(await text(await store.read('a/text', { start: 2, end: 4 }))).toBe('234');
    await store.put('a/text', Buffer.from('new'));
    expect(await text(await store.read('a/text'))).toBe('new');
  });

  test('tells absence from failure', async () => {
    const store = open();
    expect(await store.get('no/such')).toBeNull();
    expect(await store.head('no/such')).toBeNull();
    await expect(store.read('no/such')).rejects.toMatchObject({ code: 'object_missing' });
    await store.delete('no/such');
  });

  test('lets exactly one of many writers create a key', async () => {
    const store = open();
    const won = await Promise.all(Array.from({ length: 8 }, (_, n) => store.create('race/key', Buffer.from(`writer ${n}`))));
    expect(won.filter(Boolean)).toHaveLength(1);
    expect(Buffer.from((await store.get('race/key')) ?? []).toString()).toBe(`writer ${won.indexOf(true)}`);
    expect(await store.create('race/key', Buffer.from('late'))).toBe(false);
  });

  test('streams a file, lists in key order and deletes', async () => {
    const store = open();
    const file = join(dir, 'large');
    writeFileSync(file, randomBytes(9 * 1024 * 1024));
    await store.putFile('list/b/large', file);
    await store.put('list/a', Buffer.from('x'));
    await store.put('list/b/z', Buffer.from('y'));
    await store.put('listing', Buffer.from('y'));
    expect((await store.head('list/b/large'))?.bytes).toBe(9 * 1024 * 1024);
    expect(await keys(store, 'list/')).toEqual(['list/a', 'list/b/large', 'list/b/z']);
    expect(await keys(store, 'list/b/l')).toEqual(['list/b/large']);
    await store.delete('list/b/large');
    expect(await keys(store, 'list/')).toEqual(['list/a', 'list/b/z']);
  });

  test.each(['', '/a', 'a/', 'a//b', '../a', 'a/../b', 'a/./b', 'a\nb', 'x'.repeat(1025)])('refuses the key %j', async (key) => {
    await expect((async () => open().put(key, Buffer.from('x')))()).rejects.toMatchObject({ code: 'setting_invalid' });
  });
});

test('lists more than one page of S3', async () => {
  const store = openS3Store(settings);
  for (let n = 0; n < 1_050; n += 50)
    await Promise.all(Array.from({ length: 50 }, (_, i) => store.put(`pages/${String(n + i).padStart(5, '0')}`, Buffer.from('.'))));
  expect(await keys(store, 'pages/')).toHaveLength(1_050);
}, 60_000);

test('names every attempt when S3 does not answer', async () => {
  const store = openS3Store({ ...settings, endpoint: `http://${HOST}:1` });
  await expect(store.get('a')).rejects.toThrow(/4 attempts: 4 connection refused/);
});

test('does not repeat a refusal, and does not read a missing bucket as an empty one', async () => {
  await expect(openS3Store({ ...settings, bucket: 'nobody' }).get('a')).rejects.toMatchObject({
    code: 'store_unreachable',
    message: expect.stringContaining('1 attempt: 1 404 NoSuchBucket'),
  });
  const wrong = join(dir, 'wrong');
  writeFileSync(wrong, 'not-the-secret\n');
  const refused = openS3Store({ ...settings, secretKey: `file:${wrong}` }).put('a', Buffer.from('x'));
  await expect(refused).rejects.toMatchObject({ code: 'store_unreachable', message: expect.stringContaining('1 attempt: 1 403') });
  await expect(refused).rejects.not.toMatchObject({ message: expect.stringContaining('not-the-secret') });
  // This gateway says 404 to whom it does not know.
  const stranger = openS3Store({ ...settings, accessKey: `file:${wrong}` }).get('a');
  await expect(stranger).rejects.toMatchObject({ code: 'store_unreachable' });
});
