/**
 * The record: every fact of one drill in one document, made from what the workflow knows and what the judge found. A pure function;
 * what is missing is said to be missing, with the reason, and never guessed.
 */
import { FORMAT_VERSION } from '../model/constants';
import type { LeaseView } from '../model/fault';
import type { Interval, Judgement, NoSafeCandidate, PredictedFailover, RpoMeasurement } from '../model/measurement';
import { READ_ONLY, type ObservationPlan } from '../model/observation';
import type { Plan } from '../model/plan';
import type {
  Amendment,
  CheckResult,
  Custody,
  DrillRecord,
  ForkRecord,
  DrillState,
  FaultRecord,
  Maybe,
  PhaseRecord,
  RefusedRestore,
  RestoreRecord,
  StepRecord,
} from '../model/record';
import type { LedgerJudgement } from '../probe/contract';
import { communicationsOf } from './communications';
import { controlsOf, type ControlRule } from './controls';
import { findingsOf, type KnownFinding } from './findings';
import { besidePlan, stepsBesidePlan, type Circumstances } from './beside-plan';
import { unintendedImpact } from './unintended-impact';

export interface RecordFacts {
  readonly plan: Plan | ObservationPlan;
  readonly planSha256: string;
  readonly drill: string;
  readonly sequence: number;
  readonly registration: {
    readonly registrationSha256: string;
    readonly previousRegistrationSha256: string | null;
    readonly registeredAt: string;
    /** Null where an older version registered. */
    readonly custody: Custody | null;
    readonly amended: Amendment | null;
  };
  readonly state: DrillState;
  readonly startedBy: string;
  readonly trigger: DrillRecord['trigger'];
  readonly startedAt: string;
  readonly endedAt: string;
  readonly judgement: Judgement;
  readonly measured: LedgerJudgement | null;
  readonly rpo: RpoMeasurement | null;
  readonly postgresVersion: string | null;
  readonly leases: readonly LeaseView[];
  readonly restores: readonly RestoreRecord[];
  /** Absent where no step expected a refusal. */
  readonly refusedRestores?: readonly RefusedRestore[] | undefined;
  readonly phases: readonly PhaseRecord[];
  readonly steps: readonly StepRecord[];
  readonly readiness: readonly CheckResult[];
  readonly verification: readonly CheckResult[];
  readonly redundancy: {
    readonly regained: boolean;
    readonly differences: readonly string[];
    readonly forks: readonly ForkRecord[];
  } | null;
  readonly redundancySkipped: string | null;
  readonly doubts: readonly string[];
  readonly failures: readonly string[];
  readonly people: DrillRecord['people'];
  readonly left: readonly string[];
  /** What an observation meant to do and could not, beside what its plan leaves out. */
  readonly notExercised?: readonly string[];
  /** Failover time predicted from the target's own settings; null when there was none to predict. */
  readonly predicted: PredictedFailover | null;
  /** The control mapping as it was when the record was made; absent: no control is named. */
  readonly controls?: readonly ControlRule[];
  /** What earlier drills of this scenario have found and people decided about it. */
  readonly known?: readonly KnownFinding[];
  /** The drill to compare with, as it was when the record was made; absent in facts kept before. */
  readonly lastDrill?: DrillRecord['lastDrill'];
  /** What stood around the drill; absent in facts kept before, whose record says nothing of it then. */
  readonly circumstances?: Circumstances;
  /** Of the process that made the record first; a record made again keeps it. */
  readonly tool?: DrillRecord['tool'];
}

/** Version of gameday and what it ran on. */
export function runningTool(plan: Pick<Plan, 'toolVersion'>): DrillRecord['tool'] {
  return { version: plan.toolVersion, node: process.version, platform: `${process.platform} ${process.arch}` };
}

const NO_PROBE = 'no prober ran in this drill';

export function buildRecord(facts: RecordFacts): DrillRecord {
  const { plan, measured } = facts;
  const faults = facts.leases.map(faultRecord);
  const course: Omit<DrillRecord, 'findings' | 'controls'> = {
    formatVersion: FORMAT_VERSION,
    drill: facts.drill,
    sequence: facts.sequence,
    state: facts.state,
    verdict: facts.judgement.verdict,
    type: plan.target.kind === 'production' ? 'live' : plan.target.kind,
    trigger: facts.trigger,
    startedBy: facts.startedBy,
    target: {
      name: plan.target.name,
      systemIdentifier: plan.target.systemIdentifier,
      controller: plan.target.controller.kind,
      nodes: plan.target.nodes.map((node) => node.name),
      postgresVersion: facts.postgresVersion ?? { notRecorded: 'no node answered when the record was made' },
      labels: plan.target.labels,
    },
    scenario: {
      name: plan.scenario.name,
      title: plan.scenario.title,
      hypothesis: plan.scenario.hypothesis,
      description: plan.scenario.description,
    },
    planSha256: facts.planSha256,
    registrationSha256: facts.registration.registrationSha256,
    previousRegistrationSha256: facts.registration.previousRegistrationSha256,
    registeredAt: facts.registration.registeredAt,
    custody: facts.registration.custody ?? { notRecorded: 'the version that registered it did not say' },
    amended: facts.registration.amended,
    startedAt: facts.startedAt,
    endedAt: facts.endedAt,
    judgement: facts.judgement,
    views: measured?.views ?? [],
    unlocked: measured?.unlocked ?? [],
    replicaStaleness: measured?.replicaStaleness ?? [],
    noSafeCandidate: candidatesRecord(measured),
    rto: measured?.rto ?? { notRecorded: NO_PROBE },
    ...(measured?.controllerLog === undefined ? {} : { controllerLog: measured.controllerLog }),
    rpo: facts.rpo ?? { notRecorded: whyNoRpo(facts) },
    splitBrain: measured?.splitBrain ?? [],
    restores: facts.restores,
    ...(facts.refusedRestores === undefined ? {} : { refusedRestores: facts.refusedRestores }),
    ...rebuildRecord(measured),
    faults,
    phases: facts.phases,
    steps: facts.circumstances === undefined ? facts.steps : stepsBesidePlan(facts.steps, plan),
    readiness: facts.readiness,
    verification: facts.verification,
    predicted: predictedRecord(facts.predicted),
    forks: facts.redundancy?.forks ?? [],
    redundancy: redundancyRecord(facts, measured),
    doubts: facts.doubts,
    failures: facts.failures,
    latencies: measured?.latencies ?? [],
    series: measured?.series ?? [],
    nodeSpans: measured?.nodeSpans ?? [],
    probeEpoch: measured?.epoch ?? { notRecorded: NO_PROBE },
    people: facts.people,
    left: facts.left,
    notExercised: notExercised(facts),
    tool: facts.tool ?? runningTool(plan),
    ...(facts.lastDrill === undefined ? {} : { lastDrill: facts.lastDrill }),
    ...(facts.circumstances === undefined
      ? {}
      : {
          ...besidePlan(plan, facts.circumstances, { steps: facts.steps, faults }),
          replicaLag: measured?.replicaLag ?? { notRecorded: NO_PROBE },
        }),
  };
  const record = { ...course, ...outside(facts, course) };
  return { ...record, findings: findingsOf(record, facts.known), controls: controlsOf(record, facts.controls ?? []) };
}

/** What reached people, and what was hurt beside what was meant; nothing in a record whose facts were kept before. */
function outside(
  { plan, circumstances }: RecordFacts,
  course: Omit<DrillRecord, 'findings' | 'controls'>,
): Pick<DrillRecord, 'communications' | 'unintendedImpact'> {
  if (circumstances?.reach === undefined) return {};
  return {
    communications: communicationsOf(plan, { ...course, announced: circumstances.announced }),
    unintendedImpact: unintendedImpact(course, circumstances.reach),
  };
}

function whyNoRpo({ plan, measured }: RecordFacts): string {
  if ('observation' in plan && plan.observation.table === null) return READ_ONLY;
  return measured === null ? NO_PROBE : 'the ledger could not be joined with the surviving rows';
}

/** A fault as the record tells it, from what the guardian knew of its lease at the end. */
export function faultRecord(lease: LeaseView): FaultRecord {
  return {
    step: lease.key.step,
    fault: lease.handle.fault,
    preview: lease.handle.preview,
    resolved: lease.handle.resolved,
    injectedAt: lease.injectedAt ?? { notRecorded: 'it was armed and not shown to be injected' },
    confirmed: lease.confirmed?.holds ?? false,
    confirmedBy: lease.confirmed?.by ?? { notRecorded: 'no confirmation was made' },
    removedAt: lease.goneAt ?? { notRecorded: 'it is not proven gone' },
    endedBy: lease.endedBy ?? { notRecorded: 'it has not ended' },
    healed: lease.state === 'gone' && lease.gone?.holds !== false,
    goneBy: lease.gone?.by ?? { notRecorded: 'it is not proven gone' },
    manualUndo: lease.handle.manualUndo,
  };
}

/** Time without a safe candidate, or why it is not known. */
export function candidatesRecord(measured: LedgerJudgement | null | undefined): Maybe<NoSafeCandidate> {
  if (measured === null || measured === undefined) return { notRecorded: NO_PROBE };
  return measured.noSafeCandidate ?? { notRecorded: 'no primary answered the sampler' };
}

/** The band, or why there is none. */
export function predictedRecord(band: PredictedFailover | null): DrillRecord['predicted'] {
  return band ?? { notRecorded: 'no failover was part of this drill, or its controller predicts none' };
}

/** Nothing where no standby was made anew: records made before this was measured are made again without it. */
export function rebuildRecord(measured: LedgerJudgement | null): Pick<DrillRecord, 'rebuilds'> {
  const rebuilds = measured?.rebuilds ?? [];
  return rebuilds.length === 0 ? {} : { rebuilds };
}

/** Redundancy as the record tells it; what was skipped is said to be skipped, and why. */
export function redundancyRecord(
  facts: Pick<RecordFacts, 'redundancy' | 'redundancySkipped'>,
  measured: LedgerJudgement | null,
): DrillRecord['redundancy'] {
  const { redundancy, redundancySkipped } = facts;
  if (redundancy === null) return { notRecorded: redundancySkipped ?? 'the drill did not come so far' };
  return {
    regained: redundancy.regained,
    regainedAfterMs: redundancy.regained ? redundantAfter(measured) : null,
    differences: redundancy.differences,
  };
}

/** From the first t0, or without an outage from the first injection, to the prober's receipt that the starting topology stood again; null without either. */
function redundantAfter(measured: LedgerJudgement | null): Interval | null {
  if (measured === null) return null;
  const end = measured.receipts.findLast((receipt) => receipt.name === 'redundant' && receipt.phase === 'done');
  const begin = measured.receipts.findLast((receipt) => receipt.name === 'redundant' && receipt.phase === 'about-to');
  const since = measured.rto.outages[0]?.t0 ?? firstInjection(measured);
  if (end === undefined || begin === undefined || since === null) return null;
  return { lowMs: Math.max(0, begin.atMs - since.highMs), highMs: Math.max(0, end.atMs - since.lowMs) };
}

/** A standby that was lost costs redundancy and no client. */
function firstInjection({ receipts }: LedgerJudgement): Interval | null {
  const about = receipts.find((receipt) => receipt.name === 'inject' && receipt.phase === 'about-to');
  if (about === undefined) return null;
  const done = receipts.find((receipt) => receipt.name === 'inject' && receipt.phase === 'done' && receipt.subject === about.subject);
  return { lowMs: about.atMs, highMs: done?.atMs ?? about.atMs };
}

function notExercised({ steps, plan, notExercised: more = [] }: RecordFacts): string[] {
  if ('observation' in plan) return [...notObserved(plan), ...more];
  const skipped = steps
    .filter((step) => step.outcome === 'not executed')
    .map((step) => `step ${step.id} (${step.reason ?? 'no reason recorded'})`);
  const never: string[] = [];
  if (!plan.steps.some((step) => step.kind === 'restore' && step.expect === undefined)) never.push('restore from the archive');
  if (!plan.steps.some((step) => step.kind === 'failover')) never.push('failover');
  return [...skipped, ...never];
}

function notObserved({ target, observation }: ObservationPlan): string[] {
  return [
    'faults (an observation breaks nothing)',
    'failover, restore and redundancy (gameday did none of them here; what people or a controller did is seen from the clients’ side only)',
    ...(observation.table === null ? ['writes (read-only)'] : []),
    ...(target.nodes.length === 0
      ? ['roles and timelines of the nodes (not recorded: no node was named, so split brain would not have been seen)']
      : []),
  ];
}
