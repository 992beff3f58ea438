/**
 * Restores to random points of a running workload, each held against what really committed: writers note the transaction id of every commit, WAL says their
 * order, and the copy must hold exactly those that had to be replayed. The seed decides points and kinds of targets.
 */
import { join } from 'node:path';
import { until } from '../../core/clock';
import { formatLsn, parseLsn } from '../../core/lsn';
import { commitsDemanded, type Boundary } from '../../probe/restore-boundary';
import type { CommitRecord } from '../../targets/archives/commit-order';
import { withSql } from '../../targets/sql';
import type { OwnArchive } from '../live/own-archive';

const WRITERS = 4;
const LIMIT_MS = 120_000;

interface Era {
  readonly timeline: number;
  readonly commits: readonly CommitRecord[];
}

export interface LandedRestore {
  readonly missing: number;
  readonly tooMany: number;
  readonly badChecks: readonly string[];
}

type Point = Parameters<OwnArchive['archive']['locate']>[0];

export class RandomRestores {
  /** Transaction ids of acknowledged writes, as WAL has them. */
  private readonly written = new Set<string>();
  private readonly eras: Era[] = [];
  private from = '0/0';
  private state: number;

  private constructor(
    private readonly own: OwnArchive,
    readonly seed: number,
  ) {
    this.state = seed >>> 0;
  }

  static async begin(own: OwnArchive, seed: number): Promise<RandomRestores> {
    await own.one('create table written (xid text primary key default pg_current_xact_id()::text, filler text)');
    await own.takeBackup();
    const self = new RandomRestores(own, seed);
    self.from = await own.one('select pg_current_wal_insert_lsn()::text');
    return self;
  }

  /** Commits at least so many transactions, archives them, and reads their order. */
  async work(transactions: number): Promise<void> {
    const start = this.written.size;
    await Promise.all(
      Array.from({ length: WRITERS }, () =>
        this.own.sql(async (sql) => {
          while (this.written.size < start + transactions) {
            const rows = await sql.query(`insert into written (filler) values (repeat('x', 200)) returning xid`);
            this.written.add(rows[0]?.['xid'] ?? '');
          }
        }),
      ),
    );
    const toLsn = await this.own.one('select pg_current_wal_insert_lsn()::text');
    await this.own.flushWal();
    const timeline = await this.timeline();
    const binDir = this.own.target.nodes[0]?.binDir ?? '';
    const commits = await this.own.archive.commits({ timeline, fromLsn: this.from, toLsn, binDir }, AbortSignal.timeout(LIMIT_MS));
    this.eras.push({ timeline, commits });
  }

  /** The server is promoted: what comes now is on a timeline of its own. */
  async fork(): Promise<void> {
    const { writeFileSync } = await import('node:fs');
    await this.own.postgres.stop('fast');
    writeFileSync(join(this.own.postgres.dataDir, 'standby.signal'), '');
    await this.own.postgres.start();
    await this.own.one('select pg_promote()::text');
    await until(async () => ((await this.own.archive.holds(`${String(await this.timeline()).padStart(8, '0')}.history`)) ? true : null), {
      timeoutMs: 1_000,
      onTimeout: () => new Error('not yet'),
    }).catch(() => undefined);
  }

  async lastPoint(): Promise<Point> {
    const era = this.eras.at(-1);
    const commit = era?.commits.at(-2);
    if (era === undefined || commit === undefined) throw new Error('nothing was written');
    return this.pointAt(era, commit, 0).point;
  }

  /** Restores once; which point, and how it is asked for, follows from the seed and `n`. */
  async restoreOne(n: number): Promise<LandedRestore> {
    const era = this.eras.at(-1);
    if (era === undefined) throw new Error('nothing was written');
    const at = Math.floor(era.commits.length * (0.05 + 0.9 * this.random()));
    const commit = era.commits[at];
    if (commit === undefined) throw new Error('no commit there');
    const { point, boundary } = this.pointAt(era, commit, n);
    const recovery = await this.own.archive.locate(point);
    const dir = join(this.own.dir, 'sb', `random-${n}`);
    const outcome = await this.own.archive.restore(
      recovery,
      { dir, labels: {} },
      { timeoutMs: LIMIT_MS, signal: AbortSignal.timeout(LIMIT_MS), onProgress: () => undefined },
    );
    try {
      const address = { host: outcome.socketDir, port: outcome.port, user: 'postgres', password: null, database: 'gameday' };
      const rows = await withSql(address, (sql) => sql.query('select xid from written'), { queryTimeoutMs: 30_000 });
      const found = new Set(rows.map((row) => row['xid'] ?? ''));
      const demanded = commitsDemanded(boundary, era.commits);
      if (demanded === null) throw new Error(`${JSON.stringify(boundary)} lies nowhere`);
      const after = new Set(era.commits.slice(demanded).map(({ xid }) => xid));
      const wanted = [...this.written].filter((xid) => !after.has(xid));
      return {
        missing: wanted.filter((xid) => !found.has(xid)).length,
        tooMany: [...found].filter((xid) => after.has(xid) || !this.written.has(xid)).length,
        badChecks: outcome.checks.filter(({ ok }) => !ok).map(({ name, found: was }) => `${name}: ${was}`),
      };
    } finally {
      await this.own.archive.removeSandbox(outcome.dir);
    }
  }

  private pointAt(era: Era, commit: CommitRecord, n: number): { readonly point: Point; readonly boundary: Boundary } {
    const lsn = formatLsn(parseLsn(commit.lsn) + 1n);
    const inclusive = this.random() < 0.5;
    const { timeline } = era;
    switch (n % 3) {
      case 0:
        return {
          point: { setting: 'recovery_target_xid', value: commit.xid, inclusive, lsn, timeline },
          boundary: { kind: 'xid', xid: commit.xid, inclusive },
        };
      case 1:
        return {
          point: { setting: 'recovery_target_lsn', value: commit.lsn, inclusive, lsn, timeline },
          boundary: { kind: 'lsn', lsn: commit.lsn, inclusive },
        };
      default:
        return {
          point: { setting: 'recovery_target_time', value: commit.time, inclusive: true, lsn: era.commits.at(-1)?.lsn ?? lsn, timeline },
          boundary: { kind: 'time', time: commit.time },
        };
    }
  }

  private async timeline(): Promise<number> {
    return parseInt((await this.own.one('select pg_walfile_name(pg_current_wal_insert_lsn())')).slice(0, 8), 16);
  }

  /** mulberry32. */
  private random(): number {
    this.state = (this.state + 0x6d2b79f5) >>> 0;
    let t = this.state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  }
}
