/**
 * One pass over the WAL area: which segments are there, what stands there twice, is empty or cut, and which of them are to be read. Memory grows with
 * gaps, history files and oddities, each bounded, not with the number of segments.
 */
import { walFileKind } from '../wal-object';
import { listed, type ArchiveReader, type ReaderContext, type WalObject } from './archive-reader';
import { segmentOf } from './segment-names';
import { SegmentRuns } from './segment-runs';

const HISTORIES_LIMIT = 100_000;
const ODDITIES_LIMIT = 1_000;

export interface WalScan {
  readonly runs: SegmentRuns;
  readonly segments: number;
  readonly histories: readonly WalObject[];
  readonly partials: readonly WalObject[];
  /** Objects that hold the same segment, two or more each. */
  readonly twice: readonly (readonly WalObject[])[];
  /** The newest object of each timeline. */
  readonly newest: ReadonlyMap<number, WalObject>;
  /** Found unusable by size alone. */
  readonly bad: readonly { readonly timeline: number; readonly no: number }[];
}

export interface ScanOptions {
  readonly segmentBytes: number;
  /** For each segment that could be read; waits if it has enough to do. */
  readonly onSegment: (object: WalObject, timeline: number, no: number) => Promise<void> | void;
  /** Of an encrypted archive sizes say nothing. */
  readonly sizesTell: boolean;
}

export async function scanWal(context: ReaderContext, reader: ArchiveReader, options: ScanOptions): Promise<WalScan> {
  const scan = new Scan(context, options);
  for await (const head of listed(context, reader.walPrefix)) {
    const object = reader.walOf(head);
    if (object === 'known') continue;
    if (object === 'stray') scan.stray(head.key);
    else await scan.see(object);
  }
  return scan;
}

class Scan implements WalScan {
  readonly runs = new SegmentRuns();
  readonly histories: WalObject[] = [];
  readonly partials: WalObject[] = [];
  readonly twice: WalObject[][] = [];
  readonly newest = new Map<number, WalObject>();
  readonly bad: { timeline: number; no: number }[] = [];
  segments = 0;
  private last: { readonly name: string; readonly objects: WalObject[] } = { name: '', objects: [] };

  constructor(
    private readonly context: ReaderContext,
    private readonly options: ScanOptions,
  ) {}

  async see(object: WalObject): Promise<void> {
    switch (object.kind) {
      case 'history':
        if (this.histories.length < HISTORIES_LIMIT) this.histories.push(object);
        else this.context.book.leaveOut('timelines', `history files beyond ${HISTORIES_LIMIT}`);
        return;
      case 'partial':
        if (this.partials.length < ODDITIES_LIMIT) this.partials.push(object);
        else this.context.book.leaveOut('WAL objects', `.partial files beyond ${ODDITIES_LIMIT}`);
        return;
      case 'label':
        return;
      case 'segment':
        return this.segment(object);
    }
  }

  stray(key: string): void {
    this.context.book.add({
      check: 'WAL objects',
      severity: 'low',
      key,
      what:
        walFileKind(key.split('/').at(-1) ?? '') === null
          ? 'no WAL file has such a name'
          : 'a WAL file in a place where nobody looks for it',
      about: { effect: 'restores do not ask for it.', hitsNewest: false },
      remedy: 'find out who put it there.',
    });
  }

  private async segment(object: WalObject): Promise<void> {
    const at = segmentOf(object.name, this.options.segmentBytes);
    if (at === null) return this.stray(object.key);
    this.segments += 1;
    const { timeline, no } = at;
    if (this.last.name === object.name) this.again(object);
    else this.last = { name: object.name, objects: [object] };
    const problem = this.sizeProblem(object);
    if (problem !== null) {
      this.context.book.add({
        check: 'WAL objects',
        severity: 'high',
        key: object.key,
        what: `the segment ${problem}`,
        about: { timeline, no },
        remedy: 'bring it back from a version of the bucket, a second repository or pg_wal of a server; else take a backup now.',
      });
      if (this.bad.length < ODDITIES_LIMIT) this.bad.push(at);
      return;
    }
    this.runs.add(timeline, no, object.modifiedAt);
    this.newest.set(timeline, object);
    await this.options.onSegment(object, timeline, no);
  }

  private again(object: WalObject): void {
    this.last.objects.push(object);
    if (this.last.objects.length === 2 && this.twice.length < ODDITIES_LIMIT) this.twice.push(this.last.objects);
  }

  private sizeProblem({ bytes, codec }: WalObject): string | null {
    if (bytes === 0) return 'is empty';
    const { segmentBytes, sizesTell } = this.options;
    return sizesTell && codec === 'plain' && bytes !== segmentBytes ? `has ${bytes} bytes, not ${segmentBytes}` : null;
  }
}
