/**
 * The order of commits out of archived WAL, for any archive whose WAL files gameday can read by name. It asks for whole segments and leaves nothing behind;
 * a segment that is not there is an error, never a shorter list.
 */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { GamedayError } from '../../core/errors';
import { formatLsn, parseLsn, WAL_SEGMENT_BYTES, walSegmentName } from '../../core/lsn';
import { commitsBetween, type CommitRecord } from './commit-order';
import type { TimelineSpan } from './wal-chain';

/** Plain bytes of a WAL file; null where the archive has none. */
export type FetchWal = (name: string) => Promise<Buffer | null>;

export interface CommitRange {
  readonly fromLsn: string;
  readonly toLsn: string;
  readonly binDir: string;
}

export async function archivedCommits(
  spans: readonly TimelineSpan[],
  range: CommitRange,
  fetchWal: FetchWal,
  signal: AbortSignal,
): Promise<CommitRecord[]> {
  const [from, to] = [parseLsn(range.fromLsn), parseLsn(range.toLsn)];
  const startOfSegment = from - (from % WAL_SEGMENT_BYTES);
  const dir = mkdtempSync(join(tmpdir(), 'gameday-wal-'));
  const commits: CommitRecord[] = [];
  try {
    for (const span of spans) {
      // pg_waldump finds no record where a segment that was switched early is empty: it begins where a segment does, and what lies before is left out.
      const begin = startOfSegment > span.begin ? startOfSegment : span.begin;
      const end = span.end !== null && span.end < to ? span.end : to;
      if (begin >= end) continue;
      const walDir = join(dir, String(span.timeline));
      mkdirSync(walDir);
      for (let at = begin - (begin % WAL_SEGMENT_BYTES); at < end; at += WAL_SEGMENT_BYTES) {
        signal.throwIfAborted();
        const name = walSegmentName(span.timeline, at);
        writeFileSync(join(walDir, name), await ownOrCopied(spans, span, at, fetchWal));
      }
      const found = await commitsBetween(range.binDir, walDir, span.timeline, formatLsn(begin), formatLsn(end), signal);
      commits.push(...found.filter(({ lsn }) => parseLsn(lsn) >= from));
    }
    return commits;
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
}

/** A timeline's last segment is seldom archived whole under its own name; its successor's copy begins with the same records. */
async function ownOrCopied(spans: readonly TimelineSpan[], span: TimelineSpan, at: bigint, fetchWal: FetchWal): Promise<Buffer> {
  const own = walSegmentName(span.timeline, at);
  const next = spans[spans.indexOf(span) + 1];
  const copied = next !== undefined && next.begin < at + WAL_SEGMENT_BYTES ? walSegmentName(next.timeline, at) : null;
  const data = (await fetchWal(own)) ?? (copied === null ? null : await fetchWal(copied));
  if (data === null) throw new GamedayError('wal_missing', `${own} is not in the archive`);
  return data;
}
