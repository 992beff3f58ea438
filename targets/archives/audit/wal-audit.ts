/**
 * The WAL of an archive: whose it is and how large its segments are, which are there, and which of those that are read are what they should be. It reads
 * a few segments first to know what to hold the others against, then lists once, reading as it goes or a sample afterwards.
 */
import type { AuditRequest } from './audit-archive';
import type { ArchiveReader, BackupFacts, ReaderContext, WalObject } from './archive-reader';
import { Sample } from './seeded-sample';
import { segmentNo, segmentOf } from './segment-names';
import { beginsAs, unpack } from './unpack';
import { examineSegment, Pool, type ContentExpectation } from './wal-content';
import { identityOf, type SegmentIdentity } from './wal-pages';
import { scanWal, type WalScan } from './wal-scan';

/** Read before all others; the majority of them says whose archive it is. */
const PROBES = 3;
/** 1 GB, PostgreSQL's largest segment. */
const LARGEST_SEGMENT_BYTES = 1024 ** 3;
const DEFAULT_SEGMENT_BYTES = 16 * 1024 * 1024;
/** Segments under way at once; each is held packed and plain. */
const PARALLEL = 3;
const DUPLICATES_LIMIT = 50;

export interface WalFound {
  readonly scan: WalScan;
  readonly segmentBytes: number;
  readonly expected: ContentExpectation;
  /** Of the cluster that wrote the WAL, as the WAL itself says. */
  readonly foundSystem: string | null;
  readonly examined: number;
  readonly bad: readonly { readonly timeline: number; readonly no: number }[];
  /** Nothing in it can be read: encrypted. */
  readonly isOpaque: boolean;
  numberOf(name: string): number | null;
}

interface Wanted {
  readonly object: WalObject;
  readonly timeline: number;
  readonly no: number;
}

interface Probed {
  readonly identity: SegmentIdentity | null;
  readonly isOpaque: boolean;
}

export class WalAudit {
  private examined = 0;
  private readonly bad: { timeline: number; no: number; at: string }[] = [];
  private readonly done = new Set<string>();

  constructor(
    private readonly context: ReaderContext,
    private readonly reader: ArchiveReader,
    private readonly backups: readonly BackupFacts[],
    private readonly request: AuditRequest,
  ) {}

  async read(): Promise<WalFound> {
    const { identity, isOpaque } = await this.probe();
    const segmentBytes = identity?.segmentBytes ?? segmentBytesOf(this.backups) ?? DEFAULT_SEGMENT_BYTES;
    const expected: ContentExpectation = {
      layout: this.reader.layout,
      segmentBytes,
      systemIdentifier:
        this.request.systemIdentifier ??
        this.reader.identity.systemIdentifier ??
        identity?.systemIdentifier ??
        this.ofBackups('systemIdentifier'),
      serverVersion: this.reader.identity.serverVersion ?? this.ofBackups('serverVersion') ?? identity?.serverVersion ?? null,
    };
    const scan = await this.scan(expected, isOpaque);
    for (const { timeline, no, at } of this.bad) scan.runs.remove(timeline, no, at);
    return {
      scan,
      segmentBytes,
      expected,
      foundSystem: identity?.systemIdentifier ?? null,
      examined: this.examined,
      bad: [...scan.bad, ...this.bad],
      isOpaque,
      numberOf: (name) => segmentOf(name, segmentBytes)?.no ?? null,
    };
  }

  private ofBackups<K extends 'systemIdentifier' | 'serverVersion'>(field: K): BackupFacts[K] | null {
    return this.backups.find((backup) => backup[field] !== null)?.[field] ?? null;
  }

  /** The first segments of the listing: what most of them say. */
  private async probe(): Promise<Probed> {
    const { context, reader } = this;
    if (reader.identity.encrypted) {
      context.book.leaveOut('WAL content', 'the repository is encrypted, and its key is not here');
      return { identity: null, isOpaque: true };
    }
    const found: SegmentIdentity[] = [];
    let [tried, opaque] = [0, 0];
    for await (const head of context.store.list(reader.walPrefix)) {
      const object = reader.walOf(head);
      if (typeof object === 'string' || object.kind !== 'segment' || object.bytes === 0) continue;
      context.signal.throwIfAborted();
      tried += 1;
      const packed = await context.store.get(object.key);
      if (packed !== null && !beginsAs(object.codec, packed)) opaque += 1;
      const plain = packed === null ? null : await unpack(object.codec, packed, LARGEST_SEGMENT_BYTES);
      const identity = plain?.kind === 'plain' ? identityOf(plain.data) : null;
      if (identity !== null) found.push(identity);
      if (tried === PROBES) break;
    }
    const isOpaque = reader.layout === 'wal-g' && tried > 0 && found.length === 0 && opaque === tried;
    if (isOpaque) context.book.leaveOut('WAL content', 'no object begins as its name says: encrypted by WAL-G, or all of them damaged');
    return { identity: mostFrequent(found), isOpaque };
  }

  private async scan(expected: ContentExpectation, isOpaque: boolean): Promise<WalScan> {
    const { context, reader, request } = this;
    const { segmentBytes } = expected;
    const pool = new Pool(PARALLEL);
    const starts = new Set(this.backups.flatMap(({ startLsn }) => (startLsn === null ? [] : [segmentNo(startLsn, segmentBytes)])));
    const sample = new Sample<Wanted>(request.sample === 'all' ? 0 : request.sample, context.random);
    const always: Wanted[] = [];
    const examine = (wanted: Wanted): Promise<void> => pool.push(() => this.examine(wanted, expected));
    const scan = await scanWal(context, reader, {
      segmentBytes,
      sizesTell: !isOpaque,
      onSegment: (object, timeline, no) => {
        if (isOpaque) return;
        const wanted = { object, timeline, no };
        if (request.sample === 'all') return examine(wanted);
        sample.offer(wanted);
        if (request.sample > 0 && starts.has(no)) always.push(wanted);
      },
    });
    if (request.sample !== 'all' && request.sample > 0 && !isOpaque) {
      const newest = [...scan.newest.values()].flatMap((object) => {
        const at = segmentOf(object.name, segmentBytes);
        return at === null ? [] : [{ object, ...at }];
      });
      for (const wanted of [...always.slice(-request.sample), ...newest.slice(-1), ...sample.items]) await examine(wanted);
    }
    await pool.end();
    await this.compareTwins(scan, expected, isOpaque);
    return scan;
  }

  private async examine({ object, timeline, no }: Wanted, expected: ContentExpectation): Promise<void> {
    const { context } = this;
    context.signal.throwIfAborted();
    // Of a sample each is read once; of all of them no list is kept.
    if (this.request.sample !== 'all') {
      if (this.done.has(object.key)) return;
      this.done.add(object.key);
    }
    const verdict = await examineSegment(context.store, object, { timeline, no }, expected);
    if (verdict.kind === 'not-examined') return context.book.leaveOut('WAL content', verdict.why);
    this.examined += 1;
    if (verdict.kind === 'fine') return;
    this.bad.push({ timeline, no, at: object.modifiedAt });
    context.book.add({
      check: 'WAL content',
      severity: 'high',
      key: object.key,
      what: `the segment ${verdict.why}`,
      about: { timeline, no },
      remedy: 'bring it back from a version of the bucket, a second repository or pg_wal of a server; else take a backup now.',
    });
  }

  /** Two objects for one segment: harmless if they hold the same, but for pgBackRest, which refuses both. */
  private async compareTwins(scan: WalScan, expected: ContentExpectation, isOpaque: boolean): Promise<void> {
    const { context, reader } = this;
    for (const objects of scan.twice) {
      const [first] = objects;
      const at = first === undefined ? null : segmentOf(first.name, expected.segmentBytes);
      if (first === undefined || at === null) continue;
      const key = objects.at(-1)?.key ?? first.key;
      const isRefused = reader.layout === 'pgbackrest';
      const sums = isRefused || isOpaque ? [] : await this.sumsOf(objects, at, expected);
      if (sums === null) continue;
      const differ = objects.some(({ sha1 }) => sha1 !== first.sha1) || new Set(sums).size > 1;
      context.book.add({
        check: 'WAL objects',
        severity: differ || isRefused ? 'high' : 'low',
        key,
        what: `the segment stands here ${objects.length} times, ${differ ? 'with different content' : 'with the same content'}: ${objects.map((each) => each.key).join(', ')}`,
        about: differ || isRefused ? at : { effect: 'restores get the same bytes from either.', hitsNewest: false },
        remedy: differ
          ? 'two servers archive to one place: stop the wrong one, find out whose segment belongs to the timeline, and move the other away.'
          : 'move all but one of them away.',
      });
      if (isRefused || differ) this.bad.push({ ...at, at: first.modifiedAt });
    }
  }

  private async sumsOf(
    objects: readonly WalObject[],
    at: { readonly timeline: number; readonly no: number },
    expected: ContentExpectation,
  ): Promise<readonly string[] | null> {
    if (this.twins >= DUPLICATES_LIMIT) {
      this.context.book.leaveOut('WAL objects', `segments that stand twice, beyond ${DUPLICATES_LIMIT}`);
      return null;
    }
    this.twins += 1;
    const verdicts = await Promise.all(objects.map((object) => examineSegment(this.context.store, object, at, expected)));
    return verdicts.map((verdict) => (verdict.kind === 'fine' ? verdict.sha1 : verdict.why));
  }

  private twins = 0;
}

/** By what backups say: the segment's name and a position in it fit one size. */
function segmentBytesOf(backups: readonly BackupFacts[]): number | null {
  const placed = backups.filter(({ timeline, startLsn, startWal }) => timeline !== null && startLsn !== null && startWal !== null);
  if (placed.length === 0) return null;
  const sizes = Array.from({ length: 11 }, (_, at) => 1024 ** 2 * 2 ** at);
  const fits = sizes.filter((bytes) =>
    placed.every(({ startLsn, startWal }) => segmentOf(startWal ?? '', bytes)?.no === segmentNo(startLsn ?? 0n, bytes)),
  );
  return fits.includes(DEFAULT_SEGMENT_BYTES) ? DEFAULT_SEGMENT_BYTES : (fits[0] ?? null);
}

function mostFrequent(found: readonly SegmentIdentity[]): SegmentIdentity | null {
  const keyOf = ({ systemIdentifier, segmentBytes, magic }: SegmentIdentity): string => `${systemIdentifier} ${segmentBytes} ${magic}`;
  const count = (one: SegmentIdentity): number => found.filter((other) => keyOf(other) === keyOf(one)).length;
  return [...found].sort((a, b) => count(b) - count(a))[0] ?? null;
}
