/**
 * What `barman-cloud-backup-list --format json` says, as gameday's own types. Pure. Its times have lost their time zone (3.4 prints ctime()), so they are not
 * read here: `backup.info` beside each backup has them whole.
 */
import { GamedayError } from '../../core/errors';

interface Listed {
  readonly backup_id: string;
  readonly status?: string | null;
  readonly timeline?: number | null;
  readonly begin_xlog?: string | null;
  readonly end_xlog?: string | null;
  readonly begin_wal?: string | null;
  readonly tablespaces?: readonly (readonly [name: string, oid: number, location: string])[] | null;
  readonly snapshots_info?: unknown;
}

export interface BarmanBackup {
  readonly id: string;
  readonly timeline: number;
  readonly startLsn: string;
  readonly stopLsn: string;
  readonly startWal: string;
  readonly tablespaces: readonly { readonly name: string; readonly oid: number }[];
}

export interface BarmanList {
  /** Oldest first; those that ended well and whose files are in the bucket. */
  readonly backups: readonly BarmanBackup[];
  /** The others, each with the reason. */
  readonly unusable: readonly string[];
}

/** Throws `store_unreachable` for what is no such list. */
export function readBackupList(text: string): BarmanList {
  const listed = parse(text);
  const backups: BarmanBackup[] = [];
  const unusable: string[] = [];
  for (const one of [...listed].sort((a, b) => a.backup_id.localeCompare(b.backup_id))) {
    const { backup_id: id, status, timeline, begin_xlog: startLsn, end_xlog: stopLsn, begin_wal: startWal } = one;
    if (status !== 'DONE') unusable.push(`${id} is ${status ?? 'without a status'}`);
    else if (one.snapshots_info != null) unusable.push(`${id} is made of volume snapshots`);
    else if (timeline == null || startLsn == null || stopLsn == null || startWal == null) unusable.push(`${id} states no position`);
    else {
      const tablespaces = (one.tablespaces ?? []).map(([name, oid]) => ({ name, oid }));
      backups.push({ id, timeline, startLsn, stopLsn, startWal, tablespaces });
    }
  }
  return { backups, unusable };
}

function parse(text: string): readonly Listed[] {
  try {
    const { backups_list: list } = JSON.parse(text) as { readonly backups_list?: readonly Listed[] };
    if (Array.isArray(list)) return list as readonly Listed[];
  } catch (error) {
    throw new GamedayError('store_unreachable', 'barman-cloud-backup-list printed no JSON', null, { cause: error });
  }
  throw new GamedayError('store_unreachable', 'barman-cloud-backup-list printed no list of backups');
}
