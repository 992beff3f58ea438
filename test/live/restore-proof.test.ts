/**
 * What a restored copy is asked, on a real one: a sound copy holds every check, and each defect that is planted in it is found by the check that is there for
 * it and named. Isolation and removal are read from the kernel and the file system.
 */
import { closeSync, existsSync, openSync, readFileSync, readlinkSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { until } from '../../core/clock';
import { identify, isAlive, run } from '../../core/process';
import { DEFAULT_PROOF_MAX_BYTES, PROOF_CHECKS } from '../../model/constants';
import type { ProofName } from '../../model/plan';
import type { CheckResult, MarkFacts } from '../../model/record';
import { recordMark } from '../../targets/archives/proof/mark';
import { proveRestore, type Proof } from '../../targets/archives/proof/prove';
import { restartSandbox, sandboxPlace, sandboxPostmaster, stopSandbox, type SandboxPlace } from '../../targets/archives/sandbox-server';
import type { RestoreOutcome } from '../../targets/ports';
import { withSql } from '../../targets/sql';
import { startOwnArchive, type OwnArchive } from './own-archive';

let own: OwnArchive;
let marked: MarkFacts;
let outcome: RestoreOutcome;
let place: SandboxPlace;
const signal = new AbortController().signal;

const SCHEMA = [
  'create table orders (id serial primary key, note text)',
  `insert into orders (note) select repeat(md5(g::text), 3) from generate_series(1, 20000) g`,
  'create index orders_note on orders (note)',
  `create table big (id int primary key, body text)`,
  `insert into big select g, (select string_agg(md5(g::text || i::text), '') from generate_series(1, 200) i) from generate_series(1, 200) g`,
  'create role clerk login',
  'alter table big owner to clerk',
  'create extension pgcrypto',
];

beforeAll(async () => {
  own = await startOwnArchive('127.0.103');
  for (const statement of SCHEMA) await own.one(statement);
  await own.takeBackup();
  await own.one(`insert into orders (note) select 'late ' || g from generate_series(1, 500) g`);
  const tables = [
    { schema: 'public', table: 'orders' },
    { schema: 'public', table: 'big' },
  ];
  marked = await own.sql((sql) => recordMark(sql, 'gd-here', tables, async () => undefined));
  await own.one('truncate orders');
  await own.flushWal();
  outcome = await restoreMark();
  place = sandboxPlace(own.target, outcome.dir);
}, 90_000);

afterAll(() => own.close(), 60_000);

async function restoreMark(): Promise<RestoreOutcome> {
  const { lsn, timeline, name: value } = marked;
  const recovery = await own.archive.locate({ setting: 'recovery_target_name', value, inclusive: true, lsn, timeline });
  const labels = { drill: 'drill-000001', step: 'pitr' };
  return own.archive.restore(
    recovery,
    { dir: join(own.dir, 'sb', 'drill-000001-pitr'), labels },
    { timeoutMs: 60_000, signal, onProgress: () => undefined },
  );
}

const prove = (checks: readonly ProofName[], maxBytes = DEFAULT_PROOF_MAX_BYTES): Promise<Proof> =>
  proveRestore({ target: own.target, dir: outcome.dir, plan: { checks, maxBytes }, marked, signal, onCheck: () => undefined });

const broken = ({ checks }: Proof): readonly CheckResult[] => checks.filter((check) => !check.ok);

function onCopy(...statements: readonly string[]): Promise<void> {
  const address = { host: outcome.socketDir, port: outcome.port, user: 'postgres', password: null, database: 'gameday' };
  return withSql(address, async (sql) => {
    for (const statement of statements) await sql.query(statement);
  });
}

test('a sound copy holds every check, at the very rows that were recorded', async () => {
  const proof = await prove(PROOF_CHECKS);
  expect(broken(proof)).toEqual([]);
  expect(proof.notRecorded).toEqual([]);
  const names = proof.checks.map(({ name }) => name);
  for (const name of [
    'rows of public.orders as at gd-here',
    'page checksums',
    'pg_amcheck',
    'a new backup can be taken',
    'heaps that cannot be read',
  ])
    expect(names).toContain(name);
  expect(proof.checks.find(({ name }) => name.startsWith('rows of public.orders'))?.found).toContain('20500 rows');
  expect(proof.firstUse).toMatchObject({ reads: 300 });
  expect(existsSync(join(outcome.dir, 'trial-backup'))).toBe(false);
}, 60_000);

(process.getuid?.() === 0 ? test : test.skip)(
  'it has no way out: its network namespace is its own, and nothing in it reaches the server it came from',
  async () => {
    const server = sandboxPostmaster(place);
    expect(readlinkSync(`/proc/${server?.pid ?? 0}/ns/net`)).not.toBe(readlinkSync('/proc/self/ns/net'));
    await onCopy('create extension dblink');
    const [node] = own.target.nodes;
    const out = onCopy(
      `select * from dblink('host=${node?.host ?? ''} port=${node?.port ?? 0} user=postgres connect_timeout=2', 'select 1') as t(one int)`,
    );
    await expect(out).rejects.toThrow(/could not establish connection/);
    await onCopy('drop extension dblink');
  },
);

test('what the scenario does not ask for, or the copy is too large for, is not recorded, with the reason', async () => {
  const { checks, notRecorded } = await prove(['indexes', 'checksums'], 1_000);
  expect(checks.map(({ name }) => name)).toEqual(['invalid indexes']);
  expect(notRecorded).toContainEqual({ check: 'amcheck', reason: 'the scenario does not ask for it' });
  expect(notRecorded).toContainEqual({ check: 'checksums', reason: expect.stringMatching(/^the copy has .* at most 1000 B whole/) });
});

const planted: readonly (readonly [string, ProofName, readonly string[], RegExp, readonly string[]])[] = [
  [
    'a sequence behind its column',
    'sequences',
    [`select setval('orders_id_seq', 100)`],
    /orders_id_seq behind orders\.id/,
    [`select setval('orders_id_seq', 30000)`],
  ],
  [
    'an invalid index',
    'indexes',
    [`update pg_index set indisvalid = false where indexrelid = 'orders_note'::regclass`],
    /orders_note/,
    [`update pg_index set indisvalid = true where indexrelid = 'orders_note'::regclass`],
  ],
  [
    'a missing role',
    'roles',
    ['alter table big owner to postgres', 'drop role clerk'],
    /^1: clerk$/,
    ['create role clerk login', 'alter table big owner to clerk'],
  ],
  [
    'an owner that does not exist',
    'roles',
    [`update pg_class set relowner = 99999 where oid = 'big'::regclass`],
    /relation big of role 99999/,
    [`update pg_class set relowner = 10 where oid = 'big'::regclass`],
  ],
  [
    'an extension of a version that is not installed',
    'extensions',
    [`update pg_extension set extversion = '99.9' where extname = 'pgcrypto'`],
    /pgcrypto 99\.9/,
    [`update pg_extension set extversion = '1.3' where extname = 'pgcrypto'`],
  ],
  [
    'a library that is not there',
    'extensions',
    [`update pg_proc set probin = '$libdir/nowhere' where proname = 'pgp_armor_headers'`],
    /nowhere/,
    [`update pg_proc set probin = '$libdir/pgcrypto' where proname = 'pgp_armor_headers'`],
  ],
  [
    'a collation of another version, with the indexes that it sorts',
    'collations',
    [`update pg_database set datcollversion = '1.0' where datname = 'gameday'`],
    /gameday 1\.0 \(here .*indexes 1: gameday: orders_note/,
    [`update pg_database set datcollversion = null where datname = 'gameday'`],
  ],
  ['a row changed', 'digests', [`update orders set note = 'x' where id = 1`], /digest not equal/, []],
  ['a table too many', 'digests', ['create table extra (id int)'], /relations of kind r: /, ['drop table extra']],
];

test.each(planted)(
  '%s is found and named',
  async (_what, check, damage, found, repair) => {
    await onCopy('set allow_system_table_mods = on', ...damage);
    const bad = broken(await prove([check]));
    await onCopy(...repair);
    expect(bad.map((each) => each.found).join('\n')).toMatch(found);
    expect(bad.every(({ hint }) => hint !== null)).toBe(true);
  },
  30_000,
);

test('a page altered on disk is found by its checksum, by reading the heap, by pg_amcheck, and by the backup', async () => {
  const address = { host: outcome.socketDir, port: outcome.port, user: 'postgres', password: null, database: 'gameday' };
  const path = await withSql(address, async (sql) => (await sql.query(`select pg_relation_filepath('orders') as path`))[0]?.['path'] ?? '');
  await stopSandbox(place, signal);
  const fd = openSync(join(place.dataDir, path), 'r+');
  writeSync(fd, Buffer.from('overwritten!'), 0, 12, 8_192 * 3 + 4_000);
  closeSync(fd);
  await restartSandbox(place, signal);
  const bad = new Map(broken(await prove(['heap-read', 'amcheck', 'new-backup', 'checksums'])).map(({ name, found }) => [name, found]));
  expect([...bad.keys()]).toEqual(['heaps that cannot be read', 'pg_amcheck', 'a new backup can be taken', 'page checksums']);
  expect(bad.get('heaps that cannot be read')).toMatch(/gameday: orders \(SQLSTATE XX001 invalid page in block 3/);
  expect(bad.get('page checksums')).toMatch(/ 1 bad$/);
}, 60_000);

test('removed, nothing of it is left: no directory, no process, no control group', async () => {
  const server = sandboxPostmaster(place);
  // As pgBackRest's asynchronous archive-get does: it outlives the command that began it, in a session of its own, and works in /.
  const pidFile = join(outcome.dir, 'left.pid');
  await onCopy(`copy (select 1) to program 'cd / && setsid sh -c "echo \\$\\$ >${pidFile}; exec sleep 600" </dev/null >/dev/null 2>&1 &'`);
  const left = await until(() => (existsSync(pidFile) ? identify(Number(readFileSync(pidFile, 'utf8'))) : null), {
    timeoutMs: 5_000,
    onTimeout: () => new Error('nothing was left running'),
  });
  expect(await own.archive.removeSandbox(outcome.dir)).toBe('the directory is gone, no process works in it, no control group of it stands');
  expect(existsSync(outcome.dir)).toBe(false);
  if (server === null) throw new Error('no server ran on the copy');
  for (const process of [server, left]) expect(isAlive(process)).toBe(false);
  const groups = await run(['find', '/sys/fs/cgroup', '-maxdepth', '3', '-name', 'gameday-sandbox-drill-000001-pitr-*'], {
    timeoutMs: 10_000,
  });
  expect(groups.stdout).toBe('');
});
