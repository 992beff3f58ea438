/**
 * Where a restored copy landed, by evidence that the copy did not make itself: the order of commits in archived or living WAL, and the prober's ledger
 * joined with the rows that the copy holds.
 */
import { join } from 'node:path';
import { GamedayError, messageOf } from '../core/errors';
import { formatLsn, parseLsn, WAL_SEGMENT_BYTES, walSegmentName } from '../core/lsn';
import type { CheckResult, LandingError, Maybe } from '../model/record';
import { examineVictim } from '../faults/accident';
import { commitsDemanded, microsOf, type Boundary } from '../probe/restore-boundary';
import { bracketByCommits, compareRestore, type RestoreFindings } from '../probe/restore-compare';
import { readSurvivors } from '../probe/survivors';
import { endsWithArchive } from '../targets/archives/archive-end';
import { commitsBetween, type CommitRecord } from '../targets/archives/commit-order';
import type { Host, LiveTarget, RestoreOutcome } from '../targets/ports';
import { withSql } from '../targets/sql';
import type { RestoreInput } from './contract';
import type { Resolved } from './restore-point';

/** WAL read around the target to settle writes concurrent with it. */
const SETTLE_BYTES = 64n * 1024n * 1024n;
/** A time may lie anywhere between backup and now: as much WAL as is read to find it. */
const SEARCH_BYTES = 4n * 1024n * 1024n * 1024n;

export interface Landing {
  readonly findings: RestoreFindings | null;
  readonly checks: readonly CheckResult[];
  readonly error: Maybe<LandingError>;
}

interface Settled {
  readonly commits: readonly CommitRecord[];
  /** How many of them had to be replayed. */
  readonly demanded: number;
}

export async function findLanding(
  input: RestoreInput,
  live: LiveTarget,
  primary: string | null,
  outcome: RestoreOutcome,
  point: Resolved,
  archivedTo: string,
  signal: AbortSignal,
): Promise<Landing> {
  // What the copy itself replayed last is the end of it: behind that the archive may hold half a record.
  const upTo = endsWithArchive(point) ? outcome.landed.lsn : archivedTo;
  const settled = await settle(live, primary, outcome, point, upTo, signal);
  const findings = await compareWithLedger(input, outcome, point, settled);
  return { findings, checks: landingChecks(findings), error: landingError(findings, outcome, settled) };
}

/** Commits around the target and how many had to be replayed; in words what keeps us from knowing. */
async function settle(
  live: LiveTarget,
  primary: string | null,
  outcome: RestoreOutcome,
  point: Resolved,
  archivedTo: string,
  signal: AbortSignal,
): Promise<Settled | string> {
  try {
    const commits = await readCommits(live, primary, outcome, point, archivedTo, signal);
    const demanded = commitsDemanded(boundaryOf(point, outcome), commits);
    return demanded === null ? 'WAL around the target does not show where it lies' : { commits, demanded };
  } catch (error) {
    signal.throwIfAborted();
    return `WAL around the target could not be read: ${messageOf(error).split('\n')[0] ?? ''}`;
  }
}

function boundaryOf(point: Resolved, outcome: RestoreOutcome): Boundary {
  switch (point.setting) {
    case 'recovery_target_xid':
      return { kind: 'xid', xid: point.value, inclusive: point.inclusive };
    case 'recovery_target_lsn':
      return { kind: 'lsn', lsn: point.value, inclusive: point.inclusive };
    case 'recovery_target_time':
      return { kind: 'time', time: point.value };
    case 'recovery_target_name':
      return { kind: 'end', lsn: point.lsn };
    case 'recovery_target':
      // Where a backup becomes consistent nobody asks for beforehand: the copy itself says where it was.
      return { kind: 'end', lsn: outcome.landed.lsn };
  }
}

async function readCommits(
  live: LiveTarget,
  primary: string | null,
  outcome: RestoreOutcome,
  point: Resolved,
  archivedTo: string,
  signal: AbortSignal,
): Promise<readonly CommitRecord[]> {
  const { archive } = live;
  const start = parseLsn(outcome.backup.startLsn);
  const back = parseLsn(point.lsn) - (point.setting === 'recovery_target_time' ? SEARCH_BYTES : SETTLE_BYTES);
  const from = back > start ? back : start;
  if (archive?.commits !== undefined) {
    const range = { timeline: point.timeline, fromLsn: formatLsn(from), toLsn: archivedTo, binDir: live.target.sandbox?.binDir ?? '' };
    return archive.commits(range, signal);
  }
  if (primary === null) throw new GamedayError('step_failed', 'no primary is up, and this archive’s WAL is for its own tool alone to read');
  return fromPrimary(live, primary, point, from, signal);
}

async function fromPrimary(
  live: LiveTarget,
  primary: string,
  point: Resolved,
  from: bigint,
  signal: AbortSignal,
): Promise<readonly CommitRecord[]> {
  const node = live.target.nodes.find(({ name }) => name === primary);
  if (node === undefined || node.runsOn.kind !== 'local') return [];
  const walDir = join(node.dataDir, 'pg_wal');
  const begin = await earliestSegment(live.host(primary), walDir, point, from);
  const now = parseLsn(await flushedLsn(live, primary));
  const last = parseLsn(point.lsn) + SETTLE_BYTES;
  return commitsBetween(node.binDir, walDir, point.timeline, formatLsn(begin), formatLsn(now < last ? now : last), signal);
}

/** WAL that is on disk, which is what pg_waldump can read; the insert position may be ahead of it. */
async function flushedLsn(live: LiveTarget, primary: string): Promise<string> {
  const rows = await live.sql(primary, 'operate', (sql) => sql.query('SELECT pg_current_wal_flush_lsn()::text AS lsn'));
  return rows[0]?.['lsn'] ?? '0/0';
}

/** Start of the earliest segment of the target's timeline that the primary still keeps without a gap, not before `from`. */
async function earliestSegment(host: Host, walDir: string, point: Resolved, from: bigint): Promise<bigint> {
  let start = ((parseLsn(point.lsn) - 1n) / WAL_SEGMENT_BYTES) * WAL_SEGMENT_BYTES;
  while (start > from && start >= WAL_SEGMENT_BYTES) {
    const before = start - WAL_SEGMENT_BYTES;
    if (!(await host.exists(join(walDir, walSegmentName(point.timeline, before))))) break;
    start = before;
  }
  return start;
}

/** Null when neither the prober's receipts nor WAL tell which writes had to be there. */
async function compareWithLedger(
  { plan, probe, damage, mark, step }: RestoreInput,
  outcome: RestoreOutcome,
  point: Resolved,
  settled: Settled | string,
): Promise<RestoreFindings | null> {
  const commitsBefore = typeof settled === 'string' ? null : new Set(settled.commits.slice(0, settled.demanded).map(({ xid }) => xid));
  const commitsAfter = typeof settled === 'string' ? null : new Set(settled.commits.slice(settled.demanded).map(({ xid }) => xid));
  const stamped = step.to.kind === 'before-step' ? damage : point.setting === 'recovery_target_name' ? (mark ?? null) : null;
  const { aboutToNs = null, doneNs = null } = stamped ?? {};
  const instants =
    aboutToNs !== null && doneNs !== null
      ? { aboutToNs, doneNs }
      : commitsBefore === null || commitsAfter === null
        ? null
        : await bracketByCommits(probe.dir, commitsBefore, commitsAfter);
  if (instants === null) return null;
  const address = {
    host: outcome.socketDir,
    port: outcome.port,
    user: plan.target.roles.probe.user,
    password: null,
    database: plan.target.entry.database,
  };
  return compareRestore({
    ledger: probe.dir,
    rows: readSurvivors(address, probe.table),
    damage: instants,
    commitsBefore,
    commitsAfter,
    nothingBehind: endsWithArchive(point),
  });
}

function landingChecks(findings: RestoreFindings | null): readonly CheckResult[] {
  const check = (name: string, ok: boolean, found: string, expected: string): CheckResult => ({ name, ok, found, expected, hint: null });
  if (findings === null) {
    const found = 'neither the prober’s clock nor WAL tells which writes came before the target';
    return [check('ledger compared', false, found, 'every ledger write before the target, none after')];
  }
  const { under, over, unsettled, ledgerBefore } = findings;
  return [
    check('nothing missing before the target', under === 0, `${under} of ${ledgerBefore} missing`, '0 missing'),
    check('nothing beyond the target', over === 0, `${over} too many`, '0 too many'),
    check('writes concurrent with the target settled by WAL', unsettled === 0, `${unsettled} unsettled`, '0 unsettled'),
  ];
}

/** Recovered less requested: in ledger writes, and in commit time of the last transaction replayed against the last that had to be. */
function landingError(findings: RestoreFindings | null, outcome: RestoreOutcome, settled: Settled | string): Maybe<LandingError> {
  if (findings === null) return { notRecorded: 'the ledger could not be compared with the copy' };
  const transactions = findings.under + findings.over;
  if (typeof settled === 'string') return { transactions, ms: { notRecorded: settled } };
  const wanted = microsOf(settled.commits[settled.demanded - 1]?.time ?? '');
  const reached = outcome.landed.lastReplayedTime === null ? null : microsOf(outcome.landed.lastReplayedTime);
  const ms =
    wanted === null || reached === null ? { notRecorded: 'no commit was replayed near the target' } : Number(reached - wanted) / 1_000;
  return { transactions, ms };
}

/** The thing that was lost must be there again: its rows are counted and digested in the restored server itself. */
export async function examineTable({ plan, damage }: RestoreInput, outcome: RestoreOutcome): Promise<readonly CheckResult[]> {
  if (damage === null) return [];
  const { user } = plan.target.roles.probe;
  const address = { host: outcome.socketDir, port: outcome.port, user, password: null, database: plan.target.entry.database };
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
