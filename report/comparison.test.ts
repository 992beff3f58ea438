import { comparedDrill } from '../core/compared-drill';
import type { DrillRecord, RecordFinding } from '../model/record';
import { sampleRecord } from '../test/fixtures/record';
import { comparedReport } from './comparison';
import { renderHtml } from './html';
import { renderMarkdown } from './markdown';

const options = { digest: 'ab'.repeat(32), keyFingerprint: null };
const finding = (id: string, rule: string, text: string): RecordFinding => ({
  id,
  rule,
  severity: 'high',
  text,
  since: null,
  owner: null,
  due: null,
  accepted: null,
});
const base = sampleRecord();
const [objective] = base.judgement.objectives;
if (objective === undefined) throw new Error('the sample has no objective');
const slower = { ...objective, measured: 9_000, low: 8_990, high: 9_010 };
const last = comparedDrill(
  sampleRecord({
    drill: 'drill-000041',
    startedAt: '2026-10-23T03:12:05.000Z',
    judgement: { ...base.judgement, objectives: [slower] },
    findings: [finding('F1', 'stays', 'it stays'), finding('F2', 'goes', 'it goes')],
    tool: { ...base.tool, version: '0.0.9' },
  }),
);
const record = (changes: Partial<DrillRecord> = {}): DrillRecord =>
  sampleRecord({ lastDrill: last, findings: [finding('F7', 'stays', 'it stays')], ...changes });
const reportOf = (changes: Partial<DrillRecord> = {}) => {
  const report = comparedReport(record(changes));
  if ('notRecorded' in report) throw new Error(report.notRecorded);
  return report;
};

test('figures stand beside those of the last drill, and a difference is the least that the bounds allow', () => {
  const { rows, comparison, sentence } = reportOf();
  expect(rows.find(([name]) => name === 'Recovery time (RTO)')).toEqual([
    'Recovery time (RTO)',
    '9.00 s (pass, target 30.0 s)',
    '2.42 s (pass, target 30.0 s)',
    '↓ better by at least 6.57 s',
  ]);
  expect(rows.find(([name]) => name === 'segment promotion')?.[3]).toBe('= same');
  expect(sentence).toContain('drill-000041 of 2026-10-23 03:12:05 UTC, ✓ Pass');
  expect(comparison.warnings).toEqual(['the version of gameday differs: 0.0.9, then 0.1.0']);
});

test.each<readonly [string, Partial<DrillRecord>, string]>([
  ['a whole drill', {}, 'closed: not found any more'],
  ['one that was stopped', { state: 'aborted' }, 'not retested: this drill did not run to its end (aborted)'],
  ['an inconclusive one', { verdict: 'inconclusive' }, 'not retested: this drill was inconclusive'],
])('what became of the last drill’s findings after %s', (_what, changes, gone) => {
  expect(reportOf(changes).lastFindings).toEqual([
    ['high', 'F1: it stays', 'found again: F7'],
    ['high', 'F2: it goes', gone],
  ]);
});

test('every format holds it, and says why where there is none', () => {
  for (const text of [renderHtml(record(), options), renderMarkdown(record(), options)]) {
    expect(text).toContain('Beside the last drill');
    expect(text).toContain('better by at least 6.57 s');
    expect(text).toContain('closed: not found any more');
  }
  for (const [lastDrill, reason] of [
    [{ notRecorded: 'no earlier drill' }, 'Not recorded: no earlier drill'],
    [undefined, 'the version that made this record kept nothing of earlier drills'],
  ] as const) {
    const { lastDrill: _kept, ...without } = record();
    const made = lastDrill === undefined ? without : { ...without, lastDrill };
    expect(renderHtml(made, options)).toContain(reason);
    expect(renderMarkdown(made, options)).toContain(reason);
  }
});
