/**
 * A team's own barman-cloud, rehearsed on the real tool: WAL pushed by barman-cloud-wal-archive into S3, a backup by barman-cloud-backup, restores to the
 * transaction before an accident by barman-cloud-restore and barman-cloud-wal-restore. And what must be told apart: a hole in WAL, a segment that the tool
 * does not bring, keys that are refused, a server that is not there.
 */
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
import { lookUpUser } from '../../core/process';
import type { BarmanCloudTargetArchive, Target } from '../../model/target';
import { ensureBucket } from '../../objects/s3-store';
import { examineAtReady } from '../../targets/archives/audit/audit-source';
import { openTarget } from '../../targets/open-target';
import type { Archive, RecoveryTarget, RestoreOutcome, RestoreProgress } from '../../targets/ports';
import { withSql } from '../../targets/sql';
import { DRAWN, drawRows, fullTest } from './drawn';
import { createPostgres, freePort, startGateway, type Gateway, type OwnPostgres } from './own-servers';
import { lonelyTarget } from './restore-target';

const NET = '127.0.107';
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

function own(path: string): void {
  if (owner !== null) chownSync(path, owner.uid, owner.gid);
}

function writeKeys(name: string, secret: string): string {
  const path = join(dir, name);
  writeFileSync(path, `[other]\naws_access_key_id = x\n\n[team]\naws_access_key_id = gameday-test\naws_secret_access_key = ${secret}\n`, {
    mode: 0o600,
  });
  own(path);
  return path;
}

function settings(changed: Partial<BarmanCloudTargetArchive> = {}): BarmanCloudTargetArchive {
  return {
    kind: 'barman-cloud',
    source: `s3://${BUCKET}/pg/clusters`,
    server: 'main',
    endpoint: gateway.settings.endpoint,
    region: 'us-east-1',
    credentials: join(dir, 'keys'),
    profile: 'team',
    awsConfig: null,
    nodeCredentials: null,
    compression: 'gzip',
    programs: '/usr/bin',
    ...changed,
  };
}

function targetOf(changed: Partial<BarmanCloudTargetArchive> = {}): Target {
  const { systemIdentifier } = postgres;
  return lonelyTarget({ dir, host: HOST, port, systemIdentifier, database: 'postgres' }, settings(changed));
}

function archiveOf(changed: Partial<BarmanCloudTargetArchive> = {}): Archive {
  const found = openTarget(targetOf(changed)).archive;
  if (found === null) throw new Error('no archive');
  return found;
}

const one = (text: string, server: { readonly host: string; readonly port: number } = { host: HOST, port }): Promise<string> =>
  withSql(
    { ...server, user: 'postgres', password: null, database: 'postgres' },
    async (sql) => Object.values((await sql.query(text))[0] ?? {})[0] ?? '',
  );

function restoreInto(
  name: string,
  from: Archive = archive,
  options: { readonly signal?: AbortSignal; readonly onProgress?: (progress: RestoreProgress) => void } = {},
  to: RecoveryTarget = recovery,
): Promise<RestoreOutcome> {
  const sandbox = { dir: join(dir, 'sb', name), labels: { drill: 'drill-000001', step: name } };
  return from.restore(to, sandbox, { timeoutMs: 90_000, signal, onProgress: () => undefined, ...options });
}

const copies = (): readonly string[] => (existsSync(join(dir, 'sb')) ? readdirSync(join(dir, 'sb')) : []);
/** The gateway's objects are files. */
const onDisk = (...path: string[]): string => join(dir, 's3', 'data', BUCKET, 'pg', 'clusters', 'main', ...path);

/** An archive_command that waits for a Python start per segment: as teams have it, with what the test itself knows as keys. */
function writePushScript(): string {
  const path = join(dir, 'push.sh');
  const { endpoint } = gateway.settings;
  const words = `/usr/bin/barman-cloud-wal-archive --endpoint-url ${endpoint} -P team --gzip s3://${BUCKET}/pg/clusters main "$1"`;
  writeFileSync(
    path,
    `#!/bin/sh\nexport AWS_SHARED_CREDENTIALS_FILE='${join(dir, 'keys')}' AWS_DEFAULT_REGION=us-east-1 LC_ALL=C.UTF-8\nexec ${words}\n`,
    { mode: 0o755 },
  );
  return path;
}

beforeAll(async () => {
  dir = mkdtempSync(join(tmpdir(), 'gdc-'));
  chmodSync(dir, 0o755);
  gateway = await startGateway({ dir: join(dir, 's3'), host: `${NET}.42` });
  await ensureBucket({ ...gateway.settings, bucket: BUCKET, timeoutMs: 5_000, versioning: false });
  port = await freePort(HOST);
  writeKeys('keys', 'gameday-test-secret');
  mkdirSync(join(dir, 'spc'));
  own(join(dir, 'spc'));
  postgres = await createPostgres({
    dir: join(dir, 'pg'),
    host: HOST,
    port,
    settings: ['archive_mode = on', `archive_command = '${writePushScript()} %p'`, 'max_wal_senders = 4'],
  });
  await postgres.start();
  await one(`create tablespace elsewhere location '${join(dir, 'spc')}'`);
  await one('create table far (id int) tablespace elsewhere');
  await one('insert into far values (7)');
  archive = archiveOf();
  const [node] = targetOf().nodes;
  if (node === undefined) throw new Error('no node');
  await archive.takeBackup(node, signal);
  await one(`create table orders as select generate_series(1, ${ROWS}) as id`);
  const lsn = await one(`select pg_create_restore_point('${POINT}')::text`);
  before = { lsn, time: await one('select clock_timestamp()::text') };
  const dropped = await withSql({ host: HOST, port, user: 'postgres', password: null, database: 'postgres' }, async (sql) => {
    await sql.query('begin');
    const [row] = await sql.query('select pg_current_xact_id()::text as xid');
    await sql.query('drop table orders');
    await sql.query('commit');
    return row?.['xid'] ?? '';
  });
  behindDrop = await one('select pg_current_wal_insert_lsn()::text');
  const segment = await one('select pg_walfile_name(pg_switch_wal())');
  await until(async () => ((await archive.holds(segment)) ? true : null), {
    timeoutMs: 30_000,
    onTimeout: () => new Error(`${segment} was not archived: ${readFileSync(postgres.logFile, 'utf8').slice(-2_000)}`),
  });
  recovery = await archive.locate({ setting: 'recovery_target_xid', value: dropped, inclusive: false, lsn: behindDrop, timeline: 1 });
}, 120_000);

afterAll(async () => {
  for (const name of copies()) await archive.removeSandbox(join(dir, 'sb', name));
  await postgres?.stop('immediate').catch(() => undefined);
  await gateway?.stop();
  rmSync(dir, { recursive: true, force: true });
});

test('a healthy archive passes its audit and the pre-flight’s, says when its backup ended and what a restore would move', async () => {
  expect((await archive.audit()).filter(({ ok }) => !ok)).toEqual([]);
  const { check, exposure } = await examineAtReady(targetOf());
  expect(check).toMatchObject({ ok: true, found: expect.stringContaining('segments read') as string });
  // Said, and no reason to refuse: nobody switched versions on for this bucket, and nobody tries to delete anything in it.
  if ('notRecorded' in exposure) throw new Error(exposure.notRecorded);
  expect(exposure.findings.map(({ check: name, severity }) => `${name} ${severity}`)).toContain('versioning medium');
  expect(exposure.notExamined).toContain('deletion: not tried');
  const { backup, baseBytes, segments } = await archive.estimate(recovery);
  expect(backup.name).toMatch(/^\d{8}T\d{6}$/);
  // The tool's own list has lost the time zone of it.
  expect(Math.abs(Date.now() - Date.parse(backup.finishedAt))).toBeLessThan(120_000);
  // Unpacked: an empty cluster packs to 4 MB.
  expect(baseBytes).toBeGreaterThan(20_000_000);
  expect(segments.length).toBeGreaterThanOrEqual(1);
}, 60_000);

test('a restore lands on the transaction before the drop, with every row and tablespace, and tells how far it is', async () => {
  const told: RestoreProgress[] = [];
  const outcome = await restoreInto('before-drop', archive, { onProgress: (progress) => void told.push(progress) });
  expect(outcome.checks.filter(({ ok }) => !ok)).toEqual([]);
  expect(outcome.landed.logLine).toContain(`recovery stopping before commit of transaction ${recovery.value}`);
  const copy = { host: outcome.socketDir, port: outcome.port };
  expect(await one('select count(*)::text from orders', copy)).toBe(String(ROWS));
  expect(await one('select id::text from far', copy)).toBe('7');
  expect(await one(`select pg_tablespace_location(oid) from pg_tablespace where spcname = 'elsewhere'`, copy)).toMatch(
    new RegExp(`^${join(outcome.dir, 'tablespaces')}/`),
  );
  expect(await one('show archive_mode', copy)).toBe('off');
  expect(told.some(({ phase, bytes }) => phase === 'base' && bytes > 0)).toBe(true);
  expect(told.at(-1)?.segments).toBe(outcome.segments);
  await archive.removeSandbox(outcome.dir);
  expect(copies()).toEqual([]);
}, 90_000);

// Every segment starts a Python of its own: one of them each time, drawn.
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
  `a restore to %s lands before the drop${DRAWN}`,
  async (what, point, line) => {
    const to = await archive.locate({ ...point(), inclusive: true, timeline: 1 });
    const outcome = await restoreInto(what.replace(/\W/g, '-'), archive, {}, to);
    expect(outcome.checks.filter(({ ok }) => !ok)).toEqual([]);
    expect(outcome.landed.logLine).toMatch(line);
    expect(await one('select count(*)::text from orders', { host: outcome.socketDir, port: outcome.port })).toBe(String(ROWS));
    await archive.removeSandbox(outcome.dir);
  },
  90_000,
);

fullTest(
  'a restore of all that the archive holds asks no server, and ends where its WAL does: the table is gone',
  async () => {
    const end = await archive.end();
    const to = await archive.locate({ setting: 'recovery_target', value: 'latest', inclusive: true, ...end });
    const outcome = await restoreInto('latest', archive, {}, to);
    expect(outcome.checks.filter(({ ok }) => !ok)).toEqual([]);
    expect(outcome.landed.logLine).toMatch(/^redo done at /);
    const copy = { host: outcome.socketDir, port: outcome.port };
    expect(await one(`select (to_regclass('orders') is null)::text`, copy)).toBe('true');
    expect(await one('select id::text from far', copy)).toBe('7');
    await archive.removeSandbox(outcome.dir);
  },
  90_000,
);

test('the order of commits is read in the bucket, without the primary’s machine', async () => {
  const { backup } = await archive.estimate(recovery);
  const binDir = targetOf().sandbox?.binDir ?? '';
  const commits = await archive.commits?.({ timeline: 1, fromLsn: backup.startLsn, toLsn: behindDrop, binDir }, signal);
  expect(commits?.map(({ xid }) => xid)).toContain(recovery.value);
}, 60_000);

test('cancelled while the base comes, it leaves no copy; a base that was cut short is fetched anew', async () => {
  const halt = new AbortController();
  const onProgress = ({ phase, bytes }: RestoreProgress): void => {
    if (phase === 'base' && bytes > 0) halt.abort(new Error('halted by the test'));
  };
  await expect(restoreInto('halted', archive, { signal: halt.signal, onProgress })).rejects.toThrow('halted by the test');
  expect(copies()).toEqual([]);
}, 60_000);

test('keys that are refused and a server that is not there are named, and leave no copy', async () => {
  const locked = archiveOf({ credentials: writeKeys('wrong-keys', 'wrong') });
  await expect(restoreInto('locked', locked)).rejects.toMatchObject({
    code: 'store_unreachable',
    hint: expect.stringContaining('archive.credentials') as string,
  });
  await expect(restoreInto('elsewhere', archiveOf({ server: 'other' }))).rejects.toMatchObject({
    code: 'backup_missing',
    message: expect.stringContaining('other') as string,
  });
  expect(copies()).toEqual([]);
}, 60_000);

test('a segment that was listed and that the tool does not bring ends the restore: never an early, silent promotion', async () => {
  const object = onDisk('wals', recovery.lastSegment.slice(0, 16), `${recovery.lastSegment}.gz`);
  const aside = join(dir, 'aside');
  const takeAway = ({ phase }: RestoreProgress): void => {
    // Its way was looked up: now it goes.
    if (phase === 'base' && existsSync(object)) renameSync(object, aside);
  };
  try {
    await expect(restoreInto('vanished', archive, { onProgress: takeAway })).rejects.toMatchObject({
      code: 'wal_missing',
      message: expect.stringContaining(recovery.lastSegment) as string,
    });
  } finally {
    if (existsSync(aside)) renameSync(aside, object);
  }
  expect(copies()).toEqual([]);
}, 60_000);

test('a hole in WAL is found before any byte moves', async () => {
  rmSync(onDisk('wals', recovery.lastSegment.slice(0, 16), `${recovery.lastSegment}.gz`));
  const phases: string[] = [];
  await expect(restoreInto('hole', archive, { onProgress: ({ phase }) => void phases.push(phase) })).rejects.toMatchObject({
    code: 'wal_missing',
    message: expect.stringContaining(recovery.lastSegment) as string,
  });
  expect(phases).toEqual(['locate']);
  expect(copies()).toEqual([]);
}, 60_000);
