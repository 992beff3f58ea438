/**
 * A team's own pgBackRest, rehearsed on the real tool: an encrypted repository, WAL pushed by its archive-push, restores to the transaction before an accident by
 * its restore and archive-get. And what must be told apart: a hole in WAL, a wrong key, a stanza that is not there. The repository is a directory: which
 * kind of store it is, only pgBackRest knows.
 */
import { chmodSync, chownSync, cpSync, existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { until } from '../../core/clock';
import { lookUpUser, run } from '../../core/process';
import type { ArchiveAudit } from '../../model/archive-audit';
import type { Target } from '../../model/target';
import { openDirectoryStore } from '../../objects/directory-store';
import { auditArchive } from '../../targets/archives/audit/audit-archive';
import { auditAtReady } from '../../targets/archives/audit/audit-source';
import { openTarget } from '../../targets/open-target';
import type { Archive, RecoveryTarget, RestoreOutcome } from '../../targets/ports';
import { withSql } from '../../targets/sql';
import { createPostgres, freePort, type OwnPostgres } from './own-servers';
import { lonelyTarget } from './restore-target';

const HOST = '127.0.104.12';
const PROGRAM = '/usr/bin/pgbackrest';
const STANZA = 'main';
const ROWS = 1_000;
const signal = new AbortController().signal;
const isRoot = process.getuid?.() === 0;
const owner = isRoot ? lookUpUser('postgres') : null;

let dir: string;
let port: number;
let postgres: OwnPostgres;
let archive: Archive;
let recovery: RecoveryTarget;

function writeConfig(name: string, passphrase: string): string {
  const path = join(dir, 'repo', name);
  const lines = [
    '[global]',
    `repo1-path=${join(dir, 'repo', 'store')}`,
    'repo1-cipher-type=aes-256-cbc',
    `repo1-cipher-pass=${passphrase}`,
    `log-path=${join(dir, 'repo', 'log')}`,
    `lock-path=${join(dir, 'repo', 'lock')}`,
    `spool-path=${join(dir, 'repo', 'spool')}`,
    'start-fast=y',
    'compress-type=lz4',
    `[${STANZA}]`,
    `pg1-path=${join(dir, 'pg', 'data')}`,
    `pg1-port=${port}`,
    `pg1-socket-path=${join(dir, 'pg')}`,
    'pg1-user=postgres',
  ];
  writeFileSync(path, `${lines.join('\n')}\n`, { mode: 0o640 });
  own(path);
  return path;
}

function own(path: string): void {
  if (owner !== null) chownSync(path, owner.uid, owner.gid);
}

function targetOf(config: string, stanza: string): Target {
  const { systemIdentifier } = postgres;
  const keys = { escrow: `file:${join(dir, 'escrow')}` };
  const archive = { kind: 'pgbackrest', stanza, config, nodeConfig: null, program: PROGRAM, keys } as const;
  return lonelyTarget({ dir, host: HOST, port, systemIdentifier, database: 'postgres' }, archive);
}

function archiveOf(config: string, stanza = STANZA): Archive {
  const found = openTarget(targetOf(config, stanza)).archive;
  if (found === null) throw new Error('no archive');
  return found;
}

const one = (text: string, server: { readonly host: string; readonly port: number } = { host: HOST, port }): Promise<string> =>
  withSql(
    { ...server, user: 'postgres', password: null, database: 'postgres' },
    async (sql) => Object.values((await sql.query(text))[0] ?? {})[0] ?? '',
  );

function restoreInto(name: string, from: Archive = archive, to: RecoveryTarget = recovery): Promise<RestoreOutcome> {
  const options = { timeoutMs: 60_000, signal, onProgress: () => undefined };
  return from.restore(to, { dir: join(dir, 'sb', name), labels: { drill: 'drill-000001', step: name } }, options);
}

const copies = (): readonly string[] => (existsSync(join(dir, 'sb')) ? readdirSync(join(dir, 'sb')) : []);

beforeAll(async () => {
  dir = mkdtempSync(join(tmpdir(), 'gdb-'));
  chmodSync(dir, 0o755);
  port = await freePort(HOST);
  for (const name of ['repo', 'repo/store', 'repo/log', 'repo/lock', 'repo/spool']) {
    mkdirSync(join(dir, name), { mode: 0o750 });
    own(join(dir, name));
  }
  const config = writeConfig('pgbackrest.conf', 'right');
  const push = `${PROGRAM} --config=${config} --stanza=${STANZA} archive-push %p`;
  postgres = await createPostgres({
    dir: join(dir, 'pg'),
    host: HOST,
    port,
    settings: ['archive_mode = on', `archive_command = '${push}'`, 'max_wal_senders = 4'],
  });
  await postgres.start();
  const made = await run([PROGRAM, `--config=${config}`, `--stanza=${STANZA}`, '--log-level-console=warn', 'stanza-create'], {
    timeoutMs: 60_000,
    ...(owner === null ? {} : { uid: owner.uid, gid: owner.gid }),
  });
  if (made.code !== 0) throw new Error(`stanza-create: ${made.stdout}${made.stderr}`);
  archive = archiveOf(config);
  const [node] = targetOf(config, STANZA).nodes;
  if (node === undefined) throw new Error('no node');
  await archive.takeBackup(node, signal);
  await one(`create table orders as select generate_series(1, ${ROWS}) as id`);
  const dropped = await withSql({ host: HOST, port, user: 'postgres', password: null, database: 'postgres' }, async (sql) => {
    await sql.query('begin');
    const [row] = await sql.query('select pg_current_xact_id()::text as xid');
    await sql.query('drop table orders');
    await sql.query('commit');
    return row?.['xid'] ?? '';
  });
  const lsn = await one('select pg_current_wal_insert_lsn()::text');
  const segment = await one('select pg_walfile_name(pg_switch_wal())');
  await until(async () => ((await archive.holds(segment)) ? true : null), {
    timeoutMs: 30_000,
    onTimeout: () => new Error(`${segment} was not archived`),
  });
  recovery = await archive.locate({ setting: 'recovery_target_xid', value: dropped, inclusive: false, lsn, timeline: 1 });
}, 120_000);

afterAll(async () => {
  for (const name of copies()) await archive.removeSandbox(join(dir, 'sb', name));
  await postgres.stop('immediate').catch(() => undefined);
  rmSync(dir, { recursive: true, force: true });
});

test('a healthy repository passes its audit, and says beforehand what a restore would move', async () => {
  expect((await archive.audit()).filter(({ ok }) => !ok)).toEqual([]);
  // A pre-flight does not know the repository's bucket: it says so, and refuses nothing.
  const preflight = await auditAtReady(targetOf(join(dir, 'repo', 'pgbackrest.conf'), STANZA));
  expect(preflight).toMatchObject({ ok: true, found: expect.stringContaining('not examined') as string });
  const { backup, baseBytes, segments } = await archive.estimate(recovery);
  expect(backup.name).toMatch(/^\d{8}-\d{6}F$/);
  expect(baseBytes).toBeGreaterThan(10_000_000);
  expect(segments.length).toBeGreaterThanOrEqual(1);
});

test('a restore lands on the transaction before the drop, with every row, cut off from production', async () => {
  const outcome = await restoreInto('before-drop');
  expect(outcome.checks.filter(({ ok }) => !ok)).toEqual([]);
  expect(outcome.landed.logLine).toContain(`recovery stopping before commit of transaction ${recovery.value}`);
  const copy = { host: outcome.socketDir, port: outcome.port };
  expect(await one('select count(*)::text from orders', copy)).toBe(String(ROWS));
  expect(await one('show archive_mode', copy)).toBe('off');
  await archive.removeSandbox(outcome.dir);
  expect(copies()).toEqual([]);
}, 90_000);

test('a wrong key is told from a store that does not answer, and leaves no copy', async () => {
  const locked = archiveOf(writeConfig('wrong-key.conf', 'wrong'));
  await expect(restoreInto('locked', locked)).rejects.toMatchObject({ code: 'archive_key_wrong' });
  expect(copies()).toEqual([]);
}, 60_000);

/** The archive as `wrong-key.conf` has it, opened by the key of that name instead. */
function openedBy(key: string): Archive {
  const opened = archiveOf(writeConfig('wrong-key.conf', 'wrong')).openedBy?.(key);
  if (opened === undefined) throw new Error('this archive is opened by no key');
  return opened;
}

test('a copy of the key that was put aside opens what the configuration here cannot, and nothing of the copy holds it afterwards', async () => {
  writeFileSync(join(dir, 'escrow'), 'right\n', { mode: 0o600 });
  const outcome = await restoreInto('escrow', openedBy('escrow'));
  expect(outcome.landed.logLine).toContain(`recovery stopping before commit of transaction ${recovery.value}`);
  expect(await one('select count(*)::text from orders', { host: outcome.socketDir, port: outcome.port })).toBe(String(ROWS));
  const words = ['grep', '-rlw', 'CIPHER_PASS=right\\|right', join(outcome.dir, 'wal'), join(outcome.dir, 'data', 'postgresql.auto.conf')];
  expect((await run(words, { timeoutMs: 10_000 })).stdout).toBe('');
  await archive.removeSandbox(outcome.dir);
}, 90_000);

test('a key that is wrong or stale is named, at the first look', async () => {
  writeFileSync(join(dir, 'escrow'), 'stale', { mode: 0o600 });
  for (const key of ['wrong', 'escrow'])
    await expect(openedBy(key).backups()).rejects.toMatchObject({
      code: 'archive_key_wrong',
      message: expect.stringContaining(`the key "${key}" does not open the archive`) as string,
    });
  expect(() => openedBy('lost')).toThrow('the target names no key "lost"');
});

/** As `gameday archive audit --all` reads it, without the key; of a copy, so that nothing of the auditor's stands in the repository. */
async function auditOf(name: string, spoil: (root: string) => void = () => undefined): Promise<ArchiveAudit> {
  const root = join(dir, name);
  cpSync(join(dir, 'repo', 'store'), root, { recursive: true });
  spoil(root);
  return auditArchive({
    store: openDirectoryStore(root),
    layout: null,
    stanza: null,
    systemIdentifier: postgres.systemIdentifier,
    sample: 'all',
    filesPerBackup: 3,
    seed: 1,
    windowMs: null,
    maxAgeMs: null,
    bucket: null,
    tryDelete: false,
    signal,
    onProgress: () => undefined,
  });
}

test('the auditor has no key: it calls nothing damaged, says what it could not look into, and still finds a gap', async () => {
  const audit = await auditOf('audited');
  expect(audit).toMatchObject({ layout: 'pgbackrest', encrypted: true, findings: [], examined: 0 });
  expect(audit.segments).toBeGreaterThanOrEqual(3);
  expect(audit.backups.map(({ usable }) => usable)).toEqual([null]);
  const unread = audit.checks.filter(({ state }) => state === 'not-examined').map(({ name, found }) => `${name}: ${found}`);
  expect(unread).toEqual(
    expect.arrayContaining([expect.stringMatching(/^backups: .*encrypted/), expect.stringMatching(/^WAL content: .*encrypted/)]),
  );
  const holed = await auditOf('holed', (root) => {
    const segments = readdirSync(root, { recursive: true, encoding: 'utf8' }).filter((path) => /[0-9A-F]{24}-/.test(path));
    rmSync(join(root, segments.sort().at(-2) ?? ''));
  });
  expect(holed.findings).toMatchObject([{ check: 'WAL continuity', severity: 'high' }]);
});

test('a stanza that is not there is named, and leaves no copy', async () => {
  await expect(restoreInto('elsewhere', archiveOf(join(dir, 'repo', 'pgbackrest.conf'), 'other'))).rejects.toThrow(/other/);
  expect(copies()).toEqual([]);
}, 60_000);

test('a hole in WAL is found before any byte moves', async () => {
  const found = await run(['find', join(dir, 'repo', 'store', 'archive'), '-name', `${recovery.lastSegment}-*`], { timeoutMs: 10_000 });
  const path = found.stdout.trim();
  if (path === '') throw new Error(`${recovery.lastSegment} is not in the repository`);
  rmSync(path);
  await expect(restoreInto('hole')).rejects.toMatchObject({
    code: 'wal_missing',
    message: expect.stringContaining(recovery.lastSegment) as string,
  });
  expect(copies()).toEqual([]);
}, 60_000);
