/**
 * Which WAL files lead from a backup to a target, across timelines. Pure: history files and archived names in, names out.
 * It never takes the newest timeline on trust: only ancestors written in the history file of the timeline asked for count.
 */
import { formatLsn, parseLsn, WAL_SEGMENT_BYTES, walSegmentName } from '../../core/lsn';

/** One timeline of an ancestry, oldest first: it holds the positions in [begin, end). The last one's `end` is null. */
export interface TimelineSpan {
  readonly timeline: number;
  readonly begin: bigint;
  readonly end: bigint | null;
}

/** Parses `0000000N.history` (`parent TLI <tab> switch LSN <tab> reason`) of `timeline`. Timeline 1 has none: pass ''. */
export function ancestry(timeline: number, history: string): TimelineSpan[] {
  const spans: TimelineSpan[] = [];
  let begin = 0n;
  for (const line of history.split('\n')) {
    const match = /^\s*([0-9]+)\s+([0-9A-Fa-f]+\/[0-9A-Fa-f]+)/.exec(line);
    if (match?.[1] === undefined || match[2] === undefined) continue;
    const end = parseLsn(match[2]);
    spans.push({ timeline: Number(match[1]), begin, end });
    begin = end;
  }
  return [...spans, { timeline, begin, end: null }];
}

export function historyName(timeline: number): string {
  return `${timeline.toString(16).toUpperCase().padStart(8, '0')}.history`;
}

/** The timeline of the ancestry that wrote the byte before `lsn`. */
export function timelineAt(spans: readonly TimelineSpan[], lsn: bigint): number {
  const span = spans.find((one) => one.end === null || lsn <= one.end);
  return span?.timeline ?? 1;
}

export interface WalPath {
  /** Segments to replay, in order; each exists in the archive. */
  readonly segments: readonly string[];
  /** First segment that is nowhere, or null. */
  readonly missing: string | null;
}

/**
 * Segments from the one that holds `from` up to the one that holds `upTo`. Where a timeline begins inside a segment, that segment exists under
 * both names; recovery asks for the newer first, which also holds what the older wrote before the switch. The older one serves only a target
 * at or before the switch.
 */
export function walPath(spans: readonly TimelineSpan[], from: bigint, upTo: bigint, archived: (name: string) => boolean): WalPath {
  const segments: string[] = [];
  const segmentOf = (lsn: bigint): bigint => lsn / WAL_SEGMENT_BYTES;
  for (let at = segmentOf(from); at <= segmentOf(upTo); at += 1n) {
    const start = at * WAL_SEGMENT_BYTES;
    const candidates = spans
      .filter((span) => segmentOf(span.begin) <= at && (span.end === null || segmentOf(span.end) >= at))
      .filter((span) => span.end === null || segmentOf(span.end) > at || upTo <= span.end)
      .reverse();
    const found = candidates.map((span) => walSegmentName(span.timeline, start)).find(archived);
    if (found === undefined)
      return {
        segments,
        missing: walSegmentName(timelineAt(spans, start + WAL_SEGMENT_BYTES < upTo ? start + WAL_SEGMENT_BYTES : upTo), start),
      };
    segments.push(found);
  }
  return { segments, missing: null };
}

/** True if a backup ending at `stopLsn` on `timeline` lies on the ancestry, before it left that timeline. */
export function liesOn(spans: readonly TimelineSpan[], timeline: number, stopLsn: bigint): boolean {
  return spans.some((span) => span.timeline === timeline && (span.end === null || stopLsn <= span.end));
}

export function describeSpans(spans: readonly TimelineSpan[]): string {
  return spans.map((span) => (span.end === null ? `${span.timeline}` : `${span.timeline} until ${formatLsn(span.end)}`)).join(', then ');
}
