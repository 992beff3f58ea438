import { createHash } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { WAL_SEGMENT_BYTES, walSegmentName } from '../../core/lsn';
import { openDirectoryStore } from '../../objects/directory-store';
import type { ObjectStore } from '../../objects/store';
import { verifyNative } from './native-verify';
import { packWal, walKey } from './wal-object';

const SYSTEM = '7400000000000000001';
const options = { systemIdentifier: SYSTEM, share: 1, seed: 's', signal: new AbortController().signal };
let dir: string;
let store: ObjectStore;

function segment(n: number): Buffer {
  const page = Buffer.alloc(Number(WAL_SEGMENT_BYTES));
  page.writeUInt16LE(0xd110, 0);
  page.writeUInt16LE(0x0002, 2);
  page.writeUInt32LE(1, 4);
  page.writeBigUInt64LE(BigInt(n) * WAL_SEGMENT_BYTES, 8);
  page.writeBigUInt64LE(BigInt(SYSTEM), 24);
  page.writeUInt32LE(Number(WAL_SEGMENT_BYTES), 32);
  return page;
}
const nameOf = (n: number): string => walSegmentName(1, BigInt(n) * WAL_SEGMENT_BYTES);

beforeAll(async () => {
  dir = mkdtempSync(join(tmpdir(), 'gd-verify-'));
  store = openDirectoryStore(dir);
  const parts = [];
  for (let at = 0; at < 20; at += 1) {
    const plain = Buffer.alloc(5_000, at);
    const packed = gzipSync(plain);
    const key = `base/b/part-${String(at).padStart(2, '0')}`;
    await store.put(key, packed);
    parts.push({ key, sha256: createHash('sha256').update(packed).digest('hex'), bytes: packed.length, plainBytes: plain.length });
  }
  await store.put('base/b/manifest.json', Buffer.from(JSON.stringify({ format: 1, name: 'b', startLsn: '0/1', stopLsn: '0/2', parts })));
  for (const n of [1, 2, 3]) await store.put(walKey(nameOf(n)), await packWal(segment(n)));
  await store.put(walKey('00000002.history'), Buffer.from('1\t0/5000000\tx\n'));
});
afterAll(() => rmSync(dir, { recursive: true, force: true }));

test('a sound archive has no findings', async () => {
  expect(await verifyNative(store, options)).toMatchObject({ objects: 23, checked: 23, findings: [] });
});

test('the same seed draws the same sample', async () => {
  const one = await verifyNative(store, { ...options, share: 0.3 });
  expect(one.checked).toBeGreaterThan(0);
  expect(one.checked).toBeLessThan(23);
  expect(await verifyNative(store, { ...options, share: 0.3 })).toEqual(one);
  await expect(verifyNative(store, { ...options, share: 0 })).rejects.toMatchObject({ code: 'setting_invalid' });
});

test('a part that was damaged before its SHA-256 was taken is found by gzip’s own sum', async () => {
  const packed = gzipSync(Buffer.from('0123456789'), { level: 0 });
  // Behind the header and that of a stored block: a plain byte, changed without the sum of it.
  packed[10 + 5] = (packed[10 + 5] ?? 0) ^ 1;
  const sha256 = createHash('sha256').update(packed).digest('hex');
  const parts = [{ key: 'base/c/part-00', sha256, bytes: packed.length, plainBytes: 10 }];
  await store.put('base/c/part-00', packed);
  await store.put('base/c/manifest.json', Buffer.from(JSON.stringify({ format: 1, name: 'c', startLsn: '0/1', stopLsn: '0/2', parts })));
  try {
    expect((await verifyNative(store, options)).findings).toEqual([
      { key: 'base/c/part-00', problem: expect.stringContaining('incorrect data check') as string },
    ]);
  } finally {
    for (const name of ['part-00', 'manifest.json']) await store.delete(`base/c/${name}`);
  }
});

test('each kind of damage is found and named, and nothing else', async () => {
  const part = Buffer.from((await store.get('base/b/part-03')) ?? []);
  part[part.length - 3] = (part.at(-3) ?? 0) ^ 1;
  await store.put('base/b/part-03', part);
  await store.put('base/b/part-05', Buffer.from((await store.get('base/b/part-06')) ?? []).subarray(0, 10));
  await store.delete('base/b/part-07');
  // A segment of its own right, under the name of another.
  await store.put(walKey(nameOf(2)), Buffer.from((await store.get(walKey(nameOf(3)))) ?? []));
  const { findings } = await verifyNative(store, options);
  expect(findings.map(({ key }) => key)).toEqual(['base/b/part-03', 'base/b/part-05', 'base/b/part-07', walKey(nameOf(2))]);
});
