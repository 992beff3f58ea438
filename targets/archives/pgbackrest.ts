/**
 * A team's pgBackRest repository as the rest of gameday sees it. Everything is asked of the tool itself, so that it works for every kind of repository;
 * backup and timeline are chosen here and given to it, never left to its own choice.
 */
import { GamedayError, messageOf } from '../../core/errors';
import { parseLsn, parseWalSegmentName, WAL_SEGMENT_BYTES } from '../../core/lsn';
import { formatMs } from '../../core/units';
import type { CheckResult } from '../../model/record';
import type { PgbackrestTargetArchive, Target } from '../../model/target';
import type { Archive, BackupView, Host, RecoveryTarget, RestoreEstimate } from '../ports';
import { firstLine, readInfo, readSegments, type ArchivedWal, type PgbackrestInfo } from './pgbackrest-info';
import { ownerOf, runPgbackrest } from './pgbackrest-run';
import { pgbackrestSource } from './pgbackrest-source';
import { restoreIntoSandbox } from './sandbox-restore';
import { removeSandboxDirectory } from './sandbox-server';
import { ancestry, describeSpans, historyName, liesOn, walPath, type TimelineSpan } from './wal-chain';

const ASK_LIMIT_MS = 120_000;
const BACKUP_LIMIT_MS = 24 * 3_600_000;

class Repository {
  constructor(
    private readonly target: Target,
    private readonly archive: PgbackrestTargetArchive,
  ) {}

  private async ask(words: readonly string[]): Promise<string> {
    const result = await runPgbackrest(this.archive, words, { place: { owner: ownerOf(this.target) }, timeoutMs: ASK_LIMIT_MS });
    if (result.code === 0) return result.stdout;
    const said = firstLine((result.stderr + result.stdout).replace(/^.*ERROR: /, ''));
    throw new GamedayError(result.code === 55 ? 'object_missing' : 'store_unreachable', `pgbackrest ${words[0] ?? ''}: ${said}`);
  }

  async info(): Promise<PgbackrestInfo> {
    return readInfo(await this.ask(['info', '--output=json']), this.archive.stanza);
  }

  /** All segments of a timeline; pgBackRest keeps 256 of them in a directory. */
  async segments(archiveId: string, timeline: number): Promise<ArchivedWal[]> {
    const at = `archive/${this.archive.stanza}/${archiveId}`;
    const prefix = historyName(timeline).slice(0, 8);
    const directories = Object.keys(JSON.parse(await this.ask(['repo-ls', at, '--output=json'])) as object);
    const found: ArchivedWal[] = [];
    for (const name of directories.filter((each) => each.startsWith(prefix) && each.length === 16))
      found.push(...readSegments(await this.ask(['repo-ls', `${at}/${name}`, '--output=json'])));
    return found;
  }

  async history(archiveId: string, timeline: number): Promise<TimelineSpan[]> {
    if (timeline === 1) return ancestry(1, '');
    try {
      return ancestry(timeline, await this.ask(['repo-get', `archive/${this.archive.stanza}/${archiveId}/${historyName(timeline)}`]));
    } catch (error) {
      if (!(error instanceof GamedayError) || error.code !== 'object_missing') throw error;
      throw new GamedayError(
        'wal_missing',
        `${historyName(timeline)} is not in the archive`,
        'the new primary archives it after the promotion.',
      );
    }
  }

  async way(info: PgbackrestInfo, backup: BackupView, timeline: number, upTo: bigint): Promise<readonly string[]> {
    const spans = await this.history(info.archiveId, timeline);
    if (!liesOn(spans, backup.timeline, parseLsn(backup.stopLsn)))
      throw new GamedayError('backup_missing', `backup ${backup.name} is not on the history ${describeSpans(spans)}`);
    const names = new Set<string>();
    for (const span of spans) for (const { name } of await this.segments(info.archiveId, span.timeline)) names.add(name);
    const path = walPath(spans, parseLsn(backup.startLsn), upTo, (name) => names.has(name));
    if (path.missing !== null)
      throw new GamedayError(
        'wal_missing',
        `${path.missing} is not in the archive; the restore needs every segment from ${backup.startWal} on`,
      );
    return path.segments;
  }
}

export function openPgbackrestArchive(target: Target, archive: PgbackrestTargetArchive, hostOf: (node: string) => Host): Archive {
  const repository = new Repository(target, archive);
  const estimate = async (recovery: RecoveryTarget): Promise<RestoreEstimate> => {
    const info = await repository.info();
    const backup = info.backups.find(({ name }) => name === recovery.backup);
    if (backup === undefined)
      throw new GamedayError('backup_missing', `there is no backup ${recovery.backup} in stanza "${archive.stanza}"`);
    const last = parseWalSegmentName(recovery.lastSegment);
    if (last === null) throw new GamedayError('setting_invalid', `"${recovery.lastSegment}" is not a WAL segment`);
    const spans = await repository.history(info.archiveId, recovery.timeline);
    const end = last.start + WAL_SEGMENT_BYTES - 1n;
    const until = spans.find((span) => span.timeline === last.timeline)?.end ?? null;
    const segments = await repository.way(info, backup, recovery.timeline, until !== null && until < end ? until : end);
    const walBytes = segments.length * Number(WAL_SEGMENT_BYTES);
    return { backup, baseBytes: backup.bytes, walBytes, segments, requests: null };
  };
  return {
    kind: 'pgbackrest',
    backups: async () => (await repository.info()).backups,
    async takeBackup(node, signal) {
      const argv = [
        archive.program,
        `--config=${archive.nodeConfig ?? archive.config}`,
        `--stanza=${archive.stanza}`,
        '--log-level-console=warn',
        'backup',
      ];
      const result = await hostOf(node.name).exec(argv, { asNode: true, timeoutMs: BACKUP_LIMIT_MS, signal });
      if (result.code !== 0)
        throw new GamedayError(
          'step_failed',
          `pgbackrest backup on ${node.name}: ${firstLine((result.stdout + result.stderr).replace(/^[^]*ERROR: /, ''))}`,
        );
      const newest = (await repository.info()).backups.at(-1);
      if (newest === undefined) throw new GamedayError('step_failed', 'pgbackrest backup ended well, but info shows none');
      return newest;
    },
    audit: () => audit(target, archive, repository),
    async holds(segment) {
      const parsed = parseWalSegmentName(segment);
      if (parsed === null) return false;
      const { archiveId } = await repository.info();
      return (await repository.segments(archiveId, parsed.timeline)).some(({ name }) => name === segment);
    },
    async locate({ setting, value, inclusive, lsn: position, timeline, backup: named = null }) {
      const lsn = parseLsn(position);
      const info = await repository.info();
      const spans = await repository.history(info.archiveId, timeline);
      const backup = info.backups
        .filter((one) => parseLsn(one.stopLsn) <= lsn && liesOn(spans, one.timeline, parseLsn(one.stopLsn)))
        .filter((one) => named === null || one.name === named)
        .at(-1);
      if (backup === undefined)
        throw new GamedayError(
          'backup_missing',
          `no backup${named === null ? '' : ` ${named}`} on timeline ${timeline} ends before ${position}`,
        );
      const segments = await repository.way(info, backup, timeline, setting === 'recovery_target_lsn' ? lsn : lsn - 1n);
      return { backup: backup.name, timeline, setting, value, inclusive, lastSegment: segments.at(-1) ?? backup.startWal };
    },
    estimate,
    restore: (recovery, sandbox, options) =>
      restoreIntoSandbox({
        target,
        recovery,
        dir: sandbox.dir,
        labels: sandbox.labels,
        locate: async () => pgbackrestSource(archive, recovery, await estimate(recovery)),
        ...options,
      }),
    removeSandbox: (dir) => removeSandboxDirectory(target, dir),
  };
}

const check = (name: string, ok: boolean, found: string, expected: string, hint: string): CheckResult => ({
  name,
  ok,
  found,
  expected,
  hint: ok ? null : hint,
});

async function audit({ policy }: Target, archive: PgbackrestTargetArchive, repository: Repository): Promise<CheckResult[]> {
  let info: PgbackrestInfo;
  try {
    info = await repository.info();
  } catch (error) {
    const hint = error instanceof GamedayError ? error.hint : 'without the archive nothing can be restored.';
    return [check('archive reachable', false, messageOf(error), 'pgbackrest info shows the stanza', hint)];
  }
  const newest = info.backups.at(-1);
  const checks = [
    check('archive reachable', true, `stanza ${archive.stanza}, WAL in ${info.archiveId}`, 'pgbackrest info shows the stanza', ''),
    check('base backup', newest !== undefined, newest?.name ?? 'none', 'one complete base backup', 'take a new base backup.'),
    check(
      'page checksums in backups',
      info.withErrors.length === 0,
      info.withErrors.join(', ') || 'no errors',
      'no errors',
      'read the backup’s log; the pages were wrong on the server.',
    ),
  ];
  if (newest === undefined) return checks;
  const wal = await repository.segments(info.archiveId, newest.timeline);
  const last = wal.at(-1);
  const ageMs = last === undefined ? Infinity : Date.now() - Date.parse(last.modifiedAt);
  const limit = policy.maxArchiveAgeMs;
  const expected = `at most ${formatMs(limit)} old`;
  const found = last === undefined ? 'none' : `${last.name}, ${formatMs(ageMs)} old`;
  checks.push(
    check(
      'newest archived WAL',
      ageMs <= limit,
      found,
      expected,
      'set archive_timeout on the primary, or find out why archiving is behind.',
    ),
  );
  const until = last === undefined ? null : parseWalSegmentName(last.name);
  const upTo = until === null ? parseLsn(newest.stopLsn) - 1n : until.start + WAL_SEGMENT_BYTES - 1n;
  try {
    const segments = await repository.way(info, newest, newest.timeline, upTo);
    checks.push(check('WAL continuity', true, `${segments.length} segments`, `every segment since backup ${newest.name}`, ''));
  } catch (error) {
    checks.push(check('WAL continuity', false, messageOf(error), `every segment since backup ${newest.name}`, 'take a new base backup.'));
  }
  return checks;
}
