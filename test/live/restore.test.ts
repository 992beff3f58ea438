/**
 * Restores from the native archive while the way to it, the store, or the restoring process fails: they come through exactly, or end clearly with nothing
 * left behind. A PostgreSQL, an S3 gateway and a proxy of their own.
 */
import { spawn } from 'node:child_process';
import { chmodSync, existsSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { until } from '../../core/clock';
import { packageRoot, readJsonFile } from '../../core/files';
import { nativeArchiveOf, type Target } from '../../model/target';
import { ensureBucket } from '../../objects/s3-store';
import { openArchiveStore } from '../../targets/archives/archive-store';
import { readManifest } from '../../targets/archives/base-backup';
import { openNativeArchive, type NativeArchive } from '../../targets/archives/native';
import { startArchiver } from '../../targets/archives/native-archiver';
import { archiveCommand, prepareSpool } from '../../targets/archives/native-push';
import type { RecoveryTarget, RestoreOutcome, RestoreProgress } from '../../targets/ports';
import { withSql } from '../../targets/sql';
import { fullTest } from './drawn';
import { createPostgres, freePort, startGateway, type Gateway, type OwnPostgres } from './own-servers';
import { restoreTarget } from './restore-target';
import { CALM, startStormProxy, type StormProxy } from './storm-proxy';

const NET = '127.0.72';
const HOST = `${NET}.12`;
const SEED = Number(process.env['GAMEDAY_SEED'] ?? Date.now() % 1_000_000);

let dir: string;
let gateway: Gateway;
let proxy: StormProxy;
let postgres: OwnPostgres;
let target: Target;
let archive: NativeArchive;
let recovery: RecoveryTarget;
let stopArchiver: () => Promise<void>;
let rows: string;

async function one(text: string): Promise<string> {
  return withSql(
    { host: HOST, port: target.entry.port, user: 'postgres', password: null, database: 'postgres' },
    async (sql) => Object.values((await sql.query(text)).at(0) ?? {})[0] ?? '',
    { queryTimeoutMs: 30_000 },
  );
}

beforeAll(async () => {
  process.stderr.write(`storms of seed ${SEED}\n`);
  dir = mkdtempSync(join(tmpdir(), 'gdr-'));
  chmodSync(dir, 0o755);
  gateway = await startGateway({ dir: join(dir, 's3'), host: `${NET}.42` });
  const port = await freePort(HOST);
  for (const name of ['access', 'secret'])
    writeFileSync(join(dir, name), name === 'access' ? 'gameday-test' : 'gameday-test-secret', { mode: 0o600 });
  const direct = restoreTarget({ dir, host: HOST, port, systemIdentifier: '1', endpoint: gateway.settings.endpoint });
  const command = archiveCommand(direct, 'n1').replace(/'/g, "''");
  postgres = await createPostgres({
    dir: join(dir, 'pg'),
    host: HOST,
    port,
    settings: ['archive_mode = on', `archive_command = '${command}'`],
  });
  const own = { ...direct, systemIdentifier: postgres.systemIdentifier };
  await ensureBucket({ ...gateway.settings, bucket: 'archive', timeoutMs: 5_000, versioning: true });
  const [node] = own.nodes;
  if (node === undefined) throw new Error('the target has no node');
  prepareSpool(own, node);
  const archiver = await startArchiver(own, join(own.runDir, 'archiver.sock'));
  stopArchiver = archiver.stop;
  target = own;
  await postgres.start();
  // Random enough that its parts have some size on their way.
  await one('create table filler as select n, md5(n::text) || md5((n * 7)::text) as words from generate_series(1, 250000) as n');
  await openNativeArchive(own).takeBackup(node, AbortSignal.timeout(60_000));
  for (let at = 0; at < 5; at += 1) {
    await one('insert into filler select n, md5(random()::text) from generate_series(1, 40000) as n');
    await one('select pg_switch_wal()');
  }
  rows = await one('select count(*)::text from filler');
  const lsn = await one(`select pg_create_restore_point('storm')::text`);
  const last = await one('select pg_walfile_name(pg_switch_wal())');
  await until(async () => ((await openNativeArchive(own).holds(last)) ? true : null), {
    timeoutMs: 30_000,
    onTimeout: () => new Error(`${last} was not archived`),
  });
  await postgres.stop('fast');
  proxy = await startStormProxy({ host: `${NET}.43`, upstream: new URL(gateway.settings.endpoint), seed: SEED });
  const native = nativeArchiveOf(own);
  if (native === null) throw new Error('no archive of our own');
  target = { ...own, archive: { ...native, endpoint: `http://${NET}.43:${proxy.port}` } };
  archive = openNativeArchive(target);
  recovery = await archive.locate({ setting: 'recovery_target_name', value: 'storm', inclusive: true, lsn, timeline: 1 });
}, 120_000);

afterEach(async () => {
  proxy.weather = CALM;
  proxy.onGet = () => undefined;
  for (const name of existsSync(join(dir, 'sb')) ? readdirSync(join(dir, 'sb')) : []) await archive.removeSandbox(join(dir, 'sb', name));
});

afterAll(async () => {
  await proxy?.close();
  await postgres?.stop('immediate').catch(() => undefined);
  await stopArchiver?.();
  await gateway?.stop();
  rmSync(dir, { recursive: true, force: true });
}, 60_000);

const restore = (name: string, onProgress: (progress: RestoreProgress) => void = () => undefined): Promise<RestoreOutcome> =>
  archive.restore(
    recovery,
    { dir: join(dir, 'sb', name), labels: { test: name } },
    { timeoutMs: 120_000, signal: new AbortController().signal, onProgress },
  );

async function expectExact(outcome: RestoreOutcome): Promise<void> {
  expect(outcome.checks.filter((check) => !check.ok)).toEqual([]);
  const found = await withSql(
    { host: outcome.socketDir, port: outcome.port, user: 'postgres', password: null, database: 'postgres' },
    (sql) => sql.query('select count(*)::text as n from filler'),
  );
  expect(found[0]?.['n']).toBe(rows);
}

test('through a storm of 503 and resets everything arrives exactly', async () => {
  proxy.weather = { overloaded: 0.3, reset: 0.6, resetWithinBytes: 1_500_000 };
  await expectExact(await restore('storm'));
  expect(proxy.broken.overloaded).toBeGreaterThan(3);
  expect(proxy.broken.reset).toBeGreaterThan(3);
}, 120_000);

test.each(['base', 'replay'] as const)(
  'a store that is killed in the %s phase and comes back is waited for',
  async (phase) => {
    const killed: Promise<void>[] = [];
    const outcome = await restore(`back-${phase}`, (progress) => {
      if (progress.phase === phase && killed.length === 0) killed.push(gateway.kill().then(() => gateway.start()));
    });
    expect(killed).toHaveLength(1);
    await Promise.all(killed);
    await expectExact(outcome);
  },
  120_000,
);

fullTest(
  'a store that stays away ends the restore with its name, and nothing is left of it',
  async () => {
    let killed: Promise<void> | null = null;
    const gone = restore('gone', (progress) => {
      if (progress.phase === 'base') killed ??= gateway.kill();
    });
    try {
      await expect(gone).rejects.toMatchObject({ code: 'store_unreachable', message: expect.stringContaining('archive at http') });
      expect(existsSync(join(dir, 'sb', 'gone'))).toBe(false);
    } finally {
      await gateway.start();
    }
  },
  120_000,
);

test('after SIGKILL of the restoring process the next one fetches only the parts that were not written', async () => {
  const parts = (await readManifest(openArchiveStore(target, null), recovery.backup)).parts.map(({ key }) => key);
  const partsAsked = (): string[] => proxy.gets.flatMap((path) => parts.filter((key) => path.includes(key)));
  const half = parts[Math.floor(parts.length / 2)] ?? '';
  // The middle part never comes: what is before it gets written.
  proxy.onGet = (path) => (path.includes(half) ? new Promise<void>(() => undefined) : undefined);
  const options = `{ timeoutMs: 120000, signal: new AbortController().signal, onProgress: () => undefined }`;
  const place = `{ dir: ${JSON.stringify(join(dir, 'sb', 'killed'))}, labels: { test: 'killed' } }`;
  const program = `require(${JSON.stringify(join(packageRoot(), 'dist/targets/archives/native.js'))}).openNativeArchive(${JSON.stringify(target)}).restore(${JSON.stringify(recovery)}, ${place}, ${options})`;
  const child = spawn(process.execPath, ['-e', program], { stdio: ['ignore', 'ignore', 'inherit'] });
  const written = Math.floor(parts.length / 2);
  const journal = join(dir, 'sb', 'killed', 'base.json');
  await until(() => (readJsonFile<{ readonly parts: number }>(journal)?.parts === written ? true : null), {
    timeoutMs: 30_000,
    everyMs: 5,
    onTimeout: () => new Error(`${written} of ${parts.length} parts were not written`),
  });
  child.kill('SIGKILL');
  await new Promise((resolve) => child.once('close', resolve));
  proxy.onGet = () => undefined;
  proxy.gets.length = 0;
  const outcome = await restore('killed');
  expect(partsAsked().sort()).toEqual(parts.slice(written).sort());
  await expectExact(outcome);
}, 120_000);
