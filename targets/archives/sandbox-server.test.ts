import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Target } from '../../model/target';
import { createSandbox, sandboxPlace, sandboxSettings } from './sandbox-server';

let dir: string;
let target: Target;

beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'gd-sb-'));
  target = { name: 't', sandbox: { dir, osUser: null, binDir: '/nowhere' } } as Target;
});
afterEach(() => rmSync(dir, { recursive: true, force: true }));

test('files of the same restore on which no server ran stay for the next try; all else goes', async () => {
  const place = sandboxPlace(target, join(dir, 'one'));
  const file = join(place.dataDir, 'PG_VERSION');
  const leave = (): void => writeFileSync(file, '15');
  await createSandbox(target, place, { drill: 'd1' });
  leave();
  await createSandbox(target, place, { drill: 'd1' });
  expect(existsSync(file)).toBe(true);

  await createSandbox(target, place, { drill: 'd2' });
  expect(existsSync(file)).toBe(false);

  leave();
  writeFileSync(place.logFile, 'LOG:  starting PostgreSQL');
  await createSandbox(target, place, { drill: 'd2' });
  expect(existsSync(file)).toBe(false);
  expect(existsSync(place.logFile)).toBe(false);
});

test('a directory that gameday did not make is not touched', async () => {
  mkdirSync(join(dir, 'theirs', 'data'), { recursive: true });
  await expect(createSandbox(target, sandboxPlace(target, join(dir, 'theirs')), {})).rejects.toMatchObject({ code: 'refused' });
  expect(existsSync(join(dir, 'theirs', 'data'))).toBe(true);
});

test.each([
  ['latest', "recovery_target = ''"],
  ['immediate', "recovery_target = 'immediate'"],
])('to %s PostgreSQL is told %s, and the timeline by its number', (value, told) => {
  const recovery = { backup: 'b', timeline: 3, setting: 'recovery_target', value, inclusive: true, lastSegment: '' } as const;
  const lines = sandboxSettings(sandboxPlace(target, join(dir, 'one')), recovery, 'false', new Map()).split('\n');
  expect(lines).toEqual(expect.arrayContaining([told, "recovery_target_timeline = '3'"]));
});
