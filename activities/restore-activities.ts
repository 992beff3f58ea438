/**
 * Restores: wait until the archive holds what the target needs, let the archive restore into a sandbox, then prove from the ledger where it
 * landed — not one transaction under, not one over.
 */
import { activityInfo } from '@temporalio/activity';
import { join } from 'node:path';
import { monotonicNs, until } from '../core/clock';
import { GamedayError } from '../core/errors';
import { formatLsn, parseLsn, WAL_SEGMENT_BYTES, walSegmentName } from '../core/lsn';
import type { RestorePoint } from '../model/plan';
import type { CheckResult, RestoreRecord } from '../model/record';
import { examineVictim } from '../faults/accident';
import { compareRestore, type RestoreFindings } from '../probe/restore-compare';
import { readSurvivors } from '../probe/survivors';
import { commitsBetween } from '../targets/archives/commit-order';
import { openTarget } from '../targets/open-target';
import { withSql } from '../targets/sql';
import type { Archive, Host, LiveTarget, RestoreOutcome } from '../targets/ports';
import type { InjectResult, RestoreInput, UndoActivities } from './contract';
import { requirePrimary } from './failover-activities';
import { cancellable } from './open-drill';

const ARCHIVE_WAIT_MS = 60_000;
/** WAL read around the damage to settle writes concurrent with it. */
const SETTLE_BYTES = 64n * 1024n * 1024n;

/** A restore point with everything late resolved: what PostgreSQL is told, and where on which timeline it lies. */
interface Resolved {
  readonly setting: 'recovery_target_xid' | 'recovery_target_lsn' | 'recovery_target_time' | 'recovery_target_name';
  readonly value: string;
  readonly inclusive: boolean;
  readonly lsn: string;
  readonly timeline: number;
  readonly words: string;
}

interface Position {
  readonly lsn: string;
  readonly timeline: number;
}

export async function restore(input: RestoreInput): Promise<RestoreRecord> {
  return cancellable((signal) => restoreStep(input, signal));
}

async function restoreStep(input: RestoreInput, signal: AbortSignal): Promise<RestoreRecord> {
  const { plan, drill, step } = input;
  const live = openTarget(plan.target);
  const { archive } = live;
  const { sandbox } = plan.target;
  if (archive === null || sandbox === null)
    throw new GamedayError('step_failed', `target "${plan.target.name}" declares no ${archive === null ? 'archive' : 'sandbox'}`);
  const primary = requirePrimary(await live.controller.topology());
  const point = resolvePoint(step.to, input.damage, await currentPosition(live, primary));
  const dir = join(sandbox.dir, `${drill.drill}-${step.id}`);
  // What a try before the worker's death left there is gone on with, or removed where a server ran on it: the sandbox itself decides.
  const started = monotonicNs();
  await awaitArchived(live, archive, primary, point, signal);
  const target = await archive.locate(point);
  const outcome = await archive.restore(
    target,
    { dir, labels: { drill: drill.drill, step: step.id } },
    { timeoutMs: step.timeoutMs, signal, onProgress: () => undefined },
  );
  const totalMs = Number(monotonicNs() - started) / 1e6;
  const landing = await compareWithLedger(input, live, primary, outcome, point);
  const table = await examineTable(input, outcome);
  return record(input, { ...outcome, checks: [...outcome.checks, ...table] }, point, totalMs, landing);
}

function resolvePoint(to: RestorePoint, damage: InjectResult | null, now: Position): Resolved {
  switch (to.kind) {
    case 'before-step': {
      const { xid, lsnAfter, timeline } = damage?.facts ?? {};
      if (typeof xid !== 'string' || typeof lsnAfter !== 'string' || typeof timeline !== 'number') {
        throw new GamedayError(
          'step_failed',
          `step "${to.step}" recorded no transaction to restore before`,
          'restore before a step that does damage: drop-table or mass-update.',
        );
      }
      return {
        setting: 'recovery_target_xid',
        value: xid,
        inclusive: false,
        lsn: lsnAfter,
        timeline,
        words: `just before transaction ${xid} of step ${to.step}`,
      };
    }
    case 'xid':
      return {
        setting: 'recovery_target_xid',
        value: to.xid,
        inclusive: to.inclusive,
        ...now,
        words: `transaction ${to.xid}${to.inclusive ? '' : ', exclusive'}`,
      };
    case 'lsn':
      return {
        setting: 'recovery_target_lsn',
        value: to.lsn,
        inclusive: to.inclusive,
        timeline: now.timeline,
        lsn: to.lsn,
        words: `position ${to.lsn}`,
      };
    case 'time':
      return { setting: 'recovery_target_time', value: to.time, inclusive: true, ...now, words: `time ${to.time}` };
    case 'name':
      return { setting: 'recovery_target_name', value: to.name, inclusive: true, ...now, words: `restore point ${to.name}` };
  }
}

async function currentPosition(live: LiveTarget, primary: string): Promise<Position> {
  const rows = await live.sql(primary, 'operate', (sql) =>
    sql.query('SELECT lsn::text AS lsn, pg_walfile_name(lsn) AS segment FROM pg_current_wal_insert_lsn() AS lsn'),
  );
  const { lsn, segment } = rows[0] ?? {};
  if (typeof lsn !== 'string' || typeof segment !== 'string')
    throw new GamedayError('step_failed', `${primary} does not say its WAL position`);
  return { lsn, timeline: parseInt(segment.slice(0, 8), 16) };
}

/** WAL that is on disk, which is what pg_waldump can read; the insert position may be ahead of it. */
async function flushedLsn(live: LiveTarget, primary: string): Promise<string> {
  const rows = await live.sql(primary, 'operate', (sql) => sql.query('SELECT pg_current_wal_flush_lsn()::text AS lsn'));
  const lsn = rows[0]?.['lsn'];
  if (typeof lsn !== 'string') throw new GamedayError('step_failed', `${primary} does not say up to where its WAL is on disk`);
  return lsn;
}

/** Switches WAL on the living primary and waits until the archive holds the segment with the target's commit record. */
async function awaitArchived(live: LiveTarget, archive: Archive, primary: string, point: Resolved, signal: AbortSignal): Promise<void> {
  await live.sql(primary, 'operate', (sql) => sql.query('SELECT pg_switch_wal()'));
  // lsnAfter may stand exactly at a segment's end: the commit record lies before it.
  const segment = walSegmentName(point.timeline, parseLsn(point.lsn) - 1n);
  await until(async () => ((await archive.holds(segment)) ? true : null), {
    timeoutMs: ARCHIVE_WAIT_MS,
    everyMs: 100,
    signal,
    onTimeout: () =>
      new GamedayError(
        'wal_missing',
        `segment ${segment}, which holds the target, did not reach the archive within ${ARCHIVE_WAIT_MS / 1000} s`,
      ),
  });
}

async function compareWithLedger(
  { plan, probe, damage }: RestoreInput,
  live: LiveTarget,
  primary: string,
  outcome: RestoreOutcome,
  point: Resolved,
): Promise<RestoreFindings | null> {
  if (damage?.aboutToNs == null || damage.doneNs == null) return null;
  const sides = await settle(live, primary, point);
  const user = plan.target.roles.probe.user;
  const rows = readSurvivors(
    { host: outcome.socketDir, port: outcome.port, user, password: null, database: plan.target.entry.database },
    probe.table,
  );
  return compareRestore({ ledger: probe.dir, rows, damage: { aboutToNs: damage.aboutToNs, doneNs: damage.doneNs }, ...sides });
}

/** The thing that was lost must be there again: its rows are counted and digested in the restored server itself. */
async function examineTable({ plan, damage }: RestoreInput, outcome: RestoreOutcome): Promise<readonly CheckResult[]> {
  if (damage === null) return [];
  const address = {
    host: outcome.socketDir,
    port: outcome.port,
    user: plan.target.roles.probe.user,
    password: null,
    database: plan.target.entry.database,
  };
  const found = await withSql(address, (sql) => examineVictim(sql, damage.facts));
  if (found === null) return [];
  const rows = `its ${found.rows} rows, by count and SHA-256`;
  return [
    {
      name: `the damaged table ${found.table} is whole`,
      ok: found.whole,
      found: found.whole ? rows : 'missing or not as it was',
      expected: rows,
      hint: null,
    },
  ];
}

/** Which transactions committed before the target and which after, by the order of their commit records in the primary's WAL. */
async function settle(
  live: LiveTarget,
  primary: string,
  point: Resolved,
): Promise<{ readonly commitsBefore: ReadonlySet<string> | null; readonly commitsAfter: ReadonlySet<string> | null }> {
  const node = live.target.nodes.find(({ name }) => name === primary);
  if (node === undefined || point.setting !== 'recovery_target_xid') return { commitsBefore: null, commitsAfter: null };
  const now = parseLsn(await flushedLsn(live, primary));
  const last = parseLsn(point.lsn) + SETTLE_BYTES;
  const walDir = join(node.dataDir, 'pg_wal');
  const from = await earliestSegment(live.host(primary), walDir, point);
  const commits = await commitsBetween(node.binDir, walDir, point.timeline, formatLsn(from), formatLsn(now < last ? now : last));
  // WAL knows the low 32 bits of a transaction id.
  const wanted = String(BigInt(point.value) & 0xffffffffn);
  const place = commits.findIndex(({ xid }) => xid === wanted);
  if (place < 0) return { commitsBefore: null, commitsAfter: null };
  return {
    commitsBefore: new Set(commits.slice(0, place).map(({ xid }) => xid)),
    commitsAfter: new Set(commits.slice(place).map(({ xid }) => xid)),
  };
}

/** Wall clock since the restore was first asked for: an attempt that failed before this one took its time as well. */
function sinceScheduledMs(): number {
  const { attempt, scheduledTimestampMs } = activityInfo();
  return attempt === 1 ? 0 : Date.now() - scheduledTimestampMs;
}

/** Start of the earliest segment of the target's timeline that the primary still keeps without a gap, at most 64 MB back. */
async function earliestSegment(host: Host, walDir: string, point: Resolved): Promise<bigint> {
  let start = ((parseLsn(point.lsn) - 1n) / WAL_SEGMENT_BYTES) * WAL_SEGMENT_BYTES;
  for (let back = 0n; back < SETTLE_BYTES && start >= WAL_SEGMENT_BYTES; back += WAL_SEGMENT_BYTES) {
    const before = start - WAL_SEGMENT_BYTES;
    if (!(await host.exists(join(walDir, walSegmentName(point.timeline, before))))) break;
    start = before;
  }
  return start;
}

function record(
  { step }: RestoreInput,
  outcome: RestoreOutcome,
  point: Resolved,
  totalMs: number,
  landing: RestoreFindings | null,
): RestoreRecord {
  const checks: CheckResult[] = [...outcome.checks];
  if (landing === null) {
    checks.push({
      name: 'ledger compared',
      ok: false,
      found: 'the damage has no instants in the prober’s clock',
      expected: 'every ledger write before the target, none after',
      hint: null,
    });
  } else {
    const settled = landing.unsettled === 0;
    checks.push({
      name: 'nothing missing before the target',
      ok: landing.under === 0,
      found: `${landing.under} of ${landing.ledgerBefore} missing`,
      expected: '0 missing',
      hint: null,
    });
    checks.push({
      name: 'nothing beyond the target',
      ok: landing.over === 0,
      found: `${landing.over} too many`,
      expected: '0 too many',
      hint: null,
    });
    checks.push({
      name: 'writes concurrent with the target settled by WAL',
      ok: settled,
      found: `${landing.unsettled} unsettled`,
      expected: '0 unsettled',
      hint: null,
    });
  }
  return {
    step: step.id,
    requested: point.words,
    resolvedTarget: `${outcome.target.setting} = ${outcome.target.value}${outcome.target.inclusive ? '' : ', exclusive'}, timeline ${outcome.target.timeline}, backup ${outcome.target.backup}`,
    backup: outcome.backup.name,
    timeline: outcome.landed.timeline,
    walFrom: outcome.walFrom,
    walTo: outcome.walTo,
    bytes: outcome.bytes,
    segments: outcome.segments,
    totalMs: { lowMs: totalMs, highMs: Math.max(totalMs, sinceScheduledMs()) },
    phases: outcome.phases,
    landed: { lsn: outcome.landed.lsn, xid: outcome.landed.xid, time: outcome.landed.time, logLine: outcome.landed.logLine },
    ledgerBefore: landing?.ledgerBefore ?? 0,
    under: landing?.under ?? 0,
    over: landing?.over ?? 0,
    checks,
    sandbox: { dir: outcome.dir, removed: false },
  };
}

export async function removeSandbox({ plan, dir }: Parameters<UndoActivities['removeSandbox']>[0]): Promise<void> {
  await openTarget(plan.target).archive?.removeSandbox(dir);
}
