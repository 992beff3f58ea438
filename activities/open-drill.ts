/** What every activity starts from: the live target, the prober, the guardian and the evidence store of one drill. Opens nothing before it is used. */
import { activityInfo, Context } from '@temporalio/activity';
import { join } from 'node:path';
import type { SignedApproval } from '../model/approval';
import type { JsonObject } from '../model/json';
import type { Plan } from '../model/plan';
import type { Target } from '../model/target';
import type { ProberCalls, ReceiptName, ReceiptPhase } from '../probe/contract';
import { openProber } from '../probe/client';
import { openEvidence, type EvidencePlace } from '../evidence/store';
import { findApprovals } from '../faults/approval-files';
import { planDigest } from '../faults/approvals';
import { openGuardian, type GuardianClient } from '../faults/guardian/client';
import type { ProbeRef } from './contract';

/** What the worker hands to every activity. */
export interface Hand {
  readonly home: string;
  /** True while exactly this run is RUNNING; throws when Temporal cannot be asked. */
  isRunning(workflowId: string, runId: string): Promise<boolean>;
}

/** Whoever can ask a running drill for its open questions. */
export interface Asking {
  /** True while this run waits for a person's answer to this step; throws when it does not say so at once. */
  isAsking(workflowId: string, runId: string, step: string): Promise<boolean>;
}

export function guardianOf(target: Pick<Target, 'runDir'>): GuardianClient {
  return openGuardian(join(target.runDir, 'guardian.sock'));
}

export function proberOf(probe: ProbeRef): ProberCalls {
  return openProber(probe.socket);
}

/** Approvals that whoever started the drill brought along, and those of this very plan that lie in the workers' home. */
export function approvalsFor(hand: Hand, plan: Plan, brought: readonly SignedApproval[] = []): readonly SignedApproval[] {
  const all = [...brought, ...findApprovals(hand.home, planDigest(plan))];
  return all.filter((each, at) => all.findIndex(({ signature }) => signature === each.signature) === at);
}

/** Where this drill's evidence is kept, by the settings of the worker's home. */
export function evidenceOf(hand: Hand, { target }: { readonly target: Pick<Target, 'kind'> }): EvidencePlace {
  return openEvidence(hand.home, target.kind);
}

/**
 * Asks the prober to stamp an instant; null when it is gone. That costs the boundary, not the drill: the judge then merges two segments
 * or says inconclusive, so the failure is swallowed here and nowhere else.
 */
export async function stamp(
  probe: ProbeRef | null,
  name: ReceiptName,
  phase: ReceiptPhase,
  subject: string,
  facts: JsonObject = {},
): Promise<string | null> {
  if (probe === null) return null;
  try {
    return (await proberOf(probe).receipt({ name, phase, subject, facts })).atNs;
  } catch {
    return null;
  }
}

/** Runs `work` with the signal by which a halt reaches it; the heartbeats that carry it are every activity's (`as-activities.ts`). */
export function cancellable<T>(work: (signal: AbortSignal) => Promise<T>): Promise<T> {
  return work(Context.current().cancellationSignal);
}

/** Identity of the attempt, stable across retries of one step: a repeated activity finds what its first try began. */
export function stepToken(step: string): string {
  const info = activityInfo();
  return `${info.workflowExecution?.runId ?? 'no-run'}/${step}`;
}
