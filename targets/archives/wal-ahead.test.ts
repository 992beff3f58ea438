/** Segments stored ahead of PostgreSQL's asking: side by side, bounded, and never counted for other bytes than those that are stored. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { until } from '../../core/clock';
import { openDirectoryStore } from '../../objects/directory-store';
import type { ObjectStore } from '../../objects/store';
import { AHEAD_PARALLEL, WalAhead } from './wal-ahead';

let dir: string;
let walDir: string;
let store: ObjectStore;
const name = (at: number, timeline = 1): string => `0000000${timeline}000000000000000${at.toString(16).toUpperCase()}`;
const bytes = (text: string): Buffer => Buffer.from(text);

function ready(file: string, content = file): void {
  writeFileSync(join(walDir, file), content);
  writeFileSync(join(walDir, 'archive_status', `${file}.ready`), '');
}

beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'gd-ahead-'));
  walDir = join(dir, 'pg_wal');
  mkdirSync(join(walDir, 'archive_status'), { recursive: true });
  store = openDirectoryStore(join(dir, 'store'));
});
afterEach(() => rmSync(dir, { recursive: true, force: true }));

/** A store of real files that holds each write until it is let go. */
function gated(): {
  readonly ahead: WalAhead;
  readonly waiting: string[];
  readonly letGo: (file: string) => void;
  readonly most: () => number;
} {
  const gates = new Map<string, () => void>();
  const waiting: string[] = [];
  let [now, most] = [0, 0];
  const ahead = new WalAhead(walDir, async (file, plain) => {
    most = Math.max(most, (now += 1));
    waiting.push(file);
    await new Promise<void>((resolve) => gates.set(file, resolve));
    await store.put(file, plain);
    now -= 1;
  });
  return { ahead, waiting, letGo: (file) => gates.get(file)?.(), most: () => most };
}

const wait = (condition: () => boolean): Promise<true> =>
  until(() => (condition() ? true : null), { timeoutMs: 5_000, everyMs: 5, onTimeout: () => new Error('it did not come to that') });

test('what lies ready behind a segment is stored side by side, at most so many at once, in the order of asking', async () => {
  for (let at = 1; at <= 9; at += 1) ready(name(at));
  const { ahead, waiting, letGo, most } = gated();
  await ahead.lookBehind(name(2));
  await ahead.lookBehind(name(2));
  await wait(() => waiting.length === AHEAD_PARALLEL);
  expect([...waiting].sort()).toEqual([name(3), name(4), name(5)]);
  for (const file of [...waiting]) letGo(file);
  expect(await ahead.has(name(3), bytes(name(3)))).toBe(true);
  await ahead.lookBehind(name(3));
  await wait(() => waiting.length === AHEAD_PARALLEL + 1);
  letGo(name(6));
  await ahead.end();
  expect(most()).toBe(AHEAD_PARALLEL);
});

test('an answer waits until that very segment is durable, though later ones are', async () => {
  for (let at = 1; at <= 4; at += 1) ready(name(at));
  const { ahead, waiting, letGo } = gated();
  await ahead.lookBehind(name(1));
  await wait(() => waiting.length === 3);
  letGo(name(3));
  letGo(name(4));
  expect(await ahead.has(name(4), bytes(name(4)))).toBe(true);
  let answered = false;
  const second = ahead.has(name(2), bytes(name(2))).then((is) => ((answered = true), is));
  await wait(() => waiting.length === 3);
  expect([answered, await store.get(name(2))]).toEqual([false, null]);
  letGo(name(2));
  expect(await second).toBe(true);
  expect(Buffer.from((await store.get(name(2))) ?? []).toString()).toBe(name(2));
});

test('other bytes than those stored do not count, and neither does what could not be stored', async () => {
  for (let at = 1; at <= 3; at += 1) ready(name(at));
  const ahead = new WalAhead(walDir, async (file, plain) => {
    if (file === name(3)) throw new Error('the store is away');
    await store.put(file, plain);
  });
  await ahead.lookBehind(name(1));
  expect(await ahead.has(name(2), bytes('another node’s'))).toBe(false);
  expect(await ahead.has(name(3), bytes(name(3)))).toBe(false);
  // Asked for again, it is tried again.
  expect(await ahead.has(name(3), bytes(name(3)))).toBe(false);
  expect(await ahead.has(name(9), bytes(name(9)))).toBe(false);
});

test('nothing of another timeline, nothing unfinished, and nothing where pg_wal is elsewhere', async () => {
  ready(name(2, 2));
  ready('00000002.history');
  writeFileSync(join(walDir, name(3)), 'being written');
  const stored: string[] = [];
  const note = async (file: string): Promise<void> => void stored.push(file);
  const ahead = new WalAhead(walDir, note);
  await ahead.lookBehind(name(1));
  await ahead.lookBehind('00000001.history');
  await new WalAhead(null, note).lookBehind(name(1));
  await new WalAhead(join(dir, 'nowhere'), note).lookBehind(name(1));
  await ahead.end();
  expect(stored).toEqual([]);
});
