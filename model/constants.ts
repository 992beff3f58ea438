/** Numbers and names that several rooms must agree on. Each states its unit and where it comes from (shared design). */

/** Version of plan, record and event documents; raised when a reader must know the difference. */
export const FORMAT_VERSION = 1;
/** TTL of a fault's lease: more than heartbeat timeout + retry + worker restart (design: 60 s). */
export const DEFAULT_LEASE_TTL_MS = 60_000;
/** No lease lives longer than this unless its plan asks for less. */
export const DEFAULT_FAULT_MAX_MS = 15 * 60_000;
/** Nodes that faults standing at once may hurt, unless the policy says otherwise. */
export const DEFAULT_MAX_NODES_AT_ONCE = 1;
/** Namespace of signatures over approvals (`ssh-keygen -Y sign -n`): one made for something else is none. */
export const APPROVAL_NAMESPACE = 'gameday-approval@v1';
/** People, besides whoever starts it, who must approve what breaks production. */
export const APPROVALS_NEEDED = 2;
/** Interval at which the `hold` activity renews leases and the prober's own lease. */
export const RENEW_EVERY_MS = 5_000;
/** Client deadline of one probe operation (MEASUREMENT: default 2 s, then hard reconnect). */
export const DEFAULT_CLIENT_DEADLINE_MS = 2_000;
/** δ, the period of one probe stream (MEASUREMENT: default 5 ms). */
export const DEFAULT_PERIOD_MS = 5;
/** Window that must be good for an instant to count as recovered (MEASUREMENT: 10 s in drills). */
export const DEFAULT_RECOVERY_WINDOW_MS = 10_000;
/** Share of successful operations that makes a window good. */
export const RECOVERY_SUCCESS_RATIO = 0.999;
/** Connections that a stream on a further way in, or a naive one, may take: its pace is slow. */
export const OTHER_STREAM_CONNECTIONS = 4;
/** Node sampler rate, in samples per second and node. */
export const SAMPLER_HZ = 10;

/** Exit codes of the command line. Where several apply: 5, then 1, 4, 3. */
export const EXIT = {
  pass: 0,
  objectiveMissed: 1,
  badInput: 2,
  inconclusive: 3,
  aborted: 4,
  unsafe: 5,
  refused: 6,
  internal: 70,
  unavailable: 75,
  detached: 130,
} as const;
export type ExitCode = (typeof EXIT)[keyof typeof EXIT];
/** Connections at most of one stream of the prober that is not the headline's: its pace is slow. */
export const OTHER_CONNECTIONS = 4;

/**
 * Timers of a controller that works by itself, in the words of the field: how long a leader that is silent is still held for alive, how far apart its
 * agents look, and how long an agent tries to reach its store before it gives up.
 */
export const TIMER_NAMES = ['ttl', 'loop_wait', 'retry_timeout'] as const;

/** What a restored copy is asked besides where it landed, in the order in which it is asked. */
export const PROOF_CHECKS = [
  'isolation',
  'first-use',
  'roles',
  'extensions',
  'indexes',
  'sequences',
  'collations',
  'digests',
  'heap-read',
  'amcheck',
  'new-backup',
  'checksums',
] as const;
/** Those that read the whole copy; `quick` leaves them out. */
export const THOROUGH_PROOF_CHECKS: readonly (typeof PROOF_CHECKS)[number][] = ['heap-read', 'amcheck', 'new-backup', 'checksums'];
/** A copy larger than this is not read whole unless the scenario says so. */
export const DEFAULT_PROOF_MAX_BYTES = 64 * 1024 ** 3;

/** Errors by which an archive says, before any byte moves, that a point cannot be restored; a step may expect one of them. */
export const RESTORE_REFUSALS = ['backup_missing', 'wal_missing', 'archive_key_wrong'] as const;
/** What a restore calls a key that opens nothing: a passphrase that nobody ever set. */
export const WRONG_KEY = 'wrong';

/** Why a node was no safe candidate, in words. */
export const CANDIDATE_LACK = { down: 'down', behind: 'behind', timeline: 'on an older timeline', primary: 'a primary itself' } as const;

/** What guards a node against people, compared between the one that led before a drill and the one that leads after it. */
export const SECURITY_ASPECTS = [
  'TLS',
  'rules of access',
  'password encryption',
  'kinds of password verifiers',
  'roles',
  'extensions',
  'archiving',
] as const;
