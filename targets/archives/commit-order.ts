/**
 * The order of commits as WAL has it: the truth against which ledger writes concurrent with a recovery target are settled.
 * It reads segments with pg_waldump; a range that WAL does not cover whole is an error, never a shorter list.
 */
import { join } from 'node:path';
import { GamedayError } from '../../core/errors';
import { formatLsn, parseLsn } from '../../core/lsn';
import { run } from '../../core/process';

export interface CommitRecord {
  /** Decimal, 32 bits, as `txid_current() % 2^32`; of a prepared transaction, the one prepared. */
  readonly xid: string;
  /** Start of the commit record. */
  readonly lsn: string;
  /** Commit time as pg_waldump prints it, in UTC: `2026-11-23 04:30:00.123456 UTC`. */
  readonly time: string;
  /** Committed subtransactions. */
  readonly subxacts: readonly string[];
}

const TIMEOUT_MS = 120_000;
const RECORDS_LIMIT_BYTES = 8 * 1024 * 1024;

/** Commit records of pg_waldump's output, in WAL order. Exported for its test. */
export function parseCommits(output: string): CommitRecord[] {
  const commits: CommitRecord[] = [];
  for (const line of output.split('\n')) {
    const record =
      /^rmgr: Transaction\s.*?\stx:\s*([0-9]+),\s*lsn:\s*([0-9A-F]+\/[0-9A-F]+),.*?\sdesc: (COMMIT(?:_PREPARED)?)\s+(.*)$/.exec(line);
    if (record?.[1] === undefined || record[2] === undefined || record[4] === undefined) continue;
    const prepared = record[3] === 'COMMIT_PREPARED' ? /^([0-9]+): (.*)$/.exec(record[4]) : null;
    const rest = prepared?.[2] ?? record[4];
    const subxacts = /subxacts: ([0-9 ]+)/.exec(rest)?.[1]?.trim().split(/\s+/) ?? [];
    commits.push({
      xid: prepared?.[1] ?? record[1],
      lsn: formatLsn(parseLsn(record[2])),
      time: rest.split(';')[0]?.trim() ?? '',
      subxacts,
    });
  }
  return commits;
}

/**
 * Commits whose records start in [fromLsn, toLsn), in WAL order. `walDir` holds plain segments of `timeline` from the one with `fromLsn` to
 * the one with the end of the last record before `toLsn`. Throws `wal_missing` when WAL ends before `toLsn`.
 */
export async function commitsBetween(
  binDir: string,
  walDir: string,
  timeline: number,
  fromLsn: string,
  toLsn: string,
  signal?: AbortSignal,
): Promise<CommitRecord[]> {
  const argv = [join(binDir, 'pg_waldump'), '-p', walDir, '-t', String(timeline), '-s', fromLsn, '-e', toLsn, '-r', 'Transaction'];
  const result = await run(argv, {
    timeoutMs: TIMEOUT_MS,
    env: { PATH: '/usr/bin:/bin', LC_ALL: 'C', TZ: 'UTC' },
    ...(signal === undefined ? {} : { signal }),
  });
  if (result.code !== 0)
    throw new GamedayError('wal_missing', `pg_waldump from ${fromLsn} to ${toLsn}: ${result.stderr.trim().split('\n').at(-1) ?? ''}`);
  if (result.stdout.length >= RECORDS_LIMIT_BYTES)
    throw new GamedayError('internal', `more than ${RECORDS_LIMIT_BYTES} bytes of commit records between ${fromLsn} and ${toLsn}`);
  const to = parseLsn(toLsn);
  return parseCommits(result.stdout).filter((commit) => parseLsn(commit.lsn) < to);
}
