/**
 * Restores: a lease on the place where the copy will stand, the wait until the archive holds what the target needs, the archive's own restore, and the proof
 * of where it landed and of what it is worth. What the copy is asked afterwards is no part of the time to restore.
 */
import { activityInfo } from '@temporalio/activity';
import { join } from 'node:path';
import { monotonicNs } from '../core/clock';
import { GamedayError, messageOf } from '../core/errors';
import { DEFAULT_PROOF_MAX_BYTES, PROOF_CHECKS, RESTORE_REFUSALS } from '../model/constants';
import type { RestoreStep } from '../model/plan';
import type { CheckResult, RestoreRecord } from '../model/record';
import { proveRestore, type Proof } from '../targets/archives/proof/prove';
import { openTarget } from '../targets/open-target';
import type { Archive, LiveTarget, RestoreOutcome } from '../targets/ports';
import type { RefusalResult, RestoreInput, UndoActivities } from './contract';
import { requirePrimary } from './failover-activities';
import { cancellable, guardianOf } from './open-drill';
import { reportProgress } from './progress';
import { examineTable, findLanding, type Landing } from './restore-landing';
import { requireDeclaredHost } from './restore-place';
import { awaitArchived, resolvePoint, type Resolved } from './restore-point';
import { requireAffordable } from './restore-readiness';

/** Beyond the drill's own limit: healing removes the copy, and a lease must outlast it. */
const LEASE_MARGIN_MS = 15 * 60_000;

export async function restore(input: RestoreInput): Promise<RestoreRecord> {
  return cancellable((signal) => restoreStep(input, signal));
}

async function restoreStep(input: RestoreInput, signal: AbortSignal): Promise<RestoreRecord> {
  const { plan, drill, step } = input;
  const live = openTarget(plan.target);
  const { sandbox } = plan.target;
  if (sandbox === null) throw new GamedayError('step_failed', `target "${plan.target.name}" declares no sandbox`);
  const archive = archiveFor(input, live);
  requireDeclaredHost(plan.target);
  const primary = await primaryOf(input, live);
  // What a try before the worker's death left in the sandbox is gone on with, or removed where a server ran on it: the sandbox itself decides.
  const started = monotonicNs();
  await requireOpened(step, archive);
  const point = await resolvePoint(input, live, archive, primary, signal);
  const archivedTo = await awaitArchived(live, archive, primary, point, signal);
  const target = await archive.locate(point);
  await requireAffordable(plan, archive, target);
  const dir = join(sandbox.dir, `${drill.drill}-${step.id}`);
  await holdPlace(input, dir);
  const outcome = await archive.restore(
    target,
    { dir, labels: { drill: drill.drill, step: step.id } },
    {
      timeoutMs: step.timeoutMs,
      signal,
      onProgress: (progress) => reportProgress({ step: step.id, ...progress }),
      through: step.through === 'primary' ? requirePrimary({ primary }) : (step.through ?? null),
    },
  );
  const totalMs = Number(monotonicNs() - started) / 1e6 - outcome.checksMs;
  const proof = await prove(input, outcome, signal);
  const landing = await findLanding(input, live, primary, outcome, point, archivedTo, signal);
  const checks = [...outcome.checks, ...(await examineTable(input, outcome)), ...landing.checks, ...proof.checks];
  return record(input, { outcome, point, totalMs, landing, proof, checks });
}

/** The target's archive, by the key that the step names. Throws `step_failed`, `setting_invalid`. */
function archiveFor({ plan, step }: RestoreInput, { archive }: LiveTarget): Archive {
  if (archive === null) throw new GamedayError('step_failed', `target "${plan.target.name}" declares no archive`);
  if (step.key === undefined) return archive;
  const opened = archive.openedBy?.(step.key);
  if (opened === undefined) throw new GamedayError('setting_invalid', `an archive of ${archive.kind} is opened by no key`);
  return opened;
}

/** A key that does not open the archive shows at the first look, before anything is waited for. Throws `archive_key_wrong`. */
async function requireOpened({ key }: RestoreStep, archive: Archive): Promise<void> {
  if (key !== undefined) await archive.backups();
}

/** A controller that cannot be asked has no primary to tell of; a restore out of the archive alone goes on without it. */
async function primaryOf({ step }: RestoreInput, live: LiveTarget): Promise<string | null> {
  if (step.to.kind !== 'latest') return (await live.controller.topology()).primary;
  return live.controller.topology().then(
    ({ primary }) => primary,
    () => null,
  );
}

/**
 * The step that expects a refusal: the point is looked up as a restore would, and the archive has to say, before a byte moves, that it cannot be had. What is not
 * the archive's own word about that point (no room, no primary, WAL that does not come in time) is an error, never the refusal.
 */
export async function expectRefusal(input: RestoreInput): Promise<RefusalResult> {
  return cancellable(async (signal) => {
    const { plan, step } = input;
    const live = openTarget(plan.target);
    const archive = archiveFor(input, live);
    const primary = await primaryOf(input, live);
    const started = monotonicNs();
    const refused = (error: unknown, requested: string): RefusalResult =>
      refusalOf(error, { step, requested, ms: Number(monotonicNs() - started) / 1e6 });
    let point: Resolved;
    try {
      await requireOpened(step, archive);
      point = await resolvePoint(input, live, archive, primary, signal);
    } catch (error) {
      return refused(error, askedFor(step));
    }
    await awaitArchived(live, archive, primary, point, signal);
    try {
      const { backup, lastSegment } = await archive.locate(point);
      return { refused: null, instead: `not refused: ${point.words} can be restored, from backup ${backup} and WAL up to ${lastSegment}` };
    } catch (error) {
      return refused(error, point.words);
    }
  });
}

/** Of a point that could not be resolved: as the scenario has it. */
function askedFor({ to }: RestoreStep): string {
  switch (to.kind) {
    case 'time':
      return `time ${to.time}`;
    case 'before-step':
      return `just before step ${to.step}`;
    default:
      return to.kind;
  }
}

/** Throws what is no refusal. */
function refusalOf(error: unknown, about: { readonly step: RestoreStep; readonly requested: string; readonly ms: number }): RefusalResult {
  const { step, requested, ms } = about;
  const code = error instanceof GamedayError ? RESTORE_REFUSALS.find((each) => each === error.code) : undefined;
  if (code === undefined) throw error;
  const wanted = step.expect?.refused ?? null;
  const reason = messageOf(error);
  if (wanted !== null && code !== wanted) return { refused: null, instead: `refused, but with ${code} instead of ${wanted}: ${reason}` };
  return { refused: { step: step.id, requested: `${requested}${byKey(step)}`, code, reason, ms }, instead: null };
}

/** The guardian removes the copy when nobody renews it any more, whatever becomes of us. */
async function holdPlace({ plan, drill, step }: RestoreInput, dir: string): Promise<void> {
  const { workflowId, runId } = drill;
  await guardianOf(plan.target).holdSandbox({
    target: plan.target,
    dir,
    drill: drill.drill,
    step: step.id,
    workflowId,
    runId,
    ttlMs: plan.limits.leaseTtlMs,
    maxMs: plan.limits.maxDrillMs + LEASE_MARGIN_MS,
  });
}

function prove({ plan, step, mark }: RestoreInput, outcome: RestoreOutcome, signal: AbortSignal): Promise<Proof> {
  return proveRestore({
    target: plan.target,
    dir: outcome.dir,
    plan: step.proof ?? { checks: PROOF_CHECKS, maxBytes: DEFAULT_PROOF_MAX_BYTES },
    marked: mark?.facts ?? null,
    signal,
    onCheck: (check) =>
      reportProgress({ step: step.id, phase: 'checks', check, bytes: outcome.bytes, segments: outcome.segments, of: null }),
  });
}

/** Wall clock since the restore was first asked for: an attempt that failed before this one took its time as well. */
function sinceScheduledMs(): number {
  const { attempt, scheduledTimestampMs } = activityInfo();
  return attempt === 1 ? 0 : Date.now() - scheduledTimestampMs;
}

interface Found {
  readonly outcome: RestoreOutcome;
  readonly point: Resolved;
  readonly totalMs: number;
  readonly landing: Landing;
  readonly proof: Proof;
  readonly checks: readonly CheckResult[];
}

const byKey = ({ key }: RestoreStep): string => (key === undefined ? '' : `, opened by key ${key}`);

function record({ step }: RestoreInput, { outcome, point, totalMs, landing, proof, checks }: Found): RestoreRecord {
  const { target, landed } = outcome;
  const missing = proof.notRecorded.find(({ check }) => check === 'first-use')?.reason;
  return {
    step: step.id,
    requested: point.words,
    resolvedTarget: `${target.setting} = ${target.value}${target.inclusive ? '' : ', exclusive'}, timeline ${target.timeline}, backup ${target.backup}${byKey(step)}`,
    backup: outcome.backup.name,
    timeline: landed.timeline,
    walFrom: outcome.walFrom,
    walTo: outcome.walTo,
    bytes: outcome.bytes,
    segments: outcome.segments,
    totalMs: { lowMs: totalMs, highMs: Math.max(totalMs, sinceScheduledMs() - proof.ms - outcome.checksMs) },
    phases: outcome.phases,
    landed: { lsn: landed.lsn, xid: landed.xid, time: landed.time, logLine: landed.logLine },
    ledgerBefore: landing.findings?.ledgerBefore ?? 0,
    under: landing.findings?.under ?? 0,
    over: landing.findings?.over ?? 0,
    checks,
    sandbox: { dir: outcome.dir, removed: false },
    proof: { ms: proof.ms, notRecorded: proof.notRecorded },
    firstUse: proof.firstUse ?? { notRecorded: missing ?? 'the copy could not be asked' },
    landingError: landing.error,
    ...(step.to.kind === 'latest' && landing.findings !== null ? { archiveLoss: landing.findings.lacking } : {}),
  };
}

/** The guardian removes it and remembers what it saw; where none answers, so do we: nothing of a copy may stay for want of a witness. */
export async function removeSandbox({ plan, dir }: Parameters<UndoActivities['removeSandbox']>[0]): Promise<string> {
  const { target } = plan;
  try {
    return await guardianOf(target).removeSandbox({ target, dir, by: 'its drill' });
  } catch (error) {
    if (!(error instanceof GamedayError) || error.code !== 'guardian_unreachable') throw error;
    return (await openTarget(target).archive?.removeSandbox(dir)) ?? 'the target names no archive';
  }
}
