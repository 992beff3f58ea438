/**
 * Where a restore has to land: the point that the scenario asked for, resolved late to what PostgreSQL is told and to a position in WAL, and made safe to
 * ask for: WAL behind it is archived, a time has a transaction after it, and a backup that ends before it exists.
 */
import { until } from '../core/clock';
import { GamedayError } from '../core/errors';
import { formatLsn, parseLsn, WAL_SEGMENT_BYTES, walSegmentName } from '../core/lsn';
import type { RestorePoint, RestoreStep } from '../model/plan';
import { endsWithArchive } from '../targets/archives/archive-end';
import type { CommitRecord } from '../targets/archives/commit-order';
import type { Archive, ArchiveEnd, BackupView, LiveTarget, RecoveryTarget } from '../targets/ports';
import type { InjectResult, MarkResult, RestoreInput } from './contract';

const ARCHIVE_WAIT_MS = 60_000;
/** How many backups back a transaction is looked for. */
const MAX_BACKUPS_BACK = 20;

/** A restore point with everything late resolved. `lsn`: just behind what must be replayed, or as far as is known. */
export interface Resolved {
  readonly setting: RecoveryTarget['setting'];
  readonly value: string;
  readonly inclusive: boolean;
  readonly lsn: string;
  readonly timeline: number;
  readonly words: string;
  /** Null: the newest that ends before `lsn`. */
  readonly backup: string | null;
}

interface Position {
  readonly lsn: string;
  readonly timeline: number;
}

/**
 * Throws `step_failed`, `backup_missing`, `wal_missing`, `setting_invalid`; writes one small record into WAL where a time is asked for, and nothing else.
 * `primary`: null when none is up; only points whose place is known without it can be resolved then.
 */
export async function resolvePoint(
  input: RestoreInput,
  live: LiveTarget,
  archive: Archive,
  primary: string | null,
  signal: AbortSignal,
): Promise<Resolved> {
  const { step, mark } = input;
  const marked = step.to.kind === 'name' && mark != null ? namedPoint(mark) : await resolveKind(input, live, archive, primary, signal);
  return step.backup === undefined ? marked : { ...marked, backup: step.backup };
}

function namedPoint({ facts }: MarkResult): Resolved {
  return {
    setting: 'recovery_target_name',
    value: facts.name,
    inclusive: true,
    lsn: facts.lsn,
    timeline: facts.timeline,
    words: `restore point ${facts.name}`,
    backup: null,
  };
}

async function resolveKind(
  { step, damage }: RestoreInput,
  live: LiveTarget,
  archive: Archive,
  primary: string | null,
  signal: AbortSignal,
): Promise<Resolved> {
  const { to } = step;
  switch (to.kind) {
    case 'before-step':
      return beforeStep(to.step, damage);
    case 'latest':
      return latestPoint(await archive.end());
    case 'xid': {
      const now = await currentPosition(live, primary);
      const place = step.backup === undefined ? await placeOfXid(archive, live, to.xid, now, signal) : now;
      const words = `transaction ${to.xid}${to.inclusive ? '' : ', exclusive'}`;
      return { setting: 'recovery_target_xid', value: to.xid, inclusive: to.inclusive, ...place, words, backup: null };
    }
    case 'lsn': {
      const { timeline } = await currentPosition(live, primary);
      return {
        setting: 'recovery_target_lsn',
        value: to.lsn,
        inclusive: to.inclusive,
        timeline,
        lsn: to.lsn,
        words: `position ${to.lsn}`,
        backup: null,
      };
    }
    case 'time':
      return timePoint(to, step, archive, await markTime(live, primary, to.time));
    case 'name': {
      const now = await currentPosition(live, primary);
      return { setting: 'recovery_target_name', value: to.name, inclusive: true, ...now, words: `restore point ${to.name}`, backup: null };
    }
    case 'immediate': {
      const backup = await newestBackup(archive, step.backup);
      const words = `as soon as backup ${backup.name} is consistent`;
      const { stopLsn: lsn, timeline, name } = backup;
      return { setting: 'recovery_target', value: 'immediate', inclusive: true, lsn, timeline, words, backup: name };
    }
  }
}

/** The last segment's end: what lies behind the last record in it, recovery finds out. */
function latestPoint({ lsn, timeline }: ArchiveEnd): Resolved {
  const words = `all that the archive holds: timeline ${timeline} up to ${lsn}`;
  return { setting: 'recovery_target', value: 'latest', inclusive: true, lsn, timeline, words, backup: null };
}

function beforeStep(step: string, damage: InjectResult | null): Resolved {
  const { xid, lsnAfter, timeline } = damage?.facts ?? {};
  if (typeof xid !== 'string' || typeof lsnAfter !== 'string' || typeof timeline !== 'number') {
    throw new GamedayError(
      'step_failed',
      `step "${step}" recorded no transaction to restore before`,
      'restore before a step that does damage: drop-table or mass-update.',
    );
  }
  const words = `just before transaction ${xid} of step ${step}`;
  return { setting: 'recovery_target_xid', value: xid, inclusive: false, lsn: lsnAfter, timeline, words, backup: null };
}

/** The newest backup that ended before the time; a newer one would begin recovery behind its target, or never reach it. */
async function timePoint(
  to: Extract<RestorePoint, { kind: 'time' }>,
  step: RestoreStep,
  archive: Archive,
  now: Position,
): Promise<Resolved> {
  const point = { setting: 'recovery_target_time', value: to.time, inclusive: true, ...now, words: `time ${to.time}` } as const;
  if (step.backup !== undefined) return { ...point, backup: step.backup };
  const backups = await archive.backups();
  const usable = backups.filter(({ finishedAt }) => Date.parse(finishedAt) <= Date.parse(to.time));
  const backup = usable.at(-1);
  if (backup !== undefined) return { ...point, backup: backup.name };
  const first = backups[0];
  throw new GamedayError(
    'backup_missing',
    first === undefined
      ? `the archive holds no backup, so ${to.time} cannot be restored`
      : `${to.time} is outside retention: the oldest backup, ${first.name}, ended at ${first.finishedAt}`,
    first === undefined ? null : `ask for a time after ${first.finishedAt}, or keep backups for longer.`,
  );
}

async function newestBackup(archive: Archive, name: string | undefined): Promise<BackupView> {
  const backups = await archive.backups();
  const backup = name === undefined ? backups.at(-1) : backups.find((each) => each.name === name);
  if (backup === undefined) throw new GamedayError('backup_missing', `the archive holds no backup${name === undefined ? '' : ` ${name}`}`);
  return backup;
}

/** Throws `step_failed`. */
function requireOne(primary: string | null): string {
  if (primary !== null) return primary;
  throw new GamedayError(
    'step_failed',
    'no primary is up, and this point’s place in WAL is for it to tell',
    'without a primary a restore goes to `latest`, `immediate`, a restore point of this drill, or before a step of it.',
  );
}

async function currentPosition(live: LiveTarget, name: string | null): Promise<Position> {
  const primary = requireOne(name);
  const rows = await live.sql(primary, 'operate', (sql) =>
    sql.query('SELECT lsn::text AS lsn, pg_walfile_name(lsn) AS segment FROM pg_current_wal_insert_lsn() AS lsn'),
  );
  return positionOf(rows[0], primary);
}

function positionOf(row: { readonly [column: string]: string | null } | undefined, primary: string): Position {
  const { lsn, segment } = row ?? {};
  if (typeof lsn !== 'string' || typeof segment !== 'string')
    throw new GamedayError('step_failed', `${primary} does not say its WAL position`);
  return { lsn, timeline: parseInt(segment.slice(0, 8), 16) };
}

/**
 * Commits a transaction after the time, by the primary's own clock: recovery to a time stops at the first commit behind it, and without one it ends in an
 * error (PostgreSQL 13 and later).
 */
async function markTime(live: LiveTarget, name: string | null, time: string): Promise<Position> {
  const primary = requireOne(name);
  return live.sql(primary, 'operate', async (sql) => {
    const late = await sql.query('SELECT (clock_timestamp() > $1::timestamptz)::text AS past, clock_timestamp()::text AS now', [time]);
    if (late[0]?.['past'] !== 'true')
      throw new GamedayError(
        'setting_invalid',
        `${time} has not come yet: ${primary} says ${late[0]?.['now'] ?? '?'}`,
        'a restore goes back, never ahead.',
      );
    await sql.query(`SELECT pg_logical_emit_message(true, 'gameday', 'after a restore’s target')`);
    const rows = await sql.query('SELECT lsn::text AS lsn, pg_walfile_name(lsn) AS segment FROM pg_current_wal_insert_lsn() AS lsn');
    return positionOf(rows[0], primary);
  });
}

/** Looks for the commit in archived WAL, from the newest backup back; where the archive cannot be read so, the newest backup is tried. */
async function placeOfXid(archive: Archive, live: LiveTarget, xid: string, now: Position, signal: AbortSignal): Promise<Position> {
  if (archive.commits === undefined) return now;
  const { sandbox } = live.target;
  const backups = [...(await archive.backups())].reverse().slice(0, MAX_BACKUPS_BACK);
  await switchWal(live, archive, now, signal);
  const wanted = low32(xid);
  let toLsn = now.lsn;
  for (const backup of backups) {
    const range = { timeline: now.timeline, fromLsn: backup.startLsn, toLsn, binDir: sandbox?.binDir ?? '' };
    if (parseLsn(range.fromLsn) >= parseLsn(toLsn)) continue;
    const found = (await archive.commits(range, signal)).find((commit) => commit.xid === wanted || commit.subxacts.includes(wanted));
    if (found !== undefined && parseLsn(found.lsn) > parseLsn(backup.stopLsn)) return { lsn: behind(found), timeline: now.timeline };
    toLsn = backup.startLsn;
  }
  throw new GamedayError(
    'backup_missing',
    `transaction ${xid} did not commit after any of the ${backups.length} newest backups that the archive holds`,
    'name the backup to begin with as `backup`, if an older one holds it.',
  );
}

/** WAL knows the low 32 bits of a transaction id. */
export const low32 = (xid: string): string => String(BigInt(xid) & 0xffffffffn);

/** Surely behind a commit record: none is longer than a page. */
const behind = ({ lsn }: CommitRecord): string => formatLsn(parseLsn(lsn) + 8_192n);

/**
 * Switches WAL on the living primary and waits until the archive holds the segment with the target. Returns the position up to which WAL is archived now.
 * Where no primary is up nothing more comes: what the archive holds is all there is.
 */
export async function awaitArchived(
  live: LiveTarget,
  archive: Archive,
  primary: string | null,
  point: Resolved,
  signal: AbortSignal,
): Promise<string> {
  if (endsWithArchive(point)) return point.lsn;
  if (primary === null) return endOfSegment(formatLsn(parseLsn(point.lsn) - 1n));
  // lsn may stand exactly at a segment's end: what must be replayed lies before it.
  const wanted = { lsn: formatLsn(parseLsn(point.lsn) - 1n), timeline: point.timeline };
  const now = await currentPosition(live, primary);
  // On a timeline that was left nothing more is written. On the current one WAL up to now is wanted, not up to the target alone: writes that were under way when
  // the damage was done commit behind it, and only their commit records settle which side of the target they are on.
  if (now.timeline !== wanted.timeline && (await archive.holds(walSegmentName(wanted.timeline, parseLsn(wanted.lsn)))))
    return endOfSegment(wanted.lsn);
  return switchWal(live, archive, parseLsn(now.lsn) < parseLsn(wanted.lsn) ? wanted : { ...now, timeline: wanted.timeline }, signal);
}

const endOfSegment = (lsn: string): string => formatLsn((parseLsn(lsn) / WAL_SEGMENT_BYTES + 1n) * WAL_SEGMENT_BYTES);

async function switchWal(live: LiveTarget, archive: Archive, upTo: Position, signal: AbortSignal): Promise<string> {
  const { primary } = await live.controller.topology();
  if (primary === null) throw new GamedayError('step_failed', 'no node is the primary, so its WAL cannot be switched');
  const rows = await live.sql(primary, 'operate', (sql) => sql.query('SELECT pg_switch_wal()::text AS lsn'));
  const switched = rows[0]?.['lsn'];
  if (typeof switched !== 'string') throw new GamedayError('step_failed', `${primary} does not say up to where it switched WAL`);
  // Where nothing was written since the last switch it answers with the start of the segment in use, which nobody archives yet.
  const last = parseLsn(switched) < parseLsn(upTo.lsn) ? parseLsn(switched) : parseLsn(upTo.lsn);
  const segment = walSegmentName(upTo.timeline, last - 1n);
  await until(async () => ((await archive.holds(segment)) ? true : null), {
    timeoutMs: ARCHIVE_WAIT_MS,
    everyMs: 100,
    signal,
    onTimeout: () =>
      new GamedayError(
        'wal_missing',
        `segment ${segment}, which holds the target, did not reach the archive within ${ARCHIVE_WAIT_MS / 1000} s`,
      ),
  });
  const end = endOfSegment(formatLsn(last - 1n));
  return parseLsn(switched) < parseLsn(end) ? switched : end;
}
