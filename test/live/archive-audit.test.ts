/**
 * The archive auditor against archives that pgBackRest and barman-cloud made themselves, of one small cluster with a timeline switch, through a real S3
 * gateway: nothing is found wrong with them whole, and what is then damaged is found. It also asks the gateway about the bucket, and tries to delete.
 */
import {
  chmodSync,
  chownSync,
  copyFileSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PutBucketPolicyCommand } from '@aws-sdk/client-s3';
import { until } from '../../core/clock';
import { packageRoot } from '../../core/files';
import { lookUpUser, run, type RunResult } from '../../core/process';
import type { ArchiveAudit } from '../../model/archive-audit';
import { readBucketFacts } from '../../objects/bucket-facts';
import { tryToDelete } from '../../objects/delete-trial';
import { clientFor, ensureBucket, openS3Store, type S3Settings } from '../../objects/s3-store';
import { auditSource } from '../../targets/archives/audit/audit-source';
import { withSql } from '../../targets/sql';
import { createPostgres, freePort, startGateway, type Gateway, type OwnPostgres } from './own-servers';

const HOST = '127.0.74.12';
const BUCKET = 'archives';
const hasPgbackrest = existsSync('/usr/bin/pgbackrest');
const hasBarman = existsSync('/usr/bin/barman-cloud-backup');
const asPostgres = process.getuid?.() === 0 ? lookUpUser('postgres') : null;

let dir: string;
let port: number;
let gateway: Gateway;
let postgres: OwnPostgres;

const settings = (prefix: string): S3Settings => ({ ...gateway.settings, bucket: BUCKET, prefix, timeoutMs: 10_000 });
const pgbackrest = (...args: string[]): string[] => ['pgbackrest', `--config=${join(dir, 'pgbackrest.conf')}`, '--stanza=main', ...args];
const barman = (tool: string, ...args: string[]): string[] => [
  tool,
  ...args.slice(0, -1),
  '--endpoint-url',
  gateway.settings.endpoint,
  '--gzip',
  `s3://${BUCKET}/barman`,
  'pg',
  ...args.slice(-1).filter((arg) => arg !== ''),
];
const environment = (): NodeJS.ProcessEnv => ({
  PATH: '/usr/bin:/bin',
  LC_ALL: 'C.UTF-8',
  HOME: dir,
  AWS_ACCESS_KEY_ID: 'gameday-test',
  AWS_SECRET_ACCESS_KEY: 'gameday-test-secret',
  AWS_DEFAULT_REGION: 'us-east-1',
  PGHOST: HOST,
  PGPORT: String(port),
  PGUSER: 'postgres',
});

async function tool(argv: readonly string[]): Promise<string> {
  const who = asPostgres === null ? {} : { uid: asPostgres.uid, gid: asPostgres.gid };
  const result = await run(argv, { timeoutMs: 120_000, cwd: dir, env: environment(), ...who });
  if (result.code !== 0) throw new Error(`${argv.join(' ')}: ${result.stdout.slice(-1_000)} ${result.stderr.slice(-1_000)}`);
  return result.stdout;
}

async function one(text: string): Promise<string> {
  return withSql(
    { host: HOST, port, user: 'postgres', password: null, database: 'postgres' },
    async (sql) => Object.values((await sql.query(text))[0] ?? {})[0] ?? '',
  );
}

/** Writes a little, switches WAL, and waits until that segment is archived: by both tools, or the command fails. */
async function archiveSegment(): Promise<void> {
  await one('insert into t select generate_series(1, 2000)');
  const name = await one('select pg_walfile_name(pg_switch_wal())');
  await until(async () => ((await one(`select (last_archived_wal >= '${name}')::text from pg_stat_archiver`)) === 'true' ? true : null), {
    timeoutMs: 30_000,
    onTimeout: () => new Error(`${name} was not archived: ${readFileSync(postgres.logFile, 'utf8').slice(-3_000)}`),
  });
}

/** The primary goes into recovery and is promoted: the next timeline begins. */
async function newTimeline(): Promise<void> {
  await postgres.stop('fast');
  const signal = join(postgres.dataDir, 'standby.signal');
  writeFileSync(signal, '');
  if (asPostgres !== null) chownSync(signal, asPostgres.uid, asPostgres.gid);
  await postgres.start();
  await one('select pg_promote(true, 60)::text');
  await until(
    async () =>
      (await one(`select (count(*) > 0)::text from pg_ls_archive_statusdir() where name = '00000002.history.done'`)) === 'true'
        ? true
        : null,
    {
      timeoutMs: 30_000,
      onTimeout: () => new Error('the history file was not archived'),
    },
  );
}

function writeScripts(): void {
  const config = [
    '[global]',
    `repo1-path=${join(dir, 'repo')}`,
    `log-path=${dir}`,
    `lock-path=${join(dir, 'lock')}`,
    `spool-path=${dir}`,
    'start-fast=y',
    'compress-type=lz4',
    'log-level-console=warn',
  ];
  const stanza = ['[main]', `pg1-path=${join(dir, 'pg', 'data')}`, `pg1-port=${port}`, `pg1-socket-path=${join(dir, 'pg')}`];
  writeFileSync(join(dir, 'pgbackrest.conf'), `${[...config, ...stanza].join('\n')}\n`, { mode: 0o644 });
  const push = [
    ...(hasPgbackrest ? [pgbackrest('archive-push', '"$1"').join(' ')] : []),
    ...(hasBarman ? [barman('barman-cloud-wal-archive', '"$1"').join(' ')] : []),
  ];
  const variables = Object.entries(environment()).map(([name, value]) => `export ${name}='${value}'`);
  writeFileSync(join(dir, 'push-by-pgbackrest-and-barman.sh'), `#!/bin/sh\nset -e\n${[...variables, ...push].join('\n')}\n`, {
    mode: 0o755,
  });
}

beforeAll(async () => {
  dir = mkdtempSync(join(tmpdir(), 'gd-audit-'));
  chmodSync(dir, 0o755);
  for (const name of ['repo', 'lock']) {
    mkdirSync(join(dir, name));
    if (asPostgres !== null) chownSync(join(dir, name), asPostgres.uid, asPostgres.gid);
  }
  if (asPostgres !== null) chownSync(dir, asPostgres.uid, asPostgres.gid);
  gateway = await startGateway({ dir: join(dir, 's3'), host: '127.0.74.42' });
  await ensureBucket({ ...gateway.settings, bucket: BUCKET, timeoutMs: 5_000, versioning: false });
  port = await freePort(HOST);
  writeScripts();
  postgres = await createPostgres({
    dir: join(dir, 'pg'),
    host: HOST,
    port,
    settings: ['archive_mode = on', `archive_command = '${join(dir, 'push-by-pgbackrest-and-barman.sh')} %p'`, 'max_wal_senders = 4'],
  });
  await postgres.start();
  if (hasPgbackrest) await tool(pgbackrest('stanza-create'));
  await one('create table t (id int)');
  await archiveSegment();
  if (hasPgbackrest) await tool(pgbackrest('--type=full', 'backup'));
  await archiveSegment();
  await newTimeline();
  if (hasBarman) await tool(barman('barman-cloud-backup', '--immediate-checkpoint', ''));
  if (hasPgbackrest) await tool(pgbackrest('--type=incr', '--repo1-bundle', 'backup'));
  await archiveSegment();
  await archiveSegment();
  // The gateway's objects are files: a copied repository is one in the bucket.
  if (hasPgbackrest) cpSync(join(dir, 'repo'), join(dir, 's3', 'data', BUCKET, 'pgbackrest'), { recursive: true });
}, 180_000);

afterAll(async () => {
  await postgres?.stop('immediate').catch(() => undefined);
  await gateway?.stop();
  rmSync(dir, { recursive: true, force: true });
}, 60_000);

function audit(prefix: string): Promise<ArchiveAudit> {
  return auditSource(
    { settings: settings(prefix), layout: null, stanza: null, systemIdentifier: postgres.systemIdentifier, maxAgeMs: 300_000 },
    {
      sample: 'all',
      seed: 1,
      windowMs: null,
      maxAgeMs: null,
      tryDelete: false,
      signal: new AbortController().signal,
      onProgress: () => undefined,
    },
  );
}

const high = ({ findings }: ArchiveAudit): string[] =>
  findings.filter(({ severity }) => severity === 'high').map(({ check, key, what }) => `${check} ${key ?? ''} ${what}`);
const about = ({ checks }: ArchiveAudit, name: string): string => checks.find((check) => check.name === name)?.state ?? 'no such check';

/** Below the bucket, on the gateway's disk. */
const onDisk = (...path: string[]): string => join(dir, 's3', 'data', BUCKET, ...path);

function cli(...args: string[]): Promise<RunResult> {
  const key = (name: string): string => `file:${join(dir, 's3', name)}`;
  const argv = [
    process.execPath,
    join(packageRoot(), 'dist', 'cli', 'main.js'),
    'archive',
    'audit',
    '--endpoint',
    gateway.settings.endpoint,
    '--bucket',
    BUCKET,
  ];
  return run([...argv, '--access-key', key('access'), '--secret-key', key('secret'), ...args], { timeoutMs: 60_000, env: environment() });
}

(hasPgbackrest ? describe : describe.skip)('an archive that pgBackRest made', () => {
  test('is whole: every segment, every file of a full and of an incremental backup, and the switch of timelines', async () => {
    const result = await audit('pgbackrest');
    expect(high(result)).toEqual([]);
    expect(result).toMatchObject({
      layout: 'pgbackrest',
      stanza: 'main',
      systemIdentifier: postgres.systemIdentifier,
      serverVersion: expect.any(Number),
    });
    expect(result.examined).toBe(result.segments);
    expect(result.backups.map(({ type, usable }) => [type, usable])).toEqual([
      ['full', true],
      ['incremental', true],
    ]);
    for (const name of ['archive', 'backups', 'timelines', 'WAL continuity', 'WAL objects', 'WAL content', 'reach'])
      expect([name, about(result, name)]).toEqual([name, 'fine']);
    expect(result.timelines.map(({ timeline, parent }) => [timeline, parent])).toEqual([
      [1, null],
      [2, 1],
    ]);
  }, 60_000);

  test('a missing segment and a damaged one are found by the command, which ends with 1', async () => {
    const walDir = onDisk('pgbackrest', 'archive', 'main');
    const id = readdirSync(walDir).find((name) => /^[0-9]/.test(name)) ?? '';
    const segments = readdirSync(join(walDir, id, '0000000200000000'))
      .filter((name) => /^[0-9A-F]{24}-/.test(name))
      .sort();
    // One before the newest backup, one after it.
    const [damaged, gone] = [segments.at(-4) ?? '', segments.at(-2) ?? ''];
    cpSync(onDisk('pgbackrest'), onDisk('broken'), { recursive: true });
    unlinkSync(onDisk('broken', 'archive', 'main', id, '0000000200000000', gone));
    const bytes = readFileSync(join(walDir, id, '0000000200000000', damaged));
    bytes[bytes.length >> 1] = (bytes[bytes.length >> 1] ?? 0) ^ 0xff;
    writeFileSync(onDisk('broken', 'archive', 'main', id, '0000000200000000', damaged), bytes);
    expect(await foundIn('/broken/')).toEqual([
      `WAL content archive/main/${id}/0000000200000000/${damaged}`,
      `WAL continuity archive/main/${id}/0000000200000000/${gone.slice(0, 24)}-*`,
      'versioning null',
    ]);
  }, 60_000);

  test('a backup that lacks a file is no way back, and neither is the incremental one that takes it from there', async () => {
    const full = readdirSync(onDisk('pgbackrest', 'backup', 'main')).find((name) => name.endsWith('F')) ?? '';
    cpSync(onDisk('pgbackrest'), onDisk('torn'), { recursive: true });
    unlinkSync(onDisk('torn', 'backup', 'main', full, 'pg_data', 'PG_VERSION.lz4'));
    expect(await foundIn('/torn/')).toEqual([
      `backups backup/main/${full}/pg_data/PG_VERSION.lz4`,
      `backups backup/main/${full}/pg_data/PG_VERSION.lz4`,
      'reach null',
      'versioning null',
    ]);
  }, 60_000);
});

/**
 * What the command finds that is worse than low, in order; it ends with 1 and tells the seed. A hole before the newest backup costs the time between two backups
 * and not the newest state.
 */
async function foundIn(prefix: string): Promise<readonly string[]> {
  const ended = await cli('--prefix', prefix, '--all', '--json', '--no-try-delete');
  expect([ended.code, ended.stderr]).toEqual([1, expect.stringContaining('seed')]);
  const { findings } = JSON.parse(ended.stdout) as ArchiveAudit;
  return findings
    .filter(({ severity }) => severity !== 'low')
    .map(({ check, key }) => `${check} ${key}`)
    .sort();
}

(hasBarman ? describe : describe.skip)('an archive that barman-cloud made', () => {
  test('is whole: every segment, the tar of its backup, and the switch of timelines', async () => {
    const result = await audit('barman/pg');
    expect(high(result)).toEqual([]);
    expect(result).toMatchObject({ layout: 'barman-cloud', systemIdentifier: postgres.systemIdentifier });
    expect(result.examined).toBe(result.segments);
    expect(result.backups).toEqual([expect.objectContaining({ usable: true, timeline: 2 })]);
    for (const name of ['archive', 'backups', 'timelines', 'WAL continuity', 'WAL objects', 'WAL content', 'reach'])
      expect([name, about(result, name)]).toEqual([name, 'fine']);
  }, 60_000);

  test('its text names what was checked, and the segment under another segment’s name', async () => {
    cpSync(onDisk('barman', 'pg'), onDisk('swapped'), { recursive: true });
    const walDir = onDisk('swapped', 'wals', '0000000200000000');
    const segments = readdirSync(walDir)
      .filter((name) => /^[0-9A-F]{24}\.gz$/.test(name))
      .sort();
    copyFileSync(join(walDir, segments.at(-2) ?? ''), join(walDir, segments.at(-1) ?? ''));
    const ended = await cli('--prefix', 'swapped');
    expect([ended.code, ended.stderr]).toEqual([1, expect.stringContaining('seed')]);
    expect(ended.stdout).toMatch(/^barman-cloud archive in s3 archives at .*: [0-9]+ objects/);
    expect(ended.stdout).toContain(`wals/0000000200000000/${segments.at(-1)}`);
    expect(ended.stdout).toMatch(/HIGH WAL content: the segment says that it is 0\/[0-9A-F]+, not 0\/[0-9A-F]+/);
    expect(ended.stdout).toMatch(/nothing from 0\/[0-9A-F]+ .* on can be restored/);
    expect(ended.stdout).toMatch(/every point can be restored\n {2}from /);
  }, 60_000);
});

describe('the bucket', () => {
  test('tells its versioning; credentials that delete are told from none', async () => {
    const facts = await readBucketFacts(settings('x'));
    expect(facts.versioning).toEqual({ told: true, value: 'off' });
    expect(facts.publicAccess).toEqual({ told: true, value: [] });
    expect(await tryToDelete(settings('x'))).toBe('destroyed');
    expect(await openS3Store(settings('x')).head('gameday-audit/may-be-deleted')).toBeNull();
    await ensureBucket({ ...gateway.settings, bucket: 'versioned', timeoutMs: 5_000, versioning: true });
    expect((await readBucketFacts({ ...settings('x'), bucket: 'versioned' })).versioning).toEqual({ told: true, value: 'Enabled' });
    expect(await tryToDelete({ ...settings('x'), bucket: 'versioned' })).toBe('destroyed');
  });

  test('open to everybody by its policy is found', async () => {
    await ensureBucket({ ...gateway.settings, bucket: 'open', timeoutMs: 5_000, versioning: false });
    const client = clientFor({ ...settings(''), bucket: 'open' });
    const Statement = [{ Effect: 'Allow', Principal: '*', Action: ['s3:GetObject'], Resource: ['arn:aws:s3:::open/*'] }];
    await client.send(new PutBucketPolicyCommand({ Bucket: 'open', Policy: JSON.stringify({ Version: '2012-10-17', Statement }) }));
    client.destroy();
    expect((await readBucketFacts({ ...settings('x'), bucket: 'open' })).publicAccess).toEqual({
      told: true,
      value: ['the policy allows s3:GetObject to everybody'],
    });
  });
});

test('bad input ends with 2, a store that does not answer with 75, and both say what to do', async () => {
  const nothing = await cli('--prefix', 'nothing-here');
  expect([nothing.code, nothing.stderr]).toEqual([2, expect.stringContaining('HINT: check bucket and prefix')]);
  const unknown = await cli('--layout', 'tape');
  expect([unknown.code, unknown.stderr]).toEqual([2, expect.stringContaining('"tape" is none of')]);
  const away = await cli('--prefix', 'x', '--endpoint', 'http://127.0.74.42:1');
  expect([away.code, away.stderr]).toEqual([75, expect.stringContaining('connection refused')]);
}, 60_000);
