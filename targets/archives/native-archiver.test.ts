/** One name, two contents: refused while its timeline goes on, kept aside where history has left it. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { WAL_SEGMENT_BYTES } from '../../core/lsn';
import { openDirectoryStore } from '../../objects/directory-store';
import type { ObjectStore } from '../../objects/store';
import { storeWalFile } from './native-archiver';
import { unpackWal } from './wal-object';

const SYSTEM = '7400000000000000001';
const SEVENTH = '000000010000000000000007';
let dir: string;
let store: ObjectStore;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'gameday-archiver-'));
  store = openDirectoryStore(dir);
});
afterEach(() => rmSync(dir, { recursive: true, force: true }));

/** The seventh segment of timeline 1, whose holder got as far as `written` says. */
function seventh(written: string): Buffer {
  const page = Buffer.alloc(Number(WAL_SEGMENT_BYTES));
  page.writeUInt16LE(0xd110, 0);
  page.writeUInt16LE(0x0002, 2);
  page.writeUInt32LE(1, 4);
  page.writeBigUInt64LE(7n * WAL_SEGMENT_BYTES, 8);
  page.writeBigUInt64LE(BigInt(SYSTEM), 24);
  page.writeUInt32LE(Number(WAL_SEGMENT_BYTES), 32);
  page.write(written, 8_192);
  return page;
}

const put = (content: Buffer): Promise<string> => storeWalFile(store, SEVENTH, content, SYSTEM);
const history = (name: string, text: string): Promise<string> => storeWalFile(store, name, Buffer.from(text), SYSTEM);
const keys = async (): Promise<string[]> => {
  const found: string[] = [];
  for await (const { key } of store.list('')) found.push(key);
  return found;
};

test('the same content again is success, another is refused while the timeline goes on', async () => {
  expect(await put(seventh('all of it'))).toBe('stored');
  expect(await put(seventh('all of it'))).toBe('was there');
  // Left earlier than this segment ends is what counts; a fork far behind it says nothing about it.
  await history('00000002.history', '1\t0/9000028\tno recovery target specified\n');
  await expect(put(seventh('less'))).rejects.toMatchObject({ code: 'object_exists' });
});

test('where history has left the timeline, another node’s version stands aside and the first stays', async () => {
  await put(seventh('what the lost primary had'));
  await history('00000002.history', '1\t0/7033EE0\tno recovery target specified\n');
  await history('00000003.history', '1\t0/7033EE0\tno recovery target specified\n\n2\t0/E0000A0\tno recovery target specified\n');
  expect(await put(seventh('what a standby had'))).toBe('stored');
  expect(await put(seventh('what a standby had'))).toBe('was there');
  const aside = (await keys()).filter((key) => key.startsWith('forks/'));
  expect(aside).toEqual([expect.stringMatching(new RegExp(`^forks/${SEVENTH}\\.[0-9a-f]{16}\\.gz$`))]);
  const kept = await unpackWal(SEVENTH, (await store.get(`wal/00000001/${SEVENTH}.gz`)) ?? new Uint8Array());
  expect(kept.equals(seventh('what the lost primary had'))).toBe(true);
});

test('a history file with other content is never kept aside: it would be another history', async () => {
  await history('00000002.history', '1\t0/7033EE0\tno recovery target specified\n');
  await expect(history('00000002.history', '1\t0/8000028\tno recovery target specified\n')).rejects.toMatchObject({
    code: 'object_exists',
  });
});
