/**
 * The archive auditor: reads an archive in an object store, in whatever layout, and tells what can be restored from it, without the tool that wrote it
 * and without a restore. It changes nothing there, but for one object of its own where it is asked whether its credentials could delete.
 */
import { monotonicNs, nowUtc } from '../../../core/clock';
import { formatLsn } from '../../../core/lsn';
import { formatMs } from '../../../core/units';
import type { ArchiveAudit, ArchiveLayout, AuditCheck, AuditCheckName, AuditWindow } from '../../../model/archive-audit';
import { readBucketFacts } from '../../../objects/bucket-facts';
import { tryToDelete } from '../../../objects/delete-trial';
import type { S3Settings } from '../../../objects/s3-store';
import type { ObjectHead, ObjectStore } from '../../../objects/store';
import type { ArchiveReader, BackupFacts, ReaderContext } from './archive-reader';
import { bucketChecks } from './bucket-checks';
import { breakChains, endOf, gapsFrom, wayOf, type BackupWay, type Gap } from './coverage';
import { toFinding, windowsOf } from './effects';
import { FindingBook } from './finding-book';
import { detectLayout, openReader } from './open-reader';
import { seededRandom } from './seeded-sample';
import { segmentName, segmentNo, segmentStart } from './segment-names';
import { readTimelines } from './read-timelines';
import type { TimelineView } from './timelines';
import { WalAudit, type WalFound } from './wal-audit';

export interface AuditRequest {
  readonly store: ObjectStore;
  /** Null: by what stands at the prefix. */
  readonly layout: ArchiveLayout | null;
  /** pgBackRest only; null: the first that is there. */
  readonly stanza: string | null;
  /** Of the cluster that the archive should belong to; null: not known. */
  readonly systemIdentifier: string | null;
  /** How many segments are read, drawn by the seed; besides, the newest and those that backups begin with. */
  readonly sample: number | 'all';
  readonly filesPerBackup: number;
  readonly seed: number;
  /** How far back a restore must be possible; null: nobody says. */
  readonly windowMs: number | null;
  readonly maxAgeMs: number | null;
  /** The bucket whose settings are asked for; null: they are not. */
  readonly bucket: S3Settings | null;
  readonly tryDelete: boolean;
  readonly signal: AbortSignal;
  readonly onProgress: (progress: { readonly objects: number; readonly examined: number }) => void;
}

/** Throws `store_unreachable`, and `setting_invalid` where there is no archive of any known layout. Damage never throws. */
export async function auditArchive(request: AuditRequest): Promise<ArchiveAudit> {
  const [startedAt, startNs] = [nowUtc(), monotonicNs()];
  const book = new FindingBook();
  const counted = { objects: 0, bytes: 0 };
  const count = ({ bytes }: ObjectHead): void => {
    counted.objects += 1;
    counted.bytes += bytes;
    if (counted.objects % 1_000 === 0) request.onProgress({ objects: counted.objects, examined: 0 });
  };
  const { store, signal, filesPerBackup } = request;
  const context: ReaderContext = { store, book, count, signal, filesPerBackup, random: seededRandom(request.seed) };
  const reader = await openReader(context, request.layout ?? (await detectLayout(store)), request.stanza);
  const backups = await reader.backups();
  const wal = await new WalAudit(context, reader, backups, request).read();
  const view = await readTimelines(context, reader, wal, oldestTimeline(backups));
  const ways = backups.map((backup) => wayOf(backup, view, wal.scan.runs, wal.segmentBytes));
  const state: State = { request, context, reader, backups, wal, view, ways };
  checkSystem(state);
  checkBackups(state);
  checkGaps(state);
  checkPartials(state);
  const windows = windowsOf(ways);
  checkWindow(state, windows);
  const newest = checkNewest(state);
  const bucket = await askBucket(state);
  const known = { ways, main: view.main, runs: wal.scan.runs, segmentBytes: wal.segmentBytes };
  const severities = ['high', 'medium', 'low'];
  const findings = book
    .drafts()
    .map((draft) => toFinding(draft, known))
    .sort((a, b) => severities.indexOf(a.severity) - severities.indexOf(b.severity));
  return {
    layout: reader.layout,
    location: store.description,
    stanza: reader.stanza,
    startedAt,
    tookMs: Number((monotonicNs() - startNs) / 1_000_000n),
    seed: request.seed,
    encrypted: reader.identity.encrypted,
    systemIdentifier: wal.expected.systemIdentifier,
    serverVersion: wal.expected.serverVersion,
    walSegmentBytes: wal.segmentBytes,
    ...counted,
    segments: wal.scan.segments,
    examined: wal.examined,
    timelines: timelinesOf(state),
    backups: ways.map(({ backup, usable }) => ({
      label: backup.label,
      type: backup.type,
      timeline: backup.timeline,
      startLsn: backup.startLsn === null ? null : formatLsn(backup.startLsn),
      stopLsn: backup.stopLsn === null ? null : formatLsn(backup.stopLsn),
      finishedAt: backup.finishedAt,
      usable,
    })),
    windows,
    newest,
    checks: [...archiveChecks(state, windows, newest), ...bucket],
    findings,
    unlisted: book.unlisted,
  };
}

interface State {
  readonly request: AuditRequest;
  readonly context: ReaderContext;
  readonly reader: ArchiveReader;
  readonly backups: readonly BackupFacts[];
  readonly wal: WalFound;
  readonly view: TimelineView;
  readonly ways: readonly BackupWay[];
}

function oldestTimeline(backups: readonly BackupFacts[]): number | null {
  const timelines = backups.flatMap(({ timeline }) => (timeline === null ? [] : [timeline]));
  return timelines.length === 0 ? null : Math.min(...timelines);
}

/** One cluster's WAL and backups; the target's own where one was named. */
function checkSystem({ request, context, wal, backups, reader }: State): void {
  const { systemIdentifier: wanted } = request;
  const found = wal.expected.systemIdentifier;
  if (wanted !== null && wal.foundSystem !== null && wal.foundSystem !== wanted)
    context.book.add({
      check: 'archive',
      severity: 'high',
      key: reader.walPrefix,
      what: `the WAL belongs to system ${wal.foundSystem}, the target is ${wanted}`,
      about: { effect: 'nothing of the target can be restored from here.', hitsNewest: true },
      remedy: 'correct bucket and prefix in the target file, or find out which cluster archives here.',
    });
  for (const { label, key, systemIdentifier } of backups)
    if (systemIdentifier !== null && found !== null && systemIdentifier !== found && reader.layout !== 'pgbackrest')
      context.book.add({
        check: 'backups',
        severity: 'high',
        key,
        what: `the backup is of system ${systemIdentifier}, the WAL of system ${found}`,
        about: { effect: `backup ${label} cannot be rolled forward by this WAL.`, hitsNewest: false },
        remedy: 'two clusters use one prefix: give each its own, and take a new backup.',
      });
}

const inGap = (gaps: readonly Gap[], no: number): boolean => gaps.some(({ from, to }) => from <= no && no <= to);

function checkBackups(state: State): void {
  const { context, ways, view, wal, reader } = state;
  const { book } = context;
  if (ways.length === 0)
    book.add({
      check: 'backups',
      severity: 'high',
      key: null,
      what: 'there is no complete backup',
      about: { effect: 'nothing can be restored: WAL alone restores nothing.', hitsNewest: true },
      remedy: 'take a full backup now.',
    });
  for (const { way, needs, isMissing } of breakChains(ways))
    book.add({
      check: 'backups',
      severity: 'high',
      key: way.backup.key,
      what: `it needs backup ${needs}, which ${isMissing ? 'is not there' : 'is not whole'}`,
      about: { backup: way.backup.label },
      remedy: 'take a new full backup now.',
    });
  const gaps = view.main === null ? [] : allGaps(state);
  for (const { backup, reach, hasOwnWal } of ways) {
    if (hasOwnWal || reach === null || inGap(gaps, reach.lacking.no) || wal.bad.some(({ no }) => no === reach.lacking.no)) continue;
    const lacking = segmentName(reach.lacking.timeline, reach.lacking.no, wal.segmentBytes);
    const spans = view.main?.spans ?? [];
    const crosses = spans.some(
      (span) => span.timeline === reach.lacking.timeline && span.begin > segmentStart(reach.lacking.no, wal.segmentBytes),
    );
    book.add({
      check: 'backups',
      severity: 'high',
      key: reader.expectedKey(lacking),
      what: `backup ${backup.label} needs WAL up to ${formatLsn(backup.stopLsn ?? 0n)}, and ${lacking} is not there${crosses ? ': its segment spans the switch of timelines, and only the older timeline’s is archived' : ''}`,
      about: { backup: backup.label },
      remedy: 'archive that segment from pg_wal of a server if it still has it; else take a new backup.',
    });
  }
}

/** On the main line, from the oldest backup on; where no backup says where it begins, from the oldest segment on. */
function allGaps({ ways, view, wal }: State): Gap[] {
  if (view.main === null) return [];
  const { main } = view;
  // Without its history files nothing tells where a timeline leaves its parent: each is looked at by itself.
  if (wal.isOpaque)
    return wal.scan.runs.timelines().flatMap((timeline) => {
      const first = wal.scan.runs.of(timeline)[0]?.from ?? 0;
      const unusable = wal.bad.filter((each) => each.timeline === timeline).map(({ no }) => no);
      return gapsFrom({ timeline, spans: [{ timeline, begin: 0n, end: null }] }, wal.scan.runs, first, wal.segmentBytes, unusable);
    });
  const starts = ways.flatMap(({ backup, line }) =>
    backup.startLsn === null || line !== main ? [] : [segmentNo(backup.startLsn, wal.segmentBytes)],
  );
  const firsts = main.spans.flatMap(({ timeline }) => wal.scan.runs.of(timeline).slice(0, 1)).map(({ from }) => from);
  const from = starts.length > 0 ? Math.min(...starts) : firsts.length > 0 ? Math.min(...firsts) : null;
  // What a timeline archived after the line had left it is not on the way.
  const isOnWay = ({ timeline, no }: (typeof wal.bad)[number]): boolean =>
    main.spans.some((span) => span.timeline === timeline && (span.end === null || segmentStart(no, wal.segmentBytes) < span.end));
  const unusable = wal.bad.filter(isOnWay).map(({ no }) => no);
  return from === null ? [] : gapsFrom(main, wal.scan.runs, from, wal.segmentBytes, unusable);
}

function checkGaps(state: State): void {
  const { context, wal, reader } = state;
  // Unusable segments have findings of their own.
  for (const { timeline, from: first, to } of allGaps(state)) {
    const name = segmentName(timeline, first, wal.segmentBytes);
    const partial = wal.scan.partials.find((each) => each.name.slice(8, 24) === name.slice(8, 24));
    context.book.add({
      check: 'WAL continuity',
      severity: 'high',
      key: reader.expectedKey(name),
      what:
        first === to
          ? `segment ${name} is missing`
          : `${to - first + 1} segments are missing, ${name} to ${segmentName(timeline, to, wal.segmentBytes)}`,
      about: { timeline, no: first },
      remedy:
        partial === undefined
          ? 'look for it in pg_wal of every server and in versions of the bucket; else take a backup now.'
          : `${partial.key} holds its beginning; look for the whole one in pg_wal of every server; else take a backup now.`,
    });
  }
}

/** A partial segment is what an old primary had not finished; recovery never asks for it. */
function checkPartials({ context, wal, view }: State): void {
  for (const { key, name } of wal.scan.partials) {
    const timeline = Number.parseInt(name.slice(0, 8), 16);
    const no = wal.numberOf(name.slice(0, 24));
    const isCovered =
      no !== null &&
      [...new Set([timeline, ...(view.main?.spans ?? []).map((span) => span.timeline)])].some(
        (each) => wal.scan.runs.at(each, no) !== null,
      );
    if (isCovered) continue;
    context.book.add({
      check: 'WAL objects',
      severity: 'low',
      key,
      what: 'of this segment only the beginning was archived, when its timeline was left',
      about: { effect: `recovery does not ask for .partial files: restores to timeline ${timeline} end before it.`, hitsNewest: false },
      remedy: 'to reach the end of that timeline, restore it without its suffix by hand.',
    });
  }
}

function checkWindow({ request, context, ways, backups }: State, windows: readonly AuditWindow[]): void {
  const placed = ways.some(({ reach }) => reach !== null);
  if (ways.length > 0 && !placed) context.book.leaveOut('reach', 'no backup tells its positions in the WAL');
  if (backups.length > 0 && placed && windows.length === 0)
    context.book.add({
      check: 'reach',
      severity: 'high',
      key: null,
      what: 'no backup is usable with the WAL that is there',
      about: { effect: 'nothing can be restored.', hitsNewest: true },
      remedy: 'take a full backup now, and see the findings about backups and WAL.',
    });
  const { windowMs } = request;
  const oldest = windows[0]?.from.at ?? null;
  if (windowMs === null || oldest === null || Date.parse(oldest) <= Date.now() - windowMs) return;
  context.book.add({
    check: 'reach',
    severity: 'high',
    key: null,
    what: `the oldest point that can be restored is ${oldest}, ${formatMs(Date.now() - Date.parse(oldest))} ago; ${formatMs(windowMs)} are wanted`,
    about: { effect: `nothing before ${oldest} can be restored.`, hitsNewest: false },
    remedy: 'raise the retention of backups and WAL; it is met once the oldest backup is that old.',
  });
}

/** What is lost if nothing but the archive is left: all since its newest segment. */
function checkNewest({ request, context, wal, view }: State): ArchiveAudit['newest'] {
  const end = view.main === null ? null : endOf(view.main, wal.scan.runs);
  const object = end === null ? undefined : wal.scan.newest.get(end.timeline);
  if (object === undefined) {
    context.book.add({
      check: 'newest WAL',
      severity: 'high',
      key: null,
      what: 'the archive holds no usable segment',
      about: { effect: 'a backup without its WAL cannot be restored.', hitsNewest: true },
      remedy: 'is archiving on? `SELECT * FROM pg_stat_archiver` tells the last attempt.',
    });
    return null;
  }
  const ageMs = Math.max(0, Date.now() - Date.parse(object.modifiedAt));
  if (request.maxAgeMs !== null && ageMs > request.maxAgeMs)
    context.book.add({
      check: 'newest WAL',
      severity: 'medium',
      key: object.key,
      what: `the newest segment is ${formatMs(ageMs)} old; ${formatMs(request.maxAgeMs)} are allowed`,
      about: {
        effect: `if nothing but the archive were left, every commit since ${object.modifiedAt} would be lost; none, if nobody has written since.`,
        hitsNewest: false,
      },
      remedy: 'set archive_timeout on the primary, or find out why archiving is behind.',
    });
  return { segment: object.name, key: object.key, at: object.modifiedAt, ageMs };
}

async function askBucket({ request, context }: State): Promise<AuditCheck[]> {
  const { bucket, tryDelete, windowMs } = request;
  if (bucket === null) return [];
  const facts = await readBucketFacts(bucket);
  const trial = tryDelete ? await tryToDelete(bucket) : null;
  const root = bucket.prefix === undefined || bucket.prefix === '' ? '' : `${bucket.prefix}/`;
  return bucketChecks(context.book, { facts, trial, root, windowMs });
}

function timelinesOf({ view, wal }: State): ArchiveAudit['timelines'] {
  const { runs } = wal.scan;
  return runs.timelines().map((timeline) => {
    const parent = view.lineOf(timeline).spans.at(-2);
    const [first, last] = [runs.of(timeline)[0]?.from, runs.of(timeline).at(-1)?.to];
    const name = (no: number | undefined): string | null => (no === undefined ? null : segmentName(timeline, no, wal.segmentBytes));
    return {
      timeline,
      parent: parent?.timeline ?? null,
      switchedAt: parent?.end == null ? null : formatLsn(parent.end),
      segments: runs.count(timeline),
      first: name(first),
      last: name(last),
    };
  });
}

function archiveChecks(state: State, windows: readonly AuditWindow[], newest: ArchiveAudit['newest']): AuditCheck[] {
  const { context, reader, wal, view, ways } = state;
  const drafts = context.book.drafts();
  const check = (name: AuditCheckName, found: string): AuditCheck => {
    const count = drafts.filter((draft) => draft.check === name).length;
    const leftOut = context.book.leftOut(name);
    const words = [
      found,
      ...(count === 0 ? [] : [`${count} finding${count === 1 ? '' : 's'}`]),
      ...(leftOut === null ? [] : [`not examined: ${leftOut}`]),
    ];
    return { name, state: count > 0 ? 'found' : leftOut === null ? 'fine' : 'not-examined', found: words.join('; ') };
  };
  const usable = ways.filter((way) => way.usable !== false).length;
  const of = wal.scan.segments;
  const main = view.main;
  const [first, last] = [windows[0], windows.at(-1)];
  return [
    check(
      'archive',
      `${reader.layout}${reader.stanza === null ? '' : `, stanza ${reader.stanza}`}, system ${wal.expected.systemIdentifier ?? 'unknown'}, PostgreSQL ${wal.expected.serverVersion ?? 'unknown'}`,
    ),
    check('backups', `${usable} of ${ways.length} usable`),
    check(
      'timelines',
      main === null
        ? 'none'
        : main.spans.length === 1
          ? `timeline ${main.timeline}`
          : `${main.spans.map(({ timeline }) => timeline).join(' → ')}`,
    ),
    check('WAL continuity', `${of} segments`),
    check('WAL objects', `sizes and places of ${of} segments`),
    check('WAL content', `${wal.examined} of ${of} segments read${state.request.sample === 'all' ? '' : `, seed ${state.request.seed}`}`),
    check(
      'reach',
      first === undefined ? 'no stretch known' : `${describe(first)}${windows.length > 1 ? `, … ${describe(last ?? first)}` : ''}`,
    ),
    check('newest WAL', newest === null ? 'none' : `${newest.segment}, ${formatMs(newest.ageMs)} old: the RPO if only the archive is left`),
  ];
}

const describe = ({ from, to }: AuditWindow): string => `${from.at ?? from.lsn} to ${to.at ?? to.lsn}`;
