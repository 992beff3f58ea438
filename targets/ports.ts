/**
 * The interfaces behind which every kind of host, controller, router, link and archive stands. Optional powers are extra interfaces one asks for.
 * Whoever calls these runs inside an activity or the guardian; implementations hold no state that a crash may lose.
 */
import type { ProcessId, RunResult } from '../core/process';
import type { PredictedFailover } from '../model/measurement';
import type { CheckResult } from '../model/record';
import type { JsonObject } from '../model/json';
import type { Target, TargetLink, TargetNode } from '../model/target';
import type { Sql } from './sql';

/** Where a node runs and how we act on it. `asNode`: run as the node's operating system user. */
export interface Host {
  readonly kind: string;
  exec(
    argv: readonly string[],
    options: { readonly asNode: boolean; readonly timeoutMs: number; readonly input?: string; readonly signal?: AbortSignal },
  ): Promise<RunResult>;
  readFile(path: string): Promise<string | null>;
  /** Durable: fsynced file and directory, owned by the node's user. */
  writeFile(path: string, text: string): Promise<void>;
  remove(path: string): Promise<void>;
  rename(from: string, to: string): Promise<void>;
  exists(path: string): Promise<boolean>;
  freeBytes(path: string): Promise<number>;
  /** The postmaster's process from postmaster.pid, verified alive; null if none runs. */
  postmaster(): Promise<ProcessId | null>;
  /**
   * SIGSTOPs the root, then walks children by ppid until nothing new appears, then SIGKILLs all. Atomic in effect: nobody reacts in between.
   * Resolves when every process is gone, with those killed. PostgreSQL's backends are children of the postmaster.
   */
  killTree(root: ProcessId): Promise<readonly ProcessId[]>;
}

/** What one node says of itself, over a direct connection. */
export interface NodeStatus {
  readonly node: string;
  readonly up: boolean;
  /** null when down. */
  readonly inRecovery: boolean | null;
  readonly timeline: number | null;
  /** Primary: insert LSN. Standby: highest of received and replayed LSN. */
  readonly lsn: string | null;
  /** Upstream node's name when a WAL receiver streams, by link; null otherwise. */
  readonly streamingFrom: string | null;
  readonly systemIdentifier: string | null;
  readonly error: string | null;
}

/** Everything that must be equal before and after a drill. */
export interface Topology {
  readonly primary: string | null;
  readonly nodes: readonly NodeStatus[];
  /** Streaming standbys as the primary sees them: name → sync_state. */
  readonly replication: { readonly [node: string]: string };
  /** Settings compared: synchronous_standby_names, synchronous_commit, archive_mode, wal_level, … of each node. */
  readonly settings: { readonly [node: string]: { readonly [name: string]: string } };
  readonly slots: { readonly [node: string]: readonly string[] };
  readonly routed: readonly string[];
  readonly epoch: number | null;
}

/** Tells the caller, with the prober's receipts around each, which instants a controller passes: detect, decide, promote, route, follow. */
export type InstantListener = (name: 'detect' | 'decide' | 'promote' | 'route' | 'follow', phase: 'about-to' | 'done') => Promise<void>;

export interface FailoverResult {
  readonly from: string | null;
  readonly to: string;
  readonly epoch: number;
  readonly timeline: number;
  /** Receive LSN per candidate at the time of choosing. */
  readonly candidates: readonly { readonly node: string; readonly lsn: string | null; readonly reachable: boolean }[];
}

export interface SalvageResult {
  readonly node: string;
  readonly forkLsn: string;
  readonly endLsn: string;
  readonly divergedBytes: number;
  /** The old primary's own timeline. */
  readonly timeline: number;
  readonly directory: string;
  readonly sha256: string;
  readonly files: number;
}

export interface Controller {
  readonly kind: string;
  status(): Promise<readonly NodeStatus[]>;
  topology(): Promise<Topology>;
  /** Predicted failover time in ms from the target's own settings, with the formula in words. */
  predictedFailover(): Promise<PredictedFailover>;
  /**
   * Fences the old primary's epoch, picks the most advanced standby (or the candidate), promotes, steers the router, re-follows the others.
   * Idempotent per `token`: a repeated call after a crash continues where the first stopped.
   */
  failover(request: {
    readonly token: string;
    readonly candidate: string | null;
    readonly timeoutMs: number;
    readonly on: InstantListener;
    readonly signal: AbortSignal;
  }): Promise<FailoverResult>;
  /** Starts a node in the role its epoch allows: read-write only with the current epoch, otherwise fenced (in recovery, not routed). Saves a diverged tail first. */
  startNode(node: string): Promise<{ readonly role: 'primary' | 'fenced' | 'standby'; readonly salvage: SalvageResult | null }>;
  /** Makes the node a streaming standby of the current primary: rewind, else rebuild; the old data directory is moved aside, never deleted first. */
  rejoin(
    node: string,
    options: { readonly timeoutMs: number; readonly signal: AbortSignal },
  ): Promise<{ readonly method: 'streaming' | 'follow' | 'rebuild'; readonly movedAside: string | null }>;
}

/** Leads clients to the primary. `steer` admits exactly these nodes, closes sessions to all others, and persists that state. */
export interface Router {
  readonly kind: string;
  steer(nodes: readonly string[]): Promise<void>;
  routed(): Promise<readonly string[]>;
}

export type Toxic = {
  readonly name: string;
  readonly type: 'latency' | 'bandwidth' | 'timeout' | 'reset_peer' | 'slicer' | 'slow_close' | 'limit_data';
  readonly stream: 'upstream' | 'downstream';
  readonly toxicity: number;
  readonly attributes: { readonly [name: string]: number };
};

/** Static links through Toxiproxy. Every request has a deadline; `/reset` and `/populate` are never used. */
export interface Links {
  list(): readonly TargetLink[];
  find(from: string, to: string): TargetLink | null;
  /** Creates or repairs the declared proxy; keeps toxics that are there. */
  ensure(link: TargetLink): Promise<void>;
  state(link: TargetLink): Promise<{ readonly exists: boolean; readonly enabled: boolean; readonly toxics: readonly Toxic[] }>;
  addToxic(link: TargetLink, toxic: Toxic): Promise<void>;
  /** Bounded; idempotent. */
  removeToxic(link: TargetLink, name: string): Promise<void>;
  setEnabled(link: TargetLink, enabled: boolean): Promise<void>;
  /** Last rung: restarts the Toxiproxy process, re-creates every declared link without toxics. */
  restartProxy(): Promise<void>;
}

/** One resolved recovery target: everything PostgreSQL needs, numeric timeline, explicit backup. */
export interface RecoveryTarget {
  readonly backup: string;
  readonly timeline: number;
  readonly setting: 'recovery_target_xid' | 'recovery_target_lsn' | 'recovery_target_time' | 'recovery_target_name';
  readonly value: string;
  readonly inclusive: boolean;
  /** Segment that holds the target's commit record; the archive must hold everything up to it before bytes move. */
  readonly lastSegment: string;
}

export interface BackupView {
  readonly name: string;
  readonly timeline: number;
  readonly startLsn: string;
  readonly stopLsn: string;
  readonly startWal: string;
  readonly finishedAt: string;
  readonly bytes: number;
}

export interface RestoreProgress {
  readonly phase: 'locate' | 'base' | 'replay' | 'promote' | 'checks';
  readonly bytes: number;
  readonly segments: number;
}

export interface RestoreOutcome {
  readonly backup: BackupView;
  readonly target: RecoveryTarget;
  readonly bytes: number;
  readonly segments: number;
  readonly walFrom: string;
  readonly walTo: string;
  readonly phases: readonly {
    readonly name: 'locate' | 'base' | 'replay' | 'promote';
    readonly ms: number;
    readonly bytes: number | null;
  }[];
  readonly landed: {
    readonly lsn: string;
    readonly xid: string | null;
    readonly time: string | null;
    readonly logLine: string | null;
    readonly timeline: number;
  };
  /** How to connect to the restored server: directory of its unix socket; it listens on no network address. */
  readonly socketDir: string;
  readonly port: number;
  readonly dir: string;
  readonly checks: readonly CheckResult[];
}

export interface Archive {
  readonly kind: string;
  backups(): Promise<readonly BackupView[]>;
  takeBackup(node: TargetNode, signal: AbortSignal): Promise<BackupView>;
  /** Age of the newest archived segment, continuity since the newest backup, health of the archiver. */
  audit(): Promise<readonly CheckResult[]>;
  /** True when the archive holds this segment. */
  holds(segment: string): Promise<boolean>;
  /** Chooses backup and timeline for a target on the current primary's history; throws `backup_missing`, `wal_missing`. */
  locate(point: {
    readonly setting: RecoveryTarget['setting'];
    readonly value: string;
    readonly inclusive: boolean;
    readonly lsn: string;
    readonly timeline: number;
  }): Promise<RecoveryTarget>;
  /** Restores into `dir` (created; must not exist), starts, waits for the target, promotes. Removes what it made if it fails. */
  restore(
    target: RecoveryTarget,
    sandbox: { readonly dir: string; readonly labels: JsonObject },
    options: { readonly timeoutMs: number; readonly signal: AbortSignal; readonly onProgress: (progress: RestoreProgress) => void },
  ): Promise<RestoreOutcome>;
  /** Stops and removes a sandbox; idempotent. */
  removeSandbox(dir: string): Promise<void>;
}

/** The live target, as adapters. Built by `targets/open-target.ts` from plain data. */
export interface LiveTarget {
  readonly target: Target;
  readonly controller: Controller;
  readonly links: Links | null;
  readonly router: Router;
  readonly archive: Archive | null;
  host(node: string): Host;
  /** A short-lived direct connection to a node as the given role; the caller's callback owns it. */
  sql<T>(node: string, role: 'operate' | 'observe' | 'probe', work: (sql: Sql) => Promise<T>): Promise<T>;
}
