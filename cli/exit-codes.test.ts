import type { DrillResult } from '../model/message';
import type { Verdict } from '../model/measurement';
import type { DrillState } from '../model/record';
import { exitCodeOf, resultLine } from './exit-codes';

test.each<[DrillState, Verdict, number]>([
  ['completed', 'pass', 0],
  ['completed', 'fail', 1],
  ['completed', 'marginal', 1],
  ['completed', 'inconclusive', 3],
  ['aborted', 'inconclusive', 4],
  ['aborted', 'pass', 4],
  ['aborted', 'fail', 1],
  ['failed', 'inconclusive', 4],
  ['lost', 'inconclusive', 4],
  ['refused', 'inconclusive', 6],
  ['unsafe', 'pass', 5],
  ['unsafe', 'fail', 5],
])('a drill that is %s with verdict %s ends with %i', (state, verdict, code) => {
  expect(exitCodeOf({ state, verdict })).toBe(code);
});

test('the line of `run --json` has exactly the keys that scripts rely on', () => {
  const result: DrillResult = {
    drill: 'drill-000007',
    sequence: 7,
    state: 'completed',
    verdict: 'pass',
    objectives: [
      {
        objective: { name: 'rto', target: 30_000, unit: 'ms', step: null, source: 'BIA', approver: null },
        verdict: 'pass',
        measured: 2_410,
        low: 2_400,
        high: 2_420,
        reason: 'within',
      },
    ],
    faults: [{ fault: 'process-kill', confirmed: true, healed: true }],
    evidence: '/home/drills/lab/drill-000007',
    reasons: ['not in the line'],
    unhealed: [],
  };
  expect(JSON.stringify(resultLine(result))).toBe(
    '{"drill":"drill-000007","sequence":7,"state":"completed","verdict":"pass",' +
      '"objectives":[{"name":"rto","target":30000,"measured":2410,"low":2400,"high":2420,"unit":"ms","verdict":"pass"}],' +
      '"faults":[{"fault":"process-kill","confirmed":true,"healed":true}],"evidence":"/home/drills/lab/drill-000007"}',
  );
});
