/** The verdict's table: what passes, what fails whatever else went wrong, and what a doubt may block. */
import type { Interval, RpoMeasurement, RtoMeasurement } from '../model/measurement';
import type { Objective } from '../model/plan';
import type { RestoreRecord } from '../model/record';
import { judgeDrill, worstVerdict, type DrillFacts } from './verdict';

const objective = (name: Objective['name'], target: number, unit: Objective['unit'] = 'ms'): Objective => ({
  name,
  target,
  unit,
  step: null,
  source: null,
  approver: null,
});
const rto = (interval: Interval | null, more: Partial<RtoMeasurement> = {}): RtoMeasurement => ({
  rto: interval,
  noOutageAboveMs: interval === null ? 10 : null,
  fromInjection: null,
  firstAck: null,
  outages: [],
  downMs: interval,
  unsuccessfulOutside: 0,
  longestStallMs: 0,
  segments: [],
  baselineP99Ms: 5,
  recoveryLimitP99Ms: 50,
  latencies: [{ phase: 'during', due: 100, succeeded: 100, latency: { count: 100, p50Ms: 3, p99Ms: 42, maxMs: 50 } }],
  writesDue: 1_000,
  starvedMs: 0,
  onTimeRatio: 1,
  contradictions: [],
  inconclusive: [],
  ...more,
});
const rpo = (lost: number, more: Partial<RpoMeasurement> = {}): RpoMeasurement => ({
  attempted: 1_000,
  acked: 1_000,
  kept: 1_000 - lost,
  lost,
  indeterminateCommitted: 0,
  indeterminateVanished: 3,
  phantoms: 0,
  duplicates: 0,
  splitBrainWrites: 0,
  holes: 0,
  lostSample: [],
  rpoTimeMs: { lowMs: lost * 5, highMs: lost * 5 },
  rpoBytes: null,
  statement: `${lost} lost`,
  joinedOn: 'n2',
  replicas: [],
  ...more,
});
const restore = (under: number, over: number, totalMs: Interval): RestoreRecord => ({
  step: 'pitr',
  requested: '',
  resolvedTarget: 'xid 7',
  backup: 'b',
  timeline: 1,
  walFrom: '',
  walTo: '',
  bytes: 0,
  segments: 0,
  totalMs,
  phases: [],
  landed: { lsn: '0/0', xid: null, time: null, logLine: null },
  ledgerBefore: 500,
  under,
  over,
  checks: [],
  sandbox: { dir: '/x', removed: true },
});
const facts = (objectives: readonly Objective[], more: Partial<DrillFacts> = {}): DrillFacts => ({
  objectives,
  rto: rto({ lowMs: 900, highMs: 1_000 }),
  rpo: rpo(0),
  splitBrain: [],
  restores: [],
  faults: [],
  verification: [],
  redundancy: { regained: true, regainedAfterMs: null, differences: [] },
  series: [],
  doubts: [],
  failures: [],
  ...more,
});
const check = (ok: boolean) => ({ name: 'rows', ok, found: '1', expected: '2', hint: null });
const fault = (confirmed: boolean, endedBy: string) => ({
  step: 'kill',
  fault: 'process-kill',
  preview: '',
  resolved: null,
  injectedAt: '',
  confirmed,
  confirmedBy: '',
  removedAt: '',
  endedBy,
  healed: true,
  goneBy: '',
  manualUndo: [],
});
const RTO = objective('rto', 1_000);
const RPO = objective('rpo_transactions', 0, 'tx');

describe('verdict', () => {
  it.each<[string, DrillFacts, string]>([
    ['pass: the upper bound is within the target', facts([RTO, RPO]), 'pass'],
    ['marginal: the target lies between the bounds', facts([objective('rto', 950)]), 'marginal'],
    ['fail: the lower bound is above the target', facts([objective('rto', 899)]), 'fail'],
    ['pass: no outage above 2δ', facts([RTO], { rto: rto(null) }), 'pass'],
    [
      'inconclusive: no outage, but the fault was not confirmed',
      facts([RTO], { rto: rto(null), faults: [fault(false, 'undone')] }),
      'inconclusive',
    ],
    ['inconclusive: the lease expired early', facts([RTO], { faults: [fault(true, 'expired')] }), 'inconclusive'],
    [
      'inconclusive: a doubt blocks a pass',
      facts([RTO], { rto: rto({ lowMs: 900, highMs: 1_000 }, { inconclusive: ['starved'] }) }),
      'inconclusive',
    ],
    [
      'fail: a doubt does not excuse a sound miss',
      facts([objective('rto', 500)], { rto: rto({ lowMs: 900, highMs: 1_000 }, { inconclusive: ['starved'] }) }),
      'fail',
    ],
    [
      'fail: a proven loss, whatever else went wrong',
      facts([RPO], { rpo: rpo(1), rto: rto(null, { inconclusive: ['absent'] }), faults: [fault(false, 'undone')] }),
      'fail',
    ],
    [
      'inconclusive: a contradiction is our defect',
      facts([RTO], { rto: rto({ lowMs: 1, highMs: 2 }, { contradictions: ['sum'] }) }),
      'inconclusive',
    ],
    ['inconclusive: RTO was not recorded', facts([RTO], { rto: { notRecorded: 'the prober died' } }), 'inconclusive'],
    ['inconclusive: phantoms', facts([RPO], { rpo: rpo(0, { phantoms: 1 }) }), 'inconclusive'],
    ['fail: a hole', facts([objective('rpo_transactions', 10, 'tx')], { rpo: rpo(2, { holes: 1 }) }), 'fail'],
    [
      'fail: split brain',
      facts([], { splitBrain: [{ nodes: ['n1', 'n2'], from: { lowMs: 1, highMs: 2 }, to: { lowMs: 3, highMs: 4 } }] }),
      'fail',
    ],
    ['fail: verification', facts([RTO], { verification: [check(false)] }), 'fail'],
    ['fail: redundancy', facts([RTO], { redundancy: { regained: false, regainedAfterMs: null, differences: ['n1 is missing'] } }), 'fail'],
    ['fail: lost time', facts([objective('rpo_time', 9)], { rpo: rpo(2) }), 'fail'],
    [
      'pass: restore in time, on the point, though clients could not be judged',
      facts([objective('restore_time', 60_000), objective('recovery_point_error', 0, 'tx')], {
        restores: [restore(0, 0, { lowMs: 900, highMs: 950 })],
      }),
      'pass',
    ],
    [
      'fail: restored one too few',
      facts([objective('recovery_point_error', 0, 'tx')], { restores: [restore(1, 0, { lowMs: 1, highMs: 1 })] }),
      'fail',
    ],
    [
      'fail: restored one too many',
      facts([objective('recovery_point_error', 0, 'tx')], { restores: [restore(0, 1, { lowMs: 1, highMs: 1 })] }),
      'fail',
    ],
    ['inconclusive: nothing was restored', facts([objective('restore_time', 60_000)]), 'inconclusive'],
    ['pass: commits under the fault', facts([objective('commit_p99', 42)]), 'pass'],
    ['fail: commits under the fault', facts([objective('commit_p99', 41)]), 'fail'],
  ])('%s', (_name, input, verdict) => {
    expect(judgeDrill(input).verdict).toBe(verdict);
  });

  it('fails an RTO whose clients never recovered once the target has passed, and not before', () => {
    const never = rto(null, {
      noOutageAboveMs: null,
      outages: [{ t0: { lowMs: 995, highMs: 1_000 }, tFirst: null, tRec: null, down: null, duration: null, unsuccessful: 9 }],
      inconclusive: ['not recovered'],
    });
    const series = [{ atMs: 31_000, due: 1, acked: 0, rejected: 0, indeterminate: 0, missed: 1, p50Ms: null, p99Ms: null }];
    expect(judgeDrill(facts([objective('rto', 29_000)], { rto: never, series })).objectives[0]).toMatchObject({
      verdict: 'fail',
      low: 30_000,
      high: null,
    });
    expect(judgeDrill(facts([objective('rto', 31_000)], { rto: never, series })).verdict).toBe('inconclusive');
  });

  it('reports the band of writes in doubt without judging by it', () => {
    expect(judgeDrill(facts([RPO])).objectives[0]).toMatchObject({ verdict: 'pass', measured: 0, low: 0, high: 3 });
  });

  it('orders fail > inconclusive > marginal > pass', () => {
    expect(worstVerdict(['pass', 'marginal'])).toBe('marginal');
    expect(worstVerdict(['inconclusive', 'marginal'])).toBe('inconclusive');
    expect(worstVerdict(['inconclusive', 'fail', 'pass'])).toBe('fail');
    expect(worstVerdict([])).toBe('pass');
  });
});
