import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { DrillRecord } from '../model/record';
import { sampleRecord } from '../test/fixtures/record';
import { encodeRecord } from './bundle';
import { readEarlierDrills } from './earlier-drills';

let drills = '';
beforeEach(() => {
  drills = mkdtempSync(join(tmpdir(), 'gameday-earlier-'));
});
afterEach(() => rmSync(drills, { recursive: true }));

const nameOf = (sequence: number): string => `drill-${String(sequence).padStart(6, '0')}`;
/** `rules`: each with the drill that had it first, as the record itself says. */
function keep(sequence: number, rules: Readonly<Record<string, string | null>>, changes: Partial<DrillRecord> = {}): void {
  const findings = Object.entries(rules).map(([rule, since]) => ({
    id: 'F1',
    rule,
    severity: 'high' as const,
    text: rule,
    since,
    owner: null,
    due: null,
    accepted: null,
  }));
  const dir = join(drills, 'lab', nameOf(sequence));
  mkdirSync(dir, { recursive: true });
  writeFileSync(join(dir, 'record.json'), encodeRecord(sampleRecord({ drill: nameOf(sequence), sequence, findings, ...changes })));
}
const { target, scenario } = sampleRecord();
const read = (before: number) =>
  readEarlierDrills(drills, { target: 'lab', systemIdentifier: target.systemIdentifier, scenario: scenario.name, before: nameOf(before) });
const openBefore = (sequence: number): Record<string, string> => Object.fromEntries(read(sequence).open);

test('the newest whole drill tells what is open and since when, and is what is compared with', () => {
  keep(1, { gone: null, stays: null });
  keep(2, { stays: 'drill-000001', fresh: null });
  expect(openBefore(3)).toEqual({ stays: 'drill-000001', fresh: 'drill-000002' });
  expect(read(3).lastDrill).toMatchObject({ drill: 'drill-000002', findings: [{ rule: 'stays' }, { rule: 'fresh' }] });
  expect(openBefore(2)).toEqual({ gone: 'drill-000001', stays: 'drill-000001' });
});

test.each<readonly [string, Partial<DrillRecord>]>([
  ['aborted', { state: 'aborted', verdict: 'fail' }],
  ['inconclusive', { verdict: 'inconclusive' }],
])('a drill that was %s closes nothing: what the one before had stays open', (_what, changes) => {
  keep(1, { old: null });
  keep(2, { fresh: null }, changes);
  expect(openBefore(3)).toEqual({ old: 'drill-000001', fresh: 'drill-000002' });
  expect(read(3).lastDrill).toMatchObject({ drill: changes.state === 'aborted' ? 'drill-000001' : 'drill-000002' });
});

test('other scenarios, other systems and newer drills are none of its business', () => {
  keep(1, { other: null }, { scenario: { ...scenario, name: 'another' } });
  keep(2, { other: null }, { target: { ...target, systemIdentifier: '1' } });
  keep(4, { later: null });
  expect(read(3)).toEqual({ open: new Map(), lastDrill: { notRecorded: expect.stringContaining('no earlier drill') }, problems: [] });
});

test('nothing older than a whole drill is read, and what cannot be read is named', () => {
  keep(1, {});
  writeFileSync(join(drills, 'lab', 'drill-000001', 'record.json'), '{');
  keep(2, { open: null });
  expect(read(3).problems).toEqual([]);
  writeFileSync(join(drills, 'lab', 'drill-000002', 'record.json'), '{');
  expect(read(3).problems).toEqual([expect.stringContaining('drill-000002'), expect.stringContaining('drill-000001')]);
});

test('the millionth drill comes after the one before it', () => {
  keep(999_999, { a: null });
  keep(1_000_000, { b: null });
  expect(openBefore(1_000_001)).toEqual({ b: 'drill-1000000' });
});
