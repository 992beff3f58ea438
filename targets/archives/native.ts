/**
 * The native archive as the rest of gameday sees it: backups, audit, choosing a way to a target, restoring along it.
 * It reads the store directly, not through a node's link, holds no state, and never follows a timeline that is not an ancestor of the one asked for.
 */
import { join } from 'node:path';
import { GamedayError, messageOf } from '../../core/errors';
import { callRpc } from '../../core/rpc';
import { parseLsn, parseWalSegmentName, WAL_SEGMENT_BYTES } from '../../core/lsn';
import { resolveSecret } from '../../core/secrets';
import { formatBytes, formatMs } from '../../core/units';
import type { CheckResult } from '../../model/record';
import type { Target, TargetNode } from '../../model/target';
import type { ObjectHead, ObjectStore } from '../../objects/store';
import { PATIENT_RETRY } from '../../objects/store-retry';
import type { Archive, ArchiveDoor, RecoveryTarget } from '../ports';
import { withSql } from '../sql';
import { openArchiveDoor } from './archive-door';
import { archiveEnd } from './archive-end';
import { openArchiveStore } from './archive-store';
import { archivedCommits } from './archived-commits';
import { listBackups, readManifest, takeBaseBackup, type BackupManifest } from './base-backup';
import type { ArchiverNodeStatus, ArchiverStatus } from './native-archiver';
import { expireBackups, type Expired, type Keep } from './native-retention';
import { estimateNative, nativeSource, viewOf } from './native-source';
import { verifyNative, type Verified } from './native-verify';
import { restoreIntoSandbox } from './sandbox-restore';
import { removeSandboxDirectory } from './sandbox-server';
import { ancestry, describeSpans, historyName, liesOn, walPath, type TimelineSpan } from './wal-chain';
import { unpackWal, walFileKind, walKey, walNameOfKey } from './wal-object';

/** WAL that a server writes by itself while nobody uses it (checkpoints, running-transactions records). */
const IDLE_BYTES = 64n * 1024n;

/** PostgreSQL itself tries again within a minute. */
const RECENT_ERROR_MS = 60_000;

/** What the native archive can do besides: settle the order of commits from archived WAL, and look after what it holds. */
export interface NativeArchive extends Archive {
  readonly commits: NonNullable<Archive['commits']>;
  /** Removes what `keep` does not ask for, and the WAL that no kept backup needs. Ends early, with its reason, where the store refuses. */
  expire(keep: Keep, signal: AbortSignal): Promise<Expired>;
  /** Reads all, or the drawn share, of what the archive holds and holds it against its sums. Restores nothing. */
  verify(options: { readonly share: number; readonly seed: string }, signal: AbortSignal): Promise<Verified>;
}

export function openNativeArchive(target: Target): NativeArchive {
  let door: ArchiveDoor | null = null;
  const store = openArchiveStore(target, null);
  const { fetchWal, historyOf, pathTo, wayTo } = lookupIn(store);
  // Work that moves bytes outlasts a store that is overloaded or starts again; a question is answered, or refused, soon.
  const patientUntil = (ended: AbortSignal): ObjectStore => openArchiveStore(target, null, PATIENT_RETRY, ended);

  return {
    kind: 'native',
    get door() {
      return (door ??= openArchiveDoor(target));
    },
    backups: async () => (await listBackups(store)).map(viewOf),
    takeBackup: async (node, signal) => viewOf(await takeBaseBackup(target, node, store, signal)),
    audit: () => auditArchive(target, store, pathTo),
    holds: async (segment) => (await store.head(walKey(segment))) !== null,
    locate: async (point) => {
      const lsn = parseLsn(point.lsn);
      const spans = await historyOf(point.timeline);
      const { backup = null } = point;
      const usable = (await listBackups(store)).filter(
        (one) =>
          parseLsn(one.stopLsn) <= lsn && liesOn(spans, one.timeline, parseLsn(one.stopLsn)) && (backup === null || one.name === backup),
      );
      const manifest = usable.at(-1);
      if (manifest === undefined)
        throw new GamedayError(
          'backup_missing',
          `no backup${backup === null ? '' : ` ${backup}`} on timeline ${point.timeline} ends before ${point.lsn}`,
        );
      const { segments } = await pathTo(manifest, point.timeline, lastByte(lsn, point.setting));
      const { setting, value, inclusive, timeline } = point;
      return { backup: manifest.name, timeline, setting, value, inclusive, lastSegment: segments.at(-1) ?? manifest.startWal };
    },
    end: async () => archiveEnd(await listBackups(store), (timeline) => segmentNames(store, timeline)),
    estimate: async (recovery) => estimateNative(await wayTo(recovery)),
    restore: (recovery, sandbox, { through = null, ...options }) =>
      restoreIntoSandbox({
        target,
        recovery,
        dir: sandbox.dir,
        labels: sandbox.labels,
        locate: async (signal) => nativeSource({ target, recovery, through, ...(await lookupIn(patientUntil(signal)).wayTo(recovery)) }),
        ...options,
      }),
    removeSandbox: (dir) => removeSandboxDirectory(target, dir),
    expire: (keep, signal) => expireBackups(store, keep, Date.now(), signal),
    verify: (options, signal) => verifyNative(patientUntil(signal), { systemIdentifier: target.systemIdentifier, signal, ...options }),
    commits: async (range, signal) => archivedCommits(await historyOf(range.timeline), range, fetchWal, signal),
  };
}

/** Reads what the archive says of timelines and of the way to a target. */
interface Lookup {
  readonly fetchWal: (name: string) => Promise<Buffer | null>;
  readonly historyOf: (timeline: number) => Promise<TimelineSpan[]>;
  readonly pathTo: (manifest: BackupManifest, timeline: number, upTo: bigint) => Promise<WalWay>;
  readonly wayTo: (recovery: RecoveryTarget) => Promise<WalWay & { readonly manifest: BackupManifest }>;
}

function lookupIn(store: ObjectStore): Lookup {
  const fetchWal = async (name: string): Promise<Buffer | null> => {
    if (walFileKind(name) === null) return null;
    const object = await store.get(walKey(name));
    if (object === null) return null;
    return walFileKind(name) === 'history' ? Buffer.from(object) : unpackWal(name, object);
  };
  const historyOf = async (timeline: number): Promise<TimelineSpan[]> => {
    if (timeline === 1) return ancestry(1, '');
    const name = historyName(timeline);
    const data = await fetchWal(name);
    if (data === null)
      throw new GamedayError(
        'wal_missing',
        `${name} is not in the archive`,
        'the new primary archives its history file after the promotion; wait for it.',
      );
    return ancestry(timeline, data.toString('utf8'));
  };
  const pathTo = async (manifest: BackupManifest, timeline: number, upTo: bigint): Promise<WalWay> => {
    const spans = await historyOf(timeline);
    if (!liesOn(spans, manifest.timeline, parseLsn(manifest.stopLsn))) {
      throw new GamedayError(
        'backup_missing',
        `backup ${manifest.name} (timeline ${manifest.timeline}, until ${manifest.stopLsn}) is not on the history ${describeSpans(spans)}`,
      );
    }
    const archived = await walNames(store, spans);
    const path = walPath(spans, parseLsn(manifest.startLsn), upTo, (name) => archived.has(name));
    if (path.missing !== null)
      throw new GamedayError(
        'wal_missing',
        `${path.missing} is not in the archive; the restore needs every segment from ${manifest.startWal} on`,
      );
    return { segments: path.segments, sizes: archived };
  };
  const wayTo = async (recovery: RecoveryTarget): Promise<WalWay & { readonly manifest: BackupManifest }> => {
    const manifest = await readManifest(store, recovery.backup);
    const last = parseWalSegmentName(recovery.lastSegment);
    if (last === null) throw new GamedayError('setting_invalid', `"${recovery.lastSegment}" is not a WAL segment`);
    const upTo = lastPosition(await historyOf(recovery.timeline), last);
    return { manifest, ...(await pathTo(manifest, recovery.timeline, upTo)) };
  };
  return { fetchWal, historyOf, pathTo, wayTo };
}

/** Position whose segment must be there: a target position itself is compared with the record that starts at or after it; all else ends before. */
function lastByte(lsn: bigint, setting: string): bigint {
  return setting === 'recovery_target_lsn' ? lsn : lsn - 1n;
}

/** A position inside `segment` that makes walPath ask for exactly it: behind the switch if it was named on the newer timeline. */
function lastPosition(spans: readonly TimelineSpan[], segment: { readonly timeline: number; readonly start: bigint }): bigint {
  const span = spans.find((one) => one.timeline === segment.timeline);
  const end = segment.start + WAL_SEGMENT_BYTES - 1n;
  return span?.end !== undefined && span.end !== null && span.end < end ? span.end : end;
}

/** What a restore replays, and the bytes of all WAL objects of its history, by name. */
interface WalWay {
  readonly segments: readonly string[];
  readonly sizes: ReadonlyMap<string, number>;
}

/** The archived WAL files of an ancestry, each with the bytes of its object. */
async function walNames(store: ObjectStore, spans: readonly TimelineSpan[]): Promise<Map<string, number>> {
  const names = new Map<string, number>();
  for (const span of spans) {
    for await (const { name, bytes } of archivedWal(store, span.timeline)) names.set(name, bytes);
  }
  return names;
}

/** The archived WAL files of one timeline by name, in order. */
async function* archivedWal(store: ObjectStore, timeline: number): AsyncGenerator<ObjectHead & { readonly name: string }> {
  for await (const head of store.list(`wal/${historyName(timeline).slice(0, 8)}/`)) {
    const name = walNameOfKey(head.key);
    if (name !== null) yield { ...head, name };
  }
}

const check = (name: string, ok: boolean, found: string, expected: string, hint: string | null): CheckResult => ({
  name,
  ok,
  found,
  expected,
  hint: ok ? null : hint,
});

interface PrimaryView {
  readonly node: string;
  readonly lsn: bigint;
  readonly timeline: number;
  readonly failing: boolean;
  readonly lastFailed: string;
}

async function askPrimary(target: Target): Promise<PrimaryView | null> {
  const { user, password } = target.roles.observe;
  const secret = password === null ? null : resolveSecret(password);
  const ask = (node: TargetNode): Promise<PrimaryView | null> =>
    withSql({ host: node.host, port: node.port, user, password: secret, database: 'postgres' }, async (sql) => {
      const role = await sql.query('select pg_is_in_recovery() as r');
      if (role[0]?.['r'] !== 'f') return null;
      const rows = await sql.query(
        `select pg_current_wal_insert_lsn()::text as lsn, substr(pg_walfile_name(pg_current_wal_insert_lsn()), 1, 8) as timeline,
                coalesce(last_failed_time > coalesce(last_archived_time, '-infinity'), false) as failing, coalesce(last_failed_wal, '') as last_failed from pg_stat_archiver`,
      );
      const row = rows[0];
      return {
        node: node.name,
        lsn: parseLsn(row?.['lsn'] ?? ''),
        timeline: Number.parseInt(row?.['timeline'] ?? '', 16),
        failing: row?.['failing'] === 't',
        lastFailed: row?.['last_failed'] ?? '',
      };
    }).catch(() => null);
  return (await Promise.all(target.nodes.map(ask))).find((view) => view !== null) ?? null;
}

async function segmentNames(store: ObjectStore, timeline: number): Promise<readonly string[]> {
  const names: string[] = [];
  for await (const { name } of archivedWal(store, timeline)) if (walFileKind(name) === 'segment') names.push(name);
  return names.sort();
}

async function newestSegment(store: ObjectStore, timeline: number): Promise<{ readonly name: string; readonly modifiedAt: string } | null> {
  let newest: { name: string; modifiedAt: string } | null = null;
  for await (const { name, modifiedAt } of archivedWal(store, timeline)) if (walFileKind(name) === 'segment') newest = { name, modifiedAt };
  return newest;
}

async function auditArchive(
  target: Target,
  store: ObjectStore,
  pathTo: (manifest: BackupManifest, timeline: number, upTo: bigint) => Promise<WalWay>,
): Promise<CheckResult[]> {
  const checks: CheckResult[] = [];
  let backups: BackupManifest[];
  try {
    backups = await listBackups(store);
    checks.push(check('archive reachable', true, store.description, 'the store answers', null));
  } catch (error) {
    return [check('archive reachable', false, messageOf(error), 'the store answers', 'without the archive nothing can be restored.')];
  }
  checks.push(await auditArchiver(target));
  const newestBackup = backups.at(-1);
  checks.push(await auditBackup(store, newestBackup));
  const primary = await askPrimary(target);
  if (primary === null) return [...checks, check('archiving', false, 'no node answers as primary', 'one primary archives', null)];
  checks.push(
    check(
      'archiving',
      !primary.failing,
      primary.failing ? `${primary.node} failed last with ${primary.lastFailed}` : `${primary.node} archives`,
      'the last attempt succeeded',
      'read the server log of the primary for the reason.',
    ),
  );
  const newest = await newestSegment(store, primary.timeline);
  checks.push(auditAge(target, primary, newest));
  if (newestBackup !== undefined) checks.push(await auditContinuity(newestBackup, primary, newest?.name ?? null, pathTo));
  return checks;
}

async function auditArchiver(target: Target): Promise<CheckResult> {
  const hint = 'start the archiver; PostgreSQL keeps its WAL until then.';
  try {
    const status = await callRpc<ArchiverStatus>(join(target.runDir, 'archiver.sock'), 'status', null, {
      timeoutMs: 2_000,
      unreachable: 'store_unreachable',
    });
    // A node that archives no more keeps its last error; only what waits or failed just now is a finding.
    const current = (node: ArchiverNodeStatus): boolean =>
      node.lastError !== null && (node.queue > 0 || Date.now() - Date.parse(node.lastErrorAt ?? '') < RECENT_ERROR_MS);
    const failing = status.nodes.filter(current).map((node) => `${node.node}: ${node.lastError}`);
    return check(
      'archiver',
      failing.length === 0,
      failing.length === 0 ? `process ${status.pid} serves ${status.nodes.length} nodes` : failing.join('; '),
      'runs without errors',
      hint,
    );
  } catch (error) {
    return check('archiver', false, messageOf(error), 'runs without errors', hint);
  }
}

/** Every part is there with its size; sums are checked when it is restored. */
async function auditBackup(store: ObjectStore, manifest: BackupManifest | undefined): Promise<CheckResult> {
  const hint = 'take a new base backup.';
  if (manifest === undefined) return check('base backup', false, 'none', 'one complete base backup', hint);
  const sizes = new Map<string, number>();
  for await (const head of store.list(`base/${manifest.name}/`)) sizes.set(head.key, head.bytes);
  const bad = manifest.parts.filter((part) => sizes.get(part.key) !== part.bytes);
  const found =
    bad.length === 0
      ? `${manifest.name}, ${formatBytes(manifest.bytes)}`
      : `${bad.length} of ${manifest.parts.length} parts of ${manifest.name} are missing or cut`;
  return check('base backup', bad.length === 0, found, 'one complete base backup', hint);
}

/** Age of the newest archived segment: what a loss of everything but the archive would cost now. An idle server has nothing to lose. */
function auditAge(
  target: Target,
  primary: PrimaryView,
  newest: { readonly name: string; readonly modifiedAt: string } | null,
): CheckResult {
  const limit = target.policy.maxArchiveAgeMs;
  const expected = `at most ${formatMs(limit)} old, or nothing written since`;
  const hint = 'set archive_timeout on the primary, or find out why archiving is behind.';
  if (newest === null) return check('newest archived WAL', false, `none on timeline ${primary.timeline}`, expected, hint);
  const ageMs = Math.max(0, Date.now() - Date.parse(newest.modifiedAt));
  const end = (parseWalSegmentName(newest.name)?.start ?? 0n) + WAL_SEGMENT_BYTES;
  const behind = primary.lsn > end ? primary.lsn - end : 0n;
  return check(
    'newest archived WAL',
    ageMs <= limit || behind <= IDLE_BYTES,
    `${newest.name}, ${formatMs(ageMs)} old, ${formatBytes(Number(behind))} written since`,
    expected,
    hint,
  );
}

async function auditContinuity(
  manifest: BackupManifest,
  primary: PrimaryView,
  newest: string | null,
  pathTo: (manifest: BackupManifest, timeline: number, upTo: bigint) => Promise<WalWay>,
): Promise<CheckResult> {
  const expected = `every segment since backup ${manifest.name}`;
  const stop = parseLsn(manifest.stopLsn) - 1n;
  const end = newest === null ? stop : (parseWalSegmentName(newest)?.start ?? 0n) + WAL_SEGMENT_BYTES - 1n;
  try {
    const { segments } = await pathTo(manifest, primary.timeline, end > stop ? end : stop);
    return check('WAL continuity', true, `${segments.length} segments, ${segments[0]} to ${segments.at(-1)}`, expected, null);
  } catch (error) {
    return check('WAL continuity', false, messageOf(error), expected, 'take a new base backup: nothing can be restored across the gap.');
  }
}
