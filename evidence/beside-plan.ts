/**
 * What a record says of the plan beside what was done: what was decided before, how long steps should have taken, what was done otherwise, and which real
 * incidents were harder. It is derived from the plan and the drill's course, so that it can be derived again. Pure; it judges nothing, `findings.ts` does.
 */
import { canonicalJson } from '../core/canonical-json';
import { sha256Hex } from '../core/files';
import { formatMs } from '../core/units';
import { DEFAULT_MAX_NODES_AT_ONCE } from '../model/constants';
import type { ObservationPlan } from '../model/observation';
import type { Plan, PlanStep, StopCondition } from '../model/plan';
import { flattenSteps } from '../model/plan-steps';
import type {
  Clocks,
  Deviation,
  DrillRecord,
  FaultReach,
  FaultRecord,
  IncidentMatch,
  Maybe,
  Planning,
  Safeguards,
  SecurityParity,
  StepRecord,
} from '../model/record';
import type { TargetPolicy } from '../model/target';

/** What neither plan nor ledger nor events of steps tell. */
export interface Circumstances extends Safeguards {
  readonly announced: Maybe<boolean>;
  readonly securityParity: Maybe<SecurityParity>;
  /** Both are absent in facts kept before, whose record holds no clocks, communications and unintended impact. */
  readonly clocks?: Maybe<Clocks> | undefined;
  readonly reach?: Maybe<readonly FaultReach[]> | undefined;
}

type Course = Pick<DrillRecord, 'steps' | 'faults'>;
interface Beside extends Pick<Circumstances, 'archiveExposure' | 'watchdog' | 'securityParity' | 'clocks'> {
  readonly planning: Planning;
  readonly incidents: Maybe<readonly IncidentMatch[]>;
  readonly deviations: readonly Deviation[];
}

const UNSAID = 'the scenario says nothing of it';
const OBSERVED = 'an observation breaks nothing';

/** Of a drill of which nobody could say what stood around it. */
export function unknownCircumstances(reason: string): Circumstances {
  const unknown = { notRecorded: reason };
  return {
    announced: unknown,
    archiveExposure: unknown,
    watchdog: unknown,
    approvals: unknown,
    securityParity: unknown,
    clocks: unknown,
    reach: unknown,
  };
}

/** Of a drill that somebody started and whose pre-flight looked around, or did not come so far. */
export function circumstancesOf(
  announced: boolean | undefined,
  safeguards: Safeguards | undefined,
  found: Pick<Circumstances, 'securityParity' | 'clocks' | 'reach'>,
): Circumstances {
  return {
    ...(safeguards ?? unknownCircumstances('the pre-flight did not come so far')),
    announced: announced ?? { notRecorded: 'whoever started it did not say' },
    ...found,
  };
}

/** Offsets are those of nodes against the worker of their site, which looks and whose supervisor runs the prober. */
export function clocksOf({ before, after }: Partial<Pick<Clocks, 'before' | 'after'>>): Clocks {
  return {
    reference: 'the machine of the worker and its prober',
    by: 'clock_timestamp() asked as role observe, between two stamps of the reference; the tightest of several tries',
    before: before ?? { notRecorded: 'the pre-flight did not come so far' },
    after: after ?? {
      notRecorded: 'the drill did not come so far as to join its ledger with the surviving rows, which is when it looks again',
    },
  };
}

export function besidePlan(plan: Plan | ObservationPlan, circumstances: Circumstances, course: Course): Beside {
  const { archiveExposure, watchdog, securityParity, clocks } = circumstances;
  return {
    planning: planningOf(plan, circumstances),
    archiveExposure,
    watchdog,
    securityParity,
    incidents: incidentsOf(plan, course.faults),
    deviations: 'observation' in plan ? [] : deviationsOf(plan, course),
    ...(clocks === undefined ? {} : { clocks }),
  };
}

function planningOf(plan: Plan | ObservationPlan, { announced, approvals }: Circumstances): Planning {
  if ('observation' in plan) {
    const none = { notRecorded: OBSERVED };
    const unsaid = { notRecorded: 'an observation has no scenario file' };
    return {
      ...{ announced, rationale: unsaid, assumptions: unsaid, exclusions: unsaid, runbook: unsaid, roles: unsaid },
      ...{ approvals, blastRadius: none, abortCriteria: none },
    };
  }
  const { scenario, target, limits } = plan;
  // Plans made before a limit existed do not hold it.
  const { maxNodesAtOnce, allowQuorumLoss }: Partial<TargetPolicy> = target.policy;
  const unsaid = { notRecorded: UNSAID };
  return {
    announced,
    rationale: scenario.rationale ?? unsaid,
    assumptions: scenario.assumptions ?? unsaid,
    exclusions: scenario.exclusions ?? unsaid,
    runbook: scenario.runbook ?? { notRecorded: 'the scenario names none' },
    roles: scenario.roles ?? unsaid,
    approvals,
    blastRadius: {
      maxNodesAtOnce: maxNodesAtOnce ?? DEFAULT_MAX_NODES_AT_ONCE,
      allowQuorumLoss: allowQuorumLoss ?? false,
      acceptDataLoss: target.policy.acceptDataLoss,
      maxFaultMs: limits.faultMaxMs,
      maxDrillMs: limits.maxDrillMs,
    },
    abortCriteria: [
      ...(plan.stop ?? []).map(stopText),
      `the method takes longer than ${formatMs(limits.maxDrillMs)}`,
      'a person halts it',
      ...(flattenSteps(plan.steps).some(({ kind }) => kind === 'gate') ? ['a person answers no-go'] : []),
    ],
  };
}

function stopText({ id, check, failures, of }: StopCondition): string {
  return `stop condition ${id} (${check.kind}) fails ${failures} of ${of} times`;
}

/** Each step with how long it should have taken and the digest of what it showed. */
export function stepsBesidePlan(steps: readonly StepRecord[], plan: Plan | ObservationPlan): readonly StepRecord[] {
  const planned = new Map(flattenSteps(plan.steps).map((step) => [step.id, plannedMs(step)]));
  return steps.map((step) => ({
    ...step,
    plannedMs: planned.get(step.id) ?? { notRecorded: UNSAID },
    outputSha256: step.output === null ? null : sha256Hex(canonicalJson(step.output)),
  }));
}

function plannedMs(step: PlanStep): Maybe<number> {
  if (step.plannedMs !== undefined) return step.plannedMs;
  return step.kind === 'wait' && step.wait.kind === 'for' ? step.wait.ms : { notRecorded: UNSAID };
}

/** In the plan's order. A wait for a time is never said to have taken longer: what passes beyond it is the machine's own. */
function deviationsOf({ steps: planned }: Plan, { steps, faults }: Course): readonly Deviation[] {
  return flattenSteps(planned).flatMap((plan) => {
    const step = steps.find(({ id }) => id === plan.id);
    const fault = faults.find((one) => one.step === plan.id);
    return [...(step === undefined ? [] : stepDeviations(plan, step)), ...(fault === undefined ? [] : endedEarly(fault))];
  });
}

function stepDeviations(plan: PlanStep, step: StepRecord): readonly Deviation[] {
  const { outcome, reason, startedAt, endedAt, output } = step;
  if (outcome !== 'done')
    return [{ kind: 'not carried out', step: plan.id, planned: plan.title, actual: `${outcome}: ${reason ?? 'no reason recorded'}` }];
  const found: Deviation[] = [];
  const tookMs = startedAt === null || endedAt === null ? null : Date.parse(endedAt) - Date.parse(startedAt);
  if (plan.plannedMs !== undefined && tookMs !== null && tookMs > plan.plannedMs)
    found.push({ kind: 'took longer', step: plan.id, planned: `at most ${formatMs(plan.plannedMs)}`, actual: formatMs(tookMs) });
  const to = output !== null && typeof output === 'object' && 'to' in output ? output['to'] : null;
  if (plan.kind === 'failover' && plan.candidate !== null && typeof to === 'string' && to !== plan.candidate)
    found.push({ kind: 'other node', step: plan.id, planned: `fail over to ${plan.candidate}`, actual: `${to} took over` });
  return found;
}

function endedEarly({ step, fault, endedBy }: FaultRecord): readonly Deviation[] {
  if (typeof endedBy !== 'string' || endedBy === 'undone') return [];
  const actual = {
    expired: 'its time ran out',
    halted: 'a halt took it off',
    reconciled: 'what bore it was gone, or it was found without its drill, and it was taken off',
  };
  return [
    {
      kind: 'ended early',
      step,
      planned: `${fault} is taken off by the drill`,
      actual: actual[endedBy as keyof typeof actual] ?? `ended by: ${endedBy}`,
    },
  ];
}

/** Only faults that were shown to bite count for the drill: what was merely meant was no harder than nothing. */
function incidentsOf({ target }: Plan | ObservationPlan, faults: readonly FaultRecord[]): Maybe<readonly IncidentMatch[]> {
  const named = 'incidents' in target ? target.incidents : undefined;
  if (named === undefined || named.length === 0) return { notRecorded: 'the target file names no incident' };
  const broken = new Set(faults.filter(({ confirmed }) => confirmed).map(({ fault }) => fault));
  return named
    .map(({ name, on, faults: had }) => ({
      name,
      on,
      alike: had.filter((fault) => broken.has(fault)),
      lacking: had.filter((fault) => !broken.has(fault)),
    }))
    .filter(({ alike }) => alike.length > 0)
    .sort((a, b) => (a.on < b.on ? 1 : a.on > b.on ? -1 : 0));
}
