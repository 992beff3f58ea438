/**
 * How others talk to the prober: its configuration file, its calls over a unix socket, and the entries of its ledger.
 * The prober stamps every instant with one clock, its own; others ask it to stamp theirs (`receipt`).
 */
import type { JsonObject } from '../model/json';
import type {
  ControllerLog,
  NoSafeCandidate,
  PhaseLatency,
  RebuildMeasurement,
  ReplicaLag,
  ReplicaStaleness,
  RpoMeasurement,
  RtoMeasurement,
  SplitBrainSpan,
  UnlockedSpan,
  ViewMeasurement,
} from '../model/measurement';
import type { ProbeSettings, SteadyState } from '../model/plan';
import type { Clocks, Maybe, NodeSpan, SeriesBin } from '../model/record';
import type { AgentLog } from '../targets/excerpts/agent-instants';
import type { TargetMonitor, TargetNode, TargetPath, TargetRole } from '../model/target';

/**
 * `epoch-file`: the standalone controller's epoch file, whose `primary` is the node that may write. `patroni`: base URLs of the members' REST APIs, asked
 * in turn for the member that holds the leader's key. `pg-auto-failover`: the monitor, whose goals say whom it has chosen.
 */
export type ControllerSource =
  | { readonly kind: 'epoch-file'; readonly file: string }
  | { readonly kind: 'patroni'; readonly urls: readonly string[] }
  | { readonly kind: 'pg-auto-failover'; readonly monitor: TargetMonitor; readonly formation: string };

export type ProbePath = Pick<TargetPath, 'name' | 'hosts' | 'database'>;

/** Written to a file before the prober starts; the file's directory holds its ledger and its socket. */
export interface ProberConfig {
  readonly drill: string;
  readonly dir: string;
  readonly socket: string;
  /** Ways in; the first is the main one, called `entry`, and its view is the headline. */
  readonly paths: readonly ProbePath[];
  readonly role: TargetRole;
  /** Table in schema `gameday` of the entry's database that receives the writes, e.g. `probe_000042`. */
  readonly table: string;
  readonly settings: ProbeSettings;
  /** Nodes for the 10 Hz sampler, past all routers. */
  readonly nodes: readonly Pick<TargetNode, 'name' | 'host' | 'port'>[];
  readonly observe: TargetRole;
  /** Where the controller's view is read; null: it has none that can be asked. */
  readonly controller: ControllerSource | null;
  /** Ends itself when nobody renewed for this long. */
  readonly leaseMs: number;
}

export type ReceiptName =
  | 'inject'
  | 'heal'
  | 'detect'
  | 'decide'
  | 'promote'
  | 'route'
  | 'follow'
  | 'step'
  | 'baseline'
  | 'verified'
  | 'redundant'
  | 'declare'
  | 'rebuild';
/** `about-to`: whoever asks is going to do it. `looking`: is going to look whether it has come about, which `done` then says. */
export type ReceiptPhase = 'about-to' | 'looking' | 'done';
export interface Receipt {
  readonly name: ReceiptName;
  readonly phase: ReceiptPhase;
  /** Step id, or a node's name where that is the point. */
  readonly subject: string;
}

/** Live figures, cheap enough to ask for twice a second. */
export interface ProberStatus {
  readonly pid: number;
  readonly upMs: number;
  readonly due: number;
  readonly acked: number;
  readonly rejected: number;
  readonly indeterminate: number;
  readonly missed: number;
  /** Over the last second. */
  readonly lastSecond: { readonly due: number; readonly acked: number; readonly p50Ms: number | null; readonly p99Ms: number | null };
  readonly outageMs: number | null;
  readonly onTimeRatio: number;
  /** How long its event loop was busy since it began, in ms: what lies between two of these, by the time between them, is the share that it needs. */
  readonly loopBusyMs: number;
  readonly ledgerBytes: number;
  readonly nodes: readonly { readonly node: string; readonly role: 'primary' | 'standby' | 'down'; readonly timeline: number | null }[];
}

/** Was the window that ends now good? Asked while waiting for a baseline or for recovery. */
export interface WindowRequest {
  readonly windowMs: number;
  readonly successRatio: number;
  readonly maxP99Ms: number;
  /** Only windows that start after this receipt's `done` count; null: any. */
  readonly after: Receipt | null;
}
export interface WindowAnswer {
  readonly good: boolean;
  readonly reason: string;
  readonly due: number;
  readonly succeeded: number;
  readonly p99Ms: number | null;
}

/** Calls over the socket: `status` → ProberStatus; `renew` → null; `receipt` (Receipt & facts) → { atNs }; `window` (WindowRequest) → WindowAnswer; `stop` → ProberStatus (flushes, ends writing and sampling, closes the ledger). */
export interface ProberCalls {
  status(): Promise<ProberStatus>;
  renew(): Promise<void>;
  receipt(receipt: Receipt & { readonly facts?: JsonObject }): Promise<{ readonly atNs: string }>;
  window(request: WindowRequest): Promise<WindowAnswer>;
  stop(): Promise<ProberStatus>;
}

/** What the judge is asked: which disruption is measured, by which rules. */
export interface JudgeRequest {
  readonly settings: ProbeSettings;
  readonly steady: SteadyState;
  /** Step ids of the faults whose effect is measured, in order; empty for a control run. */
  readonly faults: readonly { readonly step: string; readonly confirmed: boolean; readonly endedEarly: boolean }[];
  /** Only the span between these instants (ms since start) is measured; null: everything. */
  readonly fromMs: number | null;
  readonly toMs: number | null;
  /** Absent where nobody read any. */
  readonly agentLogs?: AgentLogs | undefined;
}

/** What the controller's agents wrote, and how far their nodes' clocks are from the prober's. */
export interface AgentLogs {
  readonly nodes: readonly AgentLog[];
  readonly clocks: Maybe<Clocks>;
}

export interface LedgerJudgement {
  /** The headline view. */
  readonly rto: RtoMeasurement;
  /** All other views, in the order of their first stream. */
  readonly views: readonly ViewMeasurement[];
  readonly splitBrain: readonly SplitBrainSpan[];
  readonly unlocked: readonly UnlockedSpan[];
  readonly replicaStaleness: readonly ReplicaStaleness[];
  readonly replicaLag: readonly ReplicaLag[];
  /** Null: no primary ever answered the sampler. */
  readonly noSafeCandidate: NoSafeCandidate | null;
  /** Absent where nobody read the agents' logs. */
  readonly controllerLog?: ControllerLog | undefined;
  readonly latencies: readonly PhaseLatency[];
  readonly series: readonly SeriesBin[];
  readonly nodeSpans: readonly NodeSpan[];
  /** Wall-clock time of ms 0, RFC 3339 UTC. */
  readonly epoch: string;
  /** Absent in measurements kept before there were any. */
  readonly rebuilds?: readonly RebuildMeasurement[];
  /** Receipts as stamped, in ms since start. */
  readonly receipts: readonly (Receipt & { readonly atMs: number })[];
}

export type { AgentLog, RpoMeasurement };
