/**
 * A target: one PostgreSQL system under test, as plain data. Written by people as YAML (schema in `targets/`), resolved by `scenarios/`.
 * Secrets never stand here: they are named (`env:NAME`, `file:/path`) and resolved where they are used.
 */
import type { Json } from './json';

export type TargetKind = 'lab' | 'staging' | 'production';
export type ControllerKind = TargetController['kind'];
export type RouterKind = 'haproxy' | 'none';

/** This machine; one that the system's OpenSSH reaches; or a container of the Docker engine behind a local socket. */
export type TargetHost =
  | { readonly kind: 'local' }
  | {
      readonly kind: 'ssh';
      readonly address: string;
      readonly port: number;
      /** Who logs in; becomes the node's user by `sudo -n -u` where the two differ. */
      readonly user: string;
      /** Absolute paths on the worker's machine; null: what OpenSSH finds by itself. */
      readonly identityFile: string | null;
      readonly knownHosts: string | null;
    }
  /** `socket`: absolute path of the engine's socket; `container`: name or id. */
  | { readonly kind: 'docker'; readonly socket: string; readonly container: string };

/** Commands on the node's host, run as root where we are root there, without a shell. */
export interface TargetAgent {
  /** Prints the agent's pid, or nothing (or 0) when it does not run, e.g. `systemctl show --property MainPID --value patroni`. */
  readonly find: readonly string[];
  /** Starts it if it does not run, e.g. `systemctl start patroni`. */
  readonly start: readonly string[];
  /** Absolute path of the file that receives its log, on the node's host; or the systemd unit whose journal does. Missing both: none is kept as evidence. */
  readonly logFile?: string | undefined;
  readonly journal?: string | undefined;
}

/** `host` is an address gameday connects to directly, past every router and link. */
export interface TargetNode {
  readonly name: string;
  readonly host: string;
  readonly port: number;
  /** Absolute path of the data directory on the node's host. */
  readonly dataDir: string;
  /** Absolute directory of PostgreSQL's binaries on that host, e.g. /usr/lib/postgresql/15/bin. */
  readonly binDir: string;
  /** Operating system user that owns the data directory and runs the server; null: whoever runs gameday. */
  readonly osUser: string | null;
  readonly runsOn: TargetHost;
  /** The controller's own process beside the server (Patroni, pg_autoctl, repmgrd); null: none. It starts and stops PostgreSQL, so it dies first and is what an undo starts. */
  readonly agent: TargetAgent | null;
  /** File that receives the server's log. */
  readonly logFile: string;
  /** Where it stands, for people; missing: at the target's own site. */
  readonly site?: string | undefined;
  /** Node from which it streams while that one is itself a standby that runs; missing, or else: the primary. Under Patroni what its tag `replicatefrom` says. */
  readonly upstream?: string | undefined;
}

/** One directed network path through one Toxiproxy proxy. `from`/`to` are node names, members of the DCS, or the words `client`, `router`, `s3`. */
export interface TargetLink {
  readonly name: string;
  readonly from: string;
  readonly to: string;
  readonly listenHost: string;
  readonly listenPort: number;
  readonly upstreamHost: string;
  readonly upstreamPort: number;
  /** What its far end understands, so that a question can be asked through it; the store always speaks HTTP. */
  readonly speaks: 'postgresql' | 'http';
}

export interface TargetLinks {
  /** Base URL of Toxiproxy's API, e.g. http://127.0.1.30:8474. */
  readonly api: string;
  /** How to restart the Toxiproxy process when its API hangs: argv, run without a shell. */
  readonly restart: readonly string[];
  readonly list: readonly TargetLink[];
}

export interface TargetRouter {
  readonly kind: RouterKind;
  /** HAProxy: absolute path of the runtime socket. */
  readonly socket: string;
  /** HAProxy: name of the backend whose servers carry the nodes' names. */
  readonly backend: string;
  /** HAProxy: server-state file that survives restarts. */
  readonly stateFile: string;
}

/** HAProxy that stands in front of the store on the nodes' way, steered over its runtime socket. */
export interface TargetArchiveGate {
  /** Absolute path of the runtime socket. */
  readonly socket: string;
  /** The map by which it is told what to answer, as its configuration names it. */
  readonly map: string;
}

/** gameday's own archive: the object store that holds base backups and WAL. Credentials by name only. */
export interface NativeTargetArchive {
  readonly kind: 'native';
  readonly endpoint: string;
  readonly region: string;
  readonly bucket: string;
  /** Key prefix without leading or trailing slash. */
  readonly prefix: string;
  readonly accessKey: string;
  readonly secretKey: string;
  /** What restores read with: keys that need not write. Missing: those above. */
  readonly restoreKeys?: { readonly accessKey: string; readonly secretKey: string } | undefined;
  /** Directory through which `archive_command` hands segments to the resident archiver. */
  readonly spoolDir: string;
  /** Without it a store that answers 503 or 403 cannot be rehearsed. */
  readonly gate?: TargetArchiveGate | undefined;
}

/** A team's pgBackRest repository. Absolute paths; `program` and `config` are the ones of the machine where restores run. */
export interface PgbackrestTargetArchive {
  readonly kind: 'pgbackrest';
  readonly stanza: string;
  readonly config: string;
  /** Configuration on the nodes, for backups; null: at the same path. */
  readonly nodeConfig: string | null;
  readonly program: string;
  /** Secret names of passphrases that restores may be told to open the repository with instead of the configuration's own, by what people call them. */
  readonly keys?: { readonly [name: string]: string } | undefined;
}

/** A team's bucket filled by barman-cloud. Absolute paths; files and programs are those of the machine where restores run. */
export interface BarmanCloudTargetArchive {
  readonly kind: 'barman-cloud';
  /** The URL that its commands are given, without a trailing slash: `s3://bucket/path`. */
  readonly source: string;
  /** The server's name there. */
  readonly server: string;
  /** `--endpoint-url`; null: Amazon's own. */
  readonly endpoint: string | null;
  readonly region: string;
  /** AWS credentials file with the profile's keys; read by the sandbox's user. */
  readonly credentials: string;
  readonly profile: string;
  /** AWS config file, e.g. for a store that wants path-style addresses; null: what the tool finds by itself. */
  readonly awsConfig: string | null;
  /** Credentials file on the nodes, for backups; null: at the same path. */
  readonly nodeCredentials: string | null;
  /** Of backups that a drill takes. */
  readonly compression: 'gzip' | 'bzip2' | 'snappy' | 'none';
  /** Directory of the barman-cloud commands. */
  readonly programs: string;
}

/** A team's archive kept by WAL-G. Absolute paths; `program` and `config` are the ones of the machine where restores run. */
export interface WalGTargetArchive {
  readonly kind: 'wal-g';
  /** WAL-G's own configuration, which holds store, keys and all else; read by the sandbox's user. */
  readonly config: string;
  /** Configuration on the nodes, for backups; null: at the same path. */
  readonly nodeConfig: string | null;
  readonly program: string;
}

export type TargetArchive = NativeTargetArchive | PgbackrestTargetArchive | BarmanCloudTargetArchive | WalGTargetArchive;

/** The target's archive if it is gameday's own: only of that one are store, spool and gate known. */
export function nativeArchiveOf({ archive }: Pick<Target, 'archive'>): NativeTargetArchive | null {
  return archive?.kind === 'native' ? archive : null;
}

/** One kind of fault that is allowed within limits of its own; null: the policy's limits alone. */
export interface FaultPermit {
  readonly fault: string;
  /** No fault of this kind stands longer. */
  readonly maxMs: number | null;
  /** Nodes that faults of this kind may hurt at once. */
  readonly maxNodes: number | null;
}

/**
 * What the owner of the target allows. Defaults are safe; every refusal names the line that forbids it. Read it by `targets/policy.ts`: plans made
 * before a limit existed do not hold it.
 */
export interface TargetPolicy {
  readonly allowFaults: readonly (string | FaultPermit)[];
  /** Nodes and services that faults standing at once may hurt, all kinds together. */
  readonly maxNodesAtOnce: number;
  /** May faults standing at once leave no majority of the nodes or of the store's members whole, or fewer standbys than synchronous commits wait for? */
  readonly allowQuorumLoss: boolean;
  /** Absolute path, on the workers' machine, of the allowed-signers file (ssh-keygen) of those who may approve drills; null: nobody may. */
  readonly approvers: string | null;
  readonly acceptDataLoss: boolean;
  readonly maxFaultMs: number;
  readonly maxDrillMs: number;
  /** Highest age of the newest archived segment at pre-flight. */
  readonly maxArchiveAgeMs: number;
  readonly minFreeDiskBytes: number;
  /** Bytes, base and WAL, that one restore may move; null or missing: no limit. */
  readonly maxRestoreBytes?: number | null | undefined;
}

export interface HostPort {
  readonly host: string;
  readonly port: number;
}

export type PathKind = 'router' | 'pooler' | 'direct';

/**
 * A further way by which clients come in, measured by itself. Several hosts are tried in order until one takes writes, as libpq's
 * `target_session_attrs=read-write` does.
 */
export interface TargetPath {
  readonly name: string;
  readonly kind: PathKind;
  readonly hosts: readonly HostPort[];
  readonly database: string;
}

/** `syncStandbys`: standbys that must confirm a commit; 0 means asynchronous replication. */
export type TargetController =
  | {
      readonly kind: 'standalone';
      /** Directory that holds the fsynced epoch file. `synchronous_standby_names` is `ANY n (others)`, or by `syncOrder` `FIRST n (others)`. */
      readonly stateDir: string;
      readonly syncStandbys: number;
      /** Which of the standbys confirm; missing: any. */
      readonly syncOrder?: 'any' | 'first' | undefined;
    }
  | {
      readonly kind: 'patroni';
      readonly scope: string;
      readonly syncStandbys: number;
      /** Base URL of each node's REST API, by the node's name, which is its name in Patroni too. */
      readonly api: { readonly [node: string]: string };
      /** Who may change things over that API; null: anybody. */
      readonly auth: TargetRole | null;
      /** Members of the store that holds the leader's key: ends of links, and of faults on them. */
      readonly dcs: readonly TargetDcsMember[];
    }
  | {
      readonly kind: 'pg-auto-failover';
      readonly syncStandbys: number;
      readonly formation: string;
      /** The monitor's own database; as a link's end it is called `monitor`. */
      readonly monitor: TargetMonitor;
    }
  | {
      readonly kind: 'command';
      readonly syncStandbys: number;
      /** Lists of words, run on the worker's machine without a shell. Prints the primary's name, or nothing; null: the nodes are asked over SQL. */
      readonly status: readonly string[] | null;
      /** `{candidate}` and `{primary}` stand for nodes' names, also inside a word. */
      readonly failover: readonly string[];
      /** `{node}` and `{primary}`; null: a node comes back by itself once it is started. */
      readonly rejoin: readonly string[] | null;
      /** Longest time that the failover is expected to take; what a measured one is compared with. */
      readonly expectedMs: number | null;
    }
  | {
      readonly kind: 'repmgr';
      readonly syncStandbys: number;
      /** Absolute path of repmgr.conf on each node's host, by node; a node's name is its name in repmgr too. */
      readonly config: { readonly [node: string]: string };
      /** Absolute path of repmgr there; null: beside PostgreSQL's own programs, in each node's `binDir`. */
      readonly program: string | null;
      /** Where repmgr keeps its book on each node: database and user of repmgr.conf's conninfo, a superuser as repmgr wants it. */
      readonly metadata: TargetRole & { readonly database: string };
    };

export type ServiceKind = 'dcs' | 'monitor' | 'router' | 'pooler';

/**
 * A process that is no node, and that nodes or clients need. A member of the DCS carries the name that it has in `controller.dcs`, a monitor the name
 * `monitor`. Commands as an agent's.
 */
export interface TargetService extends HostPort {
  readonly name: string;
  readonly kind: ServiceKind;
  readonly runsOn: TargetHost;
  /** Operating system user that it runs as; null: whoever runs gameday. */
  readonly osUser: string | null;
  /** Prints its pid, or nothing (or 0) when it does not run. */
  readonly find: readonly string[];
  /** Starts it if it does not run, and has it started again from now on by whoever did before. */
  readonly start: readonly string[];
  /** Has whoever would start it again leave it down once it dies, without ending it; null: nobody starts it again. */
  readonly leaveDown: readonly string[] | null;
}

export interface TargetMonitor extends HostPort {
  readonly database: string;
  readonly user: string;
  readonly password: string | null;
}

/** The end of links that lead to pg_auto_failover's monitor. */
export const MONITOR = 'monitor';

/** Where the book is kept of who may write, as ends of links: members of the DCS, or the monitor; none where gameday or a runbook keeps it. */
export function bookKeepers(controller: TargetController): readonly string[] {
  switch (controller.kind) {
    case 'standalone':
    case 'command':
    case 'repmgr':
      return [];
    case 'patroni':
      return controller.dcs.map(({ name }) => name);
    case 'pg-auto-failover':
      return [MONITOR];
  }
}

export interface TargetDcsMember extends HostPort {
  readonly name: string;
}

export interface Target {
  readonly name: string;
  readonly kind: TargetKind;
  /** PostgreSQL's system identifier as a decimal string: the target's real name, whatever the file is called. */
  readonly systemIdentifier: string;
  readonly site: string;
  readonly controller: TargetController;
  readonly nodes: readonly TargetNode[];
  readonly links: TargetLinks | null;
  readonly router: TargetRouter;
  /** How clients come in, e.g. { host, port } of the client link. */
  readonly entry: { readonly host: string; readonly port: number; readonly database: string };
  /** Further ways in; a plan's `probe.paths` chooses among them. */
  readonly paths: readonly TargetPath[];
  /** What faults on the DCS, the router and the pooler act on; targets written before it existed do not hold it. */
  readonly services?: readonly TargetService[] | undefined;
  readonly archive: TargetArchive | null;
  /** Roles by purpose; passwords are secret names or null (trust, peer). */
  readonly roles: {
    readonly operate: TargetRole;
    readonly observe: TargetRole;
    readonly probe: TargetRole;
    readonly replicate: TargetRole;
  };
  /** Where restores may land. */
  readonly sandbox: TargetSandbox | null;
  readonly policy: TargetPolicy;
  /** Outside labs: whose key alone reads what an old primary alone held. */
  readonly quarantine?: TargetQuarantine | undefined;
  /** Directory of gameday's sockets on this machine (guardian, supervisor). */
  readonly runDir: string;
  /** Free-form labels shown in reports (service, owner, …). */
  readonly labels: { readonly [name: string]: Json };
  /** Real incidents, which drills are compared with; missing: nobody names any. */
  readonly incidents?: readonly TargetIncident[] | undefined;
}

/** `on`: its day, as 2026-08-14. `faults`: kinds of fault that come closest to what broke. */
export interface TargetIncident {
  readonly name: string;
  readonly on: string;
  readonly faults: readonly string[];
}

export interface TargetQuarantine {
  /** Absolute path of an X.509 certificate in PEM, on the machine where gameday saves forks. Its key has no business there. */
  readonly certificate: string;
}

export interface TargetSandbox {
  readonly dir: string;
  readonly osUser: string | null;
  readonly binDir: string;
  /** Names of the machines (`hostname`) on which copies may stand; outside labs none is allowed that is not named. */
  readonly hosts?: readonly string[] | undefined;
  /** Memory that one copy may use where the host keeps control groups; missing: half of the machine's. */
  readonly memoryBytes?: number | undefined;
}

export interface TargetRole {
  readonly user: string;
  readonly password: string | null;
}
