import type { DrillRecord } from '../model/record';
import { sampleRecord } from '../test/fixtures/record';
import { controlProblem, runLine, seriesLine, seriesText, spreadOf, summaryOf, worstExit, type Series } from './repeat-summary';

const measured = (change: Partial<Exclude<DrillRecord['rto'], { notRecorded: string }>>): DrillRecord['rto'] => {
  const { rto } = sampleRecord();
  if ('notRecorded' in rto) throw new Error('the sample has an RTO');
  return { ...rto, ...change };
};
const quiet = (change: Partial<DrillRecord> = {}): DrillRecord =>
  sampleRecord({
    state: 'completed',
    verdict: 'pass',
    rto: measured({ rto: null, outages: [], noOutageAboveMs: 10, segments: [] }),
    views: [],
    judgement: { verdict: 'pass', objectives: [], reasons: [] },
    ...change,
  });

test('a spread is min, median and max of what was measured', () => {
  expect(spreadOf([])).toBeNull();
  expect(spreadOf([3])).toEqual({ min: 3, median: 3, max: 3, n: 1 });
  expect(spreadOf([9, 1, 4, 100])).toEqual({ min: 1, median: 6.5, max: 100, n: 4 });
  expect(spreadOf([30, 9, 100])).toEqual({ min: 9, median: 30, max: 100, n: 3 });
});

test('of several exit codes the worst counts: 5, then 1, 4, 3', () => {
  expect(worstExit([0, 3, 4, 1, 5])).toBe(5);
  expect(worstExit([0, 3, 4, 1])).toBe(1);
  expect(worstExit([0, 3, 4])).toBe(4);
  expect(worstExit([0, 130, 6, 3])).toBe(3);
  expect(worstExit([0, 6])).toBe(6);
  expect(worstExit([0, 130])).toBe(130);
  expect(worstExit([0, 0])).toBe(0);
  expect(worstExit([])).toBe(0);
});

test('a control run holds only if nobody saw an outage and everything passed', () => {
  expect(controlProblem(quiet())).toBeNull();
  const { rto } = sampleRecord();
  if ('notRecorded' in rto) throw new Error('the sample has an RTO');
  expect(controlProblem(quiet({ rto }))).toMatch(/^clients saw 1 outage, the longest of \d/);
  expect(controlProblem(quiet({ views: [{ kind: 'read', path: 'entry', client: 'tuned', rto }] }))).toContain('clients saw 1 outage');
  const open = measured({ outages: [{ ...rto.outages[0]!, down: null, duration: null }] });
  expect(controlProblem(quiet({ rto: open }))).toContain('one that had not ended');
  expect(controlProblem(quiet({ rto: { notRecorded: 'no prober ran' } }))).toContain('no prober ran');
  expect(
    controlProblem(quiet({ state: 'refused', judgement: { verdict: 'inconclusive', objectives: [], reasons: ['a replica lags'] } })),
  ).toBe('it ended refused: a replica lags');
  expect(
    controlProblem(quiet({ verdict: 'inconclusive', judgement: { verdict: 'inconclusive', objectives: [], reasons: ['starved'] } })),
  ).toBe('its verdict is inconclusive: starved');
});

describe('a series', () => {
  const objective = { name: 'rto', target: 30_000, unit: 'ms', step: null, source: null, approver: null } as const;
  const record = (ms: number | null): DrillRecord =>
    sampleRecord({
      rto: measured({
        segments: [{ name: 'detection', from: { lowMs: 0, highMs: 0 }, to: { lowMs: 1, highMs: 1 }, ms: { lowMs: 90, highMs: 110 } }],
      }),
      judgement: {
        verdict: 'pass',
        objectives: [{ objective, verdict: ms === null ? 'inconclusive' : 'pass', measured: ms, low: ms, high: ms, reason: '' }],
        reasons: [],
      },
    });
  const runs = [4_000, null, 2_000].map((ms, at) => runLine(at + 1, 100 * at, record(ms), `/home/drill-${at + 1}`));
  const series: Series = { repeat: 4, seed: 42, control: null, runs, stopped: 'after run 3 of 4: interrupted at the terminal' };

  test('sums up every objective and segment by its name, over the runs that measured it', () => {
    expect(summaryOf(runs)).toEqual({
      summary: { rto: { min: 2_000, median: 3_000, max: 4_000, n: 2 } },
      segments: { detection: { min: 100, median: 100, max: 100, n: 3 } },
    });
    expect(summaryOf([])).toEqual({ summary: {}, segments: {} });
  });

  test('is one object in the last line, and a table for people', () => {
    expect(JSON.parse(JSON.stringify(seriesLine(series)))).toMatchObject({
      repeat: 4,
      seed: 42,
      control: null,
      runs: [{ run: 1, phaseMs: 0, verdict: 'pass' }, { run: 2 }, { run: 3 }],
      summary: { rto: { median: 3_000 } },
    });
    const text = seriesText(series);
    expect(text).toContain('series of 4, seed 42');
    expect(text).toMatch(/^rto +2\.00 s +3\.00 s +4\.00 s +2 of 4$/m);
    expect(text).toMatch(/^· detection +100 ms +100 ms +100 ms +3 of 4$/m);
    expect(text).toContain('stopped: after run 3 of 4');
  });

  test('whose control run does not hold is inconclusive and says why', () => {
    const { run: _run, phaseMs: _phase, ...line } = runLine(0, null, record(1), '/home/drill-0');
    const text = seriesText({ ...series, runs: [], control: { ...line, problem: 'clients saw 1 outage' } });
    expect(text).toContain('INCONCLUSIVE: the control run does not hold: clients saw 1 outage');
  });
});
