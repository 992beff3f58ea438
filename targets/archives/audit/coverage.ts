/**
 * How far each backup can be rolled forward, where segments are missing on the way, and which points can be restored at all. Pure: runs of segments,
 * lines and backups in. It never counts a segment that was found to be unusable.
 */
import { liesOn } from '../wal-chain';
import type { BackupFacts } from './archive-reader';
import { segmentNo, segmentStart } from './segment-names';
import type { SegmentRuns } from './segment-runs';
import type { Line, TimelineView } from './timelines';

/** From one segment on, as far as recovery along a line gets. */
export interface Reach {
  /** First position that cannot be replayed any more. */
  readonly end: bigint;
  /** When the store got the last segment of it. */
  readonly endAt: string | null;
  /** The segment that is lacking then, under the name that recovery needs. */
  readonly lacking: { readonly timeline: number; readonly no: number };
}

export interface Gap {
  readonly timeline: number;
  readonly from: number;
  readonly to: number;
}

export interface BackupWay {
  readonly backup: BackupFacts;
  readonly line: Line;
  /** Null where the backup's positions are not known. */
  readonly reach: Reach | null;
  /** Its own WAL, from start to stop, is there. */
  readonly hasOwnWal: boolean;
  usable: boolean | null;
}

/**
 * Where a timeline begins inside a segment, that segment exists under both names. The newer one holds a copy of what the older wrote; the older one
 * serves up to the switch alone.
 */
export function reachFrom(line: Line, runs: SegmentRuns, from: number, segmentBytes: number): Reach {
  let no = from;
  let endAt: string | null = null;
  for (;;) {
    const on = line.spans
      .filter((span) => segmentNo(span.begin, segmentBytes) <= no && (span.end === null || span.end > segmentStart(no, segmentBytes)))
      .reverse();
    const span = on.find(({ timeline }) => runs.at(timeline, no) !== null);
    const run = span === undefined ? null : runs.at(span.timeline, no);
    const newest = on[0] ?? line.spans.at(-1);
    if (span === undefined || run === null)
      return { end: segmentStart(no, segmentBytes), endAt, lacking: { timeline: newest?.timeline ?? line.timeline, no } };
    const lastOfSpan = span.end === null ? Infinity : segmentNo(span.end, segmentBytes) - 1;
    if (span !== newest && span.end !== null && no > lastOfSpan) {
      // Only the older one is there: it ends at the switch.
      const next = line.spans[line.spans.indexOf(span) + 1];
      return { end: span.end, endAt: run.toAt, lacking: { timeline: next?.timeline ?? line.timeline, no } };
    }
    const to = Math.max(no, Math.min(run.to, lastOfSpan));
    endAt = to === run.to ? run.toAt : run.fromAt;
    no = to + 1;
  }
}

/** The lowest number ≥ `no` that the line needs and the archive holds. */
function nextOn(line: Line, runs: SegmentRuns, no: number, segmentBytes: number): number | null {
  const found = line.spans.flatMap((span) => {
    const first = Math.max(no, segmentNo(span.begin, segmentBytes));
    const next = runs.next(span.timeline, first);
    return next !== null && (span.end === null || segmentStart(next, segmentBytes) < span.end) ? [next] : [];
  });
  return found.length === 0 ? null : Math.min(...found);
}

/**
 * Every hole on the line from that segment on; what is lacking at its end is no hole. `unusable`: numbers of segments of the line that are there and cannot be
 * used: no hole themselves, but what is lacking before the last of them is one.
 */
export function gapsFrom(line: Line, runs: SegmentRuns, from: number, segmentBytes: number, unusable: readonly number[]): Gap[] {
  const gaps: Gap[] = [];
  const last = unusable.reduce((highest, no) => Math.max(highest, no), -1);
  for (let no = from; ;) {
    const { lacking } = reachFrom(line, runs, no, segmentBytes);
    const next = nextOn(line, runs, lacking.no + 1, segmentBytes);
    const to = (next ?? Math.max(last, lacking.no)) - 1;
    gaps.push(...without(unusable, { timeline: lacking.timeline, from: lacking.no, to }));
    if (next === null) return gaps;
    no = next;
  }
}

/** What is left of a gap between the numbers in it that are there. */
function without(unusable: readonly number[], gap: Gap): Gap[] {
  const inside = [...new Set(unusable)].filter((no) => gap.from <= no && no <= gap.to).sort((a, b) => a - b);
  const ends = [...inside, gap.to + 1];
  return ends.flatMap((end, at) => {
    const from = at === 0 ? gap.from : (inside[at - 1] ?? gap.from) + 1;
    return from < end ? [{ timeline: gap.timeline, from, to: end - 1 }] : [];
  });
}

/** The newest position that the line's segments hold, reachable or not. */
export function endOf(line: Line, runs: SegmentRuns): { readonly timeline: number; readonly no: number; readonly at: string } | null {
  for (const { timeline } of [...line.spans].reverse()) {
    const last = runs.of(timeline).at(-1);
    if (last !== undefined) return { timeline, no: last.to, at: last.toAt };
  }
  return null;
}

export function wayOf(backup: BackupFacts, view: TimelineView, runs: SegmentRuns, segmentBytes: number): BackupWay {
  const { main } = view;
  const { timeline, startLsn, stopLsn } = backup;
  const own = view.lineOf(timeline ?? main?.timeline ?? 1);
  if (timeline === null || startLsn === null || stopLsn === null)
    return { backup, line: main ?? own, reach: null, hasOwnWal: true, usable: backup.whole === false ? false : null };
  const line = main !== null && liesOn(main.spans, timeline, stopLsn) ? main : own;
  const reach = reachFrom(line, runs, segmentNo(startLsn, segmentBytes), segmentBytes);
  const hasOwnWal = reach.end >= stopLsn;
  return { backup, line, reach, hasOwnWal, usable: !hasOwnWal || backup.whole === false ? false : backup.whole };
}

export interface BrokenChain {
  readonly way: BackupWay;
  readonly needs: string;
  readonly isMissing: boolean;
}

/** A backup falls with the objects of those it needs; WAL that only the older one needs does not hurt it. Oldest first. */
export function breakChains(ways: readonly BackupWay[]): BrokenChain[] {
  const byLabel = new Map(ways.map((way) => [way.backup.label, way]));
  const broken = new Map<string, BrokenChain>();
  for (const way of ways)
    for (const needs of way.backup.needs) {
      const other = byLabel.get(needs);
      if (other !== undefined && other.backup.whole !== false && !broken.has(needs)) continue;
      broken.set(way.backup.label, { way, needs, isMissing: other === undefined });
      way.usable = false;
      break;
    }
  return [...broken.values()];
}
