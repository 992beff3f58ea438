/**
 * The interfaces behind which every kind of host, controller, router, link and archive stands. Optional powers are extra interfaces one asks for.
 * Whoever calls these runs inside an activity or the guardian; implementations hold no state that a crash may lose.
 */
import type { ProcessId, RunResult } from '../core/process';
import type { PredictedFailover } from '../model/measurement';
import type { Timers } from '../model/plan';
import type { CheckResult, Maybe, WatchdogFact } from '../model/record';
import type { JsonObject } from '../model/json';
import type { Target, TargetLink, TargetNode } from '../model/target';
import type { StoreAnswer } from '../objects/s3-door';
import type { ObjectVersion } from '../objects/s3-versions';
import type { CommitRecord } from './archives/commit-order';
import type { Sql } from './sql';

export type { ObjectVersion, StoreAnswer };

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
  /** The controller's agent beside the server, as the target says how to find it; null if none runs, or the node has none. */
  agent(): Promise<ProcessId | null>;
  /**
   * SIGSTOPs the root, then walks children by ppid until nothing new appears, then SIGKILLs all. Atomic in effect: nobody reacts in between.
   * Resolves when every process is gone, with those killed. PostgreSQL's backends are children of the postmaster.
   */
  killTree(root: ProcessId): Promise<readonly ProcessId[]>;
  /** Every PostgreSQL process that works in the node's data directory: the postmaster, its children, and what a dead postmaster left behind. */
  serverProcesses(): Promise<readonly ServerProcess[]>;
  /** `R`, `S`, `T`, … as in /proc/PID/stat; null when exactly this process is gone. */
  processState(id: ProcessId): Promise<string | null>;
  /** Only where the node's whole machine can be off and be switched on from here, as a container: switches it on. False when it was on already. */
  wake?(): Promise<boolean>;
  /** False when exactly this process is gone already. */
  signal(id: ProcessId, name: 'SIGSTOP' | 'SIGCONT' | 'SIGKILL'): Promise<boolean>;
  /** Only where the node's whole machine is a container: what its engine can do to it from outside. */
  readonly container?: ContainerPower;
}

export type ContainerState = 'running' | 'paused' | 'stopped';

/** How a container sits in a network: what must be known to put it back at the same place. Plain data, so that a handle can keep it. */
export type NetworkSeat = {
  readonly network: string;
  readonly aliases: readonly string[];
  /** IPv4 and IPv6 as its owner fixed them; null where the engine chose: it may choose another one then. */
  readonly address: string | null;
  readonly address6: string | null;
  /** IPv4 that it has there now; null while it does not run. */
  readonly current: string | null;
};

/** What stays on the engine while a fault stands, with its label: a container itself takes no label once it is made. */
export interface ContainerMark {
  readonly name: string;
  /** Of the fault: `gd-<drill>-<step>`. */
  readonly label: string;
  /** What undoes the fault, should nothing else be left of it. */
  readonly note: JsonObject;
}

/** What can be done to a whole container. Everything is idempotent, and done when it resolves. Throws `host_unreachable`, `host_refused`. */
export interface ContainerPower {
  state(): Promise<ContainerState>;
  /** Freezes every process in it at once; commands in it are refused until it is unpaused. */
  pause(): Promise<void>;
  unpause(): Promise<void>;
  /** SIGKILL to all of it, as a power cut, paused or not; its restart policy may start it again. */
  kill(): Promise<void>;
  start(): Promise<void>;
  /** The networks that it sits in and can be taken off: not the machine's own, which some containers share. */
  seats(): Promise<readonly NetworkSeat[]>;
  /** Every port that it publishes has a number of its owner's choice; others change when it is taken off a network. */
  hasFixedPorts(): Promise<boolean>;
  disconnect(network: string): Promise<void>;
  connect(seat: NetworkSeat): Promise<void>;
  /** Durable when it resolves. */
  mark(mark: ContainerMark): Promise<void>;
  marks(): Promise<readonly ContainerMark[]>;
  unmark(name: string): Promise<void>;
}

/** What of a host makes sense for a process that is no PostgreSQL. */
export type ServiceHost = Pick<Host, 'kind' | 'exec' | 'agent' | 'killTree' | 'processState' | 'signal' | 'wake'>;

/** `stopped`: by a signal, as in state T. */
export interface ServerProcess extends ProcessId {
  readonly stopped: boolean;
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
  /** Streaming standbys as whoever sends to them sees them: name → sync_state. */
  readonly replication: { readonly [node: string]: string };
  /** Settings compared: synchronous_standby_names, synchronous_commit, archive_mode, wal_level, … of each node. */
  readonly settings: { readonly [node: string]: { readonly [name: string]: string } };
  readonly slots: { readonly [node: string]: readonly string[] };
  readonly routed: readonly string[];
  readonly epoch: number | null;
  /** History of the primary's timelines, oldest first; null or missing: not read. */
  readonly lineage?: readonly string[] | null;
}

/** Tells the caller, with the prober's receipts around each, which instants a controller passes: detect, decide, promote, route, follow. */
export type InstantListener = (
  name: 'detect' | 'decide' | 'promote' | 'route' | 'follow',
  phase: 'about-to' | 'looking' | 'done',
) => Promise<void>;

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

/** Variables of a process by name. */
export type Environment = { readonly [name: string]: string };

/** What was looked at and found; `remedy`: what to set where it may keep a failover from coming about, else null. It refuses nothing. */
export interface Advice {
  readonly name: string;
  readonly found: string;
  readonly expected: string;
  readonly remedy: string | null;
}

export interface Controller {
  readonly kind: string;
  /** Optional power: it fails over by itself, and can be told not to for a while. */
  readonly automation?: Automation;
  status(): Promise<readonly NodeStatus[]>;
  topology(): Promise<Topology>;
  /**
   * Predicted failover time in ms from the target's own settings, with the formula in words; null where nothing is predicted. `lost`: the primary's whole
   * node is gone; `asked`: a primary that is there is asked to hand over.
   */
  predictedFailover(primary: 'lost' | 'asked'): Promise<PredictedFailover | null>;
  /** Optional power: whether the node that leads feeds a watchdog, or why that cannot be told. Never rejects. */
  watchdog?(): Promise<Maybe<WatchdogFact>>;
  /** Optional power: settings under which a failover may not come about. Throws `controller_unreachable`, `database_unreachable`. */
  advice?(): Promise<readonly Advice[]>;
  /** Optional power: the timers it goes by now, in milliseconds, by the field's names. Throws `controller_unreachable`. */
  timers?(): Promise<Timers>;
  /**
   * Fences the old primary's epoch, picks the most advanced standby (or the candidate), promotes, steers the router, re-follows the others.
   * Idempotent per `token`: a repeated call after a crash continues where the first stopped.
   * `since`: who took writes before the last fault. Where automation has replaced it by now (by `candidate`, if one is named), nothing is ordered: that
   * promotion is the one that was asked for. Controllers without automation have no use for it.
   */
  failover(request: {
    readonly token: string;
    readonly candidate: string | null;
    readonly since?: string | null;
    readonly timeoutMs: number;
    readonly on: InstantListener;
    readonly signal: AbortSignal;
  }): Promise<FailoverResult>;
  /**
   * Starts a node in the role its epoch allows: read-write only with the current epoch, otherwise fenced (in recovery, not routed). Saves a diverged tail first.
   * `environment`: variables for the server's processes besides their usual ones, for this start alone; a server that runs already keeps its own. The standalone controller ends a
   * server that it finds stopped first.
   */
  startNode(
    node: string,
    environment?: Environment,
  ): Promise<{ readonly role: 'primary' | 'fenced' | 'standby'; readonly salvage: SalvageResult | null }>;
  /**
   * Where agents rewind nodes by themselves: what `startNode` saved before them on the way to a timeline above this one, as far as it led to the current
   * one. The nodes can no longer be asked for it.
   */
  salvages?(above: number): Promise<readonly SalvageResult[]>;
  /** Does the controller's own book name this node as the one that may write, and is the node of that epoch? Asks no server. */
  mayWrite(node: string): Promise<boolean>;
  /** Makes the node a streaming standby of the current primary: rewind, else rebuild; the old data directory is moved aside, never deleted first. */
  rejoin(
    node: string,
    options: { readonly timeoutMs: number; readonly signal: AbortSignal },
  ): Promise<{ readonly method: 'streaming' | 'follow' | 'rebuild'; readonly movedAside: string | null }>;
  /**
   * Optional power: makes a standby anew from a base backup of its upstream, whatever it still holds, and waits until it streams. The old data directory is
   * moved aside once the new one is whole; cut off at any moment it leaves a node that `undoRebuild` or `rejoin` brings back. A repeated `token` makes no second
   * copy where the first one took its place, and names the same old directory. `onLook` is awaited before it is
   * started, when it surely does not stream, before each look whether it does, and after one that nobody answered. Throws `step_failed` for a node with WAL
   * that the primary lacks, which is `rejoin`'s to save.
   */
  rebuild?(
    node: string,
    options: {
      readonly token: string;
      readonly timeoutMs: number;
      readonly signal: AbortSignal;
      readonly onLook: (look: 'begins' | 'unanswered') => Promise<void>;
    },
  ): Promise<{ readonly movedAside: string | null }>;
  /**
   * Of whoever rebuilds: what a `rebuild` that did not end leaves is put right, and one of this `token` that goes on unheard, or is tried again, is refused from then
   * on. No half copy stays, and with `start` the node runs and streams, from its old data or, where that was moved aside already, from the new. Without it, which is
   * where a fault may stand on the node, it is neither started nor stopped. Works when nothing of it happened, and twice. `problem`: why the node does not stream, in
   * words; null when it does. Throws what another try may get over.
   */
  undoRebuild?(
    node: string,
    options: { readonly token: string; readonly start: boolean; readonly signal: AbortSignal },
  ): Promise<{ readonly movedAside: string | null; readonly problem: string | null }>;
}

/** What a controller does by itself, switched off and on by people: maintenance mode. Throws `controller_unreachable`, `step_failed`. */
export interface Automation {
  /** Resolves when every agent that answers goes by it. Idempotent. */
  setPaused(paused: boolean): Promise<void>;
  /** As the controller's own book says. */
  isPaused(): Promise<boolean>;
  /** What each of its agents goes by now; null: it does not answer. */
  pausedAgents(): Promise<{ readonly [node: string]: boolean | null }>;
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
  /** `recovery_target` is `immediate`, or `latest`: PostgreSQL is told none, and replays all that it is given. */
  readonly setting: 'recovery_target_xid' | 'recovery_target_lsn' | 'recovery_target_time' | 'recovery_target_name' | 'recovery_target';
  readonly value: string;
  readonly inclusive: boolean;
  /** Segment that holds the target's commit record; the archive must hold everything up to it before bytes move. */
  readonly lastSegment: string;
}

/** The newest timeline of an archive, and the end of the last whole segment that it holds of it. */
export interface ArchiveEnd {
  readonly timeline: number;
  readonly lsn: string;
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

/** What a restore will move, known before any byte does. */
export interface RestoreEstimate {
  readonly backup: BackupView;
  /** Of the restored files; less moves where objects are compressed. */
  readonly baseBytes: number;
  /** Of the segments as PostgreSQL reads them. */
  readonly walBytes: number;
  /** From the backup's first to the last that replay needs. */
  readonly segments: readonly string[];
  /** Requests to the object store; null where the archive's own tool decides how many it makes. */
  readonly requests: number | null;
}

export interface RestoreProgress {
  readonly phase: 'locate' | 'base' | 'replay' | 'promote' | 'checks';
  /** Of base and WAL, in place so far. */
  readonly bytes: number;
  readonly segments: number;
  /** All that will move, by the estimate; null until the way is found. */
  readonly of: { readonly baseBytes: number; readonly walBytes: number; readonly segments: number } | null;
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
    /** Commit time of the last transaction replayed, as the log has it. */
    readonly lastReplayedTime: string | null;
  };
  /** How to connect to the restored server: directory of its unix socket; it listens on no network address. */
  readonly socketDir: string;
  readonly port: number;
  readonly dir: string;
  readonly checks: readonly CheckResult[];
  /** Time that these took after the copy was of use. */
  readonly checksMs: number;
}

export type GateStatus = 403 | 503;

/** In front of the archive's store: passes on, or answers every node's request itself. Deadlines on everything. */
export interface ArchiveGate {
  /** What it answers, and for whom; null: it passes on. */
  state(): Promise<{ readonly status: number; readonly label: string } | null>;
  /** Throws `fault_refused` when it is closed for another label already. Idempotent. */
  close(status: GateStatus, label: string): Promise<void>;
  /** Opens it when this label closed it. Idempotent. */
  open(label: string): Promise<void>;
}

/** Objects of an archive in late words; which of many, a seed decides. */
export type ObjectWord = 'newest-wal' | 'random-wal' | 'backup' | 'newest-history';

/**
 * The archive's own way to its store, for whoever must try it as a node does, or put something on top of an object and take it off again. Keys are
 * the archive's own; `node` goes over that node's link, null straight to the store. Every request has a deadline.
 */
export interface ArchiveDoor {
  /** What stands in front of the store and can be told to answer by itself; null where the target names nothing. */
  readonly gate: ArchiveGate | null;
  /** One request, tried once, over a connection of its own. Never rejects. */
  ask(node: string | null, timeoutMs: number): Promise<StoreAnswer>;
  /** Puts an object named by the label, reads it back and removes it; throws `store_unreachable`. */
  exchange(node: string | null, label: string, timeoutMs: number): Promise<void>;
  isVersioned(): Promise<boolean>;
  /** Key of the object that a word stands for now; throws `object_missing`. */
  find(word: ObjectWord, seed: string): Promise<string>;
  sizeOf(key: string): Promise<number | null>;
  /** Newest first. */
  versions(key: string): Promise<readonly ObjectVersion[]>;
  /** Null for a delete marker or no such version; `id` null: what everybody gets now. */
  getVersion(key: string, id: string | null): Promise<Uint8Array | null>;
  /** The label that a version was put with. */
  labelOf(key: string, id: string): Promise<string | null>;
  putLabelled(key: string, data: Uint8Array, label: string): Promise<void>;
  /** A delete marker; returns its version id. */
  hide(key: string): Promise<string>;
  removeVersion(key: string, id: string): Promise<void>;
  /** Some at a time. */
  removeVersions(versions: readonly { readonly key: string; readonly id: string }[]): Promise<void>;
  /** Keys of every object that is seen now, notes left out. */
  visible(): Promise<readonly string[]>;
  /** A delete marker on each of them, some at a time. */
  hideAll(keys: readonly string[]): Promise<void>;
  /** Those of them whose newest version is a delete marker, with its id. */
  hidden(keys: readonly string[]): Promise<readonly { readonly key: string; readonly id: string }[]>;
  /** A word in the store itself about what a fault is doing there, by label: delete markers can carry none. */
  note(label: string, text: string): Promise<void>;
  notes(): Promise<readonly { readonly label: string; readonly text: string }[]>;
  removeNote(label: string): Promise<void>;
}

export interface Archive {
  readonly kind: string;
  /** Optional power of gameday's own archive: faults on its store and its objects. */
  readonly door?: ArchiveDoor;
  /** Optional power of an encrypted archive: the same one, opened by a key of the target's `archive.keys`, or by `wrong`. Throws `setting_invalid`. */
  openedBy?(key: string): Archive;
  /** Throws `archive_key_wrong`, `store_unreachable`. */
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
    /** Instead of the newest that ends before `lsn`. */
    readonly backup?: string | null;
  }): Promise<RecoveryTarget>;
  /** How far it leads by itself, without asking any server; throws `backup_missing`, `wal_missing`. */
  end(): Promise<ArchiveEnd>;
  /** Optional power: commits whose records start in [fromLsn, toLsn) on the history of `timeline`, in WAL order, from archived WAL. Throws `wal_missing`. */
  commits?(
    range: { readonly timeline: number; readonly fromLsn: string; readonly toLsn: string; readonly binDir: string },
    signal: AbortSignal,
  ): Promise<readonly CommitRecord[]>;
  /** Throws `backup_missing`, `wal_missing`. */
  estimate(target: RecoveryTarget): Promise<RestoreEstimate>;
  /** Restores into `dir` (created; must not exist), starts, waits for the target, promotes. Removes what it made if it fails. */
  restore(
    target: RecoveryTarget,
    sandbox: { readonly dir: string; readonly labels: JsonObject },
    options: {
      readonly timeoutMs: number;
      readonly signal: AbortSignal;
      readonly onProgress: (progress: RestoreProgress) => void;
      /** Node over whose link to the store base and WAL come; throws `setting_invalid` where the archive's own tool fetches. */
      readonly through?: string | null;
    },
  ): Promise<RestoreOutcome>;
  /** Stops and removes a sandbox; idempotent. Returns what was seen after it. */
  removeSandbox(dir: string): Promise<string>;
}

/** The live target, as adapters. Built by `targets/open-target.ts` from plain data. */
export interface LiveTarget {
  readonly target: Target;
  readonly controller: Controller;
  readonly links: Links | null;
  readonly router: Router;
  readonly archive: Archive | null;
  host(node: string): Host;
  /** Where a service runs; `agent()` is its process. It has no data directory: nothing else about a server can be asked there. */
  service(name: string): ServiceHost;
  /** A short-lived direct connection to a node as the given role; the caller's callback owns it. */
  sql<T>(node: string, role: 'operate' | 'observe' | 'probe', work: (sql: Sql) => Promise<T>): Promise<T>;
}
