/**
 * An archive that a team's own tool keeps, as the rest of gameday sees it: what every such kind has in common. Backup and timeline are chosen here and given
 * to the tool, never left to its own choice, and the way through WAL is looked up before a byte moves.
 */
import { GamedayError, messageOf } from '../../core/errors';
import { parseLsn, parseWalSegmentName, WAL_SEGMENT_BYTES } from '../../core/lsn';
import { formatMs } from '../../core/units';
import type { CheckResult } from '../../model/record';
import type { Target } from '../../model/target';
import type { Archive, BackupView, RecoveryTarget, RestoreEstimate } from '../ports';
import { archiveEnd } from './archive-end';
import { archivedCommits, type FetchWal } from './archived-commits';
import { restoreIntoSandbox, type RestoreSource } from './sandbox-restore';
import { removeSandboxDirectory } from './sandbox-server';
import { ancestry, describeSpans, historyName, liesOn, walPath, type TimelineSpan } from './wal-chain';

export interface ArchivedWal {
  readonly name: string;
  readonly modifiedAt: string;
}

/** What the archive holds, asked for anew whenever somebody wants to know. */
export interface ToolRepository {
  /** In a few words, for the audit: which archive this is. */
  readonly place: string;
  /** Oldest first; only those that can be restored. */
  readonly backups: readonly BackupView[];
  /** What this kind alone can tell, for the audit. */
  readonly checks: readonly CheckResult[];
  /** Whole segments of a timeline, in order. */
  segments(timeline: number): Promise<readonly ArchivedWal[]>;
  /** Text of a timeline's history file; null where the archive has none. */
  history(timeline: number): Promise<string | null>;
}

export interface ToolArchive {
  readonly kind: string;
  readonly target: Target;
  /** Throws `backup_missing`, `archive_key_wrong`, `store_unreachable`, `tool_missing`. */
  readonly look: () => Promise<ToolRepository>;
  readonly source: (recovery: RecoveryTarget, estimate: RestoreEstimate) => RestoreSource | Promise<RestoreSource>;
  readonly takeBackup: (...args: Parameters<Archive['takeBackup']>) => Promise<void>;
  /** What shows that the archive answers, for the audit. */
  readonly answers: string;
  /** Optional power: WAL files read by gameday itself, by which the order of commits is told without the primary's machine. */
  readonly wal?: FetchWal;
}

export function openToolArchive(tool: ToolArchive): Archive {
  const { target, look, wal } = tool;
  const estimate = async (recovery: RecoveryTarget): Promise<RestoreEstimate> => estimateIn(await look(), recovery);
  return {
    kind: tool.kind,
    backups: async () => (await look()).backups,
    async takeBackup(node, signal) {
      await tool.takeBackup(node, signal);
      const newest = (await look()).backups.at(-1);
      if (newest === undefined) throw new GamedayError('step_failed', `the backup of ${node.name} ended well, but the archive shows none`);
      return newest;
    },
    audit: () => audit(tool),
    async holds(segment) {
      const parsed = parseWalSegmentName(segment);
      if (parsed === null) return false;
      return (await (await look()).segments(parsed.timeline)).some(({ name }) => name === segment);
    },
    async end() {
      const repository = await look();
      return archiveEnd(repository.backups, async (timeline) => (await repository.segments(timeline)).map(({ name }) => name));
    },
    locate: async (point) => locateIn(await look(), point),
    estimate,
    async restore(recovery, sandbox, { through = null, ...options }) {
      if (through !== null)
        throw new GamedayError(
          'setting_invalid',
          `${tool.kind} fetches by its own tool, which cannot be led through the link of ${through}`,
        );
      const { dir, labels } = sandbox;
      const locate = async (): Promise<RestoreSource> => tool.source(recovery, await estimate(recovery));
      return restoreIntoSandbox({ target, recovery, dir, labels, locate, ...options });
    },
    removeSandbox: (dir) => removeSandboxDirectory(target, dir),
    ...(wal === undefined
      ? {}
      : { commits: async (range, signal) => archivedCommits(await spansOf(await look(), range.timeline), range, wal, signal) }),
  };
}

/** Throws `wal_missing` where the history file is not there: nothing is known of the way then. */
async function spansOf(repository: ToolRepository, timeline: number): Promise<TimelineSpan[]> {
  if (timeline === 1) return ancestry(1, '');
  const text = await repository.history(timeline);
  if (text === null)
    throw new GamedayError(
      'wal_missing',
      `${historyName(timeline)} is not in the archive`,
      'the new primary archives it after the promotion.',
    );
  return ancestry(timeline, text);
}

async function wayTo(repository: ToolRepository, backup: BackupView, timeline: number, upTo: bigint): Promise<readonly string[]> {
  const spans = await spansOf(repository, timeline);
  if (!liesOn(spans, backup.timeline, parseLsn(backup.stopLsn)))
    throw new GamedayError('backup_missing', `backup ${backup.name} is not on the history ${describeSpans(spans)}`);
  const names = new Set<string>();
  for (const span of spans) for (const { name } of await repository.segments(span.timeline)) names.add(name);
  const path = walPath(spans, parseLsn(backup.startLsn), upTo, (name) => names.has(name));
  if (path.missing !== null)
    throw new GamedayError(
      'wal_missing',
      `${path.missing} is not in the archive; the restore needs every segment from ${backup.startWal} on`,
    );
  return path.segments;
}

async function estimateIn(repository: ToolRepository, recovery: RecoveryTarget): Promise<RestoreEstimate> {
  const backup = repository.backups.find(({ name }) => name === recovery.backup);
  if (backup === undefined) throw new GamedayError('backup_missing', `there is no backup ${recovery.backup} in ${repository.place}`);
  const last = parseWalSegmentName(recovery.lastSegment);
  if (last === null) throw new GamedayError('setting_invalid', `"${recovery.lastSegment}" is not a WAL segment`);
  const spans = await spansOf(repository, recovery.timeline);
  const end = last.start + WAL_SEGMENT_BYTES - 1n;
  const until = spans.find((span) => span.timeline === last.timeline)?.end ?? null;
  const segments = await wayTo(repository, backup, recovery.timeline, until !== null && until < end ? until : end);
  const walBytes = segments.length * Number(WAL_SEGMENT_BYTES);
  return { backup, baseBytes: backup.bytes, walBytes, segments, requests: null };
}

async function locateIn(repository: ToolRepository, point: Parameters<Archive['locate']>[0]): Promise<RecoveryTarget> {
  const { setting, value, inclusive, lsn: position, timeline, backup: named = null } = point;
  const lsn = parseLsn(position);
  const spans = await spansOf(repository, timeline);
  const backup = repository.backups
    .filter((one) => parseLsn(one.stopLsn) <= lsn && liesOn(spans, one.timeline, parseLsn(one.stopLsn)))
    .filter((one) => named === null || one.name === named)
    .at(-1);
  if (backup === undefined)
    throw new GamedayError(
      'backup_missing',
      `no backup${named === null ? '' : ` ${named}`} on timeline ${timeline} ends before ${position}`,
    );
  const segments = await wayTo(repository, backup, timeline, setting === 'recovery_target_lsn' ? lsn : lsn - 1n);
  return { backup: backup.name, timeline, setting, value, inclusive, lastSegment: segments.at(-1) ?? backup.startWal };
}

export const toolCheck = (name: string, ok: boolean, found: string, expected: string, hint: string): CheckResult => ({
  name,
  ok,
  found,
  expected,
  hint: ok ? null : hint,
});

async function audit({ target, look, answers }: ToolArchive): Promise<CheckResult[]> {
  let repository: ToolRepository;
  try {
    repository = await look();
  } catch (error) {
    const hint = (error instanceof GamedayError ? error.hint : null) ?? 'without the archive nothing can be restored.';
    return [toolCheck('archive reachable', false, messageOf(error), answers, hint)];
  }
  const newest = repository.backups.at(-1);
  const checks = [
    toolCheck('archive reachable', true, repository.place, answers, ''),
    toolCheck('base backup', newest !== undefined, newest?.name ?? 'none', 'one complete base backup', 'take a new base backup.'),
    ...repository.checks,
  ];
  return newest === undefined ? checks : [...checks, ...(await auditWal(target, repository, newest))];
}

async function auditWal({ policy }: Target, repository: ToolRepository, newest: BackupView): Promise<CheckResult[]> {
  const last = (await repository.segments(newest.timeline)).at(-1);
  const ageMs = last === undefined ? Infinity : Date.now() - Date.parse(last.modifiedAt);
  const limit = policy.maxArchiveAgeMs;
  const age = toolCheck(
    'newest archived WAL',
    ageMs <= limit,
    last === undefined ? 'none' : `${last.name}, ${formatMs(ageMs)} old`,
    `at most ${formatMs(limit)} old`,
    'set archive_timeout on the primary, or find out why archiving is behind.',
  );
  const until = last === undefined ? null : parseWalSegmentName(last.name);
  const upTo = until === null ? parseLsn(newest.stopLsn) - 1n : until.start + WAL_SEGMENT_BYTES - 1n;
  const [name, expected, hint] = ['WAL continuity', `every segment since backup ${newest.name}`, 'take a new base backup.'];
  try {
    const segments = await wayTo(repository, newest, newest.timeline, upTo);
    return [age, toolCheck(name, true, `${segments.length} segments`, expected, hint)];
  } catch (error) {
    return [age, toolCheck(name, false, messageOf(error), expected, hint)];
  }
}
