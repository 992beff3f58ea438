/** What the judge makes of the ledger. Durations are milliseconds with fractions; `null` with a reason means "not recorded", never zero. */
import type { CANDIDATE_LACK } from './constants';
import type { Objective } from './plan';

export type Verdict = 'pass' | 'fail' | 'marginal' | 'inconclusive';

/** A duration known to lie in [lowMs, highMs]. */
export interface Interval {
  readonly lowMs: number;
  readonly highMs: number;
}

/** One group of clients that is measured by itself. The headline is `write` through the main path by `tuned` clients. */
export interface ProbeView {
  readonly kind: 'write' | 'read';
  /** Name of the path; the main one is `entry`. */
  readonly path: string;
  /** `tuned`: deadlines and hard reconnect. `naive`: no deadline at all, a fixed pool, as default drivers do. */
  readonly client: 'tuned' | 'naive';
}

/** Instants are milliseconds since the prober's start (its monotonic clock), as intervals. */
export interface Outage {
  readonly t0: Interval;
  readonly tFirst: Interval | null;
  readonly tRec: Interval | null;
  /** tFirst − t0: time without a single success; null while there was none. */
  readonly down: Interval | null;
  /** tRec − t0, or null while not recovered. */
  readonly duration: Interval | null;
  readonly unsuccessful: number;
}

/** What the target's live settings allow one part of a failover to take, with the formula in words. */
export interface PredictedSegment extends Interval {
  readonly name: 'detection' | 'decision' | 'promotion' | 'routing' | 'client recovery';
  readonly formula: string;
}

/** The same for the whole. A segment that is missing cannot be predicted. */
export interface PredictedFailover extends Interval {
  readonly formula: string;
  readonly segments: readonly PredictedSegment[];
}

export interface Segment {
  /** detection, decision, promotion, routing, client recovery — or several merged, joined with `+`. */
  readonly name: string;
  readonly from: Interval;
  readonly to: Interval;
  readonly ms: Interval;
}

export interface Percentiles {
  readonly count: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly maxMs: number;
}

export interface PhaseLatency {
  readonly phase: 'before' | 'during' | 'after';
  readonly due: number;
  readonly succeeded: number;
  readonly latency: Percentiles | null;
}

export interface OutcomeCounts {
  readonly acked: number;
  readonly rejected: number;
  readonly indeterminate: number;
  /** Due, but not sent: no connection, or all of them stuck. */
  readonly missed: number;
}

export interface RtoMeasurement {
  /** Headline: first t0 to last t_rec. Null when not judged, with the reason. */
  readonly rto: Interval | null;
  /** While an outage is not over: the RTO is at least this. Null otherwise. */
  readonly rtoAtLeastMs: number | null;
  readonly noOutageAboveMs: number | null;
  readonly fromInjection: Interval | null;
  readonly firstAck: Interval | null;
  /** From the first t0 to the receipt that verification had found everything well; null without an outage, or if it had not. Absent in records made before. */
  readonly untilVerified?: Interval | null | undefined;
  /** When a person's answer declared the incident: after the last instant at which it was surely not given, until its receipt. Absent in records made before. */
  readonly declared?: Interval | null | undefined;
  /** From there until clients had recovered; null if nobody declared, or only after they had. */
  readonly fromDeclaration?: Interval | null | undefined;
  readonly outages: readonly Outage[];
  /** Sum of the outages' `down`; null while one lasts. */
  readonly downMs: Interval | null;
  /** Operations that failed while others succeeded: in no outage, and yet failed. */
  readonly unsuccessfulOutside: number;
  /** Longest time between two acknowledgements that was no outage, because everything due in it was answered in the end. */
  readonly longestStallMs: number;
  readonly segments: readonly Segment[];
  readonly baselineP99Ms: number | null;
  readonly recoveryLimitP99Ms: number | null;
  readonly latencies: readonly PhaseLatency[];
  readonly writesDue: number;
  /** What became of the operations due in the measured span; those that the prober itself could not send in time are left out. */
  readonly counts: OutcomeCounts;
  readonly starvedMs: number;
  /** Share of due instants at which the prober was on time (late by at most δ), 0…1. */
  readonly onTimeRatio: number;
  /** Contradictions found by the cross-checks; any makes the drill inconclusive. */
  readonly contradictions: readonly string[];
  readonly inconclusive: readonly string[];
}

/** What the clients of another view saw; the headline's stands in the record's `rto`. */
export interface ViewMeasurement extends ProbeView {
  readonly rto: RtoMeasurement;
}

/** How long a standby that a step made anew took from the order until it streamed. `highMs` null: it never did, surely not within `lowMs`. */
export interface RebuildMeasurement {
  readonly step: string;
  readonly lowMs: number;
  readonly highMs: number | null;
}

export interface RpoMeasurement {
  readonly attempted: number;
  readonly acked: number;
  readonly kept: number;
  /** Acked and absent. */
  readonly lost: number;
  /** The lost writes by the timeline that acknowledged them; null: the server did not say. */
  readonly lostByTimeline: readonly { readonly timeline: number | null; readonly lost: number }[];
  readonly indeterminateCommitted: number;
  readonly indeterminateVanished: number;
  readonly phantoms: number;
  readonly duplicates: number;
  readonly splitBrainWrites: number;
  readonly holes: number;
  /** First lost (stream, seq) pairs, at most 20. */
  readonly lostSample: readonly { readonly stream: number; readonly seq: number }[];
  /** t0 − ack of the oldest lost write; 0 if none lost. Where the losing fork acknowledged after t0, that fork's last ack stands for t0. */
  readonly rpoTimeMs: Interval;
  /** t0 (as above) − newest kept commit until then: how old the data is that survived. Null without an outage, or if nothing before it was kept. */
  readonly recoveryPointAgeMs: Interval | null;
  readonly rpoBytes: string | null;
  /** One sentence: "0 of 5,120 acked writes lost; 95 % bound …; synchronous_commit = on". */
  readonly statement: string;
  readonly joinedOn: string;
  /** Replicas read afterwards and what they lacked. */
  readonly replicas: readonly { readonly node: string; readonly missing: number; readonly extra: number }[];
}

/** How old the data of one standby was at worst while a primary answered; resolution: the sampler's. */
export interface ReplicaStaleness {
  readonly node: string;
  readonly lowMs: number;
  /** Null: it lacked something that had been written before the prober began, nobody knows when. */
  readonly highMs: number | null;
  /** When it was asked then, in ms since the prober's start. */
  readonly atMs: number;
}

/** One standby's staleness over time: the worst of each second, in ms since the prober's start. A second without a bin: nothing could be told. */
export interface ReplicaLag {
  readonly node: string;
  /** `highMs` null: it lacked something that had been written before the prober began. */
  readonly bins: readonly { readonly atMs: number; readonly lowMs: number; readonly highMs: number | null }[];
}

/**
 * Why a node was no safe candidate: it did not answer, lacked what had been acknowledged, was on an older timeline than the primary, or was one itself.
 */
export type CandidateLack = keyof typeof CANDIDATE_LACK;

/** No standby was known to be a safe candidate, from the last look that showed one to the next. */
export interface NoCandidateSpan {
  readonly fromMs: number;
  readonly toMs: number;
  /** So long of it every standby surely was none. */
  readonly lowMs: number;
  readonly standbys: readonly { readonly node: string; readonly lack: CandidateLack }[];
}

/** Time without a standby that could have taken over without losing what was acknowledged. Instants in ms since the prober's start. */
export interface NoSafeCandidate {
  /** What was watched. */
  readonly fromMs: number;
  readonly toMs: number;
  /** Sum over all spans. */
  readonly total: Interval;
  /** There was none still when watching ended. */
  readonly lasting: boolean;
  readonly count: number;
  /** The longest, at most 20, in order of time. */
  readonly spans: readonly NoCandidateSpan[];
}

export interface SplitBrainSpan {
  readonly nodes: readonly string[];
  readonly from: Interval;
  readonly to: Interval;
}

/** A node took writes while the controller held another one, or none, for the primary. */
export interface UnlockedSpan {
  readonly node: string;
  /** Whom the controller named; null: nobody. */
  readonly holder: string | null;
  readonly from: Interval;
  readonly to: Interval;
}

/** A line of a controller's own log that tells of a failover. */
export interface LogInstant {
  readonly node: string;
  /** `noticed`: that nobody leads, or that the lead cannot be kept; `decided`: who leads next; `stepped down`: the leader gives up by itself. */
  readonly means: 'noticed' | 'decided' | 'stepped down';
  /** As the log's excerpt has it. */
  readonly words: string;
  /** When it was written, in ms since the prober's start: its stamp less the bounds of the node's clock, widened by the stamp's resolution. */
  readonly at: Interval;
}

/** What the controller's agents wrote of the outage in their own logs. A line comes after what it tells of, and so bounds that from above. */
export interface ControllerLog {
  /** In order of time: of each node the first of each meaning. */
  readonly instants: readonly LogInstant[];
  /** Nodes whose log tells nothing, and why. */
  readonly notRecorded: readonly { readonly node: string; readonly reason: string }[];
  /** Segments whose end is known closer by these lines than without them. */
  readonly narrowed: readonly ('detection' | 'decision')[];
  /** Where a log and what was watched exclude each other: what was watched stays. */
  readonly contradictions: readonly string[];
}

export interface ObjectiveResult {
  readonly objective: Objective;
  readonly verdict: Verdict;
  readonly measured: number | null;
  readonly low: number | null;
  readonly high: number | null;
  readonly reason: string;
}

export interface Judgement {
  readonly verdict: Verdict;
  readonly objectives: readonly ObjectiveResult[];
  readonly reasons: readonly string[];
}
