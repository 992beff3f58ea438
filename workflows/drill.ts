/**
 * The drill: interprets one plan, phase by phase. Whatever happens in the method, heal runs; it cannot be cancelled.
 * This file decides the order of things and nothing else: it measures nothing, touches nothing, and never throws away a number once registered.
 */
import { ApplicationFailure, CancellationScope, CancelledFailure, isCancellation, setHandler, workflowInfo } from '@temporalio/workflow';
import type { JudgeResult, ReconcileResult, RedundancyResult } from '../activities/contract';
import { present } from '../core/assert';
import { formatMs } from '../core/units';
import type { LeaseView } from '../model/fault';
import type { AnswerInput, DrillInput, DrillResult, HaltInput } from '../model/message';
import { flattenSteps } from '../model/plan-steps';
import type { CheckResult, DrillState, Phase, StepRecord } from '../model/record';
import { DrillContext } from './drill-context';
import { failureText } from './failure-text';
import { healEntries } from './heal';
import { answerUpdate, haltUpdate, progressQuery } from './messages';
import { openHands } from './proxies';
import { acceptAnswer, validateAnswer } from './questions';
import { recoveryLimitMs, runSteps } from './steps';

export async function drill(input: DrillInput): Promise<DrillResult> {
  const context = new DrillContext(input, openHands(input.plan.target.site));
  const method = new CancellationScope({ cancellable: true, timeout: input.plan.limits.maxDrillMs });
  listen(context, method);
  const startedAt = new Date().toISOString();
  await CancellationScope.nonCancellable(() => register(context));

  let state: DrillState = 'completed';
  // Not a child of the root scope: leases must be renewed while a cancelled drill heals.
  const holding = new CancellationScope({ cancellable: true, parent: new CancellationScope({ cancellable: false }) });
  let held: Promise<void> = Promise.resolve();
  const watching = new CancellationScope({ cancellable: true });
  let watched: Promise<void> = Promise.resolve();
  try {
    await method.run(async () => {
      await ready(context);
      context.probe = await context.hands.site.startProbe({ plan: input.plan, drill: context.ref });
      held = holding.run(() => hold(context, method));
      watched = watching.run(() => watchStop(context, method));
      if (await baseline(context)) await phase(context, 'method', () => runSteps(context, input.plan.steps));
      // A step that cannot be cancelled, such as a failover, ends well after the halt that it did not hear.
      if (method.consideredCancelled) throw new CancelledFailure('the method was cancelled in a step that had to end first');
    });
  } catch (error) {
    state = stateAfter(context, error);
    context.methodEnded = context.halted === null ? failureText(error) : `halted by ${context.halted.by}: ${context.halted.reason}`;
    context.say(context.phase, 'ended', `the method ended: ${context.methodEnded}`);
  }
  return CancellationScope.nonCancellable(async () => {
    watching.cancel();
    const healed = await heal(context);
    await watched;
    if (!healed) {
      state = 'unsafe';
      context.failed.push('a fault is not proven gone');
    }
    const verified = await verify(context);
    // Heard after the last step: what was broken is healed, and nothing else is done to the target any more.
    if (context.halted !== null && state === 'completed') {
      state = 'aborted';
      context.blocked.push(`halted by ${context.halted.by} after the last step: ${context.halted.reason}`);
    }
    const redundancy = await restoreRedundancy(context, state);
    if (state !== 'aborted' && state !== 'unsafe') await awaitClients(context);
    holding.cancel();
    await held;
    const reconciled = await reconcileLedger(context, redundancy);
    const verification = [...verified, ...(reconciled?.checks ?? [])];
    const rpoFile = reconciled?.rpoFile ?? null;
    const judged = await judge(context, state, { verification, rpoFile, redundancy });
    return seal(context, { state, startedAt, verification, rpoFile, redundancy, judged });
  });
}

function listen(context: DrillContext, method: CancellationScope): void {
  setHandler(progressQuery, () => ({
    drill: context.registration?.drill ?? null,
    sequence: context.registration?.sequence ?? null,
    phase: context.phase,
    step: context.step,
    open: [...context.open.values()],
    halted: context.halted,
    log: context.lines,
  }));
  setHandler(haltUpdate, (halt: HaltInput) => haltDrill(context, method, halt), {
    validator: (halt: HaltInput) => {
      if (halt.by === '' || halt.reason === '') throw ApplicationFailure.nonRetryable('a halt needs a name and a reason', 'usage');
    },
  });
  setHandler(answerUpdate, (answer: AnswerInput) => acceptAnswer(context, answer), {
    validator: (answer: AnswerInput) => validateAnswer(context, answer),
  });
}

/** The first halt counts, whoever it comes from. */
function haltDrill(context: DrillContext, method: CancellationScope, halt: HaltInput): void {
  if (context.halted !== null) return;
  context.halted = halt;
  context.haltedBySomebody = halt;
  context.say(context.phase, 'halt', `halted by ${halt.by}: ${halt.reason}`);
  method.cancel();
}

/** Runs one phase and keeps its record, whichever way it ends. Events are written at its end. */
async function phase<T>(context: DrillContext, name: Phase, work: () => Promise<T>): Promise<T> {
  context.phase = name;
  context.step = null;
  const startedAt = new Date().toISOString();
  const end = (outcome: 'done' | 'failed', reason: string | null): void => {
    context.phases.push({ phase: name, startedAt, endedAt: new Date().toISOString(), outcome, reason });
  };
  try {
    const result = await work();
    end('done', null);
    return result;
  } catch (error) {
    end('failed', failureText(error));
    throw error;
  } finally {
    await CancellationScope.nonCancellable(() => context.flushEvents());
  }
}

function skip(context: DrillContext, name: Phase, reason: string): void {
  const at = new Date().toISOString();
  context.phases.push({ phase: name, startedAt: at, endedAt: at, outcome: 'skipped', reason });
}

async function register(context: DrillContext): Promise<void> {
  const { plan, planSha256, startedBy } = context.input;
  const info = workflowInfo();
  const startedAt = new Date().toISOString();
  context.registration = await context.hands.registrar.register({
    plan,
    planSha256,
    owner: { workflowId: info.workflowId, runId: info.runId },
    startedBy,
  });
  context.phases.push({ phase: 'register', startedAt, endedAt: new Date().toISOString(), outcome: 'done', reason: null });
  context.say('register', 'registered', `${context.registration.drill} registered: ${plan.scenario.title} on ${plan.target.name}`, {
    planSha256,
    registrationSha256: context.registration.registrationSha256,
  });
}

/** Throws `refused` with every reason when a single check does not hold. */
async function ready(context: DrillContext): Promise<void> {
  const result = await phase(context, 'ready', () =>
    context.hands.site.checkReadiness({ plan: context.input.plan, drill: context.ref, ...context.consent }),
  );
  context.startTopology = result.topology;
  context.safeguards = result.safeguards;
  context.security = result.security;
  if (result.clocks !== undefined) context.clocks.before = result.clocks;
  context.readiness.push(...result.checks);
  const bad = result.checks.filter((check) => !check.ok);
  for (const check of bad) context.failed.push(`not ready: ${check.name}: ${check.found}${check.hint === null ? '' : ` (${check.hint})`}`);
  if (bad.length > 0) throw ApplicationFailure.nonRetryable(bad.map((check) => `${check.name}: ${check.found}`).join('; '), 'refused');
  context.say('ready', 'ready', `ready: ${result.checks.length} checks hold`);
}

/** False when clients were not steady: nothing is injected then, and the drill is inconclusive. */
async function baseline(context: DrillContext): Promise<boolean> {
  const { plan } = context.input;
  const result = await phase(context, 'baseline', () =>
    context.hands.long(plan.steady.timeoutMs + 30_000).awaitWindow({
      plan,
      probe: present(context.probe, 'probe'),
      windowMs: plan.steady.windowMs,
      maxP99Ms: plan.steady.maxP99Ms,
      timeoutMs: plan.steady.timeoutMs,
      mark: 'baseline',
    }),
  );
  context.baselineP99Ms = result.p99Ms;
  context.say('baseline', 'baseline', result.good ? `steady: ${result.reason}` : `not steady: ${result.reason}`);
  if (!result.good) {
    context.blocked.push(`the baseline was not steady: ${result.reason}`);
    context.methodEnded = 'the baseline was not steady; nothing was injected';
  }
  return result.good;
}

/** Renews leases until cancelled, which is no failure. It may learn that everything was halted; the prober's lease is then held on to the end. */
async function hold(context: DrillContext, method: CancellationScope): Promise<void> {
  const { plan } = context.input;
  const { hold: holdOn } = context.hands.long(plan.limits.maxDrillMs + 10 * 60_000);
  const what = { plan, drill: context.ref, probe: context.probe };
  try {
    const halt = await holdOn({ ...what, untilHalt: true });
    if (halt === null) return;
    haltDrill(context, method, halt);
    await holdOn(what);
  } catch (error) {
    if (!isCancellation(error)) context.blocked.push(`leases were not renewed to the end: ${failureText(error)}`);
  }
}

/** Ends the method when a stop condition trips, and also when nobody can say whether one has: a drill must not go on blind. */
async function watchStop(context: DrillContext, method: CancellationScope): Promise<void> {
  const { plan } = context.input;
  if ((plan.stop ?? []).length === 0) return;
  const halt = (by: string, reason: string): void => {
    if (context.halted !== null) return;
    context.halted = { by, reason };
    context.say(context.phase, 'stopped', `${by}: ${reason}`);
    method.cancel();
  };
  try {
    const tripped = await context.hands.long(plan.limits.maxDrillMs + 10 * 60_000).watchStop({ plan });
    halt(`stop condition ${tripped.condition}`, `failed ${tripped.failures} of ${tripped.of} times, at last: ${tripped.found}`);
  } catch (error) {
    if (!isCancellation(error)) halt('gameday', `stop conditions could not be watched: ${failureText(error)}`);
  }
}

function stateAfter(context: DrillContext, error: unknown): DrillState {
  if (context.halted !== null) return 'aborted';
  if (isCancellation(error)) {
    const { maxDrillMs } = context.input.plan.limits;
    const cancelled = CancellationScope.current().consideredCancelled;
    context.halted = cancelled
      ? { by: 'temporal', reason: 'the workflow was cancelled' }
      : { by: 'gameday', reason: `the method took longer than the plan’s limit of ${formatMs(maxDrillMs)}` };
    return 'aborted';
  }
  return context.phase === 'ready' ? 'refused' : 'failed';
}

async function heal(context: DrillContext): Promise<boolean> {
  return phase(context, 'heal', async () => {
    const healed = await healEntries(context, context.undo.newestFirst(null), 'heal');
    // Behind the faults: one may hold the node down, or cut it off from whom it follows.
    for (const [step, node] of [...context.rebuilding].reverse()) await undoRebuild(context, { step, node, healed });
    for (const dir of context.sandboxes) await removeSandbox(context, dir);
    return healed;
  });
}

async function verify(context: DrillContext): Promise<readonly CheckResult[]> {
  const { plan } = context.input;
  const { probe } = context;
  if (probe === null) {
    skip(context, 'verify', 'nothing was touched');
    return [];
  }
  try {
    return await phase(context, 'verify', () => context.hands.long(plan.steady.timeoutMs + 60_000).verify({ plan, probe }));
  } catch (error) {
    context.blocked.push(`verification could not be completed: ${failureText(error)}`);
    return [];
  }
}

/** How many recovery windows clients get at the end before the record says that they had not recovered. */
const LAST_WINDOWS = 3;
/** The judge wants the window whole within the measured span; one that is good as it ends here would miss that by what is still under way. */
const WINDOW_MARGIN_MS = 1_000;

/** Healing and rejoining may disturb clients once more; what is not over when measuring ends could not be measured. */
async function awaitClients(context: DrillContext): Promise<void> {
  const { plan } = context.input;
  if (context.probe === null || !methodBegan(context)) return;
  const windowMs = plan.steady.recoveryWindowMs + WINDOW_MARGIN_MS;
  const timeoutMs = LAST_WINDOWS * windowMs;
  try {
    const last = await context.hands.long(timeoutMs + 30_000).awaitWindow({
      plan,
      probe: context.probe,
      windowMs,
      maxP99Ms: recoveryLimitMs(context),
      timeoutMs,
      mark: null,
    });
    if (!last.good) context.say(context.phase, 'window', `clients were not recovered at the end: ${last.reason}`);
  } catch (error) {
    context.blocked.push(`nobody saw whether clients were recovered at the end: ${failureText(error)}`);
  }
}

/** The prober stops first, so that no write is under way while rows are read; so this comes after redundancy, which it also compares. */
async function reconcileLedger(context: DrillContext, redundancy: RedundancyResult | null): Promise<ReconcileResult | null> {
  const { plan } = context.input;
  const { probe } = context;
  if (probe === null) return null;
  try {
    await context.hands.site.stopProbe({ probe });
    const lostBytes = redundancy?.salvages.reduce((sum, salvage) => sum + salvage.divergedBytes, 0).toString() ?? null;
    const result = await context.hands
      .long(10 * 60_000)
      .reconcileLedger({ plan, drill: context.ref, probe, lostBytes, redundant: redundancy?.regained === true });
    context.say('judge', 'reconciled', result.statement);
    context.left.push(...result.left);
    if (result.clocks !== undefined) context.clocks.after = result.clocks;
    return result;
  } catch (error) {
    context.blocked.push(`the ledger could not be reconciled with the surviving rows: ${failureText(error)}`);
    return null;
  }
}

async function removeSandbox(context: DrillContext, dir: string): Promise<void> {
  const { target } = context.input.plan;
  try {
    const seen: string | null | undefined = await context.hands.undo.removeSandbox({ plan: { target }, dir });
    for (const [at, restore] of context.restores.entries()) {
      if (restore.sandbox.dir !== dir) continue;
      context.restores[at] = { ...restore, sandbox: { dir, removed: true, ...(typeof seen === 'string' ? { removal: seen } : {}) } };
    }
  } catch (error) {
    context.say('heal', 'sandbox left', `sandbox ${dir} could not be removed: ${failureText(error)}`);
    context.left.push(`sandbox ${dir}: ${failureText(error)}`);
  }
}

/** A standby that was being made anew when the method ended is brought back as far as it can be; what cannot be is said. Never throws. */
async function undoRebuild(
  context: DrillContext,
  { step, node, healed }: { readonly step: string; readonly node: string; readonly healed: boolean },
): Promise<void> {
  const { target } = context.input.plan;
  const leave = (why: string): void => {
    context.notBack.push(`${node}, which was being made anew, does not stream: ${why}`);
    context.say(step, 'not brought back', `${node} does not stream: ${why}`, { node });
  };
  try {
    // Whatever still stands may stand on this node, whose start is its undo's alone.
    const { movedAside, problem } = await context.hands.undo.undoRebuild({ plan: { target }, step, node, start: healed });
    if (movedAside !== null) context.left.push(`${node}'s old data directory, moved aside to ${movedAside}`);
    if (!healed) return leave('it was not started, for a fault is not proven gone');
    if (problem !== null) return leave(problem);
    context.rebuilding.delete(step);
    context.say(step, 'brought back', `${node}, which was being made anew, streams`, { node });
  } catch (error) {
    leave(`it could not be looked after: ${failureText(error)}`);
  }
}

/** After a halt nothing more is done to the target than healing it; what is not redundant then is said in the record. */
async function restoreRedundancy(context: DrillContext, state: DrillState): Promise<RedundancyResult | null> {
  const before = context.startTopology;
  const why = !methodBegan(context)
    ? 'the method never began'
    : state === 'aborted'
      ? 'halted: healed, then stopped'
      : state === 'unsafe'
        ? 'a fault is not healed'
        : null;
  if (before === null || why !== null) {
    skip(context, 'restore redundancy', why ?? 'the starting topology is not known');
    return null;
  }
  try {
    const result = await phase(context, 'restore redundancy', () =>
      context.hands.long(10 * 60_000).restoreRedundancy({ plan: context.input.plan, drill: context.ref, probe: context.probe, before }),
    );
    context.say(
      'restore redundancy',
      'redundant',
      result.regained ? 'the starting topology stands again' : `not as before: ${result.differences.join('; ')}`,
    );
    return result;
  } catch (error) {
    context.failed.push(`redundancy was not regained: ${failureText(error)}`);
    return null;
  }
}

/** What went wrong with the drill itself, as reasons for the judge: a doubt forbids a pass, a failure is a fail. */
function reasons(context: DrillContext, state: DrillState): { readonly doubts: readonly string[]; readonly failures: readonly string[] } {
  const doubts = [...context.blocked];
  if (context.methodEnded !== null) doubts.push(`not every step was executed: ${context.methodEnded}`);
  if (state === 'refused') return { doubts: [...doubts, ...context.failed], failures: [] };
  return { doubts, failures: context.failed };
}

function redundancySkipped(context: DrillContext, redundancy: RedundancyResult | null): string | null {
  return redundancy === null ? (context.phases.find((done) => done.phase === 'restore redundancy')?.reason ?? 'not reached') : null;
}

interface Findings {
  readonly verification: readonly CheckResult[];
  readonly rpoFile: string | null;
  readonly redundancy: RedundancyResult | null;
}

async function judge(context: DrillContext, state: DrillState, { verification, rpoFile, redundancy }: Findings): Promise<JudgeResult> {
  return phase(context, 'judge', () =>
    context.hands.control.judge({
      plan: context.input.plan,
      drill: context.ref,
      probe: context.probe,
      rpoFile,
      leases: [...context.leases.values()],
      restores: context.restores,
      verification,
      redundancy,
      redundancySkipped: redundancySkipped(context, redundancy),
      ...reasons(context, state),
      clocks: context.clocks,
    }),
  );
}

interface Outcome extends Findings {
  readonly state: DrillState;
  readonly startedAt: string;
  readonly judged: JudgeResult;
}

async function seal(context: DrillContext, outcome: Outcome): Promise<DrillResult> {
  const { plan, planSha256, startedBy, trigger, announced } = context.input;
  const { state, judged } = outcome;
  const leases = [...context.leases.values()];
  const unhealed = leases.filter((lease) => context.undo.newestFirst(null).some((entry) => entry.step === lease.key.step));
  context.say('seal', 'verdict', `verdict: ${judged.judgement.verdict} (${state})`);
  const sealed = await phase(context, 'seal', async () => {
    await context.flushEvents();
    return context.hands.control.seal({
      plan,
      planSha256,
      drill: context.ref,
      registration: present(context.registration, 'registration'),
      state,
      startedBy,
      trigger,
      startedAt: outcome.startedAt,
      judge: judged,
      ...reasons(context, state),
      probe: context.probe,
      rpoFile: outcome.rpoFile,
      leases,
      restores: context.restores,
      ...(context.refusedRestores.length === 0 ? {} : { refusedRestores: context.refusedRestores }),
      phases: context.phases,
      steps: [...context.steps.values(), ...notExecuted(context)],
      readiness: context.readiness,
      verification: outcome.verification,
      redundancy: outcome.redundancy,
      redundancySkipped: redundancySkipped(context, outcome.redundancy),
      people: context.people,
      left: leftBehind(context, unhealed, outcome.redundancy),
      ...(context.haltedBySomebody === null ? {} : { halted: context.haltedBySomebody }),
      ...(announced === undefined ? {} : { announced }),
      ...(context.safeguards === undefined ? {} : { safeguards: context.safeguards }),
      ...(context.security === undefined ? {} : { security: context.security }),
      clocks: context.clocks,
      pendingEvents: context.pendingEvents,
    });
  });
  const reasonsShown = judged.judgement.reasons;
  context.phase = 'notify';
  await context.hands.control.notify({
    drill: context.ref.drill,
    state,
    verdict: sealed.verdict,
    evidence: sealed.evidence,
    reasons: reasonsShown,
  });
  return {
    drill: context.ref.drill,
    sequence: context.ref.sequence,
    state,
    verdict: sealed.verdict,
    objectives: sealed.objectives,
    faults: leases.map((lease) => ({
      fault: lease.handle.fault,
      confirmed: lease.confirmed?.holds ?? false,
      healed: !unhealed.includes(lease),
    })),
    evidence: sealed.evidence,
    reasons: reasonsShown,
    unhealed,
  };
}

/** Whether anything may have been touched: a failover or a manual step can cost redundancy without any fault. */
function methodBegan(context: DrillContext): boolean {
  return context.phases.some((done) => done.phase === 'method');
}

/** Steps of the plan that were never started, nested ones included. */
function notExecuted(context: DrillContext): StepRecord[] {
  const reason = context.methodEnded ?? 'the drill ended before';
  return flattenSteps(context.input.plan.steps)
    .filter((step) => !context.steps.has(step.id))
    .map((step) => ({
      id: step.id,
      kind: step.kind,
      title: step.title,
      outcome: 'not executed',
      reason,
      actor: 'nobody',
      startedAt: null,
      endedAt: null,
      output: null,
    }));
}

function leftBehind(context: DrillContext, unhealed: readonly LeaseView[], redundancy: RedundancyResult | null): string[] {
  const left = [...context.left, ...(redundancy?.regained === true ? [] : context.notBack)];
  for (const lease of unhealed)
    left.push(`${lease.handle.fault} (${lease.key.step}) is not proven gone; by hand: ${lease.handle.manualUndo.join(' && ')}`);
  if (redundancy !== null) {
    left.push(...redundancy.differences);
    for (const { node, movedAside } of redundancy.rejoined)
      if (movedAside !== null) left.push(`${node}'s old data directory, moved aside to ${movedAside}`);
    for (const salvage of redundancy.salvages)
      left.push(`${salvage.node}'s diverged WAL (${salvage.divergedBytes} bytes) in ${salvage.directory}`);
  } else if (methodBegan(context)) {
    left.push('redundancy was not restored by this drill');
  }
  return left;
}
