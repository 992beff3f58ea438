/**
 * The record: one JSON document with every fact a report needs; its JSON Schema is published (`evidence/record.schema.json`).
 * A missing fact is `{ notRecorded: reason }`, never blank and never zero.
 */
import type { AuditCheckName, AuditSeverity } from './archive-audit';
import type { SECURITY_ASPECTS } from './constants';
import type { Json } from './json';
import type {
  ControllerLog,
  Interval,
  Judgement,
  NoSafeCandidate,
  ObjectiveResult,
  PhaseLatency,
  PredictedFailover,
  RebuildMeasurement,
  ReplicaLag,
  ReplicaStaleness,
  RpoMeasurement,
  RtoMeasurement,
  SplitBrainSpan,
  UnlockedSpan,
  Verdict,
  ViewMeasurement,
} from './measurement';
import type { PlanStep, ProofName, RefusalCode } from './plan';

export type DrillState = 'completed' | 'aborted' | 'refused' | 'failed' | 'unsafe' | 'lost';
export type NotRecorded = { readonly notRecorded: string };
export type Maybe<T> = T | NotRecorded;

export type Phase = 'register' | 'ready' | 'baseline' | 'method' | 'heal' | 'verify' | 'restore redundancy' | 'judge' | 'seal' | 'notify';

export interface PhaseRecord {
  readonly phase: Phase;
  readonly startedAt: string;
  readonly endedAt: string;
  readonly outcome: 'done' | 'failed' | 'skipped';
  readonly reason: string | null;
}

export interface StepRecord {
  readonly id: string;
  readonly kind: PlanStep['kind'];
  readonly title: string;
  readonly outcome: 'done' | 'failed' | 'not executed';
  readonly reason: string | null;
  readonly actor: string;
  readonly startedAt: string | null;
  readonly endedAt: string | null;
  readonly output: Json;
  /** How long it should take at most; absent in records made before it was kept. */
  readonly plannedMs?: Maybe<number> | undefined;
  /** Of the output's canonical JSON; null: the step has none. */
  readonly outputSha256?: string | null | undefined;
}

export interface FaultRecord {
  readonly step: string;
  readonly fault: string;
  readonly preview: string;
  readonly resolved: Json;
  readonly injectedAt: Maybe<string>;
  readonly confirmed: boolean;
  readonly confirmedBy: Maybe<string>;
  readonly removedAt: Maybe<string>;
  readonly endedBy: Maybe<string>;
  readonly healed: boolean;
  readonly goneBy: Maybe<string>;
  readonly manualUndo: readonly string[];
}

/** A named check with its evidence, e.g. of readiness, verification or a restore. */
export interface CheckResult {
  readonly name: string;
  readonly ok: boolean;
  readonly found: string;
  readonly expected: string;
  readonly hint: string | null;
}

/** What a mark step recorded at its restore point. `seed` keys the digests, which are of use for this drill alone. */
export interface MarkFacts {
  readonly name: string;
  /** Position and timeline of the restore point. */
  readonly lsn: string;
  readonly timeline: number;
  readonly seed: string;
  readonly roles: readonly string[];
  /** Objects of the entry database, by kind. */
  readonly catalog: { readonly [kind: string]: string };
  readonly tables: readonly { readonly schema: string; readonly table: string; readonly rows: string; readonly digest: string }[];
}

/** From the moment that the restored server takes writes. */
export interface FirstUse {
  readonly readMs: number;
  readonly writeMs: number;
  readonly coldP99Ms: number | null;
  readonly warmP99Ms: number | null;
  /** Single reads in each pass. */
  readonly reads: number;
}

/** Where a restore landed against what was asked for. `lag`: commit time of the first transaction left out, or the target, less the last one replayed. */
export interface LandingError {
  readonly transactions: number;
  readonly ms: Maybe<number>;
}

export interface RestoreRecord {
  readonly step: string;
  readonly requested: string;
  readonly resolvedTarget: string;
  readonly backup: string;
  readonly timeline: number;
  readonly walFrom: string;
  readonly walTo: string;
  readonly bytes: number;
  readonly segments: number;
  readonly totalMs: Interval;
  readonly phases: readonly { readonly name: string; readonly ms: number; readonly bytes: number | null }[];
  readonly landed: {
    readonly lsn: string;
    readonly xid: string | null;
    readonly time: string | null;
    readonly logLine: string | null;
  };
  /** Ledger rows: committed before the target and absent (under), committed after it and present (over). */
  readonly ledgerBefore: number;
  readonly under: number;
  readonly over: number;
  readonly checks: readonly CheckResult[];
  readonly sandbox: { readonly dir: string; readonly removed: boolean; readonly removal?: string | undefined };
  /** Absent in records made before there was a choice of checks. */
  readonly proof?:
    { readonly ms: number; readonly notRecorded: readonly { readonly check: ProofName; readonly reason: string }[] } | undefined;
  readonly firstUse?: Maybe<FirstUse> | undefined;
  readonly landingError?: Maybe<LandingError> | undefined;
  /** Of a restore of all that the archive holds: acknowledged writes that the copy lacks, which is what losing everything else costs. */
  readonly archiveLoss?: { readonly transactions: number; readonly ms: number } | undefined;
}

/** A restore that had to be refused and was, before any byte moved. */
export interface RefusedRestore {
  readonly step: string;
  readonly requested: string;
  readonly code: RefusalCode;
  /** The archive's own words. */
  readonly reason: string;
  /** From the order to the refusal. */
  readonly ms: number;
}

/** What the chart draws: bins of one second, so that an hour's drill stays small. Percentiles equal the raw data of the bin. */
export interface SeriesBin {
  readonly atMs: number;
  readonly due: number;
  readonly acked: number;
  readonly rejected: number;
  readonly indeterminate: number;
  readonly missed: number;
  readonly p50Ms: number | null;
  readonly p99Ms: number | null;
}

/** Node lanes: what the sampler saw, run-length encoded; instants in ms since the prober's start. */
export interface NodeSpan {
  readonly node: string;
  readonly role: 'primary' | 'standby' | 'down';
  readonly timeline: number | null;
  readonly fromMs: number;
  readonly toMs: number;
}

/** Heap records of a fork that touched one relation; `deletes` includes truncations, `other` locks, pruning and the like. */
export interface ForkRelation {
  readonly database: string;
  readonly relation: string;
  readonly inserts: number;
  readonly updates: number;
  readonly deletes: number;
  readonly other: number;
}

/** What an old primary held that the surviving history does not, saved before anything overwrote it. The rows stay in the quarantine on its host. */
export interface ForkRecord {
  readonly node: string;
  readonly timeline: number;
  readonly forkLsn: string;
  readonly endLsn: string;
  readonly divergedBytes: number;
  readonly wal: Maybe<{
    readonly records: number;
    readonly commits: number;
    readonly aborts: number;
    readonly firstCommitAt: string | null;
    readonly lastCommitAt: string | null;
    readonly relations: readonly ForkRelation[];
  }>;
  /** Probe rows that stand on the old primary alone; the digest is over their lines in order. */
  readonly probeRows: Maybe<{ readonly count: number; readonly sha256: string }>;
  readonly quarantine: {
    readonly files: number;
    readonly sha256: string;
    /** Outside labs; in a lab, and in records made before, it is absent. */
    readonly encrypted?: Maybe<EncryptedFork> | undefined;
  };
}

/** What lies in the quarantine outside labs. The digest is over the encrypted files; the certificate's is over its DER. */
export interface EncryptedFork {
  readonly files: number;
  readonly sha256: string;
  readonly certificateSha256: string;
}

/** A control that a drill is relevant to: what it shows for it and what it does not. Never a claim that anybody complies. */
export interface ControlEvidence {
  readonly framework: string;
  readonly title: string;
  readonly control: string;
  readonly name: string;
  readonly evidences: string;
  readonly not: string;
  /** What weakens it in this drill. */
  readonly limits: readonly string[];
}

/** Where a drill's number was allocated and who can delete it there; stands in the signed registration, and from there in the record. */
export interface Custody {
  readonly store: 'directory' | 's3';
  /** Other machines have it too. */
  readonly shared: boolean;
  /** Nobody (compliance), or nobody without a special right (governance), deletes before that many days. */
  readonly retention: { readonly mode: 'compliance' | 'governance'; readonly days: number } | null;
  readonly key: 'file' | 'awskms';
  /** The configuration names the key's fingerprint, so that a new key cannot sign unnoticed. */
  readonly pinned: boolean;
  /** What is weak about it, for page 1; null where nothing is. */
  readonly weakness: string | null;
}

/** Objectives that differ from those of the last drill of the same scenario, in words. */
export interface Amendment {
  readonly since: string;
  readonly changes: readonly string[];
}

/** `rule` names the same finding in every drill; `since` the drill that had it first without a retest in between that was free of it. */
export interface RecordFinding {
  readonly id: string;
  readonly rule: string;
  readonly severity: 'high' | 'medium' | 'low';
  readonly text: string;
  /** Null: this is the first drill that has it. */
  readonly since: string | null;
  readonly owner: string | null;
  readonly due: string | null;
  /** Who accepted the risk, until when and why; null: nobody. */
  readonly accepted: string | null;
}

/** What is kept of the last drill of the same scenario on the same system, so that a report compares with it from its own bundle. */
export interface EarlierDrill {
  readonly drill: string;
  readonly startedAt: string;
  readonly state: DrillState;
  readonly verdict: Verdict;
  readonly planSha256: string;
  readonly target: Pick<DrillRecord['target'], 'name' | 'systemIdentifier' | 'controller' | 'nodes' | 'postgresVersion'>;
  readonly scenario: string;
  readonly toolVersion: string;
  readonly objectives: readonly ObjectiveResult[];
  /** By what the report calls them. */
  readonly durations: readonly { readonly name: string; readonly ms: Interval }[];
  readonly findings: readonly Pick<RecordFinding, 'id' | 'rule' | 'severity' | 'text'>[];
}

/** Who could read or destroy the archive, as the audit before the drill found it. `notExamined`: checks that were not made, each with the reason. */
export interface ArchiveExposure {
  readonly findings: readonly {
    readonly check: AuditCheckName;
    readonly severity: AuditSeverity;
    readonly what: string;
    readonly effect: string;
  }[];
  readonly notExamined: readonly string[];
}

/** Patroni's watchdog on the node that led before anything was broken. `isFed`: its Patroni holds the device open, as only a leader's does. */
export interface WatchdogFact {
  readonly node: string;
  readonly mode: 'off' | 'automatic' | 'required';
  readonly device: string;
  readonly isFed: boolean;
}

/** A person's consent that counted before the drill. `key`: fingerprint of the key that signed. */
export interface ApprovalFact {
  readonly approver: string;
  readonly key: string;
  readonly from: string;
  readonly until: string;
}

/** What stood around the drill when it began, as far as it could be seen. */
export interface Safeguards {
  readonly archiveExposure: Maybe<ArchiveExposure>;
  readonly watchdog: Maybe<WatchdogFact>;
  readonly approvals: Maybe<readonly ApprovalFact[]>;
}

export type SecurityAspect = (typeof SECURITY_ASPECTS)[number];

/** Whether the node that leads after the drill is guarded as the one that led before it. No rule, role or setting stands here, nor a digest of one. */
export interface SecurityParity {
  readonly from: string;
  readonly to: string;
  readonly aspects: readonly { readonly aspect: SecurityAspect; readonly same: Maybe<boolean> }[];
}

/** A real incident that the target file names, beside what this drill broke: kinds of fault that both had, and those that only the incident had. */
export interface IncidentMatch {
  readonly name: string;
  /** `2026-08-14` */
  readonly on: string;
  readonly alike: readonly string[];
  readonly lacking: readonly string[];
}

/** What was done otherwise than planned; `not carried out` has its own finding. */
export interface Deviation {
  readonly kind: 'not carried out' | 'ended early' | 'other node' | 'took longer';
  readonly step: string;
  readonly planned: string;
  readonly actual: string;
}

/** What was decided about the drill before it began. */
export interface Planning {
  readonly announced: Maybe<boolean>;
  readonly rationale: Maybe<string>;
  readonly assumptions: Maybe<readonly string[]>;
  readonly exclusions: Maybe<readonly string[]>;
  readonly runbook: Maybe<{ readonly file: string; readonly sha256: string }>;
  /** `absent`: the drill was held as if whoever has this role were not there. */
  readonly roles: Maybe<readonly { readonly role: string; readonly absent: boolean }[]>;
  readonly approvals: Safeguards['approvals'];
  /** The most that faults may hurt, and for how long. */
  readonly blastRadius: Maybe<{
    readonly maxNodesAtOnce: number;
    readonly allowQuorumLoss: boolean;
    readonly acceptDataLoss: boolean;
    readonly maxFaultMs: number;
    readonly maxDrillMs: number;
  }>;
  /** What would have ended the drill early, in words; those that every drill has come last. */
  readonly abortCriteria: Maybe<readonly string[]>;
}

/** What the keeper of a machine's clock says of it: whether it follows a source of time, and in which words. */
export interface ClockSync {
  readonly by: 'timedatectl' | 'chronyc';
  readonly synchronised: boolean;
  readonly said: string;
}

/** One look at all clocks. `offset`: the node's wall clock less that of the machine that asked; `synchronised` is about that machine. */
export interface ClockReading {
  /** By the clock of the machine that asked. */
  readonly at: string;
  readonly nodes: readonly { readonly node: string; readonly offset: Maybe<Interval> }[];
  readonly synchronised: Maybe<ClockSync>;
}

/** Clocks as they were found before anything was broken, and once more before the drill was judged. */
export interface Clocks {
  /** Whose clock the others are held against. */
  readonly reference: string;
  /** How, in words. */
  readonly by: string;
  readonly before: Maybe<ClockReading>;
  readonly after: Maybe<ClockReading>;
}

/** One thing that somebody was told, asked or said in a drill. */
export interface Communication {
  readonly kind: 'announcement' | 'note' | 'question' | 'answer' | 'declaration';
  /** Null: it belongs to no step. */
  readonly step: string | null;
  /** Of a note or a question: when its step began. */
  readonly at: Maybe<string>;
  readonly from: string;
  readonly to: string;
  /** By which way. */
  readonly by: Maybe<string>;
  readonly text: string;
  /** What came of it. */
  readonly result: Maybe<string>;
}

export interface Communications {
  /** In order of time. */
  readonly told: Maybe<readonly Communication[]>;
  /** What goes out after the seal and can stand in no record, in words. */
  readonly afterSeal: string;
}

/** What a fault was declared to reach, as it was resolved: names of nodes and services. */
export interface FaultReach {
  readonly step: string;
  readonly nodes: readonly string[];
}

/** One thing that was seen hurt outside the declared reach of the faults. */
export interface ImpactSeen {
  readonly kind:
    'node silent' | 'role changed' | 'two writers' | 'writes without the lead' | 'prober late' | 'fault ended early' | 'left behind';
  /** A node, nodes, a step, the prober, or the target. */
  readonly subject: string;
  readonly what: string;
  /** Field of this record that shows it. */
  readonly evidence: string;
}

/** `seen` is empty where `basis` was looked at and nothing was seen. */
export interface UnintendedImpact {
  /** What was watched, and how often. */
  readonly basis: string;
  /** Nodes and services within the declared reach of the drill's faults. */
  readonly reached: readonly string[];
  readonly seen: readonly ImpactSeen[];
}

/** Why a drill was run: somebody's command, a schedule's slot, a change (its name), or a finding that is tested again (its key). */
export interface DrillTrigger {
  readonly kind: 'command' | 'schedule' | 'change' | 'retest';
  readonly name: string | null;
}

export interface DrillRecord {
  readonly formatVersion: number;
  readonly drill: string;
  readonly sequence: number;
  readonly state: DrillState;
  readonly verdict: Verdict;
  readonly type: 'lab' | 'staging' | 'live';
  readonly trigger: DrillTrigger;
  readonly startedBy: string;
  readonly target: {
    readonly name: string;
    readonly systemIdentifier: string;
    readonly controller: string;
    readonly nodes: readonly string[];
    readonly postgresVersion: Maybe<string>;
    readonly labels: { readonly [name: string]: Json };
  };
  readonly scenario: { readonly name: string; readonly title: string; readonly hypothesis: string; readonly description: string };
  readonly planSha256: string;
  readonly registrationSha256: string;
  readonly previousRegistrationSha256: string | null;
  readonly registeredAt: string;
  readonly custody: Maybe<Custody>;
  readonly amended: Amendment | null;
  readonly startedAt: string;
  readonly endedAt: string;
  readonly judgement: Judgement;
  readonly rto: Maybe<RtoMeasurement>;
  /** Absent where no log of a controller's agents was read, and in records made before any was. */
  readonly controllerLog?: ControllerLog | undefined;
  /** What the controller's live settings predicted for the failover, computed before the verdict. */
  readonly predicted: Maybe<PredictedFailover>;
  /** What clients of other kinds, paths and habits saw. */
  readonly views: readonly ViewMeasurement[];
  readonly rpo: Maybe<RpoMeasurement>;
  readonly splitBrain: readonly SplitBrainSpan[];
  readonly unlocked: readonly UnlockedSpan[];
  readonly replicaStaleness: readonly ReplicaStaleness[];
  /** Absent in records made before it was kept. */
  readonly replicaLag?: Maybe<readonly ReplicaLag[]> | undefined;
  readonly noSafeCandidate: Maybe<NoSafeCandidate>;
  readonly forks: readonly ForkRecord[];
  readonly restores: readonly RestoreRecord[];
  /** Absent where no step expected a refusal. */
  readonly refusedRestores?: readonly RefusedRestore[] | undefined;
  /** Absent where no standby was made anew by a step. */
  readonly rebuilds?: readonly RebuildMeasurement[] | undefined;
  readonly faults: readonly FaultRecord[];
  readonly phases: readonly PhaseRecord[];
  readonly steps: readonly StepRecord[];
  readonly readiness: readonly CheckResult[];
  readonly verification: readonly CheckResult[];
  readonly redundancy: Maybe<{
    readonly regained: boolean;
    readonly regainedAfterMs: Interval | null;
    readonly differences: readonly string[];
  }>;
  /** Why nothing may pass, and why the drill fails, beyond its measurements: baseline not steady, step not executed, … */
  readonly doubts: readonly string[];
  readonly failures: readonly string[];
  readonly latencies: readonly PhaseLatency[];
  readonly series: readonly SeriesBin[];
  readonly nodeSpans: readonly NodeSpan[];
  /** Wall-clock time of the prober's monotonic zero, RFC 3339 UTC. */
  readonly probeEpoch: Maybe<string>;
  readonly people: readonly {
    readonly id: string;
    readonly step: string;
    readonly answer: string;
    readonly at: string;
    readonly note: string | null;
  }[];
  readonly findings: readonly RecordFinding[];
  /** Absent in records made before it was kept. */
  readonly lastDrill?: Maybe<EarlierDrill> | undefined;
  /** These six are absent in records made before they were kept. */
  readonly securityParity?: Maybe<SecurityParity> | undefined;
  readonly planning?: Planning | undefined;
  readonly archiveExposure?: Maybe<ArchiveExposure> | undefined;
  readonly watchdog?: Maybe<WatchdogFact> | undefined;
  /** Newest first, those alike alone. */
  readonly incidents?: Maybe<readonly IncidentMatch[]> | undefined;
  readonly deviations?: readonly Deviation[] | undefined;
  /** These three are absent in records made before they were kept. */
  readonly clocks?: Maybe<Clocks> | undefined;
  readonly communications?: Communications | undefined;
  readonly unintendedImpact?: Maybe<UnintendedImpact> | undefined;
  readonly controls: readonly ControlEvidence[];
  readonly left: readonly string[];
  readonly notExercised: readonly string[];
  readonly tool: { readonly version: string; readonly node: string; readonly platform: string };
}
