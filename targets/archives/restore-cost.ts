/**
 * What a restore would move and need, before any byte does: told to people by `gameday plan`, held against the policy by readiness, and once more against the
 * archive's own estimate just before it begins. It reads the archive's list of backups and the primary's position, and touches nothing.
 */
import { existsSync, statfsSync } from 'node:fs';
import { dirname } from 'node:path';
import { GamedayError } from '../../core/errors';
import { parseLsn, walSegmentName, WAL_SEGMENT_BYTES } from '../../core/lsn';
import { formatBytes } from '../../core/units';
import type { RestoreStep } from '../../model/plan';
import type { Target } from '../../model/target';
import type { Archive, BackupView, LiveTarget, RestoreEstimate } from '../ports';
import { WAL_AHEAD_BYTES } from './wal-feeder';

/** A recovering server recycles WAL beyond max_wal_size, 1 GB unless it is set otherwise; a sandbox leaves it as it is. More of it lies ready ahead of replay. */
const WAL_KEPT_BYTES = 1024 ** 3;

export interface RestoreCost {
  readonly step: string;
  readonly backup: string;
  readonly baseBytes: number;
  /** At most: to a time, and to a step that is still to come, WAL is counted up to now. */
  readonly walBytes: number;
  readonly segments: number;
  /** Null: the archive's own tool decides. */
  readonly requests: number | null;
  readonly diskBytes: number;
  /** Where the copy would stand, now. */
  readonly freeBytes: number;
}

/** Why a restore is refused; `path`: the line of the target file that forbids it, null where none does. */
export interface CostRefusal {
  readonly path: readonly string[] | null;
  readonly why: string;
  readonly hint: string;
}

/** Throws `backup_missing` when nothing in the archive reaches back far enough, and what archive and primary throw. */
export async function costOfRestore(step: RestoreStep, live: LiveTarget, archive: Archive): Promise<RestoreCost> {
  const { primary } = await live.controller.topology();
  const backup = chooseBackup(step, await archive.backups());
  const end = await endOf(step, live, primary, backup);
  const from = parseLsn(backup.startLsn) / WAL_SEGMENT_BYTES;
  const segments = Number((end - 1n) / WAL_SEGMENT_BYTES - from) + 1;
  const requests = await requestsFor(archive, backup, end);
  const sizes = { baseBytes: backup.bytes, walBytes: segments * Number(WAL_SEGMENT_BYTES) };
  return { step: step.id, backup: backup.name, segments, requests, ...withDisk(live.target, sizes) };
}

type Sizes = Pick<RestoreCost, 'baseBytes' | 'walBytes'>;

function withDisk(target: Target, sizes: Sizes): Sizes & Pick<RestoreCost, 'diskBytes' | 'freeBytes'> {
  return {
    ...sizes,
    diskBytes: sizes.baseBytes + Math.min(sizes.walBytes, WAL_KEPT_BYTES + WAL_AHEAD_BYTES),
    freeBytes: freeBytesFor(target),
  };
}

/** Free space where copies stand; the directory itself may still be to be made. */
function freeBytesFor({ sandbox }: Target): number {
  let at = sandbox?.dir ?? '/';
  while (!existsSync(at)) at = dirname(at);
  const { bavail, bsize } = statfsSync(at);
  return bavail * bsize;
}

/** As the restore itself will choose. Exported for its test. */
export function chooseBackup({ to, backup: named }: Pick<RestoreStep, 'to' | 'backup'>, backups: readonly BackupView[]): BackupView {
  const usable = backups.filter((backup) => {
    if (named !== undefined) return backup.name === named;
    if (to.kind === 'time') return Date.parse(backup.finishedAt) <= Date.parse(to.time);
    return to.kind !== 'lsn' || parseLsn(backup.stopLsn) <= parseLsn(to.lsn);
  });
  const chosen = usable.at(-1);
  if (chosen !== undefined) return chosen;
  const [oldest] = backups;
  if (oldest === undefined) throw new GamedayError('backup_missing', 'the archive holds no backup');
  const point = to.kind === 'time' ? to.time : to.kind === 'lsn' ? to.lsn : (named ?? to.kind);
  throw new GamedayError(
    'backup_missing',
    named === undefined
      ? `${point} is outside retention: the oldest backup, ${oldest.name}, ended at ${oldest.finishedAt}, ${oldest.stopLsn}`
      : `the archive holds no backup ${named}`,
    'ask for a later point, or keep backups for longer.',
  );
}

async function endOf({ to }: RestoreStep, live: LiveTarget, primary: string | null, backup: BackupView): Promise<bigint> {
  if (to.kind === 'lsn') return parseLsn(to.lsn) + 1n;
  if (to.kind === 'immediate' || primary === null) return parseLsn(backup.stopLsn);
  const rows = await live.sql(primary, 'observe', (sql) => sql.query('SELECT pg_current_wal_lsn()::text AS lsn'));
  const now = parseLsn(rows[0]?.['lsn'] ?? '0/1');
  const stop = parseLsn(backup.stopLsn);
  return now > stop ? now : stop;
}

/** The archive's own count, with every segment that is archived so far. */
async function requestsFor(archive: Archive, backup: BackupView, end: bigint): Promise<number | null> {
  try {
    const estimate = await archive.estimate({
      backup: backup.name,
      timeline: backup.timeline,
      setting: 'recovery_target',
      value: 'immediate',
      inclusive: true,
      lastSegment: walSegmentName(backup.timeline, parseLsn(backup.stopLsn) - 1n),
    });
    if (estimate.requests === null) return null;
    return estimate.requests + Number((end - 1n) / WAL_SEGMENT_BYTES - (parseLsn(backup.stopLsn) - 1n) / WAL_SEGMENT_BYTES);
  } catch {
    // A gap in the archive is for its audit to say.
    return null;
  }
}

/** The first reason against it, or null. `maxRestoreBytes` counts base and WAL. */
export function refuseCost(target: Target, cost: Sizes & Pick<RestoreCost, 'diskBytes' | 'freeBytes'>): CostRefusal | null {
  const limit = target.policy.maxRestoreBytes ?? null;
  const moved = cost.baseBytes + cost.walBytes;
  if (limit !== null && moved > limit)
    return {
      path: ['policy', 'maxRestoreBytes'],
      why: `policy.maxRestoreBytes is ${formatBytes(limit)}, and the restore moves ${formatBytes(moved)}`,
      hint: 'raise it if the owner of the target agrees, or restore from a newer backup.',
    };
  if (cost.diskBytes > cost.freeBytes)
    return {
      path: null,
      why: `the copy needs ${formatBytes(cost.diskBytes)} at ${target.sandbox?.dir ?? ''}, where ${formatBytes(cost.freeBytes)} are free`,
      hint: 'free space there, or name another directory as sandbox.dir in the target file.',
    };
  return null;
}

/** The same, from the archive's estimate of the very restore that is about to begin. */
export function refuseEstimate(target: Target, { baseBytes, walBytes }: RestoreEstimate): CostRefusal | null {
  return refuseCost(target, withDisk(target, { baseBytes, walBytes }));
}
