/** The verdict's table: what passes, what fails whatever else went wrong, and what a doubt may block. */
import type { Interval, Outage, ProbeView, RpoMeasurement, RtoMeasurement, ViewMeasurement } from '../model/measurement';
import type { Objective } from '../model/plan';
import type { NodeSpan, RestoreRecord } from '../model/record';
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
  rtoAtLeastMs: null,
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
  counts: { acked: 1_000, rejected: 0, indeterminate: 0, missed: 0 },
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
  lostByTimeline: lost === 0 ? [] : [{ timeline: 1, lost }],
  recoveryPointAgeMs: null,
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
  predicted: { notRecorded: 'nothing failed over' },
  views: [],
  nodeSpans: [],
  replicaStaleness: [],
  noSafeCandidate: { fromMs: 0, toMs: 10_000, total: { lowMs: 0, highMs: 0 }, lasting: false, count: 0, spans: [] },
  rpo: rpo(0),
  splitBrain: [],
  restores: [],
  faults: [],
  verification: [],
  redundancy: { regained: true, regainedAfterMs: null, differences: [] },
  doubts: [],
  failures: [],
  ...more,
});
const reads = (measured: RtoMeasurement, view: Partial<ProbeView> = {}): ViewMeasurement => ({
  kind: 'read',
  path: 'entry',
  client: 'tuned',
  ...view,
  rto: measured,
});
const outage = (down: Interval | null): Outage => ({
  t0: { lowMs: 995, highMs: 1_000 },
  tFirst: null,
  tRec: null,
  down,
  duration: null,
  unsuccessful: 9,
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
/** Surely 100 ms and 200 ms, at most 200 ms and 400 ms as sampled, and 200 ms more each that nobody saw. */
const twice = [
  { nodes: ['n1', 'n2'], from: { lowMs: 1_000, highMs: 1_050 }, to: { lowMs: 1_150, highMs: 1_200 } },
  { nodes: ['n1', 'n2'], from: { lowMs: 5_000, highMs: 5_100 }, to: { lowMs: 5_300, highMs: 5_400 } },
];
const predicted = { lowMs: 200, highMs: 800, formula: 'ttl', segments: [] };
const RTO = objective('rto', 1_000);
const RPO = objective('rpo_transactions', 0, 'tx');

describe('verdict', () => {
  it.each<[string, DrillFacts, string]>([
    ['pass: the upper bound is within the target', facts([RTO, RPO]), 'pass'],
    ['marginal: the target lies between the bounds', facts([objective('rto', 950)]), 'marginal'],
    ['marginal: the lower bound is on the target', facts([objective('rto', 900)]), 'marginal'],
    ['marginal: the upper bound is just above it', facts([objective('rto', 999.9)]), 'marginal'],
    ['fail: the lower bound is above the target', facts([objective('rto', 899)]), 'fail'],
    [
      'inconclusive: a doubt turns a marginal one into one that cannot be told',
      facts([objective('rto', 950)], { doubts: ['halted'] }),
      'inconclusive',
    ],
    ['fail: the drill says so', facts([RTO], { failures: ['a step failed'] }), 'fail'],
    ['inconclusive: nothing was acknowledged', facts([RTO], { rto: rto(null, { noOutageAboveMs: null }) }), 'inconclusive'],
    ['inconclusive: nothing was acknowledged, so nothing could be lost', facts([RPO], { rpo: rpo(0, { acked: 0 }) }), 'inconclusive'],
    ['pass: as many lost as allowed', facts([objective('rpo_transactions', 2, 'tx')], { rpo: rpo(2) }), 'pass'],
    ['fail: one more', facts([objective('rpo_transactions', 2, 'tx')], { rpo: rpo(3) }), 'fail'],
    ['fail: a loss that no objective allows', facts([RTO], { rpo: rpo(1) }), 'fail'],
    ['fail: writes acknowledged after the fork', facts([RPO], { rpo: rpo(0, { splitBrainWrites: 1 }) }), 'fail'],
    ['inconclusive: rows that stand twice', facts([RPO], { rpo: rpo(0, { duplicates: 1 }) }), 'inconclusive'],
    ['inconclusive: the fault was reconciled away', facts([RTO], { faults: [fault(true, 'reconciled')] }), 'inconclusive'],
    ['pass: the fault was undone', facts([RTO], { faults: [fault(true, 'undone')] }), 'pass'],
    ['inconclusive: losses were not counted', facts([RPO], { rpo: { notRecorded: 'no rows' } }), 'inconclusive'],
    [
      'fail: a check of the restored server',
      facts([RTO], { restores: [{ ...restore(0, 0, { lowMs: 1, highMs: 1 }), checks: [check(false)] }] }),
      'fail',
    ],
    ['pass: verified', facts([RTO], { verification: [check(true)] }), 'pass'],
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
    ['pass: within the tolerance beyond what was predicted', facts([objective('rto_beyond_prediction', 200)], { predicted }), 'pass'],
    ['marginal: perhaps further beyond', facts([objective('rto_beyond_prediction', 199)], { predicted }), 'marginal'],
    ['fail: surely further beyond', facts([objective('rto_beyond_prediction', 99)], { predicted }), 'fail'],
    ['inconclusive: nothing was predicted', facts([objective('rto_beyond_prediction', 200)]), 'inconclusive'],
    ['pass: two writable for as long as is allowed', facts([objective('split_brain', 1_000)], { splitBrain: twice }), 'pass'],
    ['marginal: perhaps a moment longer', facts([objective('split_brain', 999)], { splitBrain: twice }), 'marginal'],
    ['fail: surely longer', facts([objective('split_brain', 299)], { splitBrain: twice }), 'fail'],
    ['pass: never two', facts([objective('split_brain', 1)]), 'pass'],
    [
      'inconclusive: two were allowed for a moment, and nobody looked',
      facts([objective('split_brain', 1_000)], { rto: { notRecorded: 'died' } }),
      'inconclusive',
    ],
    [
      'fail: two for a moment only, but the old one acknowledged writes',
      facts([objective('split_brain', 1_000)], { splitBrain: twice, rpo: rpo(0, { splitBrainWrites: 1 }) }),
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
      'inconclusive: restored on the point, in a drill that is in doubt',
      facts([objective('restore_time', 60_000)], { restores: [restore(0, 0, { lowMs: 900, highMs: 950 })], doubts: ['halted'] }),
      'inconclusive',
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
    ...(
      [
        ['pass: the archive lacks no more than may be lost', { transactions: 40, ms: 900 }, 'pass'],
        ['fail: the archive lacks more', { transactions: 41, ms: 1_001 }, 'fail'],
        ['inconclusive: nobody knows what the archive lacks', undefined, 'inconclusive'],
      ] as const
    ).map(([name, archiveLoss, verdict]): [string, DrillFacts, string] => [
      name,
      facts([objective('archive_rpo', 1_000)], { restores: [{ ...restore(0, 0, { lowMs: 1, highMs: 1 }), archiveLoss }] }),
      verdict,
    ]),
    ['inconclusive: nothing was restored', facts([objective('restore_time', 60_000)]), 'inconclusive'],
    ['pass: commits under the fault', facts([objective('commit_p99', 42)]), 'pass'],
    ['fail: commits under the fault', facts([objective('commit_p99', 41)]), 'fail'],
  ])('%s', (_name, input, verdict) => {
    expect(judgeDrill(input).verdict).toBe(verdict);
  });

  it('fails an RTO whose clients never recovered once the target has passed, and not before', () => {
    const never = rto(null, {
      rtoAtLeastMs: 30_000,
      noOutageAboveMs: null,
      outages: [{ t0: { lowMs: 995, highMs: 1_000 }, tFirst: null, tRec: null, down: null, duration: null, unsuccessful: 9 }],
      inconclusive: ['not recovered'],
    });
    expect(judgeDrill(facts([objective('rto', 29_000)], { rto: never })).objectives[0]).toMatchObject({
      verdict: 'fail',
      low: 30_000,
      high: null,
    });
    expect(judgeDrill(facts([objective('rto', 30_000)], { rto: never })).objectives[0]).toMatchObject({
      verdict: 'inconclusive',
      low: 30_000,
    });
  });

  test('what lies beyond a prediction is told as such, and nothing does within it', () => {
    const beyond = (more: Partial<DrillFacts>) => judgeDrill(facts([objective('rto_beyond_prediction', 500)], more)).objectives[0];
    expect(beyond({ predicted })).toMatchObject({ low: 100, high: 200, measured: 150 });
    expect(beyond({ predicted: { ...predicted, highMs: 950 } })).toMatchObject({ low: 0, high: 50 });
    expect(beyond({ predicted, rto: rto(null) })).toMatchObject({ verdict: 'pass', low: 0, high: 0 });
  });

  it.each<[string, Partial<DrillFacts>, string]>([
    ['pass: readers were well in time', { views: [reads(rto({ lowMs: 400, highMs: 500 }))] }, 'pass'],
    ['fail: readers were not', { views: [reads(rto({ lowMs: 501, highMs: 510 }))] }, 'fail'],
    ['pass: readers saw no outage, whatever writers saw', { views: [reads(rto(null))] }, 'pass'],
    [
      'inconclusive: readers by another way, or without deadlines, or writers do not count',
      {
        views: [reads(rto(null), { path: 'pooler' }), reads(rto(null), { client: 'naive' }), reads(rto(null), { kind: 'write' })],
      },
      'inconclusive',
    ],
    [
      'inconclusive: the readers’ own measurement is in doubt',
      { views: [reads(rto(null, { inconclusive: ['no baseline'] }))] },
      'inconclusive',
    ],
    ['inconclusive: it contradicts itself', { views: [reads(rto(null, { contradictions: ['sum'] }))] }, 'inconclusive'],
    ['inconclusive: the drill is in doubt', { views: [reads(rto(null))], doubts: ['halted'] }, 'inconclusive'],
    ['inconclusive: nothing was measured', { views: [], rto: { notRecorded: 'the prober died' } }, 'inconclusive'],
  ])('rto_reads: %s', (_name, more, verdict) => {
    expect(judgeDrill(facts([objective('rto_reads', 500)], more)).objectives[0]).toMatchObject({ verdict });
  });

  it('lets a doubt about readers block their own objective, and no other', () => {
    const doubtful = facts([RTO, objective('rto_reads', 500)], { views: [reads(rto(null, { inconclusive: ['no baseline'] }))] });
    expect(judgeDrill(doubtful).objectives.map(({ verdict }) => verdict)).toEqual(['pass', 'inconclusive']);
    expect(judgeDrill(doubtful).objectives[1]?.reason).toBe('reads: no baseline');
  });

  describe('an RTO about another span than the headline', () => {
    const about = (what: Objective['about'], more: Partial<RtoMeasurement>, drill: Partial<DrillFacts> = {}) =>
      judgeDrill(facts([{ ...objective('rto', 1_000), about: what }], { rto: rto({ lowMs: 900, highMs: 1_100 }, more), ...drill }))
        .objectives[0];
    const [once, later] = [
      { ...outage({ lowMs: 100, highMs: 110 }), tFirst: { lowMs: 1_100, highMs: 1_105 } },
      { ...outage({ lowMs: 100, highMs: 110 }), t0: { lowMs: 5_000, highMs: 5_005 }, tFirst: { lowMs: 5_100, highMs: 5_110 } },
    ];
    const outages = [once];

    it('is judged by that span and no other', () => {
      expect(about(undefined, { outages })).toMatchObject({ verdict: 'marginal' });
      expect(about('injection', { outages, fromInjection: { lowMs: 880, highMs: 999 } })).toMatchObject({ verdict: 'pass', high: 999 });
      expect(about('injection', { outages, fromInjection: { lowMs: 1_001, highMs: 1_002 } })).toMatchObject({ verdict: 'fail' });
      expect(about('verified', { outages, untilVerified: { lowMs: 1_001, highMs: 1_020 } })).toMatchObject({ verdict: 'fail' });
      expect(about('first-ack', { outages })).toMatchObject({ verdict: 'pass', low: 100, high: 110 });
    });

    it('counts the first write after the last of several outages', () => {
      expect(about('first-ack', { outages: [once, later] })).toMatchObject({ verdict: 'fail', low: 4_100, high: 4_115 });
    });

    it('passes nothing that was not observed, and all where there was no outage', () => {
      expect(about('verified', { outages })).toMatchObject({ verdict: 'inconclusive', measured: null });
      expect(about('injection', { outages })).toMatchObject({ verdict: 'inconclusive' });
      expect(about('verified', { rto: null, noOutageAboveMs: 10 })).toMatchObject({ verdict: 'pass', high: 10 });
    });

    it('is a fail too while clients have not recovered', () => {
      const never = { rto: null, noOutageAboveMs: null, outages: [outage(null)] };
      expect(about('verified', { ...never, rtoAtLeastMs: 1_001 })).toMatchObject({ verdict: 'fail', low: 1_001 });
      expect(about('injection', { ...never, rtoAtLeastMs: 999 })).toMatchObject({ verdict: 'inconclusive' });
    });

    it('from the declaration counts from there alone', () => {
      const declared = { lowMs: 400, highMs: 420 };
      expect(about('declaration', { outages, declared, fromDeclaration: { lowMs: 680, highMs: 710 } })).toMatchObject({
        verdict: 'pass',
        high: 710,
      });
      expect(about('declaration', { outages, declared, fromDeclaration: { lowMs: 1_001, highMs: 1_200 } })).toMatchObject({
        verdict: 'fail',
      });
      // Nobody declared: not zero, and no pass because nothing happened either.
      expect(about('declaration', { outages })).toMatchObject({
        verdict: 'inconclusive',
        measured: null,
        reason: 'nobody declared the incident',
      });
      expect(about('declaration', { rto: null, noOutageAboveMs: 10, outages: [] })).toMatchObject({ verdict: 'inconclusive' });
      expect(about('declaration', { rto: null, noOutageAboveMs: 10, outages: [], declared })).toMatchObject({ verdict: 'pass', high: 10 });
      expect(about('declaration', { outages, declared, fromDeclaration: null })).toMatchObject({
        verdict: 'inconclusive',
        reason: 'the incident was declared after clients had recovered',
      });
    });

    it('from the declaration does not count the time before it while clients have not recovered', () => {
      const t0 = outage(null).t0.highMs;
      const never = { rto: null, noOutageAboveMs: null, outages: [outage(null)], rtoAtLeastMs: 1_500 };
      const declaredAt = (highMs: number) => about('declaration', { ...never, declared: { lowMs: highMs - 10, highMs } });
      expect(declaredAt(t0 + 499)).toMatchObject({ verdict: 'fail', low: 1_001 });
      expect(declaredAt(t0 + 500)).toMatchObject({ verdict: 'inconclusive', low: 1_000 });
      expect(declaredAt(t0 + 9_000)).toMatchObject({ verdict: 'inconclusive', low: 0 });
    });

    it('is blocked by the same doubts', () => {
      const doubtful = { outages, inconclusive: ['starved'], fromInjection: { lowMs: 1, highMs: 2 } };
      expect(about('injection', doubtful)).toMatchObject({ verdict: 'inconclusive', reason: 'starved' });
    });
  });

  it.each<[string, DrillFacts['redundancy'], string]>([
    ['pass', { regained: true, regainedAfterMs: { lowMs: 900, highMs: 1_000 }, differences: [] }, 'pass'],
    ['fail', { regained: true, regainedAfterMs: { lowMs: 1_001, highMs: 1_002 }, differences: [] }, 'fail'],
    ['nothing was disrupted', { regained: true, regainedAfterMs: null, differences: [] }, 'inconclusive'],
    ['not regained', { regained: false, regainedAfterMs: null, differences: ['n1 is down'] }, 'inconclusive'],
    ['not recorded', { notRecorded: 'halted' }, 'inconclusive'],
  ])('time to redundancy: %s', (_name, redundancy, verdict) => {
    const asked = [objective('time_to_redundancy', 1_000), { ...RTO, about: 'redundant' as const }];
    for (const result of judgeDrill(facts(asked, { redundancy })).objectives) expect(result).toMatchObject({ verdict });
  });

  it.each<[string, number, number | null, Partial<DrillFacts>, string]>([
    ['pass', 900, 1_000, {}, 'pass'],
    ['marginal', 900, 1_001, {}, 'marginal'],
    ['fail', 1_001, 1_002, {}, 'fail'],
    ['a fault that did not bite', 900, 1_000, { faults: [fault(false, 'undone')] }, 'inconclusive'],
    ['it never streamed, for longer than it may take', 1_001, null, {}, 'fail'],
    ['it never streamed, and nobody waited long enough', 999, null, {}, 'inconclusive'],
  ])('time to rebuild: %s', (_name, lowMs, highMs, more, verdict) => {
    const asked = [{ ...objective('rebuild_time', 1_000), step: 'anew' }];
    const rebuilds = [{ step: 'anew', lowMs, highMs }];
    expect(judgeDrill(facts(asked, { rebuilds, ...more })).objectives).toMatchObject([{ verdict }]);
    expect(judgeDrill(facts(asked)).objectives).toMatchObject([{ verdict: 'inconclusive', reason: 'step "anew" made no standby anew' }]);
  });

  it('judges the staleness of replicas by the one that was worst off', () => {
    const judged = (target: number, more: Partial<DrillFacts> = {}) =>
      judgeDrill(
        facts([objective('replica_staleness', target)], {
          replicaStaleness: [
            { node: 'n2', lowMs: 0, highMs: 210, atMs: 1 },
            { node: 'n3', lowMs: 4_000, highMs: 4_200, atMs: 2 },
          ],
          ...more,
        }),
      ).objectives[0];
    expect(judged(4_200)).toMatchObject({ verdict: 'pass', reason: expect.stringContaining('n3') });
    expect(judged(4_100)).toMatchObject({ verdict: 'marginal' });
    expect(judged(3_999, { doubts: ['starved'] })).toMatchObject({ verdict: 'fail' });
    expect(judged(9_000, { doubts: ['starved'] })).toMatchObject({ verdict: 'inconclusive' });
    expect(judged(9_000, { replicaStaleness: [] })).toMatchObject({ verdict: 'inconclusive' });
    const stuck = { replicaStaleness: [{ node: 'n2', lowMs: 5_000, highMs: null, atMs: 1 }] };
    expect(judged(4_999, stuck)).toMatchObject({ verdict: 'fail', low: 5_000, high: null });
    expect(judged(5_000, stuck)).toMatchObject({ verdict: 'inconclusive' });
  });

  it('judges the time without a safe candidate by its sum, and by so much of it as was seen where it lasts', () => {
    const spans = [{ fromMs: 1_000, toMs: 3_200, lowMs: 2_000, standbys: [{ node: 'n2', lack: 'behind' as const }] }];
    const seen = { fromMs: 0, toMs: 10_000, total: { lowMs: 2_000, highMs: 2_200 }, lasting: false, count: 1, spans };
    const judged = (target: number, more: Partial<DrillFacts> = {}) =>
      judgeDrill(facts([objective('no_safe_candidate', target)], { noSafeCandidate: seen, ...more })).objectives[0];
    expect(judged(2_200)).toMatchObject({ verdict: 'pass', low: 2_000, high: 2_200, reason: 'longest for 2.00 s: n2 behind' });
    expect(judged(2_100)).toMatchObject({ verdict: 'marginal' });
    expect(judged(1_999, { doubts: ['starved'] })).toMatchObject({ verdict: 'fail' });
    expect(judged(9_000, { doubts: ['starved'] })).toMatchObject({ verdict: 'inconclusive', reason: 'starved' });
    const lasts = { noSafeCandidate: { ...seen, lasting: true } };
    expect(judged(1_999, lasts)).toMatchObject({ verdict: 'fail', low: 2_000, high: null });
    expect(judged(9_000, lasts)).toMatchObject({ verdict: 'inconclusive', low: 2_000, high: null });
    expect(judged(9_000, { noSafeCandidate: { notRecorded: 'no prober ran' } })).toMatchObject({
      verdict: 'inconclusive',
      reason: 'no prober ran',
    });
    const never = { ...seen, total: { lowMs: 0, highMs: 0 }, spans: [] };
    expect(judged(0, { noSafeCandidate: never })).toMatchObject({ verdict: 'pass', reason: 'at no look all standbys were unsafe' });
  });

  const stall = (more: Partial<RtoMeasurement>) =>
    judgeDrill(facts([objective('write_stall', 500)], { rto: rto(null, more) })).objectives[0];
  it('takes for the write stall the longest of stalls and outages', () => {
    expect(stall({ longestStallMs: 500 })).toMatchObject({ verdict: 'pass', low: 500, high: 500 });
    expect(stall({ longestStallMs: 501 })).toMatchObject({ verdict: 'fail', low: 501, high: 501 });
    const outages = [outage({ lowMs: 300, highMs: 400 }), outage({ lowMs: 350, highMs: 360 })];
    expect(stall({ longestStallMs: 320, outages })).toMatchObject({ verdict: 'pass', low: 350, high: 400 });
    expect(stall({ longestStallMs: 450, outages })).toMatchObject({ verdict: 'pass', low: 450, high: 450 });
    expect(stall({ longestStallMs: 20, outages: [outage({ lowMs: 490, highMs: 510 })] })).toMatchObject({ verdict: 'marginal' });
    expect(stall({ longestStallMs: 20, outages: [outage({ lowMs: 501, highMs: 510 })] })).toMatchObject({ verdict: 'fail' });
  });

  it('never lays to the database what may have been the prober’s own stall', () => {
    expect(stall({ longestStallMs: 540, starvedMs: 60 })).toMatchObject({ verdict: 'marginal', low: 480, high: 540 });
    expect(stall({ longestStallMs: 40, starvedMs: 60 })).toMatchObject({ verdict: 'pass', low: 0, high: 40 });
  });

  it('says of writes that never came back how long that lasted, counted from the last outage', () => {
    const later = { ...outage(null), t0: { lowMs: 2_995, highMs: 3_000 } };
    const never = (rtoAtLeastMs: number) =>
      stall({ rtoAtLeastMs, noOutageAboveMs: null, outages: [outage({ lowMs: 90, highMs: 99 }), later] });
    expect(never(2_501)).toMatchObject({ verdict: 'fail', low: 501, high: null, measured: null });
    expect(never(2_500)).toMatchObject({ verdict: 'inconclusive', low: 500 });
    expect(never(2_050)).toMatchObject({ verdict: 'inconclusive', low: 90 });
  });

  it('knows no write stall where nothing was acknowledged', () => {
    expect(stall({ counts: { acked: 0, rejected: 9, indeterminate: 0, missed: 0 } })).toMatchObject({ verdict: 'inconclusive', low: null });
  });

  it('judges a further way in by what its own writers saw, and its doubts block no other', () => {
    const view = (path: string, measured: RtoMeasurement): ViewMeasurement => ({ kind: 'write', path, client: 'tuned', rto: measured });
    const slow = view('pooler', rto({ lowMs: 9_000, highMs: 9_100 }));
    const byPooler = { ...RTO, path: 'pooler' };
    const judged = judgeDrill(facts([RTO, byPooler], { views: [view('direct', rto(null)), slow] })).objectives;
    expect(judged.map(({ verdict, high }) => [verdict, high])).toEqual([
      ['pass', 1_000],
      ['fail', 9_100],
    ]);
    const doubtful = view('pooler', rto(null, { inconclusive: ['no baseline'] }));
    expect(judgeDrill(facts([RTO, byPooler], { views: [doubtful] })).objectives).toMatchObject([
      { verdict: 'pass' },
      { verdict: 'inconclusive', reason: 'pooler: no baseline' },
    ]);
    expect(judgeDrill(facts([byPooler])).objectives[0]).toMatchObject({
      verdict: 'inconclusive',
      reason: 'no writes were probed through pooler',
    });
  });

  it('counts promotions by the timelines on which nodes were primary, wherever that node had been primary before', () => {
    const span = (node: string, role: NodeSpan['role'], timeline: number | null, fromMs: number): NodeSpan => ({
      node,
      role,
      timeline,
      fromMs,
      toMs: fromMs + 10,
    });
    const judge = (target: number, spans: readonly NodeSpan[]) =>
      judgeDrill(facts([objective('promotions', target, 'count')], { nodeSpans: spans })).objectives[0];
    // By node, as the record lists them; a primary that was down in between and is back on its timeline was not promoted.
    const restarted = [
      span('n1', 'primary', 1, 0),
      span('n1', 'down', null, 10),
      span('n1', 'primary', 1, 20),
      span('n2', 'standby', 1, 0),
    ];
    expect(judge(0, restarted)).toMatchObject({ verdict: 'pass', measured: 0 });
    const twice = [...restarted, span('n1', 'primary', 3, 60), span('n2', 'primary', 2, 40)];
    expect(judge(1, twice)).toMatchObject({ verdict: 'fail', measured: 2, reason: 'promoted: n2 on timeline 2, n1 on timeline 3' });
    expect(judge(2, twice)).toMatchObject({ verdict: 'pass' });
    expect(judge(0, [])).toMatchObject({ verdict: 'inconclusive', measured: null });
  });

  it('counts the writes that a server refused, by the way in that is named', () => {
    const refused = rto(null, { counts: { acked: 900, rejected: 6, indeterminate: 0, missed: 0 } });
    const views: readonly ViewMeasurement[] = [{ kind: 'write', path: 'pooler', client: 'tuned', rto: refused }];
    const judge = (target: number) =>
      judgeDrill(facts([{ ...objective('rejections', target, 'count'), path: 'pooler' }], { views })).objectives[0];
    expect(judge(5)).toMatchObject({ verdict: 'fail', measured: 6 });
    expect(judge(6)).toMatchObject({ verdict: 'pass', measured: 6 });
    expect(judgeDrill(facts([objective('rejections', 0, 'count')], { views })).objectives[0]).toMatchObject({
      verdict: 'pass',
      measured: 0,
    });
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
