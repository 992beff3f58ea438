import type { RtoMeasurement } from '../model/measurement';
import type { DrillRecord } from '../model/record';
import { sampleRecord } from '../test/fixtures/record';
import { findingsOf } from './findings';

const texts = (record: DrillRecord): readonly string[] => findingsOf(record).map(({ severity, text }) => `${severity}: ${text}`);
const [firstFault] = sampleRecord().faults;
const [firstStep] = sampleRecord().steps;
const [firstRestore] = sampleRecord().restores;
const [firstObjective] = sampleRecord().judgement.objectives;
const { rpo } = sampleRecord();

describe('findings', () => {
  it('finds nothing where everything went as it should', () => {
    expect(findingsOf(sampleRecord())).toEqual([]);
  });

  it.each<readonly [string, Partial<DrillRecord>, RegExp]>([
    [
      'a missed objective',
      { judgement: { verdict: 'fail', reasons: [], objectives: [{ ...firstObjective!, verdict: 'fail', reason: 'at least 31 s' }] } },
      /^high: objective rto is fail: at least 31 s/,
    ],
    [
      'a marginal objective',
      { judgement: { verdict: 'marginal', reasons: [], objectives: [{ ...firstObjective!, verdict: 'marginal' }] } },
      /^medium: objective rto is marginal/,
    ],
    ['a fault that did not bite', { faults: [{ ...firstFault!, confirmed: false }] }, /could not be shown to bite/],
    ['a fault that is not proven gone', { faults: [{ ...firstFault!, healed: false }] }, /^high: fault link-latency .* not proven gone/],
    ['a step that was not executed', { steps: [{ ...firstStep!, outcome: 'not executed', reason: 'halted' }] }, /was not executed: halted/],
    ['a restore that missed its point', { restores: [{ ...firstRestore!, over: 2 }] }, /0 transactions too few, 2 too many/],
    ['a lost write', { rpo: { ...rpo, lost: 3 } }, /3 acknowledged writes are missing on n2/],
    [
      'two writable nodes',
      { splitBrain: [{ nodes: ['n1', 'n2'], from: { lowMs: 1, highMs: 2 }, to: { lowMs: 3, highMs: 4 } }] },
      /n1 and n2 were writable/,
    ],
    [
      'a primary that the controller did not know of',
      { unlocked: [{ node: 'n1', holder: 'n2', from: { lowMs: 900, highMs: 1_000 }, to: { lowMs: 3_000, highMs: 3_100 } }] },
      /^high: n1 took writes for at least 2.00 s while the controller held n2 for the primary$/,
    ],
    [
      'a primary while the controller held nobody for it',
      { unlocked: [{ node: 'n1', holder: null, from: { lowMs: 900, highMs: 1_000 }, to: { lowMs: 3_000, highMs: 3_100 } }] },
      /while the controller held nobody for the primary$/,
    ],
    [
      'failures beside successes',
      { rto: { ...(sampleRecord().rto as RtoMeasurement), unsuccessfulOutside: 3 } },
      /^low: 3 writes failed while others succeeded$/,
    ],
    [
      'lost redundancy',
      { redundancy: { regained: false, regainedAfterMs: null, differences: ['n1 is missing'] } },
      /does not stand again: n1 is missing/,
    ],
    [
      'late redundancy',
      { redundancy: { regained: true, regainedAfterMs: { lowMs: 700_000, highMs: 700_100 }, differences: [] } },
      /only after 11 min 40 s/,
    ],
    [
      'a failed verification',
      { verification: [{ name: 'amcheck', ok: false, found: '1 error', expected: '0', hint: null }] },
      /check amcheck does not hold/,
    ],
  ])('names %s', (_, changes, expected) => {
    expect(texts(sampleRecord(changes))).toEqual([expect.stringMatching(expected)]);
  });

  it('compares with the predicted band only where their intervals are apart', () => {
    const band = (lowMs: number, highMs: number) =>
      findingsOf(sampleRecord({ predicted: { lowMs, highMs, formula: 'ttl + loop_wait', segments: [] } }));
    expect(band(2_000, 5_000)).toEqual([]);
    expect(band(2_420, 5_000)).toEqual([]);
    expect(band(5_000, 9_000)).toMatchObject([{ id: 'F1', text: expect.stringContaining('faster than the settings predict') }]);
    expect(band(100, 900)).toMatchObject([{ text: expect.stringContaining('slower') }]);
  });

  it('compares every segment with its own band', () => {
    const segments = [{ name: 'promotion', lowMs: 0, highMs: 100, formula: 'replay' }] as const;
    const found = findingsOf(sampleRecord({ predicted: { lowMs: 0, highMs: 60_000, formula: 'all', segments } }));
    expect(found).toMatchObject([{ severity: 'medium', text: expect.stringMatching(/^promotion is slower .*replay/) }]);
  });

  it('says what an old primary alone held', () => {
    const wal = { records: 9, commits: 3, aborts: 0, firstCommitAt: null, lastCommitAt: null, relations: [] };
    const fork = {
      node: 'n1',
      timeline: 1,
      forkLsn: '0/1',
      endLsn: '0/9',
      divergedBytes: 8,
      wal,
      probeRows: { notRecorded: 'x' },
      quarantine: { files: 1, sha256: 'a'.repeat(64) },
    };
    expect(findingsOf(sampleRecord({ forks: [fork] }))).toMatchObject([
      { severity: 'high', text: expect.stringContaining('n1 alone held 3 committed') },
    ]);
    expect(findingsOf(sampleRecord({ forks: [{ ...fork, wal: { notRecorded: 'gone' } }] }))).toMatchObject([
      { severity: 'high', text: expect.stringContaining('gone') },
    ]);
  });

  it('says who took the lead back on an older timeline, and not who only woke up on it for a moment', () => {
    const led = (node: string, timeline: number, fromMs: number, toMs: number) => ({
      node,
      role: 'primary' as const,
      timeline,
      fromMs,
      toMs,
    });
    const before = [led('n1', 1, 0, 1_000), led('n2', 2, 20_000, 60_000)];
    expect(texts(sampleRecord({ nodeSpans: [...before, led('n1', 1, 60_000, 90_000)] }))).toEqual([
      'high: n1 leads on timeline 1 at the end, though n2 had led on timeline 2: it took the lead back',
    ]);
    expect(texts(sampleRecord({ nodeSpans: [led('n2', 2, 20_000, 90_000), led('n1', 1, 60_000, 60_300)] }))).toEqual([]);
    expect(texts(sampleRecord({ nodeSpans: [...before, led('n3', 3, 60_000, 90_000)] }))).toEqual([]);
  });

  it('says that the archive is exposed, and leaves to the audit what is about restores', () => {
    const finding = (
      check: 'public access' | 'versioning' | 'deletion' | 'object lock' | 'lifecycle',
      severity: 'high' | 'medium' | 'low',
    ) => ({
      check,
      severity,
      what: `${check} is bad`,
      effect: 'it is gone.',
    });
    const exposed = (...findings: ReturnType<typeof finding>[]) => sampleRecord({ archiveExposure: { findings, notExamined: [] } });
    expect(texts(exposed(finding('versioning', 'medium'), finding('public access', 'high'), finding('deletion', 'medium')))).toEqual([
      'high: the archive is exposed: public access is bad: it is gone',
      'medium: the archive is exposed: versioning is bad: it is gone',
      'medium: the archive is exposed: deletion is bad: it is gone',
    ]);
    expect(texts(exposed(finding('object lock', 'low'), finding('lifecycle', 'high')))).toEqual([]);
    expect(findingsOf(exposed(finding('versioning', 'medium')))[0]?.rule).toBe('archive-exposure: versioning');
  });

  it('says that a leader of Patroni fed no watchdog, and nothing where it did or nobody could look', () => {
    const watchdog = { node: 'n1', mode: 'automatic', device: '/dev/watchdog', isFed: false } as const;
    expect(texts(sampleRecord({ watchdog }))).toEqual([
      'medium: Patroni on n1 led without a watchdog (watchdog.mode is automatic, and /dev/watchdog is not open): if it hangs, nothing keeps its server from taking writes beside the next leader',
    ]);
    expect(texts(sampleRecord({ watchdog: { ...watchdog, mode: 'off' } }))[0]).toContain('(watchdog.mode is off)');
    expect(texts(sampleRecord({ watchdog: { ...watchdog, isFed: true } }))).toEqual([]);
    expect(texts(sampleRecord({ watchdog: { notRecorded: 'no agent' } }))).toEqual([]);
  });

  it('says where the node that took over is guarded otherwise, and nothing of what could not be compared', () => {
    const aspects = [
      { aspect: 'TLS', same: false },
      { aspect: 'rules of access', same: false },
      { aspect: 'roles', same: true },
      { aspect: 'kinds of password verifiers', same: { notRecorded: 'permission denied' } },
    ] as const;
    expect(texts(sampleRecord({ securityParity: { from: 'n1', to: 'n2', aspects } }))).toEqual([
      'medium: n2, which leads now, is not guarded as n1 was: TLS differs',
      'medium: n2, which leads now, is not guarded as n1 was: rules of access differ',
    ]);
    expect(texts(sampleRecord({ securityParity: { notRecorded: 'n1 leads as it did before' } }))).toEqual([]);
  });

  it('says that the newest incident of its kind was harder, and nothing of older ones', () => {
    const incident = (name: string, ...lacking: string[]) => ({ name, on: '2026-08-14', alike: ['process-kill'], lacking });
    expect(texts(sampleRecord({ incidents: [incident('INC-2', 'link-cut'), incident('INC-1', 'drop-table')] }))).toEqual([
      'medium: the drill was easier than incident INC-2 of 2026-08-14: that had link-cut besides process-kill',
    ]);
    expect(texts(sampleRecord({ incidents: [incident('INC-2'), incident('INC-1', 'drop-table')] }))).toEqual([]);
    expect(texts(sampleRecord({ incidents: [] }))).toEqual([]);
  });

  it('says what went otherwise than planned, once', () => {
    const deviation = { step: 'kill', planned: 'process-kill is taken off by the drill', actual: 'its time ran out' };
    expect(
      texts(
        sampleRecord({
          deviations: [
            { ...deviation, kind: 'ended early' },
            { kind: 'took longer', step: 'go', planned: 'at most 1.00 s', actual: '3.00 s' },
            { kind: 'not carried out', step: 'pitr', planned: 'Restore', actual: 'failed: no' },
          ],
        }),
      ),
    ).toEqual([
      'medium: step kill went otherwise than planned: process-kill is taken off by the drill; its time ran out',
      'low: step go went otherwise than planned: at most 1.00 s; 3.00 s',
    ]);
  });

  it('puts the worst first and numbers them in that order', () => {
    const found = findingsOf(
      sampleRecord({
        faults: [{ ...firstFault!, confirmed: false }],
        restores: [{ ...firstRestore!, under: 1, sandbox: { dir: '/x', removed: false } }],
      }),
    );
    expect(found.map(({ id, severity }) => `${id} ${severity}`)).toEqual(['F1 high', 'F2 medium', 'F3 low']);
  });
});
