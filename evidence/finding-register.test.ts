import { appendFileSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { DrillRecord, RecordFinding } from '../model/record';
import { sampleRecord } from '../test/fixtures/record';
import { encodeRecord } from './bundle';
import { decide, findingStories, knownFindings, readFindings, type FindingDecision } from './finding-register';

const TODAY = '2026-11-28';
const finding = (rule: string, text = rule): RecordFinding => ({
  id: 'F1',
  rule,
  severity: 'high',
  text,
  since: null,
  owner: null,
  due: null,
  accepted: null,
});
/** The n-th drill of a series, with these findings. */
const drill = (sequence: number, rules: readonly string[], changes: Partial<DrillRecord> = {}): DrillRecord =>
  sampleRecord({
    drill: `drill-${String(sequence).padStart(6, '0')}`,
    sequence,
    startedAt: `2026-11-${String(sequence).padStart(2, '0')}T10:00:00.000Z`,
    findings: rules.map((rule) => finding(rule)),
    ...changes,
  });
const decision = (key: string, changes: Partial<FindingDecision>): FindingDecision => ({
  key,
  at: '2026-11-20T00:00:00Z',
  by: 'mira',
  owner: null,
  due: null,
  accepted: null,
  ...changes,
});
const only = (records: readonly DrillRecord[], decisions: readonly FindingDecision[] = []): ReturnType<typeof findingStories>[number] => {
  const stories = findingStories(records, decisions, TODAY);
  if (stories.length !== 1 || stories[0] === undefined) throw new Error(`${stories.length} stories`);
  return stories[0];
};

test('a finding stays open from the drill that had it first until a retest is free of it', () => {
  expect(only([drill(1, ['a']), drill(2, ['a'])])).toMatchObject({
    state: 'open',
    firstDrill: 'drill-000001',
    lastDrill: 'drill-000002',
    seen: 2,
  });
  expect(only([drill(1, ['a']), drill(2, [])])).toMatchObject({ state: 'closed', closedBy: 'drill-000002' });
});

test.each<readonly [string, Partial<DrillRecord>]>([
  ['was aborted', { state: 'aborted' }],
  ['could not be judged', { verdict: 'inconclusive' }],
  ['rehearsed another scenario', { scenario: { ...sampleRecord().scenario, name: 'other' } }],
  ['ran on another system', { target: { ...sampleRecord().target, systemIdentifier: '1' } }],
])('a later drill that %s closes nothing', (_, changes) => {
  expect(only([drill(1, ['a']), drill(2, [], changes)])).toMatchObject({ state: 'open', closedBy: null });
});

test('one that comes back is open again, under its old name, since the drill that it came back in', () => {
  const first = only([drill(1, ['a'])]);
  expect(only([drill(1, ['a']), drill(2, []), drill(3, ['a'])])).toMatchObject({
    key: first.key,
    state: 'open',
    closedBy: null,
    firstDrill: 'drill-000003',
    seen: 2,
  });
});

test('later decisions stand over earlier ones, and what is past its day is overdue', () => {
  const { key } = only([drill(1, ['a'])]);
  const decisions = [
    decision(key, { owner: 'jo', due: '2026-12-31' }),
    decision('f-other', { owner: 'nobody' }),
    decision(key, { due: '2026-11-27' }),
  ];
  expect(only([drill(1, ['a'])], decisions)).toMatchObject({ owner: 'jo', due: '2026-11-27', isOverdue: true });
  expect(only([drill(1, ['a']), drill(2, [])], decisions)).toMatchObject({ state: 'closed', isOverdue: false });
});

test('an accepted risk is accepted to its last day and open after it', () => {
  const { key } = only([drill(1, ['a'])]);
  const until = (day: string) => [decision(key, { accepted: { until: day, reason: 'new hardware in spring' } })];
  expect(only([drill(1, ['a'])], until(TODAY))).toMatchObject({ state: 'accepted', accepted: { by: 'mira', until: TODAY } });
  expect(only([drill(1, ['a'])], until('2026-11-27'))).toMatchObject({ state: 'open' });
});

describe('beside bundles on disk', () => {
  let drills = '';
  beforeEach(() => {
    drills = mkdtempSync(join(tmpdir(), 'gameday-findings-'));
    for (const record of [drill(1, ['a', 'b']), drill(2, ['a'])]) {
      mkdirSync(join(drills, 'lab', record.drill), { recursive: true });
      writeFileSync(join(drills, 'lab', record.drill, 'record.json'), encodeRecord(record));
    }
  });
  afterEach(() => rmSync(drills, { recursive: true }));

  test('decisions are kept, and the next record of the scenario knows them', () => {
    const open = readFindings(drills, null, TODAY).stories.find(({ state }) => state === 'open');
    if (open === undefined) throw new Error('none is open');
    decide(drills, 'lab', decision(open.key, { owner: 'jo', due: '2026-12-01', accepted: { until: '2026-12-24', reason: 'known' } }));
    const about = { target: 'lab', systemIdentifier: drill(1, []).target.systemIdentifier, scenario: open.scenario };
    const known = (today: string, scenario = open.scenario) =>
      knownFindings(drills, { ...about, scenario }, new Map([['a', 'drill-000001']]), today);
    expect(known(TODAY)).toEqual([
      { rule: 'a', since: 'drill-000001', owner: 'jo', due: '2026-12-01', accepted: 'mira until 2026-12-24: known' },
    ]);
    expect(known('2026-12-25')).toEqual([{ rule: 'a', since: 'drill-000001', owner: 'jo', due: '2026-12-01', accepted: null }]);
    expect(known(TODAY, 'other')).toEqual([{ rule: 'a', since: 'drill-000001', owner: null, due: null, accepted: null }]);
  });

  test('a bundle that cannot be read is named, and a damaged decision is refused with its line', () => {
    writeFileSync(join(drills, 'lab', 'drill-000001', 'record.json'), '{');
    expect(readFindings(drills, 'lab', TODAY).problems).toEqual([expect.stringMatching(/^lab drill-000001: .*no JSON/)]);
    appendFileSync(join(drills, 'lab', 'findings.jsonl'), '{"key":1}\n');
    expect(() => readFindings(drills, 'lab', TODAY)).toThrow(/findings\.jsonl:1 is no decision/);
  });
});
