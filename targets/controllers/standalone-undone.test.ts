/** What was undone is refused, on a real disk, and the list of it stays short. */
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { noteUndone, refuseUndone } from './standalone-undone';

let dir = '';
beforeEach(() => void (dir = mkdtempSync(join(tmpdir(), 'gameday-undone-'))));
afterEach(() => rmSync(dir, { recursive: true, force: true }));

const refused = (token: string): boolean => {
  try {
    refuseUndone(dir, token, 'n2');
    return false;
  } catch (error) {
    expect(error).toMatchObject({ code: 'step_failed', retryable: false });
    return true;
  }
};

test('a rebuild that was undone is refused, another one is not', () => {
  expect(refused('a')).toBe(false);
  noteUndone(dir, 'a');
  noteUndone(dir, 'b');
  noteUndone(dir, 'a');
  expect(['a', 'b', 'c'].map(refused)).toEqual([true, true, false]);
  expect(readdirSync(dir)).toEqual(['rebuilds-undone.json']);
});

test('the newest hundred are kept; one that is undone again is among them', () => {
  for (let at = 0; at < 100; at += 1) noteUndone(dir, `${at}`);
  noteUndone(dir, '0');
  noteUndone(dir, 'last');
  expect(['0', '1', '2', '99', 'last'].map(refused)).toEqual([true, false, true, true, true]);
});
