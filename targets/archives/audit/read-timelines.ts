/** Reads an archive's history files and puts what is wrong with its timelines into the book. A history has a few lines; many of them are still little. */
import type { ArchiveReader, ReaderContext } from './archive-reader';
import { viewTimelines, type HistoryFile, type TimelineView } from './timelines';
import { unpack } from './unpack';
import type { WalFound } from './wal-audit';

const HISTORY_LIMIT_BYTES = 1024 * 1024;

export async function readTimelines(
  context: ReaderContext,
  reader: ArchiveReader,
  { scan, segmentBytes, isOpaque }: WalFound,
  oldestTimeline: number | null,
): Promise<TimelineView> {
  const histories: HistoryFile[] = [];
  for (const { key, name, codec } of scan.histories) {
    context.signal.throwIfAborted();
    const packed = await context.store.get(key);
    const plain = packed === null ? null : await unpack(codec, packed, HISTORY_LIMIT_BYTES);
    if (plain?.kind === 'not-examined') context.book.leaveOut('timelines', plain.why);
    const timeline = Number.parseInt(name.slice(0, 8), 16);
    histories.push({
      timeline,
      key,
      text: plain?.kind === 'plain' ? plain.data.toString('utf8') : null,
      isUnread: plain?.kind === 'not-examined',
    });
  }
  if (isOpaque && histories.length > 0) {
    context.book.leaveOut('timelines', 'history files are encrypted', histories.length);
    return viewTimelines({ histories: [], runs: scan.runs, segmentBytes, oldestTimeline: Infinity });
  }
  const view = viewTimelines({ histories, runs: scan.runs, segmentBytes, oldestTimeline });
  for (const { severity, timeline, key, what, effect, remedy, hitsNewest } of view.problems)
    context.book.add({
      check: 'timelines',
      severity,
      key: key ?? reader.expectedKey(`${timeline.toString(16).toUpperCase().padStart(8, '0')}.history`),
      what,
      about: { effect, hitsNewest },
      remedy,
    });
  return view;
}
