/** What every activity starts from: the live target, the prober, the guardian and the evidence store of one drill. Opens nothing before it is used. */
import { activityInfo, Context } from '@temporalio/activity';
import { join } from 'node:path';
import { homePaths } from '../core/home';
import type { JsonObject } from '../model/json';
import type { Target } from '../model/target';
import type { ProberCalls, ReceiptName } from '../probe/contract';
import { openProber } from '../probe/client';
import { openGuardian, type GuardianClient } from '../faults/guardian/client';
import type { ProbeRef } from './contract';

/** What the worker hands to every activity. */
export interface Hand {
  readonly home: string;
  /** True while exactly this run is RUNNING; throws when Temporal cannot be asked. */
  isRunning(workflowId: string, runId: string): Promise<boolean>;
}

export function guardianOf(target: Pick<Target, 'runDir'>): GuardianClient {
  return openGuardian(join(target.runDir, 'guardian.sock'));
}

export function proberOf(probe: ProbeRef): ProberCalls {
  return openProber(probe.socket);
}

/** `.gameday/drills`, under which every target has its series. */
export function drillsDir(hand: Hand): string {
  return homePaths(hand.home).drills;
}

/**
 * Asks the prober to stamp an instant; null when it is gone. That costs the boundary, not the drill: the judge then merges two segments
 * or says inconclusive, so the failure is swallowed here and nowhere else.
 */
export async function stamp(
  probe: ProbeRef | null,
  name: ReceiptName,
  phase: 'about-to' | 'done',
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

/** Runs `work` with heartbeats every two seconds, so that a halt reaches it and a dead worker is noticed. */
export async function withHeartbeat<T>(work: (signal: AbortSignal) => Promise<T>): Promise<T> {
  const context = Context.current();
  const timer = setInterval(() => context.heartbeat(), 2_000);
  context.heartbeat();
  try {
    return await work(context.cancellationSignal);
  } finally {
    clearInterval(timer);
  }
}

/** Identity of the attempt, stable across retries of one step: a repeated activity finds what its first try began. */
export function stepToken(step: string): string {
  const info = activityInfo();
  return `${info.workflowExecution?.runId ?? 'no-run'}/${step}`;
}
