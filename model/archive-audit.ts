/** What the archive auditor found: plain data, for people, scripts and pre-flights. Positions are texts (`0/3000028`), times ISO 8601 in UTC. */

export type ArchiveLayout = 'native' | 'pgbackrest' | 'wal-g' | 'barman-cloud';

/** `high`: something cannot be restored, or could be destroyed or read by anybody. `medium`: a promise is not kept. `low`: worth knowing. */
export type AuditSeverity = 'high' | 'medium' | 'low';

export type AuditCheckName =
  | 'archive'
  | 'backups'
  | 'timelines'
  | 'WAL continuity'
  | 'WAL objects'
  | 'WAL content'
  | 'reach'
  | 'newest WAL'
  | 'versioning'
  | 'object lock'
  | 'lifecycle'
  | 'public access'
  | 'deletion';

export interface AuditFinding {
  readonly check: AuditCheckName;
  readonly severity: AuditSeverity;
  /** The object, or where it should stand; null where the finding is about the bucket as a whole. Relative to the archive's prefix. */
  readonly key: string | null;
  readonly what: string;
  /** What it means for a restore: from which point to which point nothing can be restored. */
  readonly effect: string;
  readonly remedy: string;
  /** True if restoring the newest state is hit, too, and not just older points. */
  readonly hitsNewest: boolean;
}

/** `not-examined`: the check could not be made, or not for everything; `found` says why. It never stands for fine. */
export interface AuditCheck {
  readonly name: AuditCheckName;
  readonly state: 'fine' | 'found' | 'not-examined';
  readonly found: string;
}

export interface AuditPoint {
  readonly lsn: string;
  /** When the store got the segment, or the backup ended. */
  readonly at: string | null;
}

/** Every point from `from` to `to` can be restored, by `backup` and later ones. */
export interface AuditWindow {
  readonly timeline: number;
  readonly backup: string;
  readonly from: AuditPoint;
  readonly to: AuditPoint;
}

export interface AuditedBackup {
  readonly label: string;
  readonly type: 'full' | 'differential' | 'incremental';
  readonly timeline: number | null;
  readonly startLsn: string | null;
  readonly stopLsn: string | null;
  readonly finishedAt: string | null;
  /** False if what was examined shows that it cannot be restored; null if that could not be told. */
  readonly usable: boolean | null;
}

export interface AuditedTimeline {
  readonly timeline: number;
  /** Null for a timeline that no history file tells of. */
  readonly parent: number | null;
  readonly switchedAt: string | null;
  readonly segments: number;
  readonly first: string | null;
  readonly last: string | null;
}

export interface ArchiveAudit {
  readonly layout: ArchiveLayout;
  /** Store, bucket and prefix, without credentials. */
  readonly location: string;
  /** pgBackRest's stanza; null elsewhere. */
  readonly stanza: string | null;
  readonly startedAt: string;
  readonly tookMs: number;
  /** Decides which segments of a sample are read; the same seed reads the same ones of the same archive. */
  readonly seed: number;
  readonly encrypted: boolean;
  readonly systemIdentifier: string | null;
  readonly serverVersion: number | null;
  readonly walSegmentBytes: number;
  readonly objects: number;
  readonly bytes: number;
  readonly segments: number;
  /** Segments whose content was read and checked. */
  readonly examined: number;
  readonly timelines: readonly AuditedTimeline[];
  readonly backups: readonly AuditedBackup[];
  readonly windows: readonly AuditWindow[];
  readonly newest: { readonly segment: string; readonly key: string; readonly at: string; readonly ageMs: number } | null;
  readonly checks: readonly AuditCheck[];
  readonly findings: readonly AuditFinding[];
  /** Findings beyond the limit of each kind, which are counted and not listed. */
  readonly unlisted: number;
}
