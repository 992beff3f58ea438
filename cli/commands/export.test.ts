/** Export, findings and compare by the command line's own words, over bundles on disk. */
import { existsSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Command } from 'commander';
import { encodeRecord } from '../../evidence/bundle';
import type { DrillRecord } from '../../model/record';
import { sampleRecord } from '../../test/fixtures/record';
import { compareCommand } from './compare';
import { exportCommand } from './export';
import { findingsCommand } from './findings';

let home = '';
let said = '';
beforeEach(() => {
  home = mkdtempSync(join(tmpdir(), 'gameday-export-'));
  process.env['GAMEDAY_HOME'] = home;
  said = '';
  jest.spyOn(process.stdout, 'write').mockImplementation((chunk) => {
    said += String(chunk);
    return true;
  });
});
afterEach(() => {
  jest.restoreAllMocks();
  delete process.env['GAMEDAY_HOME'];
  rmSync(home, { recursive: true });
});

function keep(sequence: number, changes: Partial<DrillRecord> = {}): void {
  const drill = `drill-${String(sequence).padStart(6, '0')}`;
  const dir = join(home, 'drills', 'lab', drill);
  mkdirSync(dir, { recursive: true });
  writeFileSync(join(dir, 'record.json'), encodeRecord(sampleRecord({ drill, sequence, ...changes })));
}

/** Runs one command as `gameday` does, and returns what it printed. */
async function gameday(command: Command, ...args: string[]): Promise<string> {
  said = '';
  for (const each of [command, ...command.commands]) each.exitOverride();
  await command.parseAsync(args, { from: 'user' });
  return said;
}

describe('export', () => {
  const period = ['--from', '2026-11-01', '--to', '2026-11-30'];

  test('lists every drill and every slot that was skipped or missed, with reports beside', async () => {
    keep(1);
    mkdirSync(join(home, 'drills', 'lab', 'drill-000002'));
    const slot = {
      schedule: 'monthly',
      scenario: 'primary-loss',
      dueAt: '2026-11-10T10:00:00Z',
      outcome: 'skipped',
      reason: 'not, healthy',
    };
    const later = { ...slot, dueAt: '2026-12-10T10:00:00Z', outcome: 'missed' };
    writeFileSync(join(home, 'drills', 'lab', 'schedule.jsonl'), `${JSON.stringify(slot)}\n${JSON.stringify(later)}\n`);
    const out = join(home, 'out');
    expect(await gameday(exportCommand(), ...period, '-o', out)).toContain('1 run, 1 skipped, 0 missed, 1 without a record');
    const rows = readFileSync(join(out, 'index.csv'), 'utf8').trimEnd().split('\r\n');
    expect(rows).toHaveLength(4);
    expect(rows.some((row) => row.startsWith(',run,lab,game-day-in-a-box,,drill-000001,completed,pass,,'))).toBe(true);
    expect(
      rows.some((row) => row.includes('2026-11-10T10:00:00Z,skipped,lab,primary-loss,monthly') && row.includes('"not, healthy"')),
    ).toBe(true);
    expect(readdirSync(join(out, 'reports')).sort()).toEqual(
      ['csv', 'html', 'junit.xml', 'oscal.json'].map((end) => `lab-drill-000001.${end}`),
    );
  });

  test.each([
    [['--from', '2026-02-30', '--to', '2026-11-30'], '--from "2026-02-30" is no day'],
    [['--from', '2026-11-30', '--to', '2026-11-01'], 'lies before'],
  ])('%j is refused, and nothing is made', async (wrong, words) => {
    const out = join(home, 'out');
    await expect(gameday(exportCommand(), ...wrong, '-o', out)).rejects.toThrow(words);
    expect(existsSync(out)).toBe(false);
  });

  test('never mixes with what is there', async () => {
    mkdirSync(join(home, 'out'));
    writeFileSync(join(home, 'out', 'mine'), '');
    await expect(gameday(exportCommand(), ...period, '-o', join(home, 'out'))).rejects.toThrow('is not empty');
  });
});

describe('findings', () => {
  const shown = async (): Promise<{ key: string; owner: string | null; due: string | null; state: string }[]> =>
    (JSON.parse(await gameday(findingsCommand(), 'list', '--all', '--json')) as { findings: never }).findings;

  test('are listed, given an owner, accepted, and closed by a retest alone', async () => {
    keep(1);
    const [open] = await shown();
    if (open === undefined) throw new Error('nothing found');
    expect(await gameday(findingsCommand(), 'assign', open.key, '--owner', 'jo', '--due', '2031-01-31', '--as', 'mira')).toContain(
      'owner jo, due 2031-01-31',
    );
    await gameday(findingsCommand(), 'accept', open.key, '--until', '2031-01-31', '--reason', 'new hardware', '--as', 'mira');
    expect(await shown()).toMatchObject([{ owner: 'jo', due: '2031-01-31', state: 'accepted' }]);
    keep(2, { findings: [], startedAt: '2026-11-27T00:00:00.000Z' });
    expect(await shown()).toMatchObject([{ owner: 'jo', state: 'closed', closedBy: 'drill-000002' }]);
    expect(await gameday(findingsCommand())).toContain('no finding is open');
  });

  test.each([
    [['assign', 'f-0000000000', '--owner', 'jo'], 'there is no finding f-0000000000'],
    [['assign', 'f-0000000000'], 'nothing to assign'],
    [['accept', 'f-0000000000', '--until', '2020-01-01', '--reason', 'x'], 'has passed'],
    [['accept', 'f-0000000000', '--until', '2031-01-01', '--reason', ' '], '--reason is empty'],
  ])('%j is refused', async (args, words) => {
    await expect(gameday(findingsCommand(), ...args)).rejects.toThrow(words);
  });
});

test('compare reads both drills by number', async () => {
  keep(1);
  keep(2, { planSha256: '00'.repeat(32) });
  expect(await gameday(compareCommand(), '1', '2')).toContain('WARNING: the plans differ');
  await expect(gameday(compareCommand(), '1', '3')).rejects.toThrow('no drill drill-000003');
});
