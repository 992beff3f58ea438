/** Judging: hands the ledger to the pure judge and keeps what it found beside the ledger, so that only a reference travels. */
import { join } from 'node:path';
import { writeFileDurably, readJsonFile } from '../core/files';
import { messageOf } from '../core/errors';
import type { LeaseView } from '../model/fault';
import type { PredictedFailover, RpoMeasurement } from '../model/measurement';
import { readAgentLogs } from '../evidence/agent-logs';
import { clocksOf } from '../evidence/beside-plan';
import { candidatesRecord, faultRecord, predictedRecord, rebuildRecord, redundancyRecord } from '../evidence/build-record';
import type { LedgerJudgement } from '../probe/contract';
import { judgeLedger } from '../probe/judge';
import { besidePacking } from '../probe/ledger-pack';
import { judgeDrill } from '../probe/verdict';
import { fateOfPrimary } from './fate-of-primary';
import { openTarget } from '../targets/open-target';
import type { JudgeInput, JudgeResult } from './contract';

/** Content of `measurement.json` beside the ledger. */
export interface Measured {
  readonly ledger: LedgerJudgement;
  readonly band: PredictedFailover | null;
}

/** A ledger that cannot be judged is a doubt, whatever is wrong with it: then nothing may pass. */
export async function judge(input: JudgeInput): Promise<JudgeResult> {
  const { plan, probe } = input;
  const doubts = [...input.doubts];
  const ledger =
    probe === null
      ? null
      : await measure(input, probe.dir).catch(
          (error: unknown) => void doubts.push(`the ledger could not be judged: ${messageOf(error).replaceAll(probe.dir, 'ledger')}`),
        );
  const measured: Measured | null = ledger === null || ledger === undefined ? null : { ledger, band: await predicted(input) };
  const rpo = input.rpoFile === null ? null : readJsonFile<RpoMeasurement>(input.rpoFile);
  const judgement = judgeDrill({
    objectives: plan.objectives,
    rto: measured?.ledger.rto ?? { notRecorded: 'no ledger was judged' },
    predicted: predictedRecord(measured?.band ?? null),
    views: measured?.ledger.views ?? [],
    rpo: rpo ?? { notRecorded: 'the ledger was not joined with the surviving rows' },
    splitBrain: measured?.ledger.splitBrain ?? [],
    restores: input.restores,
    ...rebuildRecord(measured?.ledger ?? null),
    faults: input.leases.map(faultRecord),
    verification: input.verification,
    redundancy: redundancyRecord(input, measured?.ledger ?? null),
    doubts,
    failures: input.failures,
    nodeSpans: measured?.ledger.nodeSpans ?? [],
    replicaStaleness: measured?.ledger.replicaStaleness ?? [],
    noSafeCandidate: candidatesRecord(measured?.ledger ?? null),
  });
  if (probe === null || measured === null) return { judgement, measurementFile: null };
  const measurementFile = join(probe.dir, 'measurement.json');
  writeFileDurably(measurementFile, JSON.stringify(measured));
  return { judgement, measurementFile };
}

function measure({ plan, leases, clocks = {} }: JudgeInput, dir: string): Promise<LedgerJudgement> {
  const judged = judgeLedger(dir, {
    settings: plan.probe,
    steady: plan.steady,
    faults: leases.map((lease) => ({ step: lease.key.step, confirmed: lease.confirmed?.holds ?? false, endedEarly: endedEarly(lease) })),
    fromMs: null,
    toMs: null,
    agentLogs: readAgentLogs(dir, clocksOf(clocks)),
  });
  return besidePacking(dir, judged);
}

/** By anything but the drill's own undo: then its objectives cannot pass. */
function endedEarly(lease: LeaseView): boolean {
  return lease.endedBy === 'expired' || lease.endedBy === 'halted' || lease.endedBy === 'reconciled';
}

async function predicted({ plan }: JudgeInput): Promise<PredictedFailover | null> {
  if (!plan.steps.some((step) => step.kind === 'failover')) return null;
  return openTarget(plan.target)
    .controller.predictedFailover(fateOfPrimary(plan))
    .catch(() => null);
}
