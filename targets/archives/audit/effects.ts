/**
 * What a finding means for a restore, once all is known: from which point to which point nothing can be restored, and whether the newest state is hit.
 * Pure. What no kept backup needs, or lies beside the way to the newest state, weighs less.
 */
import { formatLsn } from '../../../core/lsn';
import type { AuditFinding, AuditWindow } from '../../../model/archive-audit';
import { endOf, type BackupWay } from './coverage';
import type { DraftFinding } from './finding-book';
import { segmentNo, segmentStart } from './segment-names';
import type { SegmentRuns } from './segment-runs';
import type { Line } from './timelines';

export interface Knowledge {
  readonly ways: readonly BackupWay[];
  readonly main: Line | null;
  readonly runs: SegmentRuns;
  readonly segmentBytes: number;
}

export function toFinding(draft: DraftFinding, known: Knowledge): AuditFinding {
  const { check, key, what, about, remedy } = draft;
  if ('effect' in about) return { check, severity: draft.severity, key, what, effect: about.effect, remedy, hitsNewest: about.hitsNewest };
  const meant = 'backup' in about ? backupEffect(about.backup, draft.severity, known) : segmentEffect(about, draft.severity, known);
  return { check, key, what, remedy, ...meant };
}

type Effect = Pick<AuditFinding, 'severity' | 'effect' | 'hitsNewest'>;

const day = (at: string | null): string => (at === null ? '' : ` (${at.replace(/\.[0-9]+Z$/, 'Z')})`);
const point = (lsn: bigint, at: string | null): string => `${formatLsn(lsn)}${day(at)}`;

/** Everything from the segment on is out of reach, until a backup that began after it takes over. */
export function segmentEffect(
  at: { readonly timeline: number; readonly no: number },
  severity: AuditFinding['severity'],
  known: Knowledge,
): Effect {
  const { ways, main, runs, segmentBytes } = known;
  const start = segmentStart(at.no, segmentBytes);
  const placed = ways.filter(({ backup }) => backup.startLsn !== null && backup.stopLsn !== null);
  const starts = placed.map(({ backup }) => segmentNo(backup.startLsn ?? 0n, segmentBytes));
  if (starts.length > 0 && at.no < Math.min(...starts))
    return { severity: 'low', effect: 'no kept backup is old enough to need it.', hitsNewest: false };
  const span = main?.spans.find(({ timeline }) => timeline === at.timeline);
  if (main === null || span === undefined || (span.end !== null && span.end <= start))
    return {
      severity: severity === 'high' ? 'medium' : severity,
      effect: `restores to timeline ${at.timeline} end at ${formatLsn(start)}; timeline ${main?.timeline ?? '?'} is not hit.`,
      hitsNewest: false,
    };
  const needing = placed.filter(({ backup }) => needs(backup, at.no, segmentBytes)).map(({ backup }) => backup.label);
  const after = placed.find(
    (way) => way.line === main && way.usable !== false && segmentNo(way.backup.startLsn ?? 0n, segmentBytes) > at.no,
  );
  const from = point(start, timeBefore(runs, at));
  const lost = needing.length === 0 ? '' : `; backup ${needing.join(', ')} needs it itself and cannot be restored`;
  if (after === undefined) return { severity, effect: `nothing from ${from} on can be restored${lost}.`, hitsNewest: true };
  const { stopLsn, finishedAt, label } = after.backup;
  return {
    severity,
    effect: `nothing from ${from} up to ${point(stopLsn ?? 0n, finishedAt)}, the end of backup ${label}, can be restored${lost}.`,
    hitsNewest: false,
  };
}

const needs = (backup: BackupWay['backup'], no: number, segmentBytes: number): boolean =>
  segmentNo(backup.startLsn ?? 0n, segmentBytes) <= no && segmentStart(no, segmentBytes) < (backup.stopLsn ?? 0n);

function timeBefore(runs: SegmentRuns, { timeline, no }: { readonly timeline: number; readonly no: number }): string | null {
  return runs.at(timeline, no - 1)?.toAt ?? null;
}

function backupEffect(label: string, severity: AuditFinding['severity'], { ways, main, runs, segmentBytes }: Knowledge): Effect {
  const index = ways.findIndex(({ backup }) => backup.label === label);
  const own = ways[index];
  if (own === undefined || own.usable !== false)
    return {
      severity,
      effect: own === undefined ? 'it is no backup that a restore could use.' : 'the backup can still be restored.',
      hitsNewest: false,
    };
  const usable = ways.filter(({ usable: each }) => each !== false);
  const end = main === null ? null : endOf(main, runs);
  const reaches = usable.some(
    ({ line, reach }) => line === main && end !== null && reach !== null && reach.end > segmentStart(end.no, segmentBytes),
  );
  const before = ways
    .slice(0, index)
    .reverse()
    .find(({ usable: each }) => each !== false);
  const after = ways.slice(index + 1).find(({ usable: each }) => each !== false);
  const hitsNewest = !reaches && usable.every(({ reach }) => reach !== null);
  const instead =
    before === undefined
      ? after === undefined
        ? 'nothing can be restored: there is no other backup.'
        : `nothing before ${point(after.backup.stopLsn ?? 0n, after.backup.finishedAt)}, the end of backup ${after.backup.label}, can be restored.`
      : `points after it are reached from backup ${before.backup.label} alone, with more WAL to replay.`;
  return { severity, effect: `backup ${label} cannot be restored; ${instead}`, hitsNewest };
}

/** Stretches of points that can be restored, by the oldest usable backup of each; those that overlap are one. */
export function windowsOf(ways: readonly BackupWay[]): AuditWindow[] {
  const windows: (AuditWindow & { readonly end: bigint; readonly line: Line })[] = [];
  for (const { backup, line, reach, usable } of ways) {
    if (usable === false || reach === null || backup.stopLsn === null || backup.timeline === null) continue;
    const covered = windows.find((each) => each.line.timeline === line.timeline && (backup.stopLsn ?? 0n) <= each.end);
    if (covered !== undefined) continue;
    windows.push({
      timeline: line.timeline,
      backup: backup.label,
      from: { lsn: formatLsn(backup.stopLsn), at: backup.finishedAt },
      to: { lsn: formatLsn(reach.end), at: reach.endAt },
      end: reach.end,
      line,
    });
  }
  return windows.map(({ timeline, backup, from, to }) => ({ timeline, backup, from, to }));
}
