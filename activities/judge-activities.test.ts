/** A judge that crashes has found nothing out: then nothing passes, whatever else went well. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Judgement } from '../model/measurement';
import type { Objective } from '../model/plan';
import { historyOf, testHeader } from '../probe/history.test-data';
import type { Entry } from '../probe/ledger-format';
import { LedgerWriter } from '../probe/ledger-writer';
import { sampleRecord } from '../test/fixtures/record';
import { samplePlan } from '../test/sample-plan';
import { judge } from './judge-activities';

const dirs: string[] = [];
afterAll(() => dirs.forEach((dir) => rmSync(dir, { recursive: true, force: true })));

/** A drill of 6 s that goes well: every write is acknowledged. */
const HISTORY = historyOf(6_000, () => ({ latencyMs: 1 })).slice(1);

function ledgerOnDisk(entries: readonly Entry[]): string {
  const dir = mkdtempSync(join(tmpdir(), 'gameday-judge-'));
  dirs.push(dir);
  const { drill, table, settings, nodes, streams, version, monotonicZeroNs, pid } = testHeader(1);
  const writer = new LedgerWriter(dir, { drill, table, settings, nodes, streams, version, monotonicZeroNs, pid }, () => 0);
  for (const [at, entry] of entries.entries()) {
    writer.add(entry);
    if (at % 500 === 0) writer.flush();
  }
  writer.close();
  return dir;
}

const OBJECTIVES: readonly Objective[] = (['rto', 'rto_reads', 'write_stall', 'restore_time', 'commit_p99'] as const).map((name) => ({
  name,
  target: 120_000,
  unit: 'ms',
  step: null,
  source: null,
  approver: null,
}));

async function judged(dir: string, objectives: readonly Objective[]): Promise<Judgement> {
  const { restores } = sampleRecord();
  const { judgement } = await judge({
    plan: { ...samplePlan([]), objectives },
    drill: { drill: 'drill-000001', sequence: 1, workflowId: 'w', runId: 'r' },
    probe: { dir, socket: '/nowhere', table: 'probe_000001' },
    rpoFile: null,
    leases: [],
    restores,
    verification: [],
    redundancy: { regained: true, rejoined: [], salvages: [], forks: [], differences: [] },
    redundancySkipped: null,
    doubts: [],
    failures: [],
  });
  return judgement;
}

describe('judging a ledger', () => {
  it('passes what went well', async () => {
    const dir = ledgerOnDisk(HISTORY);
    const measurable = OBJECTIVES.filter(({ name }) => name !== 'rto_reads');
    expect(await judged(dir, measurable)).toMatchObject({ verdict: 'pass', reasons: [] });
  });

  const outcome = HISTORY.find((entry) => entry.kind === 'outcome')!;
  it.each<[string, () => string]>([
    ['an outcome stands in it twice', () => ledgerOnDisk([...HISTORY, outcome])],
    ['an outcome stands in it without its intent', () => ledgerOnDisk(HISTORY.slice(1))],
    ['it names a stream that its header does not', () => ledgerOnDisk([...HISTORY, { ...outcome, stream: 7 }])],
    ['it is not there', () => join(tmpdir(), 'gameday-judge-nowhere')],
    [
      'a bit of it was flipped',
      () => {
        const dir = ledgerOnDisk(HISTORY);
        const file = join(dir, 'ledger-000001.gdl');
        const bytes = readFileSync(file);
        bytes[1_000] = (bytes[1_000] as number) ^ 1;
        writeFileSync(file, bytes);
        return dir;
      },
    ],
    [
      'it was cut down to nothing',
      () => {
        const dir = ledgerOnDisk(HISTORY);
        writeFileSync(join(dir, 'ledger-000001.gdl'), '');
        return dir;
      },
    ],
  ])('passes nothing when %s', async (_what, make) => {
    const judgement = await judged(make(), OBJECTIVES);
    expect(judgement.verdict).toBe('inconclusive');
    expect(judgement.reasons).toEqual([expect.stringMatching(/^the ledger could not be judged: /)]);
    // A restore into a sandbox is judged by itself; yet the drill does not pass.
    expect(judgement.objectives.filter(({ verdict }) => verdict === 'pass').map(({ objective }) => objective.name)).toEqual([
      'restore_time',
    ]);
  });
});
