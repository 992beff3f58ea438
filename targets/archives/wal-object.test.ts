import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { GamedayError } from '../../core/errors';
import { WAL_SEGMENT_BYTES } from '../../core/lsn';
import { checkSegmentHeader, packedSha256, packWal, unpackWal, unpackWalInto, walFileKind, walKey, walNameOfKey } from './wal-object';

const SYSTEM = '7400000000000000001';
const NAME = '000000020000000000000003';

function segment(change: (page: Buffer) => void = () => undefined): Buffer {
  const page = Buffer.alloc(Number(WAL_SEGMENT_BYTES));
  page.writeUInt16LE(0xd110, 0);
  page.writeUInt16LE(0x0002, 2);
  page.writeUInt32LE(2, 4);
  page.writeBigUInt64LE(3n * WAL_SEGMENT_BYTES, 8);
  page.writeBigUInt64LE(BigInt(SYSTEM), 24);
  page.writeUInt32LE(Number(WAL_SEGMENT_BYTES), 32);
  change(page);
  return page;
}

test('names and keys lead to each other', () => {
  for (const name of [NAME, `${NAME}.partial`, `${NAME}.00000028.backup`, '00000002.history']) {
    expect(walNameOfKey(walKey(name))).toBe(name);
  }
  expect(walKey(NAME)).toBe(`wal/00000002/${NAME}.gz`);
  expect(walFileKind('../../etc/passwd')).toBeNull();
  expect(() => walKey('x')).toThrow('is not the name of a WAL file');
});

test('a packed file is plain gzip and carries the sum of its content', async () => {
  const plain = Buffer.from('some wal');
  const packed = await packWal(plain);
  expect(gunzipSync(packed).toString()).toBe('some wal');
  expect(await unpackWal(NAME, packed)).toEqual(plain);
  expect(packedSha256(packed)).toHaveLength(64);
});

test('a changed bit never yields other content', async () => {
  const plain = Buffer.from('some wal that is long enough');
  const packed = await packWal(plain);
  for (let at = 10; at < packed.length; at += 1) {
    const bad = Buffer.from(packed);
    bad[at] = (bad[at] ?? 0) ^ 0x20;
    // The padding after the last deflate symbol may change without consequence; everything else is refused.
    const result = await unpackWal(NAME, bad).catch((error: unknown) => error);
    expect(result instanceof GamedayError ? result.code : Buffer.compare(result as Buffer, plain)).toBe(
      result instanceof GamedayError ? 'object_corrupt' : 0,
    );
    if (at < 48) expect(result).toBeInstanceOf(GamedayError);
  }
});

test('a segment must be what its name says', () => {
  expect(() => checkSegmentHeader(NAME, segment(), SYSTEM)).not.toThrow();
  expect(() =>
    checkSegmentHeader(
      NAME,
      segment((page) => page.writeUInt32LE(1, 4)),
      SYSTEM,
    ),
  ).not.toThrow();
  expect(() =>
    checkSegmentHeader(
      NAME,
      segment((page) => page.writeUInt32LE(3, 4)),
      SYSTEM,
    ),
  ).toThrow('timeline 3');
  expect(() =>
    checkSegmentHeader(
      NAME,
      segment((page) => page.writeUInt16LE(0, 0)),
      SYSTEM,
    ),
  ).toThrow('no WAL page');
  expect(() => checkSegmentHeader('000000020000000000000004', segment(), SYSTEM)).toThrow('its first page is 0/3000000, not 0/4000000');
  expect(() => checkSegmentHeader(NAME, segment(), '1')).toThrow(`belongs to system ${SYSTEM}, not 1`);
  expect(() => checkSegmentHeader(NAME, segment().subarray(1), SYSTEM)).toThrow('bytes');
});

test('a file unpacked to disk counts only if every byte is what the archive says, and the segment what its name says', async () => {
  const dir = mkdtempSync(join(tmpdir(), 'gd-wal-'));
  const path = join(dir, 'file');
  try {
    const plain = segment((page) => page.write('some records', 5_000_000));
    const packed = await packWal(plain);
    expect(await unpackWalInto(NAME, packed, path, SYSTEM)).toBe(plain.length);
    expect(readFileSync(path).equals(plain)).toBe(true);
    for (let at = 0; at < packed.length; at += Math.ceil(packed.length / 10)) {
      const bad = Buffer.from(packed);
      bad[at] = (bad[at] ?? 0) ^ 0x04;
      // The header's own fields (time, system) say nothing about the content: such a file is the same file.
      const outcome = await unpackWalInto(NAME, bad, path, SYSTEM).catch((error: unknown) => error);
      if (outcome instanceof Error) expect(outcome).toMatchObject({ code: 'object_corrupt' });
      else expect(readFileSync(path).equals(plain)).toBe(true);
    }
    const larger = Buffer.from(packed);
    larger.writeUInt32LE(0xffff_ffff, larger.length - 4);
    const smaller = Buffer.from(packed);
    smaller.writeUInt32LE(0, smaller.length - 4);
    const refused = [
      [NAME, packed.subarray(0, packed.length - 5), SYSTEM],
      [NAME, packed.subarray(0, 30), SYSTEM],
      [NAME, larger, SYSTEM],
      [NAME, smaller, SYSTEM],
      [NAME, await packWal(plain.subarray(0, 8_192)), SYSTEM],
      [NAME, await packWal(Buffer.concat([plain, Buffer.alloc(1)])), SYSTEM],
      ['000000020000000000000004', packed, SYSTEM],
      [NAME, packed, '1'],
    ] as const;
    for (const [name, object, system] of refused)
      await expect(unpackWalInto(name, object, path, system)).rejects.toMatchObject({ code: 'object_corrupt' });
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
}, 30_000);
