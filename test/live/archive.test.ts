/**
 * The native archive against a real PostgreSQL and a real S3 gateway of its own: archive, back up, restore to an exact transaction,
 * and refuse what is broken. The archiver runs in this process through the same code as the resident one.
 */
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync, chmodSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { sleep, until } from '../../core/clock';
import { callRpc } from '../../core/rpc';
import { formatLsn, parseWalSegmentName } from '../../core/lsn';
import { locateTools } from '../../infra/tools';
import type { Target } from '../../model/target';
import { ensureBucket } from '../../objects/s3-store';
import type { ObjectStore } from '../../objects/store';
import { openArchiveStore } from '../../targets/archives/archive-store';
import { readManifest } from '../../targets/archives/base-backup';
import { openNativeArchive, type NativeArchive } from '../../targets/archives/native';
import { startArchiver, type ArchiverStatus } from '../../targets/archives/native-archiver';
import { archiveCommand, prepareSpool } from '../../targets/archives/native-push';
import { walKey } from '../../targets/archives/wal-object';
import type { RecoveryTarget } from '../../targets/ports';
import { withSql, type Sql } from '../../targets/sql';
import { createPostgres, freePort, startGateway, type Gateway, type OwnPostgres } from './own-servers';
import { lonelyTarget } from './restore-target';

const NET = '127.0.80';
const HOST = `${NET}.12`;

let dir: string;
let port: number;
let gateway: Gateway;
let postgres: OwnPostgres;
let target: Target;
let archive: NativeArchive;
let store: ObjectStore;
let archiver: Awaited<ReturnType<typeof startArchiver>>;

function makeTarget(systemIdentifier: string): Target {
  const own = { kind: 'native', ...gateway.settings, bucket: 'archive', prefix: 'lab', spoolDir: join(dir, 'spool') } as const;
  return lonelyTarget({ dir, host: HOST, port, systemIdentifier, database: 'gameday' }, own);
}

function sql<T>(work: (sql: Sql) => Promise<T>, database = 'gameday'): Promise<T> {
  return withSql({ host: HOST, port, user: 'postgres', password: null, database }, work, { queryTimeoutMs: 20_000 });
}

async function one(text: string, database = 'gameday'): Promise<string> {
  return sql(async (connection) => Object.values((await connection.query(text))[0] ?? {})[0] ?? '', database);
}

async function archived(segment: string): Promise<void> {
  await until(async () => ((await archive.holds(segment)) ? true : null), {
    timeoutMs: 20_000,
    onTimeout: () => new Error(`${segment} was not archived: ${readFileSync(postgres.logFile, 'utf8').slice(-2_000)}`),
  });
}

/** Switches WAL and waits until everything up to now is in the archive. */
async function flushWal(): Promise<void> {
  const segment = await one('select pg_walfile_name(pg_switch_wal())');
  await archived(segment);
}

beforeAll(async () => {
  dir = mkdtempSync(join(tmpdir(), 'gda-'));
  chmodSync(dir, 0o755);
  gateway = await startGateway({ dir: join(dir, 's3'), host: `${NET}.42` });
  port = await freePort(HOST);
  const settings = makeTarget('1');
  postgres = await createPostgres({
    dir: join(dir, 'pg'),
    host: HOST,
    port,
    settings: ['archive_mode = on', `archive_command = '${archiveCommand(settings, 'n1').replace(/'/g, "''")}'`],
  });
  target = makeTarget(postgres.systemIdentifier);
  await ensureBucket({ ...gateway.settings, bucket: 'archive', timeoutMs: 5_000, versioning: true });
  const node = target.nodes[0];
  if (node !== undefined) prepareSpool(target, node);
  archiver = await startArchiver(target, join(target.runDir, 'archiver.sock'));
  archive = openNativeArchive(target);
  store = openArchiveStore(target, null);
  await postgres.start();
  await one('create database gameday', 'postgres');
  await one('create table ledger (worker int, seq int, primary key (worker, seq))');
  await one('create table precious (id int primary key)');
  await one('insert into precious select generate_series(1, 1000)');
}, 60_000);

afterAll(async () => {
  // Each on its own: what beforeAll did not get to must not keep the rest alive.
  for (const name of existsSync(join(dir, 'sb')) ? readdirSync(join(dir, 'sb')) : []) await archive.removeSandbox(join(dir, 'sb', name));
  await postgres?.stop('immediate').catch(() => undefined);
  await archiver?.stop();
  await gateway?.stop();
  rmSync(dir, { recursive: true, force: true });
}, 60_000);

async function takeBackup(): Promise<string> {
  const node = target.nodes[0];
  if (node === undefined) throw new Error('no node');
  return (await archive.takeBackup(node, new AbortController().signal)).name;
}

const restoreOptions = { timeoutMs: 60_000, signal: new AbortController().signal, onProgress: () => undefined };

/** A table dropped while four writers commit; then WAL is archived. Every write's transaction id and commit position are the server's own. */
async function plantAccident(): Promise<{
  xid: string;
  lsn: string;
  fromLsn: string;
  writes: { worker: number; seq: number; xid: string }[];
}> {
  const fromLsn = await one('select pg_current_wal_insert_lsn()::text');
  const writes: { worker: number; seq: number; xid: string }[] = [];
  let stop = false;
  const offset = Number(await one('select coalesce(max(seq), 0)::text from ledger'));
  const worker = (id: number): Promise<void> =>
    sql(async (connection) => {
      for (let seq = offset + 1; !stop; seq += 1) {
        const rows = await connection.query('insert into ledger values ($1, $2) returning pg_current_xact_id()::text as xid', [id, seq]);
        writes.push({ worker: id, seq, xid: rows[0]?.['xid'] ?? '' });
      }
    });
  const workers = [1, 2, 3, 4].map(worker);
  await until(() => (writes.length > 200 ? true : null), { timeoutMs: 10_000, onTimeout: () => new Error('the writers do not write') });
  const xid = await sql(async (connection) => {
    await connection.query('begin');
    const rows = await connection.query('select pg_current_xact_id()::text as xid');
    await connection.query('drop table precious');
    await sleep(50);
    await connection.query('commit');
    return rows[0]?.['xid'] ?? '';
  });
  const lsn = await one('select pg_current_wal_insert_lsn()::text');
  const before = writes.length;
  await until(() => (writes.length > before + 200 ? true : null), { timeoutMs: 10_000, onTimeout: () => new Error('the writers stopped') });
  stop = true;
  await Promise.all(workers);
  await flushWal();
  return { xid, lsn, fromLsn, writes };
}

function targetOf(accident: { xid: string; lsn: string }): Promise<RecoveryTarget> {
  return archive.locate({ setting: 'recovery_target_xid', value: accident.xid, inclusive: false, lsn: accident.lsn, timeline: 1 });
}

describe('restore', () => {
  let accident: Awaited<ReturnType<typeof plantAccident>>;

  beforeAll(async () => {
    await takeBackup();
    accident = await plantAccident();
  }, 60_000);

  test('the order of commits is read from any position on, also from where a segment that was switched early is empty', async () => {
    await one('create table if not exists switched (id int)');
    const segment = await one('select pg_walfile_name(pg_switch_wal())');
    const start = parseWalSegmentName(segment)?.start;
    if (start === undefined) throw new Error(`${segment} is no segment`);
    const xid = await one('with row as (insert into switched values (1) returning 1) select pg_current_xact_id()::text from row');
    const toLsn = await one('select pg_current_wal_insert_lsn()::text');
    const timeline = Number.parseInt(segment.slice(0, 8), 16);
    await archived(await one('select pg_walfile_name(pg_switch_wal())'));
    const range = { timeline, fromLsn: formatLsn(start + 15n * 1024n * 1024n), toLsn, binDir: locateTools().postgresBin };
    expect((await archive.commits(range, restoreOptions.signal)).map((commit) => commit.xid)).toEqual([xid]);
  });

  test('lands before exactly the transaction asked for: none over, none under, whatever committed at the same time', async () => {
    const recovery = await targetOf(accident);
    const outcome = await archive.restore(recovery, { dir: join(dir, 'sb', 'one'), labels: {} }, restoreOptions);
    expect(outcome.checks.filter((check) => !check.ok)).toEqual([]);
    expect(outcome.checks.map((check) => check.name)).toEqual(
      expect.arrayContaining(['pg_verifybackup', 'target reached', 'timeline', 'system identifier', 'isolated']),
    );
    expect(outcome.landed).toMatchObject({ xid: accident.xid, timeline: 2 });
    expect(outcome.landed.logLine).toContain(`before commit of transaction ${accident.xid}`);
    expect(outcome.phases.map((phase) => phase.name)).toEqual(['locate', 'base', 'replay', 'promote']);

    const order = await archive.commits(
      {
        timeline: 1,
        fromLsn: accident.fromLsn,
        toLsn: accident.lsn,
        binDir: locateTools().postgresBin,
      },
      restoreOptions.signal,
    );
    const at = order.findIndex((commit) => commit.xid === accident.xid);
    expect(at).toBeGreaterThan(0);
    const committedBefore = new Set(order.slice(0, at).map((commit) => commit.xid));
    const expected = accident.writes.filter((write) => committedBefore.has(write.xid)).map((write) => `${write.worker}/${write.seq}`);
    const found = await withSql(
      { host: outcome.socketDir, port: outcome.port, user: 'postgres', password: null, database: 'gameday' },
      async (connection) => {
        const rows = await connection.query('select worker, seq from ledger');
        expect(await connection.query('select count(*) as n from precious')).toEqual([{ n: '1000' }]);
        return rows.map((row) => `${row['worker']}/${row['seq']}`);
      },
    );
    expect(found.length).toBeGreaterThan(100);
    expect(found.sort()).toEqual(expected.sort());

    await archive.removeSandbox(outcome.dir);
    await archive.removeSandbox(outcome.dir);
    expect(existsSync(outcome.dir)).toBe(false);
  }, 60_000);

  test('a second try with the same directory removes what the first left, and a cancelled one leaves nothing', async () => {
    const recovery = await targetOf(accident);
    const place = join(dir, 'sb', 'two');
    await archive.restore(recovery, { dir: place, labels: {} }, restoreOptions);
    await archive.restore(recovery, { dir: place, labels: {} }, restoreOptions);
    await archive.removeSandbox(place);
    const controller = new AbortController();
    const cancelled = archive.restore(
      recovery,
      { dir: place, labels: {} },
      {
        ...restoreOptions,
        signal: controller.signal,
        onProgress: ({ phase }) => void (phase === 'base' && controller.abort(new Error('halt'))),
      },
    );
    await expect(cancelled).rejects.toThrow('halt');
    expect(existsSync(place)).toBe(false);
  }, 60_000);

  test('a target that is never reached is a failure, though the server would have answered', async () => {
    const recovery = await targetOf(accident);
    const beyond = archive.restore({ ...recovery, value: '4000000' }, { dir: join(dir, 'sb', 'far'), labels: {} }, restoreOptions);
    await expect(beyond).rejects.toMatchObject({
      code: 'restore_failed',
      message: expect.stringContaining('recovery ended before configured recovery target was reached'),
    });
    expect(existsSync(join(dir, 'sb', 'far'))).toBe(false);
  }, 60_000);

  test('a corrupt segment, a corrupt part and a missing segment are refused', async () => {
    const recovery = await targetOf(accident);
    const spoil = async (key: string, work: () => Promise<void>): Promise<void> => {
      const good = await store.get(key);
      if (good === null) throw new Error(`no ${key}`);
      const bad = Buffer.from(good);
      bad[bad.length >> 1] = (bad[bad.length >> 1] ?? 0) ^ 0xff;
      await store.put(key, bad);
      await work().finally(() => store.put(key, good));
    };
    const manifest = await readManifest(store, recovery.backup);
    const refused = (code: string, place: string) => async (): Promise<void> => {
      await expect(archive.restore(recovery, { dir: join(dir, 'sb', place), labels: {} }, restoreOptions)).rejects.toMatchObject({ code });
      expect(existsSync(join(dir, 'sb', place))).toBe(false);
    };
    await spoil(walKey(recovery.lastSegment), refused('object_corrupt', 'bad-wal'));
    await spoil(manifest.parts[0]?.key ?? '', refused('object_corrupt', 'bad-part'));
    const kept = await store.get(walKey(manifest.startWal));
    await store.delete(walKey(manifest.startWal));
    await expect(targetOf(accident)).rejects.toMatchObject({ code: 'wal_missing', message: expect.stringContaining(manifest.startWal) });
    await refused('wal_missing', 'hole')();
    expect((await archive.audit()).find((check) => check.name === 'WAL continuity')?.ok).toBe(false);
    await store.put(walKey(manifest.startWal), kept ?? Buffer.alloc(0));
    expect((await archive.audit()).filter((check) => !check.ok)).toEqual([]);
  }, 60_000);

  test('a target older than every backup has no backup', async () => {
    await expect(
      archive.locate({ setting: 'recovery_target_lsn', value: '0/1000028', inclusive: true, lsn: '0/1000028', timeline: 1 }),
    ).rejects.toMatchObject({ code: 'backup_missing' });
    await expect(
      archive.locate({ setting: 'recovery_target_xid', value: '1', inclusive: true, lsn: accident.lsn, timeline: 7 }),
    ).rejects.toMatchObject({ code: 'wal_missing', message: expect.stringContaining('00000007.history') });
  });

  test('a directory that gameday did not make is never removed', async () => {
    await expect(archive.removeSandbox(join(dir, 'pg'))).rejects.toMatchObject({ code: 'setting_invalid' });
    await expect(archive.removeSandbox(join(dir, 'sb', '..', 'pg'))).rejects.toMatchObject({ code: 'setting_invalid' });
  });
});

describe('after a promotion', () => {
  test('a target on the new timeline is reached from a backup on the old one, and the way there is what history files say', async () => {
    await postgres.stop('fast');
    writeFileSync(join(postgres.dataDir, 'standby.signal'), '');
    await postgres.start();
    expect(await one('select pg_promote()::text')).toBe('true');
    expect(await one('select substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8)')).toBe('00000002');
    await one('create table precious (id int primary key)');
    const accident = await plantAccident();
    await archived('00000002.history');
    const recovery = await archive.locate({
      setting: 'recovery_target_xid',
      value: accident.xid,
      inclusive: false,
      lsn: accident.lsn,
      timeline: 2,
    });
    expect((await readManifest(store, recovery.backup)).timeline).toBe(1);
    expect(recovery).toMatchObject({ timeline: 2, lastSegment: expect.stringMatching(/^00000002/) });
    const outcome = await archive.restore(recovery, { dir: join(dir, 'sb', 'tl2'), labels: {} }, restoreOptions);
    expect(outcome.checks.filter((check) => !check.ok)).toEqual([]);
    expect(outcome.landed).toMatchObject({ xid: accident.xid, timeline: 3 });
    const range = { timeline: 2, fromLsn: accident.fromLsn, toLsn: accident.lsn, binDir: locateTools().postgresBin };
    const order = (await archive.commits(range, restoreOptions.signal)).map((commit) => commit.xid);
    const before = new Set(order.slice(0, order.indexOf(accident.xid)));
    const count = await withSql(
      { host: outcome.socketDir, port: outcome.port, user: 'postgres', password: null, database: 'gameday' },
      async (connection) => {
        const from = Math.min(...accident.writes.map((write) => write.seq));
        return (await connection.query('select count(*) as n from ledger where seq >= $1', [from]))[0]?.['n'];
      },
    );
    expect(count).toBe(String(accident.writes.filter((write) => before.has(write.xid)).length));
    await archive.removeSandbox(outcome.dir);
    expect((await archive.audit()).filter((check) => !check.ok)).toEqual([]);
  }, 60_000);
});

describe('archiving', () => {
  test('while S3 is down archive_command fails and says why; afterwards no segment is missing', async () => {
    await gateway.stop();
    await one('create table meanwhile (id int)');
    const first = await one('select pg_walfile_name(pg_switch_wal())');
    const failed = (): Promise<string> => one(`select coalesce(last_failed_wal, '') from pg_stat_archiver`);
    await until(async () => ((await failed()) === first ? true : null), {
      timeoutMs: 30_000,
      onTimeout: () => new Error('archive_command did not fail'),
    });
    expect(readFileSync(postgres.logFile, 'utf8')).toMatch(/gameday archive: .*4 attempts: 4 connection refused/);
    const status = await callRpc<ArchiverStatus>(join(target.runDir, 'archiver.sock'), 'status', null, {
      timeoutMs: 2_000,
      unreachable: 'store_unreachable',
    });
    expect(status.nodes[0]?.lastError).toContain('connection refused');
    await gateway.start();
    await one('create table more (id int)');
    const second = await one('select pg_walfile_name(pg_switch_wal())');
    await archived(first);
    await archived(second);
    expect((await archive.audit()).filter((check) => !check.ok)).toEqual([]);
    expect(readdirSync(join(dir, 'spool', 'n1')).sort()).toEqual(['archiver.pid', 'done', 'failed', 'push.sh', 'ready', 'tmp']);
    // A segment is stored before PostgreSQL asks for it; its question may still be on its way.
    const asked = (): readonly string[] =>
      ['tmp', 'ready', 'done', 'failed'].flatMap((name) => readdirSync(join(dir, 'spool', 'n1', name)));
    await until(() => (asked().length === 0 ? true : null), {
      timeoutMs: 20_000,
      onTimeout: () => new Error(`left in the spool: ${asked().join(', ')}`),
    });
  }, 60_000);

  test('without an archiver archive_command fails at once; a restarted one goes on where the first stopped', async () => {
    await archiver.stop();
    rmSync(join(dir, 'spool', 'n1', 'archiver.pid'));
    await one('create table again (id int)');
    const segment = await one('select pg_walfile_name(pg_switch_wal())');
    await until(async () => ((await one(`select coalesce(last_failed_wal, '') from pg_stat_archiver`)) === segment ? true : null), {
      timeoutMs: 5_000,
      onTimeout: () => new Error('archive_command did not fail'),
    });
    archiver = await startArchiver(target, join(target.runDir, 'archiver.sock'));
    await one('create table and_again (id int)');
    await flushWal();
    await archived(segment);
  }, 30_000);
});
