import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { until } from '../../core/clock';
import { GamedayError } from '../../core/errors';
import { WalFeeder, type FeederOptions, type FeederPlan } from './wal-feeder';

let dir: string;
let feeder: WalFeeder | null = null;
const names = Array.from({ length: 80 }, (_, at) => `0000000100000000000000${(at + 16).toString(16).toUpperCase()}`);

beforeEach(() => void (dir = mkdtempSync(join(tmpdir(), 'gd-feeder-'))));
afterEach(async () => {
  await feeder?.stop();
  feeder = null;
  rmSync(dir, { recursive: true, force: true });
});

async function open(
  fetch: FeederOptions['fetch'],
  needed: readonly string[] = names,
  more: Partial<FeederPlan> = {},
): Promise<{ get: (name: string) => Promise<number>; delivered: string[] }> {
  const delivered: string[] = [];
  const plan = { needed, besides: [], again: new Set<string>(), ...more };
  feeder = new WalFeeder({ dir: join(dir, 'wal'), owner: null, plan, fetch, onDelivered: (name) => void delivered.push(name) });
  const command = await feeder.start();
  /** As PostgreSQL does: a shell, with its working directory in the data directory. */
  const get = (name: string): Promise<number> =>
    new Promise((resolve) => {
      const line = command.replaceAll('%f', name).replaceAll('%p', 'RECOVERYXLOG');
      spawn('/bin/sh', ['-c', line], { cwd: dir, stdio: 'ignore' }).once('close', (code) => resolve(code ?? -1));
    });
  return { get, delivered };
}

const ready = (): string[] => readdirSync(join(dir, 'wal', 'ready')).sort();
const condition = (probe: () => boolean): Promise<true> =>
  until(() => (probe() ? true : null), { timeoutMs: 5_000, everyMs: 5, onTimeout: () => new Error('the condition did not come') });

const write: FeederOptions['fetch'] = async (name, path) => (writeFileSync(path, name), name.length);

test('what replay begins with lies ready, and never more than the window', async () => {
  const { get, delivered } = await open(write);
  await condition(() => ready().length === 64);
  expect(ready()).toEqual(names.slice(0, 64));
  for (const [at, name] of names.entries()) {
    expect(await get(name)).toBe(0);
    expect(readFileSync(join(dir, 'RECOVERYXLOG'), 'utf8')).toBe(name);
    expect(ready().length).toBeLessThanOrEqual(64);
    expect(delivered.length).toBeLessThanOrEqual(at + 1 + 64);
  }
  expect(delivered.sort()).toEqual(names);
}, 20_000);

test('a segment that is under way is waited for; one that the archive does not have is not', async () => {
  let give: () => void = () => undefined;
  const asked: string[] = [];
  const { get } = await open(
    async (name, path, signal) => {
      asked.push(name);
      if (name === '00000002.history') return null;
      await new Promise<void>((resolve) => (give = resolve));
      return write(name, path, signal);
    },
    names.slice(0, 1),
  );
  const waiting = get(names[0] ?? '');
  expect(await get('00000002.history')).toBe(1);
  await condition(() => existsSync(join(dir, 'wal', 'fetch.sh')) && asked.length === 2);
  give();
  expect(await waiting).toBe(0);
  // It may be there later: the archive is asked again.
  expect(await get('00000002.history')).toBe(1);
  expect(asked.filter((name) => name === '00000002.history')).toHaveLength(2);
});

test('a file that fails its check ends recovery instead of counting as the end of WAL, and is the reason', async () => {
  const bad = new GamedayError('object_corrupt', 'archived WAL file has SHA-256 abc');
  const { get } = await open(
    async (name, path, signal) => {
      if (name === names[1]) throw bad;
      return write(name, path, signal);
    },
    names.slice(0, 3),
  );
  expect(await get(names[0] ?? '')).toBe(0);
  expect(await get(names[1] ?? '')).toBe(200);
  expect(feeder?.failure).toBe(bad);
});

test('what is asked for more than once lies ready each time, though the store is asked once', async () => {
  const asked: string[] = [];
  const [first = '', last = ''] = names;
  const { get, delivered } = await open(
    async (name, path, signal) => {
      asked.push(name);
      return write(name, path, signal);
    },
    [first, last],
    { again: new Set([last]) },
  );
  for (const name of [first, last, last, last]) {
    expect(await get(name)).toBe(0);
    expect(readFileSync(join(dir, 'RECOVERYXLOG'), 'utf8')).toBe(name);
  }
  expect(asked).toEqual([first, last]);
  expect(delivered).toEqual([first, last]);
});

test('that there is no such file is answered without waiting, where it was looked up before', async () => {
  const asked: string[] = [];
  const { get } = await open(
    async (name, path, signal) => {
      asked.push(name);
      return name === '00000002.history' ? null : write(name, path, signal);
    },
    names.slice(0, 1),
    { besides: ['00000002.history'] },
  );
  await condition(() => existsSync(join(dir, 'wal', 'absent', '00000002.history')));
  expect(await get('00000002.history')).toBe(1);
  expect(asked.filter((name) => name === '00000002.history')).toHaveLength(1);
});

test('what cannot be had besides counts only once it is asked for', async () => {
  const [needed = '', besides = ''] = names;
  const bad = new GamedayError('object_corrupt', 'archived WAL file has SHA-256 abc');
  let tried = 0;
  const { get } = await open(
    async (name, path, signal) => {
      if (name === needed) return write(name, path, signal);
      tried += 1;
      throw bad;
    },
    [needed],
    { besides: [besides] },
  );
  await condition(() => tried === 1);
  expect(await get(needed)).toBe(0);
  expect(feeder?.failure).toBeNull();
  expect(await get(besides)).toBe(200);
  expect(feeder?.failure).toBe(bad);
});

test('what is asked for while it is looked up besides, and cannot be had, ends recovery', async () => {
  const [besides = ''] = names;
  const bad = new GamedayError('store_unreachable', 'gone');
  let fail: (error: Error) => void = () => undefined;
  let tries = 0;
  const { get } = await open(
    () => {
      tries += 1;
      return tries === 1 ? new Promise((_, reject) => (fail = reject)) : Promise.reject(bad);
    },
    [],
    { besides: [besides] },
  );
  const wanted = join(dir, 'wal', 'want', besides);
  writeFileSync(wanted, '');
  await condition(() => !existsSync(wanted));
  fail(bad);
  await condition(() => feeder?.failure === bad);
  expect(await get(besides)).toBe(200);
});

test('a path that the command cannot carry is refused', async () => {
  feeder = null;
  const odd = new WalFeeder({
    dir: join(dir, "it's"),
    owner: null,
    plan: { needed: [], besides: [], again: new Set() },
    fetch: write,
    onDelivered: () => undefined,
  });
  await expect(odd.start()).rejects.toMatchObject({ code: 'setting_invalid' });
});
