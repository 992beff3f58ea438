/** Sizes that grow while somebody else writes; real files, real time. */
import { appendFileSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { until } from '../../core/clock';
import { bytesBelow, tellGrowth } from './directory-growth';

let dir: string;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'gd-growth-'));
  mkdirSync(join(dir, 'base', '1'), { recursive: true });
  writeFileSync(join(dir, 'PG_VERSION'), '15\n');
  writeFileSync(join(dir, 'base', '1', '1259'), Buffer.alloc(8_192));
});
afterEach(() => rmSync(dir, { recursive: true, force: true }));

test('bytes of files at every depth count, a directory that is not there is empty', async () => {
  expect(await bytesBelow(dir)).toBe(8_195);
  expect(await bytesBelow(join(dir, 'none'))).toBe(0);
});

test('growth is told while the work goes on, and its result is the work’s', async () => {
  const told: number[] = [];
  const work = async (): Promise<string> => {
    await until(() => (told.length > 0 ? true : null), { timeoutMs: 5_000, onTimeout: () => new Error('nothing was told') });
    appendFileSync(join(dir, 'base', '1', '1259'), Buffer.alloc(8_192));
    await until(() => (told.includes(16_387) ? true : null), { timeoutMs: 5_000, onTimeout: () => new Error('growth was not told') });
    return 'done';
  };
  expect(await tellGrowth(dir, work(), (bytes) => void told.push(bytes))).toBe('done');
  expect(told[0]).toBe(8_195);
  const after = told.length;
  appendFileSync(join(dir, 'PG_VERSION'), 'x');
  await expect(tellGrowth(dir, Promise.reject(new Error('tool failed')), () => undefined)).rejects.toThrow('tool failed');
  expect(told).toHaveLength(after);
});
