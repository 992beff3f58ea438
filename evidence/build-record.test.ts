/** What the record says of redundancy: since when it is counted, and what stands there when it is not known. */
import type { LedgerJudgement } from '../probe/contract';
import { sampleRecord } from '../test/fixtures/record';
import { redundancyRecord } from './build-record';

const { rto } = sampleRecord();
if ('notRecorded' in rto) throw new Error('the sample has an RTO');

const receipt = (name: 'inject' | 'redundant', phase: 'about-to' | 'done', atMs: number, subject = 'target') => ({
  name,
  phase,
  subject,
  atMs,
});
const RECEIPTS = [
  receipt('inject', 'about-to', 40_000, 'kill'),
  receipt('inject', 'done', 40_100, 'kill'),
  receipt('inject', 'about-to', 50_000, 'later'),
  receipt('redundant', 'about-to', 90_000),
  receipt('redundant', 'done', 91_000),
];
const measured = (outages: typeof rto.outages, receipts = RECEIPTS): LedgerJudgement => ({
  rto: { ...rto, outages },
  views: [],
  splitBrain: [],
  unlocked: [],
  replicaStaleness: [],
  replicaLag: [],
  noSafeCandidate: null,
  latencies: [],
  series: [],
  nodeSpans: [],
  epoch: '2026-01-01T00:00:00Z',
  receipts,
});
const regained = { redundancy: { regained: true, differences: [], forks: [] }, redundancySkipped: null };

describe('redundancy in the record', () => {
  it('is counted from the first t0', () => {
    const [first] = rto.outages;
    expect(redundancyRecord(regained, measured(rto.outages))).toMatchObject({
      regainedAfterMs: { lowMs: 90_000 - (first?.t0.highMs ?? 0), highMs: 91_000 - (first?.t0.lowMs ?? 0) },
    });
  });

  it('is counted from the first injection where clients saw no outage', () => {
    expect(redundancyRecord(regained, measured([]))).toMatchObject({ regainedAfterMs: { lowMs: 49_900, highMs: 51_000 } });
  });

  it('has no time where nothing was broken or nobody stamped it, and none when it was not regained', () => {
    expect(redundancyRecord(regained, measured([], RECEIPTS.slice(3)))).toMatchObject({ regained: true, regainedAfterMs: null });
    expect(redundancyRecord(regained, measured(rto.outages, RECEIPTS.slice(0, 3)))).toMatchObject({ regainedAfterMs: null });
    const lost = { redundancy: { regained: false, differences: ['n1 is down'], forks: [] }, redundancySkipped: null };
    expect(redundancyRecord(lost, measured(rto.outages))).toMatchObject({ regained: false, regainedAfterMs: null });
    expect(redundancyRecord({ redundancy: null, redundancySkipped: 'halted' }, null)).toEqual({ notRecorded: 'halted' });
  });
});
