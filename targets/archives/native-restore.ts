/**
 * One restore from the native archive: base files, WAL ahead of replay, an explicit target, and proof that it was reached.
 * It never trusts an answering server: recovery must say itself where it stopped. Whatever fails, the sandbox is removed.
 */
import { spawn } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { monotonicNs, until } from '../../core/clock';
import { GamedayError, messageOf } from '../../core/errors';
import { formatLsn, parseLsn } from '../../core/lsn';
import { isAlive, type ProcessId } from '../../core/process';
import type { JsonObject } from '../../model/json';
import type { CheckResult } from '../../model/record';
import type { Target } from '../../model/target';
import type { ObjectStore } from '../../objects/store';
import type { BackupView, RecoveryTarget, RestoreOutcome, RestoreProgress } from '../ports';
import { withSql, type Sql } from '../sql';
import { downloadParts, type BackupManifest } from './base-backup';
import { findRecoveryStop, lastReplayedTime, logExcerpt, type RecoveryStop } from './recovery-log';
import {
  createSandbox,
  readControl,
  removeSandboxDirectory,
  runTool,
  SANDBOX_PORT,
  sandboxPlace,
  sandboxPostmaster,
  sandboxSettings,
  startSandbox,
  type SandboxPlace,
} from './sandbox-server';
import { ancestry, historyName } from './wal-chain';
import { WalFeeder } from './wal-feeder';

const LOG_LIMIT_BYTES = 16 * 1024 * 1024;

export interface RestoreRequest {
  readonly target: Target;
  readonly recovery: RecoveryTarget;
  readonly dir: string;
  readonly labels: JsonObject;
  readonly store: ObjectStore;
  /** Reads the manifest and the way through the WAL; throws before any byte moves. */
  readonly locate: () => Promise<{ readonly manifest: BackupManifest; readonly segments: readonly string[] }>;
  readonly fetchWal: (name: string) => Promise<Buffer | null>;
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
}

/** Restores as asked and leaves the server running. Throws `wal_missing`, `backup_missing`, `object_corrupt`, `restore_failed`, or the signal's reason. */
export async function restoreNative(request: RestoreRequest): Promise<RestoreOutcome> {
  const { target, dir, signal, onProgress } = request;
  const timer = new PhaseTimer();
  const place = sandboxPlace(target, dir);
  onProgress({ phase: 'locate', bytes: 0, segments: 0 });
  const { manifest, segments } = await request.locate();
  timer.end('locate', null);
  let walBytes = 0;
  let delivered = 0;
  const tell = (phase: RestoreProgress['phase'], bytes: number): void => onProgress({ phase, bytes, segments: delivered });
  const feeder = new WalFeeder({
    dir: place.walDir,
    owner: place.owner,
    plan: segments,
    fetch: request.fetchWal,
    onDelivered: (name, bytes) => {
      if (!segments.includes(name)) return;
      delivered += 1;
      walBytes += bytes;
      tell('replay', manifest.bytes + walBytes);
    },
  });
  try {
    await createSandbox(target, place, request.labels);
    await unpackBase(place, request.store, manifest, signal, (bytes) => tell('base', bytes));
    const verified = await verifyBase(place, signal);
    timer.end('base', manifest.bytes);
    const control = await readControl(place, signal);
    checkControl(target, control);
    const restoreCommand = await feeder.start();
    await startSandbox(place, sandboxSettings(place, request.recovery, restoreCommand, control), signal);
    const stop = await awaitStop(place, feeder, signal);
    timer.end('replay', walBytes);
    tell('promote', manifest.bytes + walBytes);
    await awaitWritable(target, place, feeder, signal);
    timer.end('promote', null);
    await feeder.stop();
    tell('checks', manifest.bytes + walBytes);
    const landed = await readLanding(target, place, stop);
    const checks = [verified, ...(await checkRestored(request, place, stop, landed, signal))];
    return {
      backup: viewOf(manifest),
      target: request.recovery,
      bytes: manifest.bytes + walBytes,
      segments: segments.length,
      walFrom: segments[0] ?? manifest.startWal,
      walTo: segments.at(-1) ?? manifest.startWal,
      phases: timer.phases,
      landed: {
        lsn: landed.lsn,
        xid: stop.xid,
        time: stop.time ?? lastReplayedTime(readLog(place)),
        logLine: stop.line,
        timeline: landed.timeline,
      },
      socketDir: place.dir,
      port: SANDBOX_PORT,
      dir: place.dir,
      checks,
    };
  } catch (error) {
    const excerpt = existsSync(place.logFile) ? readLog(place) : '';
    await feeder.stop();
    await removeSandboxDirectory(target, dir);
    throw signal.aborted ? reasonOf(signal) : explain(error, feeder, excerpt);
  }
}

export function viewOf(manifest: BackupManifest): BackupView {
  const { name, timeline, startLsn, stopLsn, startWal, finishedAt, bytes } = manifest;
  return { name, timeline, startLsn, stopLsn, startWal, finishedAt, bytes };
}

function reasonOf(signal: AbortSignal): Error {
  const reason: unknown = signal.reason;
  return reason instanceof Error ? reason : new GamedayError('halted', 'the restore was cancelled');
}

/** A file that failed its check is the cause; the server's death after it is the consequence. */
function explain(error: unknown, feeder: WalFeeder, log: string): Error {
  if (feeder.failure !== null) return feeder.failure;
  const excerpt = logExcerpt(log, 8);
  if (error instanceof GamedayError && (error.code !== 'restore_failed' || excerpt === '')) return error;
  return new GamedayError('restore_failed', excerpt === '' ? messageOf(error) : `${messageOf(error)}\n${excerpt}`, null, { cause: error });
}

/** Pipes the parts through `tar` as the sandbox's user; the kernel's pipe and PARALLEL parts bound the memory. */
async function unpackBase(
  place: SandboxPlace,
  store: ObjectStore,
  manifest: BackupManifest,
  signal: AbortSignal,
  onBytes: (bytes: number) => void,
): Promise<void> {
  const owner = place.owner === null ? {} : { uid: place.owner.uid, gid: place.owner.gid };
  const tar = spawn('tar', ['-x', '-f', '-', '--no-same-owner', '-p', '-C', place.dataDir], {
    stdio: ['pipe', 'ignore', 'pipe'],
    cwd: '/',
    env: { PATH: '/usr/bin:/bin', LC_ALL: 'C' },
    ...owner,
  });
  let stderr = '';
  tar.stderr.setEncoding('utf8').on('data', (text: string) => (stderr = (stderr + text).slice(-2_048)));
  const ended = new Promise<string>((resolve) => {
    tar.on('error', (error) => resolve(messageOf(error)));
    tar.on('close', (code) => resolve(code === 0 ? '' : `tar: exit ${code ?? 'by a signal'}: ${stderr.trim()}`));
  });
  let broken = false;
  tar.stdin.on('error', () => (broken = true));
  const onAbort = (): void => void tar.kill('SIGKILL');
  signal.addEventListener('abort', onAbort, { once: true });
  let bytes = 0;
  try {
    for await (const plain of downloadParts(store, manifest, signal)) {
      if (broken) break;
      await new Promise<void>((resolve) => tar.stdin.write(plain, () => resolve()));
      bytes += plain.length;
      onBytes(bytes);
    }
    tar.stdin.end();
    const problem = await ended;
    signal.throwIfAborted();
    if (problem !== '') throw new GamedayError(/No space left/.test(problem) ? 'disk_full' : 'restore_failed', problem);
  } finally {
    signal.removeEventListener('abort', onAbort);
    tar.kill('SIGKILL');
    await ended;
  }
}

/** pg_verifybackup, before the first start changes a file. WAL is not in the backup: `-n`; it is verified on its way in. */
async function verifyBase(place: SandboxPlace, signal: AbortSignal): Promise<CheckResult> {
  const result = await runTool(place, 'pg_verifybackup', ['-n', '-q', place.dataDir], { timeoutMs: 3_600_000, signal });
  if (result.code !== 0)
    throw new GamedayError('object_corrupt', `pg_verifybackup: ${result.stderr.trim().split('\n').slice(0, 3).join('; ')}`);
  return {
    name: 'pg_verifybackup',
    ok: true,
    found: 'every file equals the backup manifest',
    expected: 'every file equals the backup manifest',
    hint: null,
  };
}

function checkControl(target: Target, control: ReadonlyMap<string, string>): void {
  const system = control.get('Database system identifier');
  if (system !== target.systemIdentifier)
    throw new GamedayError('restore_failed', `the backup is of system ${system ?? '?'}, not ${target.systemIdentifier}`);
  const segment = control.get('Bytes per WAL segment');
  if (segment !== '16777216')
    throw new GamedayError('restore_failed', `the backup uses WAL segments of ${segment ?? '?'} bytes; only 16 MB is supported`);
}

function readLog(place: SandboxPlace): string {
  return readFileSync(place.logFile, 'utf8').slice(-LOG_LIMIT_BYTES);
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
  feeder: WalFeeder,
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
        if (feeder.failure !== null) throw feeder.failure;
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

function awaitStop(place: SandboxPlace, feeder: WalFeeder, signal: AbortSignal): Promise<RecoveryStop> {
  return awaitCondition(place, feeder, signal, () => (existsSync(place.logFile) ? findRecoveryStop(readLog(place)) : null));
}

function sandboxSql<T>(target: Target, place: SandboxPlace, database: string, work: (sql: Sql) => Promise<T>): Promise<T> {
  const user = target.roles.operate.user;
  return withSql({ host: place.dir, port: SANDBOX_PORT, user, password: null, database }, work, {
    queryTimeoutMs: 60_000,
    applicationName: 'gameday_restore',
  });
}

function awaitWritable(target: Target, place: SandboxPlace, feeder: WalFeeder, signal: AbortSignal): Promise<true> {
  return awaitCondition(place, feeder, signal, async () => {
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

async function checkRestored(
  request: RestoreRequest,
  place: SandboxPlace,
  stop: RecoveryStop,
  landed: Landing,
  signal: AbortSignal,
): Promise<CheckResult[]> {
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
    ...(await checkStructure(target, place, signal)),
  ];
}

/** True if recovery's own words name the target that was asked for. A time target names the first commit after it instead. */
export function reached(recovery: RecoveryTarget, stop: RecoveryStop): boolean {
  switch (recovery.setting) {
    case 'recovery_target_xid':
      // The log, like WAL, knows the low 32 bits.
      return stop.xid === String(BigInt(recovery.value) & 0xffffffffn) && stop.side === (recovery.inclusive ? 'after' : 'before');
    case 'recovery_target_lsn':
      return stop.lsn !== null && parseLsn(stop.lsn) === parseLsn(recovery.value);
    case 'recovery_target_name':
      return stop.name === recovery.value;
    case 'recovery_target_time':
      return stop.time !== null && stop.xid !== null;
  }
}

/** Invalid indexes, and amcheck with the heap compared to every index, in the entry database. */
async function checkStructure(target: Target, place: SandboxPlace, signal: AbortSignal): Promise<CheckResult[]> {
  const database = target.entry.database;
  const facts = await sandboxSql(target, place, database, async (sql) => {
    const rows = await sql.query(
      `select (select count(*) from pg_index where not indisvalid) as invalid, (select count(*) from pg_available_extensions where name = 'amcheck') as amcheck`,
    );
    return { invalid: rows[0]?.['invalid'] ?? '?', amcheck: rows[0]?.['amcheck'] === '1' };
  });
  const invalid = check(
    'invalid indexes',
    facts.invalid === '0',
    facts.invalid,
    '0',
    'rebuild them with REINDEX before this copy is used.',
  );
  if (!facts.amcheck || !existsSync(join(place.binDir, 'pg_amcheck'))) return [invalid];
  const argv = [
    '-h',
    place.dir,
    '-p',
    String(SANDBOX_PORT),
    '-U',
    target.roles.operate.user,
    '-d',
    database,
    '--install-missing',
    '--heapallindexed',
    '--no-password',
  ];
  const result = await runTool(place, 'pg_amcheck', argv, { timeoutMs: 3_600_000, signal });
  // Its output names rows; only its verdict and the number of complaints leave the sandbox.
  const complaints = (result.stdout + result.stderr).split('\n').filter((line) => line.trim() !== '').length;
  const found = result.code === 0 ? 'no corruption found' : `exit ${result.code}, ${complaints} lines of complaints`;
  return [
    invalid,
    check('pg_amcheck', result.code === 0, found, 'no corruption found', 'the copy is structurally damaged; check the source too.'),
  ];
}
