/**
 * Where an archive to be audited stands: as a target file says, or by bucket and prefix alone. It resolves no secret; that is done where the store is
 * opened.
 */
import { randomInt } from 'node:crypto';
import { GamedayError, messageOf } from '../../../core/errors';
import { formatMs } from '../../../core/units';
import type { ArchiveAudit, ArchiveLayout, AuditCheckName } from '../../../model/archive-audit';
import type { ArchiveExposure, CheckResult, Maybe } from '../../../model/record';
import type { Target } from '../../../model/target';
import { openS3Store, type S3Settings } from '../../../objects/s3-store';
import { archiveSettings } from '../archive-store';
import { barmanSettings } from '../barman-cloud-run';
import { walGSettings } from '../wal-g-config';
import { auditArchive } from './audit-archive';

export interface AuditSource {
  readonly settings: S3Settings;
  readonly layout: ArchiveLayout | null;
  readonly stanza: string | null;
  readonly systemIdentifier: string | null;
  readonly maxAgeMs: number | null;
}

export interface AuditOptions {
  readonly sample: number | 'all';
  readonly seed: number;
  readonly windowMs: number | null;
  /** Of the newest segment; null: as the target's policy says. */
  readonly maxAgeMs: number | null;
  /** Try whether the credentials could delete, on an object of our own. */
  readonly tryDelete: boolean;
  readonly signal: AbortSignal;
  readonly onProgress: (progress: { readonly objects: number; readonly examined: number }) => void;
}

/** Deadline of one request; a segment of 1 GB takes longer than usual. */
export const AUDIT_REQUEST_MS = 60_000;
/** Of a sample, files of each backup that are read. */
const FILES_PER_BACKUP = 3;

/** Throws `setting_invalid` for a target that names no archive, or one whose bucket only its own tool knows. */
export function auditSourceOf(target: Target): AuditSource {
  const { archive, systemIdentifier, policy } = target;
  const settings = settingsOf(target);
  if (archive === null || settings === null)
    throw new GamedayError(
      'setting_invalid',
      `target ${target.name} names no ${archive === null ? 'archive' : `bucket: where its repository stands is for ${archive.kind} alone to know`}`,
      'name it in the target file, or audit it by --endpoint, --bucket and --prefix.',
    );
  return { settings, layout: archive.kind, stanza: null, systemIdentifier, maxAgeMs: policy.maxArchiveAgeMs };
}

function settingsOf(target: Target): S3Settings | null {
  switch (target.archive?.kind) {
    case 'native':
      return archiveSettings(target, null, AUDIT_REQUEST_MS);
    case 'barman-cloud':
      return barmanSettings(target.archive, AUDIT_REQUEST_MS);
    case 'wal-g':
      return walGSettings(target.archive, AUDIT_REQUEST_MS);
    case 'pgbackrest':
    case undefined:
      return null;
  }
}

export function auditSource(source: AuditSource, options: AuditOptions): Promise<ArchiveAudit> {
  return auditArchive({
    ...options,
    store: openS3Store(source.settings),
    layout: source.layout,
    stanza: source.stanza,
    systemIdentifier: source.systemIdentifier,
    filesPerBackup: options.sample === 'all' ? Infinity : options.sample === 0 ? 0 : FILES_PER_BACKUP,
    maxAgeMs: options.maxAgeMs ?? source.maxAgeMs,
    bucket: source.settings,
  });
}

/** Read at a pre-flight besides the newest and those that backups begin with. */
const READY_SAMPLE = 2;
const READY_MS = 10_000;
const READY_PROGRESS = (): void => undefined;

/** Checks that are about the bucket's own settings, and about who could destroy what is in it. */
const BUCKET_CHECKS: readonly AuditCheckName[] = ['versioning', 'object lock', 'lifecycle', 'public access', 'deletion'];

/** The audit as a pre-flight's check; what it says of the bucket, too, is in `examineAtReady`. Never rejects. */
export async function auditAtReady(target: Target): Promise<CheckResult> {
  return (await examineAtReady(target)).check;
}

/**
 * The audit as a pre-flight's check: a small sample, broken off after ten seconds. Only what hits a restore of the newest state refuses a drill; the rest
 * is said, and what the bucket promises is told beside it. Changes nothing in the store, so it does not try to delete; it never rejects.
 */
export async function examineAtReady(target: Target): Promise<{ readonly check: CheckResult; readonly exposure: Maybe<ArchiveExposure> }> {
  const name = 'archive audit';
  const expected = 'nothing that keeps the newest state from being restored';
  const closed = whyClosed(target);
  if (closed !== null) {
    const found = `not examined: ${closed}; \`gameday archive audit\` reads it by --bucket`;
    return { check: { name, ok: true, found, expected, hint: null }, exposure: { notRecorded: found } };
  }
  const late = AbortSignal.timeout(READY_MS);
  try {
    const audit = await readyAudit(auditSourceOf(target), late);
    const archive = audit.findings.filter(({ check }) => !BUCKET_CHECKS.includes(check));
    const hits = archive.filter(({ severity, hitsNewest }) => severity === 'high' && hitsNewest);
    const others = archive.length - hits.length;
    const [worst] = hits;
    const found = `${audit.examined} of ${audit.segments} segments read, seed ${audit.seed}${others === 0 ? '' : `, ${others} findings that do not hit the newest state: \`gameday archive audit\` lists them`}`;
    const check: CheckResult =
      worst === undefined
        ? { name, ok: true, found, expected, hint: null }
        : { name, ok: false, found: `${worst.key ?? audit.location}: ${worst.what}; ${worst.effect}`, expected, hint: worst.remedy };
    return { check, exposure: exposureOf(audit) };
  } catch (error) {
    // Whether the tool gets in, which may know another way, is for its own check to say.
    if (!late.aborted && target.archive?.kind === 'wal-g' && error instanceof GamedayError && error.code === 'store_unreachable') {
      const found = `not examined: gameday’s own reading did not get into the bucket, ${messageOf(error)}`;
      return { check: { name, ok: true, found, expected, hint: null }, exposure: { notRecorded: found } };
    }
    const found = late.aborted
      ? `not examined: more than ${formatMs(READY_MS)}; \`gameday archive audit\` takes its time`
      : messageOf(error);
    const hint = !late.aborted && error instanceof GamedayError ? error.hint : null;
    return { check: { name, ok: late.aborted, found, expected, hint }, exposure: { notRecorded: found } };
  }
}

/** Why gameday cannot get at the bucket by what the target names; null: it can. */
function whyClosed({ archive }: Target): string | null {
  switch (archive?.kind) {
    case 'pgbackrest':
      return 'where the repository stands is for pgBackRest to know';
    case 'wal-g':
      try {
        walGSettings(archive, READY_MS);
        return null;
      } catch (error) {
        return messageOf(error);
      }
    case 'native':
    case 'barman-cloud':
    case undefined:
      return null;
  }
}

function readyAudit({ settings, layout, stanza, systemIdentifier }: AuditSource, signal: AbortSignal): Promise<ArchiveAudit> {
  const quick = { ...settings, timeoutMs: READY_MS };
  return auditArchive({
    store: openS3Store(quick),
    layout,
    stanza,
    systemIdentifier,
    sample: READY_SAMPLE,
    filesPerBackup: 0,
    seed: randomInt(2 ** 32),
    windowMs: null,
    maxAgeMs: null,
    bucket: quick,
    tryDelete: false,
    signal,
    onProgress: READY_PROGRESS,
  });
}

/** Of an audit, what is about the bucket: who can read the archive, and what becomes of an object that is deleted. */
export function exposureOf({ checks, findings }: Pick<ArchiveAudit, 'checks' | 'findings'>): ArchiveExposure {
  return {
    findings: findings
      .filter(({ check }) => BUCKET_CHECKS.includes(check))
      .map(({ check, severity, what, effect }) => ({ check, severity, what, effect })),
    notExamined: checks
      .filter(({ name, state }) => BUCKET_CHECKS.includes(name) && state === 'not-examined')
      .map(({ name, found }) => `${name}: ${found}`),
  };
}
