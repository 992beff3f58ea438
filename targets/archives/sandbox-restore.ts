/**
 * One restore into a sandbox, the same for every kind of archive: base files, an explicit target, replay, and proof that the target was reached. What
 * differs (how files and WAL come) stands behind `RestoreSource`. It never trusts an answering server: recovery must say itself where it stopped.
 * Whatever fails, the sandbox is removed.
 */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { monotonicNs, until } from '../../core/clock';
import { GamedayError, messageOf } from '../../core/errors';
import { formatLsn, parseLsn, parseWalSegmentName } from '../../core/lsn';
import { isAlive, type ProcessId } from '../../core/process';
import { formatMs } from '../../core/units';
import type { JsonObject } from '../../model/json';
import type { CheckResult } from '../../model/record';
import type { Target } from '../../model/target';
import type { RecoveryTarget, RestoreEstimate, RestoreOutcome, RestoreProgress } from '../ports';
import { withSql, type Sql } from '../sql';
import { endsWithArchive } from './archive-end';
import { findStopOf, lastReplayedTime, logExcerpt, type RecoveryStop } from './recovery-log';
import {
  createSandbox,
  readControl,
  readSandboxLog as readLog,
  removeSandboxDirectory,
  SANDBOX_PORT,
  sandboxPlace,
  sandboxPostmaster,
  sandboxSettings,
  startSandbox,
  type SandboxPlace,
} from './sandbox-server';
import { attachToServer, readBegun, saveBegun } from './sandbox-progress';
import { ancestry, historyName } from './wal-chain';

/** How one kind of archive brings the files of one restore. Made once its way is known: nothing moves before. */
export interface RestoreSource {
  readonly estimate: RestoreEstimate;
  /** Fills `place.dataDir`, which exists; on a half-filled one it goes on. Returns the bytes of the backup; `onBytes` hears how many are there. */
  fetchBase(place: SandboxPlace, signal: AbortSignal, onBytes: (bytes: number) => void): Promise<number>;
  /** The kind's own verification of the files, before a first start changes any. Throws `object_corrupt`. */
  verifyBase(place: SandboxPlace, signal: AbortSignal): Promise<CheckResult>;
  /** Called before the base comes, so that WAL may lie ready when replay begins. */
  openWal(place: SandboxPlace, signal: AbortSignal, onDelivered: () => void): Promise<WalSupply>;
}

/** What feeds a recovering server with WAL. */
export interface WalSupply {
  /** Value of restore_command. */
  readonly command: string;
  /** It fetches over the network by itself, so that a recovering server cannot be cut off from it. */
  readonly needsNetwork: boolean;
  /** What should have come and did not: the cause of a recovery that ends. */
  failure(): Error | null;
  /** Segments of the estimate handed over so far, and their bytes. */
  delivered(): { readonly segments: number; readonly bytes: number };
  stop(): Promise<void>;
}

export interface RestoreRequest {
  readonly target: Target;
  readonly recovery: RecoveryTarget;
  readonly dir: string;
  readonly labels: JsonObject;
  /** Finds backup and way through the WAL; throws `backup_missing`, `wal_missing` before any byte moves. */
  readonly locate: (signal: AbortSignal) => Promise<RestoreSource>;
  readonly timeoutMs: number;
  readonly onProgress: (progress: RestoreProgress) => void;
  readonly signal: AbortSignal;
}

type PhaseName = RestoreOutcome['phases'][number]['name'];

/** Measures phases that follow one another without a gap. */
class PhaseTimer {
  private last = monotonicNs();
  readonly phases: { name: PhaseName; ms: number; bytes: number | null }[] = [];
  end(name: PhaseName, bytes: number | null): void {
    const now = monotonicNs();
    this.phases.push({ name, ms: Number(now - this.last) / 1e6, bytes });
    this.last = now;
  }
  /** Phases that an earlier try measured, instead of those of this one. */
  goOnFrom(phases: RestoreOutcome['phases']): void {
    this.phases.splice(0, this.phases.length, ...phases);
    this.last = monotonicNs();
  }
}

/** Restores as asked and leaves the server running. Throws `wal_missing`, `backup_missing`, `object_corrupt`, `restore_failed`, or the signal's reason. */
export async function restoreIntoSandbox(request: RestoreRequest): Promise<RestoreOutcome> {
  const late = AbortSignal.timeout(request.timeoutMs);
  try {
    return await restoreUntil(request, AbortSignal.any([request.signal, late]));
  } catch (error) {
    if (late.aborted && !request.signal.aborted)
      throw new GamedayError(
        'restore_failed',
        `the restore did not end within ${formatMs(request.timeoutMs)}; its sandbox was removed`,
        null,
        { cause: error },
      );
    throw error;
  }
}

async function restoreUntil(request: RestoreRequest, signal: AbortSignal): Promise<RestoreOutcome> {
  const { target, dir, onProgress } = request;
  const timer = new PhaseTimer();
  const place = sandboxPlace(target, dir);
  onProgress({ phase: 'locate', bytes: 0, segments: 0, of: null });
  const source = await request.locate(signal);
  const { baseBytes: ofBase, walBytes, segments: planned } = source.estimate;
  const of = { baseBytes: ofBase, walBytes, segments: planned.length };
  timer.end('locate', null);
  let supply: WalSupply | null = null;
  let baseBytes = 0;
  const tell = (phase: RestoreProgress['phase']): void => {
    const { segments, bytes } = supply?.delivered() ?? { segments: 0, bytes: 0 };
    onProgress({ phase, bytes: baseBytes + bytes, segments, of });
  };
  try {
    const begun = readBegun(place, request.recovery, request.labels);
    if (begun === null) await createSandbox(target, place, request.labels);
    const attached = begun !== null && (await attachToServer(request.recovery, place));
    const wal = await source.openWal(place, signal, () => tell(timer.phases.length === 1 ? 'base' : 'replay'));
    supply = wal;
    let verified = begun?.verified;
    if (begun === null || verified === undefined) {
      baseBytes = await source.fetchBase(place, signal, (bytes) => {
        baseBytes = bytes;
        tell('base');
      });
      verified = await source.verifyBase(place, signal);
      timer.end('base', baseBytes);
      saveBegun(place, { recovery: request.recovery, labels: request.labels, baseBytes, verified, phases: timer.phases });
    } else {
      baseBytes = begun.baseBytes;
      timer.goOnFrom(begun.phases);
    }
    const control = await readControl(place, signal);
    checkControl(target, control);
    // Its WAL may all have come while the base files did: nothing else would tell that the phase has begun.
    tell('replay');
    if (!attached) await startSandbox(place, sandboxSettings(place, request.recovery, wal.command, control), signal, !wal.needsNetwork);
    const stop = await awaitStop(request.recovery, place, wal, signal);
    timer.end('replay', wal.delivered().bytes);
    tell('promote');
    await awaitWritable(target, place, wal, signal);
    timer.end('promote', null);
    await wal.stop();
    const ofUseNs = monotonicNs();
    tell('checks');
    const landed = await readLanding(target, place, stop);
    const checks = [verified, ...(await checkRestored(request, place, stop, landed))];
    return outcomeOf(request, place, source.estimate, {
      bytes: baseBytes + wal.delivered().bytes,
      phases: timer.phases,
      stop,
      landed,
      checks,
      checksMs: Number(monotonicNs() - ofUseNs) / 1e6,
    });
  } catch (error) {
    const excerpt = existsSync(place.logFile) ? readLog(place) : '';
    await supply?.stop();
    await removeSandboxDirectory(target, dir);
    throw signal.aborted ? reasonOf(signal) : explain(error, supply?.failure() ?? null, excerpt);
  }
}

interface Found extends Pick<RestoreOutcome, 'bytes' | 'phases' | 'checks' | 'checksMs'> {
  readonly stop: RecoveryStop;
  readonly landed: Landing;
}

function outcomeOf({ recovery }: RestoreRequest, place: SandboxPlace, estimate: RestoreEstimate, found: Found): RestoreOutcome {
  const { backup, segments } = estimate;
  const { stop, landed, bytes, phases, checks, checksMs } = found;
  const replayedTime = lastReplayedTime(readLog(place));
  return {
    backup,
    target: recovery,
    bytes,
    segments: segments.length,
    walFrom: segments[0] ?? backup.startWal,
    walTo: segments.at(-1) ?? backup.startWal,
    phases,
    landed: {
      lsn: landed.lsn,
      xid: stop.xid,
      time: stop.time ?? replayedTime,
      logLine: stop.line,
      timeline: landed.timeline,
      lastReplayedTime: replayedTime,
    },
    socketDir: place.dir,
    port: SANDBOX_PORT,
    dir: place.dir,
    checks,
    checksMs,
  };
}

function reasonOf(signal: AbortSignal): Error {
  const reason: unknown = signal.reason;
  return reason instanceof Error ? reason : new GamedayError('halted', 'the restore was cancelled');
}

/** A file that failed its check is the cause; the server's death after it is the consequence. */
function explain(error: unknown, failure: Error | null, log: string): Error {
  if (failure !== null) return failure;
  const excerpt = logExcerpt(log, 8);
  if (error instanceof GamedayError && (error.code !== 'restore_failed' || excerpt === '')) return error;
  return new GamedayError('restore_failed', excerpt === '' ? messageOf(error) : `${messageOf(error)}\n${excerpt}`, null, { cause: error });
}

function checkControl(target: Target, control: ReadonlyMap<string, string>): void {
  const system = control.get('Database system identifier');
  if (system !== target.systemIdentifier)
    throw new GamedayError('restore_failed', `the backup is of system ${system ?? '?'}, not ${target.systemIdentifier}`);
  const segment = control.get('Bytes per WAL segment');
  if (segment !== '16777216')
    throw new GamedayError('restore_failed', `the backup uses WAL segments of ${segment ?? '?'} bytes; only 16 MB is supported`);
}

/** True while the server lives. It may take a moment to write its pid file; after that, its absence is its death. */
function liveness(place: SandboxPlace): () => void {
  const startedNs = monotonicNs();
  let server: ProcessId | null = null;
  return () => {
    server ??= sandboxPostmaster(place);
    const dead = server === null ? monotonicNs() - startedNs > 5_000_000_000n : !isAlive(server);
    if (dead) throw new GamedayError('restore_failed', 'the sandbox’s server ended before its target was reached');
  };
}

/** Errors inside `until` are retried by design; a dead server or a broken feed must not be. */
async function awaitCondition<T>(
  place: SandboxPlace,
  supply: WalSupply,
  signal: AbortSignal,
  probe: () => Promise<T | null> | T | null,
): Promise<T> {
  const checkAlive = liveness(place);
  let fatal: Error | null = null;
  const value = await until<{ readonly value: T } | 'dead'>(
    async () => {
      const found = await probe();
      if (found !== null) return { value: found };
      try {
        const failure = supply.failure();
        if (failure !== null) throw failure;
        checkAlive();
      } catch (error) {
        fatal = error instanceof Error ? error : new Error(messageOf(error));
        return 'dead';
      }
      return null;
    },
    // The caller's signal carries the real deadline.
    {
      timeoutMs: 24 * 3_600_000,
      everyMs: 25,
      signal,
      onTimeout: () => new GamedayError('restore_failed', 'recovery took longer than a day'),
    },
  );
  if (value === 'dead') throw fatal ?? new GamedayError('restore_failed', 'the sandbox’s server ended');
  return value.value;
}

function awaitStop(recovery: RecoveryTarget, place: SandboxPlace, supply: WalSupply, signal: AbortSignal): Promise<RecoveryStop> {
  return awaitCondition(place, supply, signal, () => (existsSync(place.logFile) ? findStopOf(recovery, readLog(place)) : null));
}

function sandboxSql<T>(target: Target, place: SandboxPlace, database: string, work: (sql: Sql) => Promise<T>): Promise<T> {
  const user = target.roles.operate.user;
  return withSql({ host: place.dir, port: SANDBOX_PORT, user, password: null, database }, work, {
    queryTimeoutMs: 60_000,
    applicationName: 'gameday_restore',
  });
}

function awaitWritable(target: Target, place: SandboxPlace, supply: WalSupply, signal: AbortSignal): Promise<true> {
  return awaitCondition(place, supply, signal, async () => {
    try {
      return await sandboxSql(target, place, 'postgres', async (sql) =>
        (await sql.query('select pg_is_in_recovery() as r'))[0]?.['r'] === 'f' ? true : null,
      );
    } catch (error) {
      // "starting up" and "no such socket yet" pass; a role that may not connect never will.
      if (/role .* does not exist|authentication/.test(messageOf(error))) throw error;
      return null;
    }
  });
}

interface Landing {
  readonly lsn: string;
  readonly timeline: number;
  readonly parent: number;
  readonly systemIdentifier: string;
}

/** Where recovery ended: the switch position in the new timeline's history file, written by recovery itself. */
async function readLanding(target: Target, place: SandboxPlace, stop: RecoveryStop): Promise<Landing> {
  const row = await sandboxSql(target, place, 'postgres', async (sql) => {
    const rows = await sql.query(
      `select substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8) as timeline, (pg_control_system()).system_identifier::text as system`,
    );
    return rows[0];
  });
  const timeline = Number.parseInt(row?.['timeline'] ?? '', 16);
  const spans = ancestry(timeline, readFileSync(join(place.dataDir, 'pg_wal', historyName(timeline)), 'utf8'));
  const before = spans.at(-2);
  if (before?.end === undefined || before.end === null)
    throw new GamedayError('restore_failed', `timeline ${timeline} has no parent, though "${stop.line}"`);
  return { lsn: formatLsn(before.end), timeline, parent: before.timeline, systemIdentifier: row?.['system'] ?? '' };
}

const check = (name: string, ok: boolean, found: string, expected: string, hint: string | null = null): CheckResult => ({
  name,
  ok,
  found,
  expected,
  hint: ok ? null : hint,
});

async function checkRestored(request: RestoreRequest, place: SandboxPlace, stop: RecoveryStop, landed: Landing): Promise<CheckResult[]> {
  const { target, recovery } = request;
  const isolation = await sandboxSql(target, place, 'postgres', async (sql) => {
    const names = ['archive_mode', 'listen_addresses', 'primary_conninfo', 'max_logical_replication_workers', 'shared_preload_libraries'];
    const rows = await sql.query(`select name, setting from pg_settings where name = any(string_to_array($1, ','))`, [names.join(',')]);
    const slots = await sql.query('select count(*) as n from pg_replication_slots');
    return [...rows.map((row) => `${row['name']}=${row['setting']}`).sort(), `slots=${slots[0]?.['n']}`].join(' ');
  });
  const isolated =
    'archive_mode=off listen_addresses= max_logical_replication_workers=0 primary_conninfo= shared_preload_libraries= slots=0';
  return [
    check(
      'target reached',
      reached(recovery, stop),
      stop.line,
      `${recovery.setting} ${recovery.value}, ${recovery.inclusive ? 'inclusive' : 'exclusive'}`,
      'the copy is not at the target; do not use it.',
    ),
    check(
      'timeline',
      landed.parent === recovery.timeline,
      `${landed.timeline}, child of ${landed.parent}`,
      `child of ${recovery.timeline}`,
    ),
    check('system identifier', landed.systemIdentifier === target.systemIdentifier, landed.systemIdentifier, target.systemIdentifier),
    check('isolated', isolation === isolated, isolation, isolated),
  ];
}

/** True if recovery's own words name the target that was asked for. A time target names the first commit after it instead. */
export function reached(recovery: RecoveryTarget, stop: RecoveryStop): boolean {
  switch (recovery.setting) {
    case 'recovery_target_xid':
      // The log, like WAL, knows the low 32 bits.
      return stop.xid === String(BigInt(recovery.value) & 0xffffffffn) && stop.side === (recovery.inclusive ? 'after' : 'before');
    case 'recovery_target_lsn':
      return stop.lsn !== null && parseLsn(stop.lsn) >= parseLsn(recovery.value);
    case 'recovery_target_name':
      return stop.name === recovery.value;
    case 'recovery_target_time':
      return stop.time !== null && stop.xid !== null;
    case 'recovery_target':
      if (!endsWithArchive(recovery)) return stop.line.includes('reaching consistency');
      // The last record begins in the last segment that the archive holds.
      return stop.lsn !== null && parseLsn(stop.lsn) >= (parseWalSegmentName(recovery.lastSegment)?.start ?? parseLsn(stop.lsn) + 1n);
  }
}
