/**
 * How far an archive leads by itself: the newest timeline on which it holds WAL, and the end of its last whole segment. It asks no server, so that it can be
 * told when nothing but the archive is left. A history file alone makes no timeline: one that nobody wrote WAL on is stray, and following it would lose rows.
 */
import { GamedayError } from '../../core/errors';
import { formatLsn, parseWalSegmentName, WAL_SEGMENT_BYTES } from '../../core/lsn';
import type { ArchiveEnd, BackupView, RecoveryTarget } from '../ports';

/** Numbers of timelines that nothing was archived on are passed over, so many in a row: a standby may have been promoted and never have archived. */
const GAP = 8;

/** `segments`: names of the whole segments of a timeline, in order. Throws `backup_missing`, `wal_missing`. */
export async function archiveEnd(
  backups: readonly Pick<BackupView, 'name' | 'timeline'>[],
  segments: (timeline: number) => Promise<readonly string[]>,
): Promise<ArchiveEnd> {
  const newest = backups.at(-1);
  if (newest === undefined) throw new GamedayError('backup_missing', 'the archive holds no backup');
  let found: ArchiveEnd | null = null;
  let empty = 0;
  for (let timeline = newest.timeline; empty <= GAP; timeline += 1) {
    const last = parseWalSegmentName((await segments(timeline)).at(-1) ?? '');
    if (last !== null) found = { timeline, lsn: formatLsn(last.start + WAL_SEGMENT_BYTES) };
    empty = last === null ? empty + 1 : 0;
  }
  if (found === null)
    throw new GamedayError(
      'wal_missing',
      `the archive holds no WAL of timeline ${newest.timeline}, on which backup ${newest.name} was taken`,
    );
  return found;
}

/** Whether a recovery to this target replays all that the archive holds. */
export const endsWithArchive = ({ setting, value }: Pick<RecoveryTarget, 'setting' | 'value'>): boolean =>
  setting === 'recovery_target' && value === 'latest';
