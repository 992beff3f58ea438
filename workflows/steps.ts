/** One function per kind of step. A step either does what it says, or throws; `null` output means it has nothing to show. */
import { ApplicationFailure, CancellationScope, sleep } from '@temporalio/workflow';
import { unreachable } from '../core/assert';
import { formatMs } from '../core/units';
import type { Json } from '../model/json';
import type {
  CheckStep,
  FailoverStep,
  FaultStep,
  GateStep,
  HealStep,
  ManualStep,
  MarkStep,
  PlanStep,
  RebuildStep,
  RestoreStep,
  WaitStep,
} from '../model/plan';
import type { MarkResult, RestoreInput } from '../activities/contract';
import type { DrillContext } from './drill-context';
import { healEntries } from './heal';
import { ask } from './questions';
import { failedWith, failureText, hintText } from './failure-text';

/** Beside the restore itself: the wait for the archive, the comparison with the ledger, removal of an earlier try. */
const RESTORE_MARGIN_MS = 4 * 60_000;
/** Beside the base backup itself: the salvage of a fork, the swap of directories, the start. */
const REBUILD_MARGIN_MS = 4 * 60_000;
const MARK_LIMIT_MS = 10 * 60_000;

export interface StepOutput {
  readonly output: Json;
  readonly actor: string;
}

const done = (output: Json, actor = 'gameday'): StepOutput => ({ output, actor });

/** Runs steps in order, recording each. The first failure ends the list and is thrown on. */
export async function runSteps(context: DrillContext, steps: readonly PlanStep[]): Promise<void> {
  for (const step of steps) {
    context.step = step.id;
    const startedAt = new Date().toISOString();
    const base = { id: step.id, kind: step.kind, title: step.title, startedAt };
    context.say(step.id, 'started', `${step.id}: ${step.title}`);
    try {
      const result = await runStep(context, step);
      context.steps.set(step.id, {
        ...base,
        outcome: 'done',
        reason: null,
        actor: result.actor,
        endedAt: new Date().toISOString(),
        output: result.output,
      });
      // The manifest of a sealed bundle expects it of every step that was started, whatever else the step has told.
      context.note(step.id, 'ended', `${step.id} is done`);
    } catch (error) {
      const reason = context.halted === null ? failureText(error) : `halted by ${context.halted.by}: ${context.halted.reason}`;
      context.steps.set(step.id, { ...base, outcome: 'failed', reason, actor: 'gameday', endedAt: new Date().toISOString(), output: null });
      context.say(step.id, 'failed', `${step.id} failed: ${reason}`);
      throw error;
    }
  }
}

async function runStep(context: DrillContext, step: PlanStep): Promise<StepOutput> {
  switch (step.kind) {
    case 'fault':
      return faultStep(context, step);
    case 'wait':
      return waitStep(context, step);
    case 'failover':
      return failoverStep(context, step);
    case 'restore':
      return restoreStep(context, step);
    case 'rebuild':
      return rebuildStep(context, step);
    case 'mark':
      return markStep(context, step);
    case 'check':
      return checkStep(context, step);
    case 'heal':
      return healStep(context, step);
    case 'note':
      context.say(step.id, 'note', step.text);
      return done(step.text);
    case 'manual':
      return manualStep(context, step);
    case 'gate':
      return gateStep(context, step);
    case 'parallel':
      return parallelStep(context, step.branches);
    default:
      return unreachable(step, 'step');
  }
}

async function faultStep(context: DrillContext, step: FaultStep): Promise<StepOutput> {
  const { plan } = context.input;
  const probe = requireProbe(context);
  const { primary, ...handle } = await context.hands.site.resolveFault({ plan, drill: context.ref, step });
  context.primaryBeforeFault = primary ?? context.primaryBeforeFault;
  // Pushed before the inject is scheduled: an inject that timed out may have happened.
  context.undo.push({ step: step.id, handle });
  context.say(step.id, 'injecting', handle.preview, { fault: handle.fault });
  const maxMs = Math.min(step.maxMs, plan.limits.faultMaxMs);
  const result = await context.hands.careful.injectFault({
    plan,
    key: context.leaseKey(step.id),
    handle,
    maxMs,
    probe,
    ...context.consent,
  });
  // The judge's baseline is the window before the first fault: whoever waits for recovery waits for no less.
  if (context.injected.size === 0) context.baselineP99Ms = result.p99BeforeMs ?? context.baselineP99Ms;
  context.injected.set(step.id, result);
  context.leases.set(step.id, result.lease);
  if (!result.confirmed.holds) {
    context.blocked.push(`fault ${step.id} could not be shown to bite: ${result.confirmed.by}`);
    context.say(step.id, 'unconfirmed', `not confirmed: ${result.confirmed.by}`);
  } else {
    context.say(step.id, 'confirmed', `bites: ${result.confirmed.by}`, result.confirmed.facts);
  }
  return done({ preview: handle.preview, confirmed: result.confirmed.holds, by: result.confirmed.by, facts: result.facts });
}

async function waitStep(context: DrillContext, step: WaitStep): Promise<StepOutput> {
  if (step.wait.kind === 'for') {
    await sleep(step.wait.ms);
    return done(null);
  }
  const { plan } = context.input;
  const steady = plan.steady;
  const recovering = step.wait.kind === 'recovered';
  const windowMs = recovering ? steady.recoveryWindowMs : steady.windowMs;
  const maxP99Ms = recovering ? recoveryLimitMs(context) : Math.max(steady.maxP99Ms, steady.recoveryFloorMs);
  const result = await context.hands.long(step.wait.timeoutMs + 30_000).awaitWindow({
    plan,
    probe: requireProbe(context),
    windowMs,
    maxP99Ms,
    timeoutMs: step.wait.timeoutMs,
    mark: recovering ? null : 'baseline',
  });
  if (!result.good)
    throw ApplicationFailure.nonRetryable(
      `clients were not ${step.wait.kind} within ${formatMs(step.wait.timeoutMs)}: ${result.reason}`,
      'step_failed',
    );
  if (!recovering) context.baselineP99Ms = result.p99Ms;
  context.say(step.id, 'window', `${step.wait.kind}: ${result.reason}`);
  return done({ p99Ms: result.p99Ms, reason: result.reason });
}

/** max(factor × baseline, floor), as the plan says. */
export function recoveryLimitMs(context: DrillContext): number {
  const { steady } = context.input.plan;
  return Math.max(steady.recoveryFactor * (context.baselineP99Ms ?? 0), steady.recoveryFloorMs);
}

async function failoverStep(context: DrillContext, step: FailoverStep): Promise<StepOutput> {
  const input = { plan: context.input.plan, drill: context.ref, step, probe: requireProbe(context), since: context.primaryBeforeFault };
  // A failover stopped half-way leaves clients without a primary: once begun it is carried to its end, and a halt heals after it.
  const result = await CancellationScope.nonCancellable(() => context.hands.long(step.timeoutMs + 15_000).failover(input));
  context.primaryBeforeFault = null;
  context.say(step.id, 'failed over', `${result.to} is the primary, timeline ${result.timeline}, epoch ${result.epoch}`, {
    to: result.to,
    timeline: result.timeline,
  });
  return done({ ...result, candidates: result.candidates.map((candidate) => ({ ...candidate })) });
}

async function restoreStep(context: DrillContext, step: RestoreStep): Promise<StepOutput> {
  if (step.expect !== undefined) return refusedStep(context, step);
  const { sandbox } = context.input.plan.target;
  // Known before the restore is scheduled: whatever comes of it, healing removes the copy.
  if (sandbox !== null) context.sandboxes.add(`${sandbox.dir}/${context.ref.drill}-${step.id}`);
  const record = await context.hands
    .long(step.timeoutMs + RESTORE_MARGIN_MS)
    .restore(restoreInput(context, step))
    .catch((error: unknown) => {
      // Proven, not merely unknown: with this key nobody restores anything.
      if (failedWith(error, 'archive_key_wrong')) context.failed.push(`restore ${step.id}: ${failureText(error)}${hintText(error)}`);
      throw error;
    });
  context.restores.push(record);
  context.say(
    step.id,
    'restored',
    `landed at ${record.landed.lsn}: ${record.ledgerBefore} ledger writes before the target, ${record.under} missing, ${record.over} too many`,
  );
  const wrong = record.checks.filter((check) => !check.ok);
  for (const check of wrong) context.failed.push(`restore ${step.id}: ${check.name}: ${check.found}`);
  return done({ landed: record.landed.lsn, under: record.under, over: record.over, segments: record.segments });
}

async function refusedStep(context: DrillContext, step: RestoreStep): Promise<StepOutput> {
  const { refused, instead } = await context.hands.long(step.timeoutMs + RESTORE_MARGIN_MS).expectRefusal(restoreInput(context, step));
  if (refused === null) {
    // As a check of a copy that does not hold: the drill has failed, and goes on.
    context.failed.push(`restore ${step.id}: ${instead}`);
    context.say(step.id, 'not refused', instead);
    return done({ refused: null, instead });
  }
  context.refusedRestores.push(refused);
  const { requested, code, reason, ms } = refused;
  context.say(step.id, 'refused', `refused as it must be, after ${formatMs(ms)}: ${reason}`, { code });
  return done({ refused: code, requested, reason, ms });
}

function restoreInput(context: DrillContext, step: RestoreStep): RestoreInput {
  const damage = step.to.kind === 'before-step' ? (context.injected.get(step.to.step) ?? null) : null;
  return { plan: context.input.plan, drill: context.ref, step, probe: requireProbe(context), damage, ...markOf(context, step) };
}

/** Only where there is one: histories of earlier drills hold none. */
function markOf(context: DrillContext, { to }: RestoreStep): { readonly mark?: MarkResult } {
  const mark = to.kind === 'name' ? context.marks.get(to.name) : undefined;
  return mark === undefined ? {} : { mark };
}

async function rebuildStep(context: DrillContext, step: RebuildStep): Promise<StepOutput> {
  const { plan } = context.input;
  const node = await context.hands.site.resolveStandby({ plan, step });
  // Known before it is scheduled, as a fault's undo is: whatever comes of it, healing looks after the node.
  context.rebuilding.set(step.id, node);
  context.say(step.id, 'rebuilding', `${node} is made anew from a base backup`, { node });
  const { movedAside } = await context.hands
    .long(step.timeoutMs + REBUILD_MARGIN_MS)
    .rebuild({ plan, step, node, probe: requireProbe(context) });
  context.rebuilding.delete(step.id);
  if (movedAside !== null) context.left.push(`${node}'s old data directory, moved aside to ${movedAside}`);
  context.say(step.id, 'rebuilt', `${node} streams again`, { node });
  return done({ node, movedAside });
}

async function markStep(context: DrillContext, step: MarkStep): Promise<StepOutput> {
  const input = { plan: context.input.plan, drill: context.ref, step, probe: requireProbe(context) };
  const mark = await context.hands.long(MARK_LIMIT_MS).mark(input);
  context.marks.set(step.name, mark);
  const { name, lsn, tables, catalog } = mark.facts;
  context.say(
    step.id,
    'marked',
    `restore point ${name} at ${lsn}: ${tables.length} tables and ${Object.keys(catalog).length} kinds of objects recorded`,
  );
  return done({ name, lsn, tables: tables.map(({ schema, table, rows }) => ({ table: `${schema}.${table}`, rows })) });
}

async function checkStep(context: DrillContext, step: CheckStep): Promise<StepOutput> {
  const sandbox = context.restores.at(-1)?.sandbox.dir ?? null;
  const result = await context.hands.long(step.check.withinMs + 60_000).check({ plan: context.input.plan, check: step.check, sandbox });
  if (!result.ok) throw ApplicationFailure.nonRetryable(`${step.title}: found ${result.found}, expected ${result.expected}`, 'step_failed');
  context.say(step.id, 'checked', `${step.title}: ${result.found}`);
  return done({ found: result.found });
}

async function healStep(context: DrillContext, step: HealStep): Promise<StepOutput> {
  // A halt while healing must not interrupt it: the fault would stand half undone.
  const healed = await CancellationScope.nonCancellable(() =>
    healEntries(context, context.undo.newestFirst(step.steps), `step ${step.id}`),
  );
  if (!healed) throw ApplicationFailure.nonRetryable('a fault could not be undone', 'undo_failed');
  return done(null);
}

async function manualStep(context: DrillContext, step: ManualStep): Promise<StepOutput> {
  const answer = await ask(context, step);
  if (answer === null)
    throw ApplicationFailure.nonRetryable(`${step.owner} did not report the step done within ${formatMs(step.timeoutMs)}`, 'step_failed');
  const actor = answer === 'noticed' ? 'noticed by its check' : answer.by;
  context.say(step.id, 'answered', `${step.id} done (${actor})`);
  return done({ answer: 'done', by: actor }, actor);
}

async function gateStep(context: DrillContext, step: GateStep): Promise<StepOutput> {
  const answer = await ask(context, step);
  if (answer === null || answer === 'noticed')
    throw ApplicationFailure.nonRetryable(`${step.owner} did not decide within ${formatMs(step.timeoutMs)}`, 'step_failed');
  context.say(step.id, 'answered', `${answer.by} says ${answer.answer}`);
  if (answer.answer === 'no-go') {
    context.halted = { by: answer.by, reason: `no-go at ${step.id}${answer.note === null ? '' : `: ${answer.note}`}` };
    throw ApplicationFailure.nonRetryable(`${answer.by} said no-go`, 'halted');
  }
  return done({ answer: 'go', by: answer.by }, answer.by);
}

async function parallelStep(context: DrillContext, branches: readonly (readonly PlanStep[])[]): Promise<StepOutput> {
  // One scope for all branches: the first failure cancels the others, and all have ended before it is thrown on.
  await CancellationScope.cancellable(async () => {
    const scope = CancellationScope.current();
    const failures: unknown[] = [];
    await Promise.all(
      branches.map((branch) =>
        runSteps(context, branch).catch((error: unknown) => {
          failures.push(error);
          scope.cancel();
        }),
      ),
    );
    if (failures.length > 0) throw failures[0];
  });
  return done(null);
}

function requireProbe(context: DrillContext): NonNullable<DrillContext['probe']> {
  if (context.probe === null) throw ApplicationFailure.nonRetryable('no prober runs', 'step_failed');
  return context.probe;
}
