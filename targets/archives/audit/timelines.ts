/**
 * The timelines of an archive by its history files: which one is the newest that recovery can reach, and what would lead it astray. Pure: texts and runs
 * of segments in, the main line and problems out; it never takes a timeline's parents on trust without its history file.
 */
import { formatLsn } from '../../../core/lsn';
import { ancestry, type TimelineSpan } from '../wal-chain';
import { segmentNo } from './segment-names';
import type { SegmentRuns } from './segment-runs';

export interface HistoryFile {
  readonly timeline: number;
  readonly key: string;
  /** Null: it cannot be read. */
  readonly text: string | null;
  /** Nothing here reads its packing: it is neither whole nor damaged. */
  readonly isUnread: boolean;
}

/** The way from the oldest timeline to one that holds segments, newest last; as recovery to it follows. */
export interface Line {
  readonly timeline: number;
  readonly spans: readonly TimelineSpan[];
}

export interface TimelineProblem {
  readonly severity: 'high' | 'low';
  readonly timeline: number;
  /** The history file's key where there is one. */
  readonly key: string | null;
  readonly what: string;
  readonly effect: string;
  readonly remedy: string;
  readonly hitsNewest: boolean;
}

/** Null for a text that is no history file of that timeline: no line, a parent that is not older, positions that go back. */
export function readHistory({ timeline, text }: HistoryFile): readonly TimelineSpan[] | null {
  if (text === null) return null;
  for (const line of text.split('\n'))
    if (!/^\s*(#.*)?$/.test(line) && !/^\s*[0-9]+\s+[0-9A-Fa-f]{1,8}\/[0-9A-Fa-f]{1,8}(\s|$)/.test(line)) return null;
  const spans = ancestry(timeline, text);
  const ordered = spans.every((span, index) => {
    const next = spans[index + 1];
    return next === undefined || (span.timeline < next.timeline && span.end !== null && span.begin <= span.end);
  });
  return spans.length > 1 && ordered ? spans : null;
}

export interface TimelineView {
  /** Null where the archive holds no segment. */
  readonly main: Line | null;
  lineOf(timeline: number): Line;
  readonly problems: readonly TimelineProblem[];
}

export interface TimelineInput {
  readonly histories: readonly HistoryFile[];
  readonly runs: SegmentRuns;
  readonly segmentBytes: number;
  /** The lowest timeline that a restore may begin on; null where no backup tells. */
  readonly oldestTimeline: number | null;
}

export function viewTimelines(input: TimelineInput): TimelineView {
  const { histories, runs } = input;
  const spansOf = new Map<number, readonly TimelineSpan[]>();
  for (const history of histories) {
    const spans = readHistory(history);
    if (spans !== null) spansOf.set(history.timeline, spans);
  }
  const lineOf = (timeline: number): Line => ({ timeline, spans: spansOf.get(timeline) ?? [{ timeline, begin: 0n, end: null }] });
  const newest = runs.timelines().at(-1);
  const main = newest === undefined ? null : lineOf(newest);
  const problems = [...unreadable(histories, spansOf), ...contradictions(histories, spansOf)];
  if (main !== null) problems.push(...missing(input, main), ...strays(input, main, spansOf), ...branches(input, main));
  return { main, lineOf, problems };
}

function unreadable(histories: readonly HistoryFile[], spansOf: ReadonlyMap<number, unknown>): TimelineProblem[] {
  return histories
    .filter(({ timeline, isUnread }) => !isUnread && !spansOf.has(timeline))
    .map(({ timeline, key }) => ({
      severity: 'high',
      timeline,
      key,
      what: `the history file of timeline ${timeline} is damaged`,
      effect: `recovery ends with an error, or does not find the way to timeline ${timeline}, from every backup on an older timeline.`,
      remedy: 'copy the file from pg_wal of a server on that timeline, or from a version of the bucket; its lines are plain text.',
      hitsNewest: true,
    }));
}

/** Two histories that let the same timeline end at different positions. */
function contradictions(histories: readonly HistoryFile[], spansOf: ReadonlyMap<number, readonly TimelineSpan[]>): TimelineProblem[] {
  const problems: TimelineProblem[] = [];
  for (const { timeline, key } of histories) {
    const own = spansOf.get(timeline) ?? [];
    const parent = own.at(-2);
    // A timeline's history begins with its parent's, line by line.
    const before = parent === undefined ? undefined : spansOf.get(parent.timeline);
    if (before === undefined) continue;
    const wrong = before.slice(0, -1).find((span, index) => own[index]?.timeline !== span.timeline || own[index].end !== span.end);
    if (wrong === undefined) continue;
    problems.push({
      severity: 'high',
      timeline,
      key,
      what: `the history of timeline ${timeline} contradicts that of its parent ${parent?.timeline}: timeline ${wrong.timeline} ended at ${formatLsn(wrong.end ?? 0n)} there`,
      effect: `recovery to timeline ${timeline} takes WAL of another branch, or ends with an error.`,
      remedy: 'two clusters have archived here, or a file was edited: compare both with pg_wal of the servers.',
      hitsNewest: true,
    });
  }
  return problems;
}

/** Recovery to `latest` asks for one history after the other and stops at the first that is not there (findNewestTimeLine). */
function missing({ histories, runs, oldestTimeline }: TimelineInput, main: Line): TimelineProblem[] {
  const known = new Set(histories.map(({ timeline }) => timeline));
  const oldest = oldestTimeline ?? runs.timelines()[0] ?? 1;
  const newest = Math.max(main.timeline, ...known);
  const problems: TimelineProblem[] = [];
  for (let timeline = oldest + 1; timeline <= newest; timeline += 1) {
    if (known.has(timeline)) continue;
    const isMain = timeline === main.timeline;
    problems.push({
      severity: 'high',
      timeline,
      key: null,
      what: `timeline ${timeline} has no history file`,
      effect: isMain
        ? `no backup taken before timeline ${timeline} began can be rolled forward into it.`
        : `recovery to \`latest\` stops asking at timeline ${timeline} and never finds ${timeline + 1}${timeline + 1 < newest ? ` to ${newest}` : ''}; only a numeric recovery_target_timeline does.`,
      remedy: 'copy the file from pg_wal of a server on that timeline, or from a version of the bucket.',
      hitsNewest: true,
    });
  }
  return problems;
}

const hasAfter = (runs: SegmentRuns, timeline: number, no: number): boolean => (runs.of(timeline).at(-1)?.to ?? -1) > no;

/** History files of timelines that nobody wrote to, beside the main line. */
function strays(
  { histories, runs, segmentBytes }: TimelineInput,
  main: Line,
  spansOf: ReadonlyMap<number, readonly TimelineSpan[]>,
): TimelineProblem[] {
  const problems: TimelineProblem[] = [];
  for (const { timeline, key } of histories) {
    const parent = spansOf.get(timeline)?.at(-2);
    if (
      parent === undefined ||
      parent.end === null ||
      runs.of(timeline).length > 0 ||
      main.spans.some((span) => span.timeline === timeline)
    )
      continue;
    const wentOn = hasAfter(runs, parent.timeline, segmentNo(parent.end, segmentBytes));
    const leads = timeline > main.timeline;
    const what = `timeline ${timeline} left timeline ${parent.timeline} at ${formatLsn(parent.end)}, and the archive holds no segment of it`;
    if (leads && wentOn)
      problems.push({
        severity: 'high',
        timeline,
        key,
        what: `${what}, while timeline ${parent.timeline} went on`,
        effect: `a stray history: recovery to \`latest\` follows it, stops at ${formatLsn(parent.end)} and leaves out all that timeline ${main.timeline} wrote since.`,
        remedy:
          'find out who was promoted (a restored copy with archive_mode on?), then move this file out of the archive; until then name the timeline in every restore.',
        hitsNewest: true,
      });
    else
      problems.push({
        severity: 'low',
        timeline,
        key,
        what,
        effect: leads
          ? 'just promoted, or promoted elsewhere: what it wrote is in no archive yet.'
          : 'it is beside the way to the newest timeline.',
        remedy: leads ? 'audit again once it has archived its first segment.' : 'nothing, if it is known who was promoted then.',
        hitsNewest: false,
      });
  }
  return problems;
}

/** Segments beside the main line: branches that were left, and what an old primary archived past the switch. */
function branches({ runs, segmentBytes }: TimelineInput, main: Line): TimelineProblem[] {
  const problems: TimelineProblem[] = [];
  for (const timeline of runs.timelines()) {
    const span = main.spans.find((each) => each.timeline === timeline);
    const last = runs.of(timeline).at(-1)?.to ?? 0;
    const isOlder = timeline < (main.spans[0]?.timeline ?? 1);
    if (isOlder || (span !== undefined && (span.end === null || last <= segmentNo(span.end, segmentBytes)))) continue;
    problems.push({
      severity: 'low',
      timeline,
      key: null,
      what:
        span === undefined || span.end === null
          ? `timeline ${timeline} is no ancestor of timeline ${main.timeline}`
          : `timeline ${timeline} goes on past ${formatLsn(span.end)}, where the way to timeline ${main.timeline} leaves it`,
      effect: 'what was written there alone is not in a restore to the newest state; naming its timeline reaches it.',
      remedy: 'nothing, if that failover is known; otherwise look who wrote there.',
      hitsNewest: false,
    });
  }
  return problems;
}
