/**
 * What the workflows ask of their hands: arguments and results as plain data, small enough for Temporal's history.
 * Samples, rows and logs never pass here; they stay in files and the bundle, and are named by reference.
 */
import type { SignedApproval } from '../model/approval';
import type { JsonObject } from '../model/json';
import type { EventBody } from '../model/event';
import type { FaultHandle, FaultProof, LeaseKey, LeaseView } from '../model/fault';
import type { Judgement, ObjectiveResult, Verdict } from '../model/measurement';
import type { HaltInput } from '../model/message';
import type { CheckSpec, FailoverStep, FaultStep, MarkStep, Plan, RebuildStep, RestoreStep } from '../model/plan';
import type {
  Amendment,
  CheckResult,
  ClockReading,
  Clocks,
  Custody,
  DrillRecord,
  DrillState,
  PhaseRecord,
  ForkRecord,
  MarkFacts,
  RefusedRestore,
  RestoreRecord,
  Safeguards,
  StepRecord,
} from '../model/record';
import type { FailoverResult, SalvageResult, Topology } from '../targets/ports';
import type { SecurityDigests } from '../targets/security-facts';

export type { Topology };

export interface DrillRef {
  readonly drill: string;
  readonly sequence: number;
  readonly workflowId: string;
  readonly runId: string;
}

export interface RegistrationRef {
  readonly drill: string;
  readonly sequence: number;
  readonly registrationSha256: string;
  readonly previousRegistrationSha256: string | null;
  readonly registeredAt: string;
  readonly custody: Custody | null;
  readonly amended: Amendment | null;
}

/** A running prober: where it listens and where its ledger lies. */
export interface ProbeRef {
  readonly socket: string;
  readonly dir: string;
  readonly table: string;
}

export interface WindowResult {
  readonly good: boolean;
  readonly reason: string;
  readonly p99Ms: number | null;
}

/** Which good window to wait for. `after`: only windows that start after this subject's newest receipt of the given name. */
export interface AwaitWindowInput {
  readonly plan: Plan;
  readonly probe: ProbeRef;
  readonly windowMs: number;
  readonly maxP99Ms: number;
  readonly timeoutMs: number;
  readonly mark: 'baseline' | null;
}

export interface ResolvedFault extends FaultHandle {
  /** The one node that took writes just before; null: none did, or several. Missing in histories of earlier drills. */
  readonly primary?: string | null;
}

export interface InjectResult {
  readonly facts: JsonObject;
  readonly confirmed: FaultProof;
  readonly lease: LeaseView;
  /** Prober's clock, nanoseconds since its start as decimal strings, just before and just after; null when it could not be asked. */
  readonly aboutToNs: string | null;
  readonly doneNs: string | null;
  /** p99 of the writes in the window that ended just before, in ms: for the first fault, what recovery is held against. Null when it could not be asked. */
  readonly p99BeforeMs?: number | null;
}

export interface RestoreInput {
  readonly plan: Plan;
  readonly drill: DrillRef;
  readonly step: RestoreStep;
  readonly probe: ProbeRef;
  /** Facts of the fault step that did the damage, for `before-step`. */
  readonly damage: InjectResult | null;
  /** What this drill's mark step recorded at the restore point that is asked for by name. */
  readonly mark?: MarkResult | null;
}

/** The refusal that was expected; else what came instead. */
export type RefusalResult =
  { readonly refused: RefusedRestore; readonly instead: null } | { readonly refused: null; readonly instead: string };

export interface MarkResult {
  readonly facts: MarkFacts;
  /** Prober's clock, as of an injection. */
  readonly aboutToNs: string | null;
  readonly doneNs: string | null;
}

export interface ReconcileResult {
  readonly checks: readonly CheckResult[];
  /** File with the RPO measurement, written beside the ledger. */
  readonly rpoFile: string;
  readonly statement: string;
  /** The drill's own tables that could not be dropped afterwards. */
  readonly left: readonly string[];
  /** Absent in histories of drills before it was looked at. */
  readonly clocks?: ClockReading;
}

/** What is left of a standby that was being made anew. */
export interface UndoneRebuild {
  /** Its old data directory; null: it is where it was, or there was none. */
  readonly movedAside: string | null;
  /** Why it does not stream, in words; null when it does. */
  readonly problem: string | null;
}

export interface RebuildResult {
  readonly node: string;
  readonly movedAside: string | null;
}

export interface RedundancyResult {
  readonly regained: boolean;
  readonly rejoined: readonly { readonly node: string; readonly method: string; readonly movedAside: string | null }[];
  readonly salvages: readonly SalvageResult[];
  readonly forks: readonly ForkRecord[];
  readonly differences: readonly string[];
}

export interface JudgeInput {
  readonly plan: Plan;
  readonly drill: DrillRef;
  readonly probe: ProbeRef | null;
  readonly rpoFile: string | null;
  /** In the order of injection. */
  readonly leases: readonly LeaseView[];
  readonly restores: readonly RestoreRecord[];
  readonly verification: readonly CheckResult[];
  readonly redundancy: RedundancyResult | null;
  readonly redundancySkipped: string | null;
  /** Reasons known to the workflow why nothing may pass: baseline not steady, step not executed, … */
  readonly doubts: readonly string[];
  readonly failures: readonly string[];
  /** Absent where they were not looked at, once or twice. */
  readonly clocks?: Partial<Pick<Clocks, 'before' | 'after'>>;
}

export interface JudgeResult {
  readonly judgement: Judgement;
  /** File with everything the judge made of the ledger; null when there was none. */
  readonly measurementFile: string | null;
}

export interface SealInput {
  readonly plan: Plan;
  readonly planSha256: string;
  readonly drill: DrillRef;
  readonly registration: RegistrationRef;
  readonly state: DrillState;
  readonly startedBy: string;
  readonly trigger: DrillRecord['trigger'];
  readonly startedAt: string;
  readonly judge: JudgeResult;
  readonly doubts: readonly string[];
  readonly failures: readonly string[];
  readonly probe: ProbeRef | null;
  readonly rpoFile: string | null;
  readonly leases: readonly LeaseView[];
  readonly restores: readonly RestoreRecord[];
  readonly refusedRestores?: readonly RefusedRestore[];
  readonly phases: readonly PhaseRecord[];
  readonly steps: readonly StepRecord[];
  readonly readiness: readonly CheckResult[];
  readonly verification: readonly CheckResult[];
  readonly redundancy: RedundancyResult | null;
  readonly redundancySkipped: string | null;
  readonly people: DrillRecord['people'];
  readonly left: readonly string[];
  /** By a person, who has an event of their own to write; absent where nobody halted. */
  readonly halted?: HaltInput;
  /** Absent where nobody said, and where the pre-flight did not come so far. */
  readonly announced?: boolean;
  readonly safeguards?: Safeguards;
  readonly security?: SecurityBefore | null;
  /** Absent where they were not looked at, once or twice. */
  readonly clocks?: Partial<Pick<Clocks, 'before' | 'after'>>;
  /** Events that could not be written before; they are appended to the chain first. */
  readonly pendingEvents: readonly EventBody[];
}

/** What guarded the node that led before anything was broken, as digests under a key that stays out of every bundle. */
export interface SecurityBefore {
  readonly node: string;
  readonly key: string;
  readonly digests: SecurityDigests;
}

export interface SealResult {
  readonly verdict: Verdict;
  readonly objectives: readonly ObjectiveResult[];
  readonly evidence: string;
  readonly sealSha256: string;
}

export interface ControlActivities {
  register(input: {
    readonly plan: Plan;
    readonly planSha256: string;
    readonly owner: { readonly workflowId: string; readonly runId: string };
    readonly startedBy: string;
  }): Promise<RegistrationRef>;
  recordEvents(input: {
    readonly plan: Pick<Plan, 'target'>;
    readonly drill: string;
    readonly events: readonly EventBody[];
  }): Promise<void>;
  judge(input: JudgeInput): Promise<JudgeResult>;
  seal(input: SealInput): Promise<SealResult>;
  notify(input: {
    readonly drill: string;
    readonly state: DrillState;
    readonly verdict: Verdict;
    readonly evidence: string;
    readonly reasons: readonly string[];
  }): Promise<void>;
}

export interface SiteActivities {
  checkReadiness(input: {
    readonly plan: Plan;
    readonly drill: DrillRef | null;
    /** Absent while nobody has started anything. */
    readonly startedBy?: string;
    readonly approvals?: readonly SignedApproval[];
  }): Promise<{
    readonly checks: readonly CheckResult[];
    readonly topology: Topology | null;
    /** Absent in histories of drills before it was looked at. */
    readonly safeguards?: Safeguards;
    readonly security?: SecurityBefore | null;
    readonly clocks?: ClockReading;
  }>;
  startProbe(input: { readonly plan: Plan; readonly drill: DrillRef }): Promise<ProbeRef>;
  awaitWindow(input: AwaitWindowInput): Promise<WindowResult>;
  /** Ends when a stop condition has failed often enough; otherwise only by cancellation. */
  watchStop(input: { readonly plan: Plan }): Promise<StopTripped>;
  /**
   * Renews the drill's leases and the prober's until it is cancelled, or, where `untilHalt` says so, until the guardian's halt of everything stands: it
   * answers who halted, because the drill may not have been told.
   */
  hold(input: {
    readonly plan: Plan;
    readonly drill: DrillRef;
    readonly probe: ProbeRef | null;
    readonly untilHalt?: boolean;
  }): Promise<HaltInput | null>;
  stopProbe(input: { readonly probe: ProbeRef }): Promise<void>;
  resolveFault(input: { readonly plan: Plan; readonly drill: DrillRef; readonly step: FaultStep }): Promise<ResolvedFault>;
  injectFault(input: {
    readonly plan: Plan;
    readonly key: LeaseKey;
    readonly handle: FaultHandle;
    readonly maxMs: number;
    readonly probe: ProbeRef;
    readonly startedBy?: string;
    readonly approvals?: readonly SignedApproval[];
  }): Promise<InjectResult>;
  failover(input: {
    readonly plan: Plan;
    readonly drill: DrillRef;
    readonly step: FailoverStep;
    readonly probe: ProbeRef;
    /** Who took writes before the last fault since the last failover; null: no fault since, or nobody did. */
    readonly since?: string | null;
  }): Promise<FailoverResult>;
  restore(input: RestoreInput): Promise<RestoreRecord>;
  /** Looks the point up as a restore would. Restores nothing. */
  expectRefusal(input: RestoreInput): Promise<RefusalResult>;
  /** The node that the step means now. */
  resolveStandby(input: { readonly plan: Plan; readonly step: RebuildStep }): Promise<string>;
  rebuild(input: {
    readonly plan: Plan;
    readonly step: RebuildStep;
    readonly node: string;
    readonly probe: ProbeRef;
  }): Promise<RebuildResult>;
  mark(input: { readonly plan: Plan; readonly drill: DrillRef; readonly step: MarkStep; readonly probe: ProbeRef }): Promise<MarkResult>;
  check(input: { readonly plan: Plan; readonly check: CheckSpec; readonly sandbox: string | null }): Promise<CheckResult>;
  /** Stamps that the incident is about to be declared, or is. */
  declare(input: { readonly probe: ProbeRef; readonly step: string; readonly phase: 'about-to' | 'done' }): Promise<void>;
  /** While this step's question is open: stamps that it was not answered yet. */
  watchDeclaration(input: { readonly drill: DrillRef; readonly probe: ProbeRef; readonly step: string }): Promise<void>;
  verify(input: { readonly plan: Plan; readonly probe: ProbeRef }): Promise<readonly CheckResult[]>;
  /** Joins the ledger with the surviving rows. Only after `stopProbe`. `redundant`: false when standbys are known to be missing. */
  reconcileLedger(input: {
    readonly plan: Plan;
    readonly drill: DrillRef;
    readonly probe: ProbeRef;
    readonly lostBytes: string | null;
    readonly redundant: boolean;
  }): Promise<ReconcileResult>;
  restoreRedundancy(input: {
    readonly plan: Plan;
    readonly drill: DrillRef;
    readonly probe: ProbeRef | null;
    readonly before: Topology;
  }): Promise<RedundancyResult>;
  recordSkip(input: {
    readonly schedule: string;
    readonly home: string;
    readonly target: string;
    readonly scenario: string;
    readonly dueAt: string;
    readonly outcome: 'skipped' | 'missed';
    readonly reason: string;
  }): Promise<void>;
}

/** Which stop condition ended the drill, and what it last found. */
export interface StopTripped {
  readonly condition: string;
  readonly at: string;
  readonly failures: number;
  readonly of: number;
  readonly found: string;
}

export interface UndoActivities {
  /** Takes several faults of this run off together, newest first, then proves each gone. Answers for those that stood; never throws for one that stays. */
  undoFaults(input: {
    readonly plan: Pick<Plan, 'target'>;
    readonly run: Pick<LeaseKey, 'workflowId' | 'runId'>;
    /** Newest first. */
    readonly steps: readonly string[];
    readonly by: string;
    readonly probe: ProbeRef | null;
  }): Promise<readonly LeaseView[]>;
  /** Throws `undo_failed` while it is not proven gone; retried by the workflow, and by the guardian by itself. */
  undoFault(input: {
    readonly plan: Pick<Plan, 'target'>;
    readonly key: LeaseKey;
    readonly handle: FaultHandle;
    readonly by: string;
    readonly probe: ProbeRef | null;
  }): Promise<LeaseView>;
  /** The lease as the guardian knows it now; null if it never heard of it. */
  describeLease(input: { readonly plan: Pick<Plan, 'target'>; readonly key: LeaseKey }): Promise<LeaseView | null>;
  /**
   * Puts right what a `rebuild` step that did not end leaves of its node, and starts the node only with `start`. Idempotent; where nothing was begun it only sees to it
   * that nothing will be.
   */
  undoRebuild(input: {
    readonly plan: Pick<Plan, 'target'>;
    readonly step: string;
    readonly node: string;
    readonly start: boolean;
  }): Promise<UndoneRebuild>;
  /** Returns what was seen after it. */
  removeSandbox(input: { readonly plan: Pick<Plan, 'target'>; readonly dir: string }): Promise<string>;
}
