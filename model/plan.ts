/**
 * A plan: scenario × target, validated and resolved to plain data. The workflow interprets it and nothing else; its digest is registered.
 * Every duration is in milliseconds, every size in bytes. No defaults are left open here: `scenarios/` has filled them in.
 */
import type { PROOF_CHECKS, RESTORE_REFUSALS, TIMER_NAMES } from './constants';
import type { Json, JsonObject } from './json';
import type { Target } from './target';

export type ObjectiveName =
  | 'rto'
  | 'rto_reads'
  | 'rto_beyond_prediction'
  | 'write_stall'
  | 'rpo_transactions'
  | 'rpo_time'
  | 'split_brain'
  | 'restore_time'
  | 'rebuild_time'
  | 'recovery_point_error'
  | 'archive_rpo'
  | 'commit_p99'
  | 'promotions'
  | 'rejections'
  | 'time_to_redundancy'
  | 'replica_staleness'
  | 'no_safe_candidate';

/**
 * Which span an `rto` is about, instead of from t0 until clients had recovered: `injection`, from the fault until then; `first-ack`, from t0 to the first
 * acknowledged write after it; `verified`, from t0 until verification had found everything well; `redundant`, until the starting topology stood again;
 * `declaration`, from the answer by which a person declared the incident until clients had recovered.
 */
export type RtoAbout = 'injection' | 'first-ack' | 'verified' | 'redundant' | 'declaration';
export type Unit = 'ms' | 'tx' | 'bytes' | 'count';

/**
 * `target`: highest value that passes, in `unit`. `restore_time` and `recovery_point_error` are about the restore step `step`, and so is `archive_rpo`: the time of
 * acknowledged writes that are lost if nothing but the archive is left; `rto`, `write_stall` and
 * `rejections` about the further way in `path`, where one is named. `rto_beyond_prediction`: by how much RTO may exceed what the controller's live settings predict
 * at most. `promotions`: how often a node began a new timeline. `rejections`: writes that a server
 * refused, as one that only reads does. `rebuild_time`: from the order of the step `step` to make a standby anew until it streamed. `time_to_redundancy`: until the starting topology stood again. `replica_staleness`: how old the data of a standby that
 * answered was at worst. `no_safe_candidate`: time in which no standby could have taken over without losing acknowledged writes.
 */
export interface Objective {
  readonly name: ObjectiveName;
  readonly target: number;
  readonly unit: Unit;
  readonly step: string | null;
  readonly source: string | null;
  readonly approver: string | null;
  readonly path?: string | undefined;
  /** Of `rto` only; absent: from the first t0 until clients had recovered from the last outage. */
  readonly about?: RtoAbout | undefined;
}

export interface ProbeSettings {
  readonly periodMs: number;
  readonly writeStreams: number;
  readonly readStreams: number;
  /** Further paths of the target that are probed and measured by themselves, by name; clients' main entry is always probed. */
  readonly paths: readonly string[];
  /** Also runs, on every path, a client without any deadline: what default drivers do. */
  readonly naive: boolean;
  /** Period of the streams on further paths and of the naive ones. */
  readonly otherPeriodMs: number;
  /** Connections of all streams together, at most. */
  readonly maxConnections: number;
  readonly clientDeadlineMs: number;
  readonly connectTimeoutMs: number;
  readonly statementTimeoutMs: number;
  /** Fewest writes due in the measured window for a pass. */
  readonly minWritesDue: number;
}

export interface SteadyState {
  readonly windowMs: number;
  /** A window must have been good within this time, else the baseline is not steady. */
  readonly timeoutMs: number;
  readonly successRatio: number;
  /** p99 limit during the baseline. */
  readonly maxP99Ms: number;
  /** After the fault, p99 ≤ max(recoveryFactor × baseline, recoveryFloorMs). */
  readonly recoveryFactor: number;
  readonly recoveryFloorMs: number;
  readonly recoveryWindowMs: number;
}

/** Where a restore must land. `before-step`: just before the transaction that the named fault step recorded. */
export type RestorePoint =
  | { readonly kind: 'before-step'; readonly step: string }
  | { readonly kind: 'xid'; readonly xid: string; readonly inclusive: boolean }
  | { readonly kind: 'lsn'; readonly lsn: string; readonly inclusive: boolean }
  | { readonly kind: 'time'; readonly time: string }
  | { readonly kind: 'name'; readonly name: string }
  /** As soon as the copy is consistent: the end of the newest backup. */
  | { readonly kind: 'immediate' }
  /** As far as the archive holds WAL. Asks no primary, so it can be had when nothing but the archive is left. */
  | { readonly kind: 'latest' };

export type RefusalCode = (typeof RESTORE_REFUSALS)[number];

export type ProofName = (typeof PROOF_CHECKS)[number];

/** What a restored copy is asked besides where it landed. */
export interface ProofPlan {
  readonly checks: readonly ProofName[];
  /** A copy larger than this is not read whole: checks that would are not made, and the record says so. */
  readonly maxBytes: number;
}

/** SQL is run read-only as role observe. `primary` follows failovers; `sandbox` is the newest restore of this drill. */
export interface CheckSpec {
  readonly kind: 'sql';
  readonly on: 'primary' | 'every-node' | 'sandbox';
  readonly sql: string;
  /** The first column of the first row, as text, must equal this. */
  readonly expect: string;
  /** Polls until it holds or this time is over; 0: once. */
  readonly withinMs: number;
}

/**
 * What must hold while the drill runs, besides anything it measures. `sql`: as in a check. `http`: the status that a GET answers. `prometheus`: every
 * value of an instant query lies within the bounds, and there is one. `nodes`: what the nodes say of themselves, past every router.
 */
export type StopCheck =
  | { readonly kind: 'sql'; readonly on: 'primary' | 'every-node'; readonly sql: string; readonly expect: string }
  | { readonly kind: 'http'; readonly url: string; readonly status: number }
  | {
      readonly kind: 'prometheus';
      readonly url: string;
      readonly query: string;
      readonly min: number | null;
      readonly max: number | null;
      /** Secret name of a bearer token. */
      readonly token: string | null;
    }
  | { readonly kind: 'nodes'; readonly maxWritable: number | null; readonly minUp: number | null };

/** `failures` of the newest `of` evaluations end the drill and heal. What cannot be evaluated counts as a failure. */
export interface StopCondition {
  readonly id: string;
  readonly check: StopCheck;
  readonly everyMs: number;
  readonly failures: number;
  readonly of: number;
}

interface StepBase {
  readonly id: string;
  readonly title: string;
  /** How long it should take at most, as the scenario says; what takes longer is a deviation and stops nothing. */
  readonly plannedMs?: number;
}
export interface FaultStep extends StepBase {
  readonly kind: 'fault';
  readonly fault: string;
  /** Settings as the fault's own schema wrote them; late words (`primary`) are resolved when the step runs. */
  readonly settings: JsonObject;
  readonly maxMs: number;
}
export interface WaitStep extends StepBase {
  readonly kind: 'wait';
  /** `for`: let this long pass. `recovered`: until t_rec stands after the newest disruption. `steady`: a new baseline is taken. */
  readonly wait: { readonly kind: 'for'; readonly ms: number } | { readonly kind: 'recovered' | 'steady'; readonly timeoutMs: number };
}
export interface FailoverStep extends StepBase {
  readonly kind: 'failover';
  readonly candidate: string | null;
  readonly timeoutMs: number;
}
export interface RestoreStep extends StepBase {
  readonly kind: 'restore';
  readonly to: RestorePoint;
  readonly timeoutMs: number;
  /** Absent in plans made before there was a choice: every check. */
  readonly proof?: ProofPlan;
  /** Where the archive's choice is not wanted. */
  readonly backup?: string;
  /** Node over whose link to the store base and WAL come, or `primary`; absent: straight from the store. */
  readonly through?: string;
  /** Of `archive.keys`, or `wrong`: what opens the repository instead of the configuration's own key. */
  readonly key?: string;
  /** The archive must say that the point cannot be restored, for this reason (null: any), before a byte moves. Nothing is restored then. */
  readonly expect?: { readonly refused: RefusalCode | null };
}
/** Makes a standby anew from a base backup of its upstream, whatever it still holds, and waits until it streams. `node`: a name, or a late word for one standby. */
export interface RebuildStep extends StepBase {
  readonly kind: 'rebuild';
  readonly node: string;
  readonly timeoutMs: number;
}
/** Makes a named restore point and records what stands there: catalog counts, roles, and counts and digests of the named tables. */
export interface MarkStep extends StepBase {
  readonly kind: 'mark';
  readonly name: string;
  /** `schema.table` in the entry database; locked against writes while they are read. */
  readonly tables: readonly { readonly schema: string; readonly table: string }[];
}
export interface CheckStep extends StepBase {
  readonly kind: 'check';
  readonly check: CheckSpec;
}
/** Undoes the named fault steps now; null: all that stand. */
export interface HealStep extends StepBase {
  readonly kind: 'heal';
  readonly steps: readonly string[] | null;
}
export interface NoteStep extends StepBase {
  readonly kind: 'note';
  readonly text: string;
}
/** A person's answer to this step declares the incident; at most one step of a plan has it. */
interface Declaring {
  readonly declares?: 'incident';
}
export interface ManualStep extends StepBase, Declaring {
  readonly kind: 'manual';
  readonly instruction: string;
  readonly owner: string;
  /** Notices by itself that the step was done. */
  readonly check: CheckSpec | null;
  readonly timeoutMs: number;
}
export interface GateStep extends StepBase, Declaring {
  readonly kind: 'gate';
  readonly question: string;
  readonly owner: string;
  readonly timeoutMs: number;
}
export interface ParallelStep extends StepBase {
  readonly kind: 'parallel';
  readonly branches: readonly (readonly PlanStep[])[];
}
export type PlanStep =
  | FaultStep
  | WaitStep
  | FailoverStep
  | RestoreStep
  | RebuildStep
  | MarkStep
  | CheckStep
  | HealStep
  | NoteStep
  | ManualStep
  | GateStep
  | ParallelStep;

/** Milliseconds by name; a controller tells those that it has. */
export type Timers = { readonly [Name in (typeof TIMER_NAMES)[number]]?: number };

/** Variables whose values were computed from the controller's settings when the plan was made, with their formulas, and the timers that went in. */
export interface LiveVariables {
  readonly variables: { readonly [name: string]: string };
  readonly timers: Timers;
}

export interface Plan {
  readonly formatVersion: number;
  readonly toolVersion: string;
  readonly scenario: {
    readonly name: string;
    readonly title: string;
    readonly hypothesis: string;
    readonly description: string;
    readonly variables: { readonly [name: string]: Json };
    /** Absent where nothing was computed. */
    readonly live?: LiveVariables;
    /** These five are absent where the file does not say them. */
    readonly rationale?: string;
    readonly assumptions?: readonly string[];
    readonly exclusions?: readonly string[];
    /** The file as the scenario names it, and the SHA-256 of what it held when the plan was made. */
    readonly runbook?: { readonly file: string; readonly sha256: string };
    readonly roles?: readonly { readonly role: string; readonly absent: boolean }[];
    /** Verbatim text of the scenario file, and the SHA-256 of it. */
    readonly source: string;
    readonly sha256: string;
  };
  /** Verbatim text of the target file, the SHA-256 of it, and the file's name, for refusals that name its line; absent in plans made before. */
  readonly targetSource: { readonly source: string; readonly sha256: string; readonly file?: string };
  readonly target: Target;
  readonly objectives: readonly Objective[];
  readonly probe: ProbeSettings;
  readonly steady: SteadyState;
  readonly steps: readonly PlanStep[];
  /** Absent in plans made before there were any. */
  readonly stop?: readonly StopCondition[];
  readonly limits: { readonly maxDrillMs: number; readonly faultMaxMs: number; readonly leaseTtlMs: number };
}
