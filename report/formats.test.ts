/** The formats for machines and the comparison: what a CI system, a spreadsheet and a second look at two drills are told. */
import type { DrillRecord } from '../model/record';
import { sampleRecord } from '../test/fixtures/record';
import { comparedDrill } from '../core/compared-drill';
import { compareDrills, comparisonText } from './compare';
import { CSV_COLUMNS, csvCell, renderCsv } from './csv';
import { renderJunit } from './junit';

const notRecorded = { notRecorded: 'the prober never started' };
const attribute = (text: string, name: string): string => new RegExp(`<testsuites[^>]* ${name}="([^"]*)"`).exec(text)?.[1] ?? '';
const sample = sampleRecord();
const objective = (at: number): DrillRecord['judgement']['objectives'][number] => {
  const found = sample.judgement.objectives[at];
  if (found === undefined) throw new Error(`the sample has no objective ${at}`);
  return found;
};
const compareRecords = (before: DrillRecord, after: DrillRecord) => compareDrills(comparedDrill(before), comparedDrill(after));
/** The sample with its first objective, RTO, replaced. */
const withRto = (changes: Partial<DrillRecord['judgement']['objectives'][number]>, more: Partial<DrillRecord> = {}): DrillRecord =>
  sampleRecord({ ...more, judgement: { ...sample.judgement, objectives: [{ ...objective(0), ...changes }, objective(1)] } });

describe('junit.xml', () => {
  it('counts every objective, fault, step and check once, and passes what the record passes', () => {
    const text = renderJunit(sample);
    const restored = sample.restores.flatMap(({ checks }) => checks).length;
    const { judgement, faults, steps, verification } = sample;
    const expected = judgement.objectives.length + faults.length + steps.length + verification.length + restored + 1;
    expect(text.match(/<testcase /g)).toHaveLength(expected);
    expect([attribute(text, 'tests'), attribute(text, 'failures'), attribute(text, 'errors')]).toEqual([String(expected), '0', '0']);
    expect(text).toContain('classname="gameday.game-day-in-a-box.objective" name="Recovery time (RTO) ≤ 30.0 s" time="2.418"/>');
  });

  it.each([
    ['fail', 'failures'],
    ['marginal', 'failures'],
    ['inconclusive', 'errors'],
  ] as const)('an objective that is %s counts among the %s', (verdict, counted) => {
    const text = renderJunit(withRto({ verdict, reason: 'because <of> "this" & that' }));
    expect(attribute(text, counted)).toBe('1');
    expect(text).toContain('because &lt;of&gt; &quot;this&quot; &amp; that');
  });

  it('a fault that stays is a failure, one that was not shown to bite an error, a step not executed is skipped', () => {
    const [first, second, ...rest] = sample.faults;
    const [step, ...steps] = sample.steps;
    if (first === undefined || second === undefined || step === undefined) throw new Error('the sample is too small');
    const text = renderJunit(
      sampleRecord({
        faults: [{ ...first, healed: false, goneBy: notRecorded }, { ...second, confirmed: false }, ...rest],
        steps: [{ ...step, outcome: 'not executed', reason: 'halted before' }, ...steps],
        redundancy: notRecorded,
      }),
    );
    expect([attribute(text, 'failures'), attribute(text, 'errors'), attribute(text, 'skipped')]).toEqual(['1', '1', '2']);
    expect(text).toContain('<skipped message="halted before"/>');
  });

  it('keeps what XML cannot hold out of it', () => {
    const text = renderJunit(sampleRecord({ startedBy: 'x', target: { ...sample.target, name: 'a\u0000b\ud800c\uffffd' } }));
    expect(text).toContain('value="abcd"');
  });
});

describe('csv', () => {
  const cells = (text: string): readonly string[][] =>
    text
      .trimEnd()
      .split('\r\n')
      .map((row) => row.split(','));

  it('has a row for RTO, every segment, every restore phase and every step, each with all columns', () => {
    const rows = cells(renderCsv(sampleRecord({ scenario: { ...sample.scenario, name: 'plain' } })));
    expect(rows[0]).toEqual([...CSV_COLUMNS]);
    expect(rows.every((row) => row.length === CSV_COLUMNS.length)).toBe(true);
    const kinds = rows.map((row) => row[6]);
    expect(kinds.filter((kind) => kind === 'segment')).toHaveLength(5);
    expect(kinds.filter((kind) => kind === 'restore phase')).toHaveLength(4);
    expect(kinds.filter((kind) => kind === 'step')).toHaveLength(sample.steps.length);
    expect(rows.find((row) => row[7] === 'RTO')?.slice(8)).toEqual(['2412.5', '2422.8', '', '', '30000', '']);
  });

  it('leaves empty what was not recorded, and never writes a zero for it', () => {
    const rows = cells(renderCsv(sampleRecord({ rto: notRecorded, rpo: notRecorded, restores: [], steps: [] })));
    expect(rows).toHaveLength(1);
  });

  it.each([
    ['a,b', '"a,b"'],
    ['say "x"', '"say ""x"""'],
    ['=1+1', "'=1+1"],
    ['@cmd', "'@cmd"],
    [-5, '-5'],
    ['two\nlines', '"two\nlines"'],
  ])('writes %j as %s', (value, expected) => {
    expect(csvCell(value)).toBe(expected);
  });
});

describe('compare', () => {
  const rto = (record: DrillRecord, other: DrillRecord): ReturnType<typeof compareDrills>['figures'][number] | undefined =>
    compareRecords(record, other).figures.find(({ name }) => name === 'Recovery time (RTO)');

  it('finds no change between a drill and itself, and warns of nothing', () => {
    const { warnings, figures, findingsGone, findingsNew } = compareRecords(sample, sample);
    expect([warnings, findingsGone, findingsNew]).toEqual([[], [], []]);
    expect(new Set(figures.map(({ change }) => change))).toEqual(new Set(['same']));
  });

  it('calls a difference one only where the bounds are apart, and says the least that it can be', () => {
    expect(rto(sample, withRto({ measured: 2_425, low: 2_420, high: 2_430 }))).toMatchObject({ change: 'within the bounds', by: null });
    expect(rto(sample, withRto({ measured: 3_500, low: 3_422.8, high: 3_600 }))).toMatchObject({ change: 'worse', by: '1.00 s' });
    expect(rto(withRto({ measured: 3_500, low: 3_422.8, high: 3_600 }), sample)).toMatchObject({ change: 'better', by: '1.00 s' });
    expect(rto(sample, withRto({ measured: null, low: null, high: null }))).toMatchObject({
      change: 'not comparable',
      after: expect.stringContaining('not recorded') as string,
    });
  });

  it('warns where the two are not of the same thing', () => {
    const other = sampleRecord({
      planSha256: '00'.repeat(32),
      state: 'aborted',
      target: { ...sample.target, systemIdentifier: '1', postgresVersion: notRecorded },
    });
    const text = comparisonText(compareRecords(sample, other));
    expect(text).toContain('WARNING: the plans differ');
    expect(text).toContain('WARNING: the PostgreSQL system differs: 7440123456789012345, then 1');
    expect(text).toContain('15.14, then not recorded: the prober never started');
    expect(text).toContain('did not run to its end: aborted');
  });

  it('tells findings that went and came by their rules, whatever figures they name', () => {
    const finding = (rule: string, text: string): DrillRecord['findings'][number] => ({
      id: 'F1',
      rule,
      severity: 'low',
      text,
      since: null,
      owner: null,
      due: null,
      accepted: null,
    });
    const before = sampleRecord({ findings: [finding('clients', '3 writes failed while others succeeded'), finding('fork', 'old')] });
    const after = sampleRecord({ findings: [finding('clients', '17 writes failed while others succeeded'), finding('restore', 'new')] });
    expect(compareRecords(before, after)).toMatchObject({ findingsGone: ['old'], findingsNew: ['new'] });
  });
});
