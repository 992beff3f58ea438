/**
 * A team's own WAL-G, rehearsed on the real tool: WAL pushed by wal-push into S3, a full backup and a delta by backup-push, restores by backup-fetch and wal-fetch to
 * points before an accident and behind a switch of timelines. And what must be told apart: a hole in WAL, a segment or a partition that does not come, keys and
 * buckets that are refused. WAL-G is nowhere to be installed from: the test runs where one is found, by GAMEDAY_WAL_G or on the path.
 */
import { spawn } from 'node:child_process';
import {
  chmodSync,
  chownSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { until } from '../../core/clock';
import { identify, isAlive, lookUpUser, processesStartedWith, run } from '../../core/process';
import type { Target, WalGTargetArchive } from '../../model/target';
import { ensureBucket } from '../../objects/s3-store';
import { auditSource, auditSourceOf, examineAtReady } from '../../targets/archives/audit/audit-source';
import { createSandbox, SANDBOX_ENV, sandboxPlace } from '../../targets/archives/sandbox-server';
import { openTarget } from '../../targets/open-target';
import type { Archive, RecoveryTarget, RestoreOutcome, RestoreProgress } from '../../targets/ports';
import { withSql } from '../../targets/sql';
import { DRAWN, drawRows, fullTest } from './drawn';
import { createPostgres, freePort, startGateway, type Gateway, type OwnPostgres } from './own-servers';
import { lonelyTarget } from './restore-target';
import { findWalG } from './wal-g-program';

const PROGRAM = findWalG();
const NET = '127.0.172';
const HOST = `${NET}.12`;
const BUCKET = 'team';
const ROWS = 1_000;
const signal = new AbortController().signal;
const owner = process.getuid?.() === 0 ? lookUpUser('postgres') : null;

let dir: string;
let port: number;
let gateway: Gateway;
let postgres: OwnPostgres;
let archive: Archive;
let recovery: RecoveryTarget;
/** Just before the drop: a restore point, the position behind it, and the server's clock. */
const POINT = 'before_drop';
let before: { readonly lsn: string; readonly time: string };
/** A position behind the drop, whose segment is archived. */
let behindDrop: string;
/** A transaction on the second timeline, and a position behind it. */
let forked: { readonly xid: string; readonly lsn: string };

function own(path: string): void {
  if (owner !== null) chownSync(path, owner.uid, owner.gid);
}

function writeConfig(name: string, changed: Readonly<Record<string, string>> = {}): string {
  const path = join(dir, name);
  const settings = {
    WALG_S3_PREFIX: `s3://${BUCKET}/pg`,
    AWS_ENDPOINT: gateway.settings.endpoint,
    AWS_S3_FORCE_PATH_STYLE: 'true',
    AWS_REGION: 'us-east-1',
    AWS_ACCESS_KEY_ID: 'gameday-test',
    AWS_SECRET_ACCESS_KEY: 'gameday-test-secret',
    WALG_DELTA_MAX_STEPS: '2',
    // Several partitions, small as the cluster is.
    WALG_TAR_SIZE_THRESHOLD: '4000000',
    PGHOST: HOST,
    PGPORT: String(port),
    PGUSER: 'postgres',
    PGDATABASE: 'postgres',
    ...changed,
  };
  const lines = Object.entries(settings).map(([key, value]) => `${key}: ${JSON.stringify(value)}\n`);
  writeFileSync(path, lines.join(''), { mode: 0o600 });
  own(path);
  return path;
}

function targetOf(changed: Partial<WalGTargetArchive> = {}): Target {
  const { systemIdentifier } = postgres;
  const settings = { kind: 'wal-g', config: join(dir, 'wal-g.yaml'), nodeConfig: null, program: PROGRAM ?? '', ...changed } as const;
  return lonelyTarget({ dir, host: HOST, port, systemIdentifier, database: 'postgres' }, settings);
}

function archiveOf(changed: Partial<WalGTargetArchive> = {}): Archive {
  const found = openTarget(targetOf(changed)).archive;
  if (found === null) throw new Error('no archive');
  return found;
}

const one = (text: string, server: { readonly host: string; readonly port: number } = { host: HOST, port }): Promise<string> =>
  withSql(
    { ...server, user: 'postgres', password: null, database: 'postgres' },
    async (sql) => Object.values((await sql.query(text))[0] ?? {})[0] ?? '',
  );

const labelsOf = (name: string): { drill: string; step: string } => ({ drill: 'drill-000001', step: name });

function restoreInto(
  name: string,
  from: Archive = archive,
  options: { readonly signal?: AbortSignal; readonly onProgress?: (progress: RestoreProgress) => void } = {},
  to: RecoveryTarget = recovery,
): Promise<RestoreOutcome> {
  const sandbox = { dir: join(dir, 'sb', name), labels: labelsOf(name) };
  return from.restore(to, sandbox, { timeoutMs: 90_000, signal, onProgress: () => undefined, ...options });
}

const copies = (): readonly string[] => (existsSync(join(dir, 'sb')) ? readdirSync(join(dir, 'sb')) : []);
/** The gateway's objects are files. */
const onDisk = (...path: string[]): string => join(dir, 's3', 'data', BUCKET, 'pg', ...path);
const copyOf = (outcome: RestoreOutcome): { host: string; port: number } => ({ host: outcome.socketDir, port: outcome.port });

/** Takes an object away while `work` runs. */
async function without(object: string, work: (takeAway: () => void) => Promise<void>): Promise<void> {
  const aside = join(dir, 'aside');
  try {
    await work(() => {
      if (existsSync(object)) renameSync(object, aside);
    });
  } finally {
    if (existsSync(aside)) renameSync(aside, object);
  }
}

async function archived(segment: string): Promise<void> {
  await until(async () => ((await archive.holds(segment)) ? true : null), {
    timeoutMs: 30_000,
    onTimeout: () => new Error(`${segment} was not archived: ${readFileSync(postgres.logFile, 'utf8').slice(-2_000)}`),
  });
}

/** In one transaction; returns its number. */
const inTransaction = (statement: string): Promise<string> =>
  withSql({ host: HOST, port, user: 'postgres', password: null, database: 'postgres' }, async (sql) => {
    await sql.query('begin');
    const [row] = await sql.query('select pg_current_xact_id()::text as xid');
    await sql.query(statement);
    await sql.query('commit');
    return row?.['xid'] ?? '';
  });

/** The primary goes into recovery and is promoted; something is written there, and archived. */
async function fork(): Promise<void> {
  await postgres.stop('fast');
  const standby = join(postgres.dataDir, 'standby.signal');
  writeFileSync(standby, '');
  own(standby);
  await postgres.start();
  await one('select pg_promote(true, 60)::text');
  await one('create table after_fork (id int)');
  await one('insert into after_fork values (1)');
  const xid = await inTransaction('insert into after_fork values (2)');
  forked = { xid, lsn: await one('select pg_current_wal_insert_lsn()::text') };
  await archived(await one('select pg_walfile_name(pg_switch_wal())'));
}

(PROGRAM === null ? describe.skip : describe)(
  `WAL-G${PROGRAM === null ? ' (not on the path, and GAMEDAY_WAL_G names none; set-up cannot install it)' : ''}`,
  () => {
    beforeAll(async () => {
      dir = mkdtempSync(join(tmpdir(), 'gdw-'));
      chmodSync(dir, 0o755);
      gateway = await startGateway({ dir: join(dir, 's3'), host: `${NET}.42` });
      await ensureBucket({ ...gateway.settings, bucket: BUCKET, timeoutMs: 5_000, versioning: true });
      port = await freePort(HOST);
      const config = writeConfig('wal-g.yaml');
      mkdirSync(join(dir, 'spc'));
      own(join(dir, 'spc'));
      postgres = await createPostgres({
        dir: join(dir, 'pg'),
        host: HOST,
        port,
        settings: ['archive_mode = on', `archive_command = '${PROGRAM} --config ${config} wal-push %p'`, 'max_wal_senders = 4'],
      });
      await postgres.start();
      await one(`create tablespace elsewhere location '${join(dir, 'spc')}'`);
      await one('create table far (id int) tablespace elsewhere');
      await one('insert into far values (7)');
      archive = archiveOf();
      const [node] = targetOf().nodes;
      if (node === undefined) throw new Error('no node');
      await archive.takeBackup(node, signal);
      await one('create table between as select generate_series(1, 20000) as id');
      await archive.takeBackup(node, signal);
      await one(`create table orders as select generate_series(1, ${ROWS}) as id`);
      const lsn = await one(`select pg_create_restore_point('${POINT}')::text`);
      before = { lsn, time: await one('select clock_timestamp()::text') };
      const dropped = await inTransaction('drop table orders');
      behindDrop = await one('select pg_current_wal_insert_lsn()::text');
      await archived(await one('select pg_walfile_name(pg_switch_wal())'));
      recovery = await archive.locate({ setting: 'recovery_target_xid', value: dropped, inclusive: false, lsn: behindDrop, timeline: 1 });
      await fork();
    }, 180_000);

    afterAll(async () => {
      for (const name of copies()) await archive.removeSandbox(join(dir, 'sb', name));
      await postgres?.stop('immediate').catch(() => undefined);
      await gateway?.stop();
      rmSync(dir, { recursive: true, force: true });
    });

    test('a healthy archive passes its audit and the pre-flight’s: a full backup and a delta on it', async () => {
      expect((await archive.audit()).filter(({ ok }) => !ok)).toEqual([]);
      const { check, exposure } = await examineAtReady(targetOf());
      expect(check).toMatchObject({ ok: true, found: expect.stringContaining('segments read') as string });
      if ('notRecorded' in exposure) throw new Error(exposure.notRecorded);
      const [full, delta] = await archive.backups();
      expect(full?.name).toMatch(/^base_[0-9A-F]{24}$/);
      expect(delta?.name).toMatch(/^base_[0-9A-F]{24}_D_[0-9A-F]{24}$/);
      expect(Math.abs(Date.now() - Date.parse(delta?.finishedAt ?? ''))).toBeLessThan(120_000);
      // Unpacked, and with what it builds on.
      expect(full?.bytes).toBeGreaterThan(20_000_000);
      expect(delta?.bytes).toBeGreaterThan(full?.bytes ?? Infinity);
      expect(recovery.backup).toBe(delta?.name);
    }, 60_000);

    test('an audit of every segment finds nothing wrong with what WAL-G made, but what the bucket itself lacks', async () => {
      const options = { windowMs: null, maxAgeMs: null, tryDelete: false, signal, onProgress: () => undefined } as const;
      const audit = await auditSource(auditSourceOf(targetOf()), { ...options, sample: 'all', seed: 1 });
      expect(audit).toMatchObject({ layout: 'wal-g', encrypted: false });
      expect(audit.examined).toBe(audit.segments);
      expect(audit.backups.map(({ usable }) => usable)).toEqual([true, true]);
      expect(audit.findings.map(({ check }) => check)).toEqual(['object lock']);
    }, 60_000);

    test('a restore of a delta lands on the transaction before the drop, with every row and tablespace, and tells how far it is', async () => {
      const told: RestoreProgress[] = [];
      const outcome = await restoreInto('before-drop', archive, { onProgress: (progress) => void told.push(progress) });
      expect(outcome.checks.filter(({ ok }) => !ok)).toEqual([]);
      expect(outcome.checks.find(({ name }) => name === 'wal-g backup-fetch')?.found).toMatch(/^all [0-9]{3,} files of the backup’s list/);
      expect(outcome.landed.logLine).toContain(`recovery stopping before commit of transaction ${recovery.value}`);
      const copy = copyOf(outcome);
      expect(await one('select count(*)::text from orders', copy)).toBe(String(ROWS));
      expect(await one('select count(*)::text from between', copy)).toBe('20000');
      expect(await one('select id::text from far', copy)).toBe('7');
      expect(await one(`select pg_tablespace_location(oid) from pg_tablespace where spcname = 'elsewhere'`, copy)).toMatch(
        new RegExp(`^${join(outcome.dir, 'tablespaces')}/`),
      );
      expect(await one('show archive_mode', copy)).toBe('off');
      expect(told.some(({ phase, bytes }) => phase === 'base' && bytes > 0)).toBe(true);
      expect(told.at(-1)?.segments).toBe(outcome.segments);
      // What it fetched ahead lay in the copy; nobody fetches any more, and production's tablespace is as it was.
      expect(existsSync(join(outcome.dir, 'data', 'pg_wal', '.wal-g'))).toBe(false);
      expect(await one('select id::text from far')).toBe('7');
      await archive.removeSandbox(outcome.dir);
      expect(copies()).toEqual([]);
    }, 90_000);

    const POINTS = [
      ['a time', () => ({ setting: 'recovery_target_time', value: before.time, lsn: behindDrop }) as const, /before commit of transaction/],
      ['a position', () => ({ setting: 'recovery_target_lsn', value: before.lsn, lsn: before.lsn }) as const, /after WAL location \(LSN\)/],
      [
        'a restore point',
        () => ({ setting: 'recovery_target_name', value: POINT, lsn: before.lsn }) as const,
        /at restore point "before_drop"/,
      ],
    ] as const;
    test.each(drawRows('points', POINTS))(
      `a restore to %s, from the full backup, lands before the drop${DRAWN}`,
      async (what, point, line) => {
        const backup = (await archive.backups())[0]?.name ?? '';
        const to = await archive.locate({ ...point(), inclusive: true, timeline: 1, backup });
        expect(to.backup).toBe(backup);
        const outcome = await restoreInto(what.replace(/\W/g, '-'), archive, {}, to);
        expect(outcome.checks.filter(({ ok }) => !ok)).toEqual([]);
        expect(outcome.landed.logLine).toMatch(line);
        expect(await one('select count(*)::text from orders', copyOf(outcome))).toBe(String(ROWS));
        await archive.removeSandbox(outcome.dir);
      },
      90_000,
    );

    test('a restore behind the switch of timelines follows the history to the second one', async () => {
      const { xid: value, lsn } = forked;
      const to = await archive.locate({ setting: 'recovery_target_xid', value, inclusive: false, lsn, timeline: 2 });
      const outcome = await restoreInto('forked', archive, {}, to);
      expect(outcome.checks.filter(({ ok }) => !ok)).toEqual([]);
      expect(outcome.walTo).toMatch(/^00000002/);
      expect(await one('select count(*)::text from after_fork', copyOf(outcome))).toBe('1');
      await archive.removeSandbox(outcome.dir);
    }, 90_000);

    fullTest(
      'a restore of all that the archive holds asks no server, and ends where its WAL does: on the second timeline',
      async () => {
        const end = await archive.end();
        expect(end.timeline).toBe(2);
        const to = await archive.locate({ setting: 'recovery_target', value: 'latest', inclusive: true, ...end });
        const outcome = await restoreInto('latest', archive, {}, to);
        expect(outcome.checks.filter(({ ok }) => !ok)).toEqual([]);
        expect(outcome.landed.logLine).toMatch(/^redo done at /);
        expect(await one('select count(*)::text from after_fork', copyOf(outcome))).toBe('2');
        await archive.removeSandbox(outcome.dir);
      },
      90_000,
    );

    test('a point that no backup reaches back to is refused', async () => {
      const early = { setting: 'recovery_target_lsn', value: '0/1000100', lsn: '0/1000100', inclusive: true, timeline: 1 } as const;
      await expect(archive.locate(early)).rejects.toMatchObject({ code: 'backup_missing' });
    });

    test('the order of commits is read through the tool, without the primary’s machine', async () => {
      const { backup } = await archive.estimate(recovery);
      const binDir = targetOf().sandbox?.binDir ?? '';
      const commits = await archive.commits?.({ timeline: 1, fromLsn: backup.startLsn, toLsn: behindDrop, binDir }, signal);
      expect(commits?.map(({ xid }) => xid)).toContain(recovery.value);
    }, 60_000);

    /** So slow that a base takes seconds. */
    const slow = (): Partial<WalGTargetArchive> => ({ config: writeConfig('slow.yaml', { WALG_NETWORK_RATE_LIMIT: '500000' }) });

    test('cancelled while the base comes, it leaves no copy and no process', async () => {
      const halt = new AbortController();
      const onProgress = ({ phase, bytes }: RestoreProgress): void => {
        if (phase === 'base' && bytes > 0) halt.abort(new Error('halted by the test'));
      };
      await expect(restoreInto('halted', archiveOf(slow()), { signal: halt.signal, onProgress })).rejects.toThrow('halted by the test');
      expect(copies()).toEqual([]);
      expect(processesStartedWith(`${SANDBOX_ENV}=${join(dir, 'sb', 'halted')}`)).toEqual([]);
    }, 60_000);

    test('what a dead worker left, half a base and a tool that still fetches it, is ended and begun anew', async () => {
      const place = sandboxPlace(targetOf(), join(dir, 'sb', 'orphaned'));
      await createSandbox(targetOf(), place, labelsOf('orphaned'));
      const { config = '' } = slow();
      const words = ['--config', config, 'backup-fetch', place.dataDir, (await archive.backups())[0]?.name ?? ''];
      const orphan = spawn(PROGRAM ?? '', words, {
        stdio: 'ignore',
        env: { PATH: '/usr/bin:/bin', [SANDBOX_ENV]: place.dir },
        ...(owner === null ? {} : { uid: owner.uid, gid: owner.gid }),
      });
      const id = orphan.pid === undefined ? null : identify(orphan.pid);
      await until(() => (readdirSync(place.dataDir).length > 0 ? true : null), {
        timeoutMs: 20_000,
        onTimeout: () => new Error('nothing was fetched'),
      });
      const outcome = await restoreInto('orphaned');
      expect(id !== null && isAlive(id)).toBe(false);
      expect(outcome.checks.filter(({ ok }) => !ok)).toEqual([]);
      expect(await one('select count(*)::text from orders', copyOf(outcome))).toBe(String(ROWS));
      await archive.removeSandbox(outcome.dir);
    }, 90_000);

    test('keys that are refused, a bucket that is not there and a tool that is missing are named, and leave no copy', async () => {
      const locked = archiveOf({ config: writeConfig('wrong-keys.yaml', { AWS_SECRET_ACCESS_KEY: 'wrong' }) });
      await expect(restoreInto('locked', locked)).rejects.toMatchObject({
        code: 'store_unreachable',
        hint: expect.stringContaining('keys in archive.config') as string,
      });
      const elsewhere = archiveOf({ config: writeConfig('elsewhere.yaml', { WALG_S3_PREFIX: 's3://nobodys/pg' }) });
      await expect(restoreInto('elsewhere', elsewhere)).rejects.toMatchObject({
        code: 'store_unreachable',
        hint: expect.stringContaining('bucket') as string,
      });
      const empty = archiveOf({ config: writeConfig('empty.yaml', { WALG_S3_PREFIX: `s3://${BUCKET}/other` }) });
      await expect(restoreInto('empty', empty)).rejects.toMatchObject({ code: 'backup_missing' });
      const unnamed = archiveOf({ config: writeConfig('unnamed.yaml', { WALG_S3_PREFIX: '' }) });
      await expect(restoreInto('unnamed', unnamed)).rejects.toMatchObject({ code: 'setting_invalid' });
      await expect(restoreInto('missing', archiveOf({ program: '/nonexistent/wal-g' }))).rejects.toMatchObject({ code: 'tool_missing' });
      expect(copies()).toEqual([]);
    }, 90_000);

    test('a partition that is not there, which WAL-G does not miss, is missed', async () => {
      const [full] = await archive.backups();
      const to = await archive.locate({
        setting: 'recovery_target_lsn',
        value: before.lsn,
        lsn: before.lsn,
        inclusive: true,
        timeline: 1,
        backup: full?.name ?? '',
      });
      await without(onDisk('basebackups_005', to.backup, 'tar_partitions', 'part_002.tar.lz4'), async (takeAway) => {
        takeAway();
        await expect(restoreInto('cut', archive, {}, to)).rejects.toMatchObject({
          code: 'object_corrupt',
          message: expect.stringContaining('a partition is missing') as string,
        });
      });
      expect(copies()).toEqual([]);
    }, 60_000);

    const segmentObject = (): string => onDisk('wal_005', `${recovery.lastSegment}.lz4`);

    test('a segment that was listed and that the tool does not bring ends the restore: never an early, silent promotion', async () => {
      await without(segmentObject(), async (takeAway) => {
        // Its way was looked up: now it goes.
        const onProgress = ({ phase }: RestoreProgress): void => (phase === 'base' ? takeAway() : undefined);
        await expect(restoreInto('vanished', archive, { onProgress })).rejects.toMatchObject({
          code: 'wal_missing',
          message: expect.stringContaining(recovery.lastSegment) as string,
        });
      });
      expect(copies()).toEqual([]);
    }, 60_000);

    test('a hole in WAL is found before any byte moves', async () => {
      await without(segmentObject(), async (takeAway) => {
        takeAway();
        const phases: string[] = [];
        await expect(restoreInto('hole', archive, { onProgress: ({ phase }) => void phases.push(phase) })).rejects.toMatchObject({
          code: 'wal_missing',
          message: expect.stringContaining(recovery.lastSegment) as string,
        });
        expect(phases).toEqual(['locate']);
      });
      expect(copies()).toEqual([]);
    }, 60_000);

    /** An OpenPGP key without a passphrase, as WAL-G takes it. */
    async function writeKey(name: string): Promise<string> {
      const home = join(dir, `gnupg-${name}`);
      mkdirSync(home, { mode: 0o700 });
      const gpg = async (args: readonly string[], input?: string): Promise<string> => {
        const options = { timeoutMs: 30_000, env: { PATH: '/usr/bin:/bin', GNUPGHOME: home }, ...(input === undefined ? {} : { input }) };
        const { code, stdout, stderr } = await run(['gpg', '--batch', ...args], options);
        if (code !== 0) throw new Error(`gpg: ${stderr}`);
        return stdout;
      };
      const of = ['%no-protection', 'Key-Type: RSA', 'Key-Length: 2048', 'Subkey-Type: RSA', 'Subkey-Length: 2048'];
      await gpg(['--gen-key', '-'], `${[...of, `Name-Email: ${name}@test`, 'Expire-Date: 0', '%commit'].join('\n')}\n`);
      const path = join(dir, `${name}.key`);
      writeFileSync(path, await gpg(['--armor', '--export-secret-keys']), { mode: 0o600 });
      await run(['gpgconf', '--kill', 'gpg-agent'], { timeoutMs: 10_000, env: { PATH: '/usr/bin:/bin', GNUPGHOME: home } });
      own(path);
      return path;
    }

    const segmentsBetween = (first: string, last: string): string[] => {
      const [from, to] = [first, last].map((name) => Number.parseInt(name.slice(16), 16));
      return Array.from({ length: (to ?? 0) - (from ?? 0) + 1 }, (_, at) => {
        const number = ((from ?? 0) + at).toString(16).toUpperCase();
        return last.slice(0, 16) + number.padStart(8, '0');
      });
    };

    /** Fetches a file from the server's own archive, and pushes it into another. */
    async function copyInto(config: string, name: string): Promise<void> {
      const way = join(dir, 'pg', name);
      const own = ['--config', join(dir, 'wal-g.yaml'), 'wal-fetch', name, way];
      for (const words of [own, ['--config', config, 'wal-push', way]]) {
        const options = { timeoutMs: 30_000, env: { PATH: '/usr/bin:/bin', WALG_DOWNLOAD_CONCURRENCY: '1' } };
        const { code, stderr } = await run([PROGRAM ?? '', ...words], {
          ...options,
          ...(owner === null ? {} : { uid: owner.uid, gid: owner.gid }),
        });
        if (code !== 0) throw new Error(`wal-g ${words.join(' ')}: ${stderr}`);
      }
      rmSync(way);
    }

    const hasGpg = existsSync('/usr/bin/gpg');
    (hasGpg ? test : test.skip)(
      `an encrypted archive is restored by its key, and a wrong one is named before a byte moves${hasGpg ? '' : ' (apt-get install gnupg)'}`,
      async () => {
        const prefix = { WALG_S3_PREFIX: `s3://${BUCKET}/locked` };
        const config = writeConfig('encrypted.yaml', { ...prefix, WALG_PGP_KEY_PATH: await writeKey('right') });
        const encrypted = archiveOf({ config });
        const [node] = targetOf().nodes;
        if (node === undefined) throw new Error('no node');
        const backup = await encrypted.takeBackup(node, signal);
        await one('create table locked as select 1 as id');
        const lsn = await one(`select pg_create_restore_point('locked')::text`);
        const last = await one('select pg_walfile_name(pg_switch_wal())');
        await archived(last);
        for (const name of ['00000002.history', ...segmentsBetween(backup.startWal, last)]) await copyInto(config, name);
        const point = { setting: 'recovery_target_name', value: 'locked', lsn, inclusive: true, timeline: 2, backup: backup.name } as const;
        const to = await encrypted.locate(point);
        const outcome = await restoreInto('encrypted', encrypted, {}, to);
        expect(outcome.checks.filter(({ ok }) => !ok)).toEqual([]);
        expect(await one('select id::text from locked', copyOf(outcome))).toBe('1');
        await encrypted.removeSandbox(outcome.dir);
        const stale = archiveOf({ config: writeConfig('wrong-key.yaml', { ...prefix, WALG_PGP_KEY_PATH: await writeKey('wrong') }) });
        const phases: string[] = [];
        const onProgress = ({ phase }: RestoreProgress): void => void phases.push(phase);
        await expect(restoreInto('wrong-key', stale, { onProgress }, to)).rejects.toMatchObject({ code: 'archive_key_wrong' });
        expect(phases).toEqual(['locate']);
        expect(copies()).toEqual([]);
      },
      120_000,
    );

    test('a delta whose full backup is gone is no backup', async () => {
      const full = (await archive.backups())[0]?.name ?? '';
      await without(onDisk('basebackups_005', `${full}_backup_stop_sentinel.json`), async (takeAway) => {
        takeAway();
        expect(await archive.backups()).toEqual([]);
        const problems = (await archive.audit()).filter(({ ok }) => !ok).map(({ name }) => name);
        expect(problems).toEqual(expect.arrayContaining(['base backup', 'last backup']));
      });
    }, 60_000);
  },
);
