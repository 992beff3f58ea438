/**
 * What the native archive no longer needs: backups beyond those to keep, and the WAL that no kept backup can use. The choice is pure; removing goes
 * backup by backup, its manifest first, so that what is cut short leaves no backup that only looks whole. It never leaves the archive without a backup.
 */
import { GamedayError, messageOf } from '../../core/errors';
import { parseLsn, parseWalSegmentName, WAL_SEGMENT_BYTES } from '../../core/lsn';
import type { ObjectStore } from '../../objects/store';
import { listBackups, manifestKey, type BackupManifest } from './base-backup';
import { walFileKind, walNameOfKey } from './wal-object';

/** Both must be content before a backup goes. */
export interface Keep {
  /** So many of the newest backups stay; at least 1. */
  readonly backups: number;
  /** Every moment of the last so many days stays reachable: also the newest backup that was complete before them. 0: no such window. */
  readonly days: number;
}

export interface RetentionPlan {
  readonly keep: readonly string[];
  readonly expire: readonly string[];
  /** Segments, partial segments and labels before the first position that a kept backup needs. History files stay: they are small and name every way. */
  readonly wal: readonly string[];
}

type Dated = Pick<BackupManifest, 'name' | 'startLsn' | 'finishedAt'>;

const DAY_MS = 86_400_000;

/**
 * `backups` oldest first. A segment goes only if it ends at or before the earliest start of all kept backups: positions never fall along a history, whatever its
 * timelines, so no kept backup's way leads through it. Throws `setting_invalid` for a rule that would keep nothing.
 */
export function planRetention(backups: readonly Dated[], wal: readonly string[], keep: Keep, nowMs: number): RetentionPlan {
  if (!Number.isInteger(keep.backups) || keep.backups < 1)
    throw new GamedayError('setting_invalid', `keep ${keep.backups} backups: at least 1 must stay`);
  if (!(keep.days >= 0)) throw new GamedayError('setting_invalid', `keep ${keep.days} days: the number is not valid`);
  const windowStart = nowMs - keep.days * DAY_MS;
  // Complete before the window: from it the window's first moment is reached.
  const anchor = keep.days === 0 ? -1 : backups.findLastIndex(({ finishedAt }) => Date.parse(finishedAt) <= windowStart);
  // Without such a backup nothing is older than the window.
  const inWindow = (at: number): boolean => keep.days > 0 && at >= anchor;
  const kept = backups.filter((_, at) => at >= backups.length - keep.backups || inWindow(at));
  const first = kept
    .map(({ startLsn }) => parseLsn(startLsn))
    .reduce<bigint | null>((least, lsn) => (least === null || lsn < least ? lsn : least), null);
  const useless = (name: string): boolean => {
    const segment = walFileKind(name) === 'history' ? null : parseWalSegmentName(name.slice(0, 24));
    return first !== null && segment !== null && segment.start + WAL_SEGMENT_BYTES <= first;
  };
  const names = new Set(kept.map(({ name }) => name));
  return { keep: [...names], expire: backups.filter(({ name }) => !names.has(name)).map(({ name }) => name), wal: wal.filter(useless) };
}

export async function listWal(store: ObjectStore): Promise<string[]> {
  const names: string[] = [];
  for await (const { key } of store.list('wal/')) {
    const name = walNameOfKey(key);
    if (name !== null) names.push(name);
  }
  return names;
}

export interface Expired {
  readonly plan: RetentionPlan;
  /** Objects that are gone now; in a bucket with versions their old versions stay until a lifecycle rule of the bucket removes them. */
  readonly objects: number;
  /** Why it stopped early, e.g. a lock; null if all is done. What is left is taken up by the next call. */
  readonly stopped: string | null;
}

/** Removes what `keep` does not ask for. A store that refuses (object lock, a policy) ends it without an error, with its reason. */
export async function expireBackups(store: ObjectStore, keep: Keep, nowMs: number, signal: AbortSignal): Promise<Expired> {
  const backups = await listBackups(store);
  const wal = await listWal(store);
  const plan = planRetention(backups, wal, keep, nowMs);
  let objects = 0;
  const remove = async (key: string): Promise<void> => {
    signal.throwIfAborted();
    await store.delete(key);
    objects += 1;
  };
  try {
    for (const backup of backups.filter(({ name }) => plan.expire.includes(name))) {
      await remove(manifestKey(backup.name));
      for (const { key } of backup.parts) await remove(key);
    }
    const useless = new Set(plan.wal);
    for await (const { key } of store.list('wal/')) if (useless.has(walNameOfKey(key) ?? '')) await remove(key);
  } catch (error) {
    signal.throwIfAborted();
    return { plan, objects, stopped: messageOf(error) };
  }
  return { plan, objects, stopped: null };
}
