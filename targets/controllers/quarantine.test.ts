/** What is old goes, whole; what is young, or not ours, stays. */
import { mkdirSync, mkdtempSync, readdirSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { removeExpired } from './quarantine';

const DAY_S = 86_400;
const NOW_S = 2_000_000_000;
let quarantine: string;
beforeEach(() => {
  quarantine = mkdtempSync(join(tmpdir(), 'gameday-quarantine-'));
});
afterEach(() => rmSync(quarantine, { recursive: true, force: true }));

function save(name: string, daysAgo: number): void {
  mkdirSync(join(quarantine, name));
  writeFileSync(join(quarantine, name, '000000010000000000000003'), 'wal');
  writeFileSync(join(quarantine, `${name}.json`), '{}');
  utimesSync(join(quarantine, `${name}.json`), NOW_S - daysAgo * DAY_S, NOW_S - daysAgo * DAY_S);
}

test('a fork that was saved more than 30 days ago is removed with all that belongs to it, and no younger one', () => {
  save('n1-2', 31);
  writeFileSync(join(quarantine, 'n1-2.rows.gz'), 'rows');
  save('n1-20', 29);
  expect(removeExpired(quarantine, NOW_S * 1_000)).toEqual(['n1-2']);
  expect(readdirSync(quarantine).sort()).toEqual(['n1-20', 'n1-20.json']);
  expect(removeExpired(quarantine, NOW_S * 1_000)).toEqual([]);
});

test('what no manifest names stays, however old, and a quarantine that is not there holds nothing', () => {
  mkdirSync(join(quarantine, 'n1-3.new'));
  writeFileSync(join(quarantine, 'notes.json'), '{}');
  utimesSync(join(quarantine, 'notes.json'), 1, 1);
  expect(removeExpired(quarantine, NOW_S * 1_000)).toEqual([]);
  expect(readdirSync(quarantine).sort()).toEqual(['n1-3.new', 'notes.json']);
  expect(removeExpired(join(quarantine, 'nowhere'), NOW_S * 1_000)).toEqual([]);
});
