/**
 * The ground of `bench:restore`: one cluster, one S3 gateway over TLS, the same state and the same WAL in a native archive and in one of each team's tool
 * that takes part, and a proxy that adds latency before the store. It ends only what it started.
 */
import { spawn, type ChildProcess } from 'node:child_process';
import { chmodSync, chownSync, existsSync, mkdirSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { until } from '../../core/clock';
import { packageRoot } from '../../core/files';
import { identify, lookUpUser, run, terminate } from '../../core/process';
import { locateTools } from '../../infra/tools';
import { nativeArchiveOf, type Target } from '../../model/target';
import { ensureBucket } from '../../objects/s3-store';
import { openArchiveStore } from '../../targets/archives/archive-store';
import { takeBaseBackup, type BackupManifest } from '../../targets/archives/base-backup';
import type { BarmanTool } from '../../targets/archives/barman-cloud-run';
import { archiveCommand, prepareSpool } from '../../targets/archives/native-push';
import { withSql, type Sql } from '../../targets/sql';
import { createPostgres, listens, type OwnPostgres } from '../live/own-servers';
import { restoreTarget } from '../live/restore-target';
import { BARMAN_BUCKET, barmanSide, type BarmanSide } from './restore-barman';

export const RESTORE_POINT = 'bench-target';
const S3_PORT = 7443;
const KEYS = { access: 'gameday-bench', secret: 'gameday-bench-secret' };
export const PROXY_PORT = 7444;

export interface GroundOptions {
  readonly net: string;
  readonly megabytes: number;
  readonly segments: number;
  readonly compress: string;
  /** Path of a `wal-g`, which then has its own archive beside; null: none takes part. */
  readonly walG: string | null;
  /** Directory with cert.pem and key.pem, valid for the store's addresses and trusted by this process. */
  readonly certificates: string;
}

export interface RestoreGround {
  readonly dir: string;
  /** Straight to the store, and through the proxy of this latency. */
  target(latencyMs: number): Promise<Target>;
  /** Path of a pgBackRest configuration that restores to `dataDir` from the store at this latency. */
  pgbackrest(dataDir: string, latencyMs: number): Promise<string>;
  readonly manifest: BackupManifest;
  /** WAL file names that a restore of the native backup replays, in order. */
  readonly segments: readonly string[];
  /** Label of pgBackRest's backup. */
  readonly pgbackrestLabel: string;
  /** Words of a command of WAL-G that reads from the store at this latency, and the name of its backup; null: it takes no part. */
  readonly walG: { words(latencyMs: number): Promise<readonly string[]>; readonly backup: string } | null;
  /** Words of barman-cloud's commands that read from the store at this latency, and the id of its backup; null: it is not installed. */
  readonly barman: { words(tool: BarmanTool, latencyMs: number): Promise<readonly string[]>; readonly backup: string } | null;
  /** Rows of `pgbench_history` at the restore point. */
  readonly rows: string;
  readonly who: { readonly uid: number; readonly gid: number };
  readonly cert: string;
  close(): Promise<void>;
}

export const say = (text: string): void => void process.stderr.write(`${text}\n`);

/** A server of this bench; ready when its port answers. */
async function serve(
  argv: readonly string[],
  at: { host: string; port: number },
  options: { dir: string; env?: NodeJS.ProcessEnv },
): Promise<ChildProcess> {
  const [program = '', ...args] = argv;
  const log = openSync(join(options.dir, 'server.log'), 'a');
  const child = spawn(program, args, { stdio: ['ignore', log, log], cwd: options.dir, env: { ...process.env, ...options.env } });
  await until(async () => (child.exitCode === null && (await listens(at.host, at.port)) === true ? true : null), {
    timeoutMs: 15_000,
    onTimeout: () => new Error(`${program} did not listen on ${at.host}:${at.port}; see ${options.dir}/server.log`),
  });
  return child;
}

async function end(child: ChildProcess): Promise<void> {
  const id = child.pid === undefined ? null : identify(child.pid);
  if (id !== null) await terminate(id, 5_000);
}

/** `[global]` and stanza for pgBackRest with what its manual advises for speed: asynchronous archive-get with a queue of 1 GiB, as many processes as cores. */
export function pgbackrestConfig(
  dir: string,
  at: { readonly host: string; readonly port: number; readonly cert: string },
  dataDir: string,
  compress: string,
): string {
  return `[global]
repo1-type=s3
repo1-path=/pgbackrest
repo1-s3-bucket=pgbackrest
repo1-s3-endpoint=${at.host}
repo1-s3-region=us-east-1
repo1-s3-key=${KEYS.access}
repo1-s3-key-secret=${KEYS.secret}
repo1-s3-uri-style=path
repo1-storage-host=${at.host}
repo1-storage-port=${at.port}
repo1-storage-ca-file=${at.cert}
process-max=2
compress-type=${compress}
archive-async=y
archive-get-queue-max=1GiB
spool-path=${dir}/spool
lock-path=${dir}/lock
log-path=${dir}/log
log-level-console=warn
log-level-file=off
start-fast=y

[bench]
pg1-path=${dataDir}
pg1-socket-path=${dir}/pg
pg1-port=5472
pg1-user=postgres
`;
}

/** WAL-G's own defaults, but for its packing: gzip is not among them, and LZ4 is what it takes by itself. */
function walGConfig(at: { readonly host: string; readonly port: number; readonly cert: string }, dir: string): string {
  const settings = {
    WALG_S3_PREFIX: 's3://wal-g/bench',
    AWS_ENDPOINT: `https://${at.host}:${at.port}`,
    AWS_REGION: 'us-east-1',
    AWS_S3_FORCE_PATH_STYLE: 'true',
    AWS_ACCESS_KEY_ID: KEYS.access,
    AWS_SECRET_ACCESS_KEY: KEYS.secret,
    WALG_S3_CA_CERT_FILE: at.cert,
    PGHOST: join(dir, 'pg'),
    PGPORT: '5472',
    PGUSER: 'postgres',
    PGDATABASE: 'postgres',
  };
  return `${JSON.stringify(settings)}\n`;
}

/** As the data of an order system: keys, numbers, dates, and text that compresses to about a third. Loaded without WAL. */
async function load(sql: (text: string) => Promise<string>, megabytes: number): Promise<void> {
  // 175 bytes a row with its index.
  const rows = Math.round((megabytes * 1e6 * 0.45) / 175);
  await sql(
    `create table orders as select n::bigint as id, ((n::bigint * 7919) % 500000)::int as customer, '2026-01-01'::timestamptz + n * interval '3 seconds' as placed,
       ((n % 99999) / 7.0)::numeric(12,2) as amount, md5(n::text) || ' delivered by ' || (n % 211) || ', left with neighbour ' || md5((n / 3)::text) as note
     from generate_series(1, ${rows}) as n`,
  );
  await sql('create unique index on orders (id)');
}

export async function startRestoreGround(options: GroundOptions): Promise<RestoreGround> {
  const who = lookUpUser('postgres');
  const dir = mkdtempSync(join(tmpdir(), 'gdb-'));
  chmodSync(dir, 0o755);
  const closing: (() => Promise<void>)[] = [async () => rmSync(dir, { recursive: true, force: true })];
  const close = async (): Promise<void> => {
    for (const one of closing.splice(0).reverse()) await one();
  };
  try {
    return { ...(await build(dir, who, options, closing)), close };
  } catch (error) {
    await close();
    throw error;
  }
}

/** Its upstream is the store; the latency toxic delays what the store sends, once for every piece and not once for all. */
async function startProxy(dir: string, net: string): Promise<{ readonly child: ChildProcess; setLatency(ms: number): Promise<void> }> {
  const api = { host: `${net}.41`, port: 8474 };
  writeFileSync(
    join(dir, 'links.json'),
    JSON.stringify([{ name: 's3', listen: `${net}.41:${PROXY_PORT}`, upstream: `${net}.40:${S3_PORT}`, enabled: true }]),
  );
  const child = await serve(
    [locateTools().toxiproxy, '-host', api.host, '-port', String(api.port), '-config', join(dir, 'links.json')],
    api,
    { dir },
  );
  const url = `http://${api.host}:${api.port}/proxies/s3/toxics`;
  // Again where a connection that was kept from before is gone: this process stands still for seconds while it copies.
  const ask = (path: string, init: RequestInit): Promise<{ status: number; text: string }> =>
    until(
      async () => {
        const answer = await fetch(`${url}${path}`, init);
        return { status: answer.status, text: await answer.text() };
      },
      { timeoutMs: 5_000, everyMs: 50, onTimeout: (last) => new Error(`toxiproxy does not answer: ${String(last)}`) },
    );
  return {
    child,
    async setLatency(ms) {
      await ask('/late', { method: 'DELETE' });
      if (ms === 0) return;
      const body = JSON.stringify({ name: 'late', type: 'latency', stream: 'downstream', attributes: { latency: ms, jitter: 0 } });
      const { status, text } = await ask('', { method: 'POST', body });
      // 409: a first try came through, and its answer did not.
      if (status !== 200 && status !== 409) throw new Error(`toxiproxy: ${status} ${text}`);
    },
  };
}

async function build(
  dir: string,
  who: { uid: number; gid: number },
  options: GroundOptions,
  closing: (() => Promise<void>)[],
): Promise<Omit<RestoreGround, 'close'>> {
  const { net } = options;
  for (const name of ['s3', 's3/data', 's3/versions', 'spool', 'lock', 'log', 'sb', 'pg', 'run']) {
    mkdirSync(join(dir, name), { recursive: true });
    chownSync(join(dir, name), who.uid, who.gid);
  }
  const cert = join(options.certificates, 'cert.pem');
  const s3 = { host: `${net}.40`, port: S3_PORT };
  const argv = [
    locateTools().versitygw,
    '--port',
    `${s3.host}:${s3.port}`,
    '--cert',
    cert,
    '--key',
    join(options.certificates, 'key.pem'),
    '--quiet',
    '--keep-alive',
    'posix',
  ];
  const env = { ROOT_ACCESS_KEY: KEYS.access, ROOT_SECRET_KEY: KEYS.secret };
  const gateway = await serve([...argv, '--versioning-dir', join(dir, 's3/versions'), join(dir, 's3/data')], s3, {
    dir: join(dir, 's3'),
    env,
  });
  closing.push(() => end(gateway));
  writeFileSync(join(dir, 'access'), KEYS.access);
  writeFileSync(join(dir, 'secret'), KEYS.secret);
  const proxy = await startProxy(dir, net);
  closing.push(() => end(proxy.child));
  const at = (latencyMs: number): { host: string; port: number } => (latencyMs === 0 ? s3 : { host: `${net}.41`, port: PROXY_PORT });
  const barman = barmanSide(dir, { s3, cert, keys: KEYS, who });
  const archives = await fillArchives(dir, cert, s3, { ...options, barman }, closing);
  return {
    dir,
    who,
    cert,
    ...archives,
    target: async (latencyMs) => {
      await proxy.setLatency(latencyMs);
      return archives.targetAt(at(latencyMs));
    },
    pgbackrest: async (dataDir, latencyMs) => {
      await proxy.setLatency(latencyMs);
      const file = join(dir, 'run', 'pgbackrest.conf');
      writeFileSync(file, pgbackrestConfig(dir, { ...at(latencyMs), cert }, dataDir, options.compress));
      return file;
    },
    barman:
      barman === null
        ? null
        : {
            backup: archives.barmanBackup,
            words: async (tool, latencyMs) => {
              await proxy.setLatency(latencyMs);
              return barman.words(tool, at(latencyMs));
            },
          },
    walG:
      options.walG === null
        ? null
        : {
            backup: archives.walGBackup,
            words: async (latencyMs) => {
              await proxy.setLatency(latencyMs);
              const file = join(dir, 'run', 'wal-g.json');
              writeFileSync(file, walGConfig({ ...at(latencyMs), cert }, dir));
              return [options.walG ?? '', '--config', file];
            },
          },
  };
}

type Archives = Pick<RestoreGround, 'manifest' | 'segments' | 'pgbackrestLabel' | 'rows'> & {
  /** Empty where the tool takes no part. */
  readonly walGBackup: string;
  readonly barmanBackup: string;
  targetAt(at: { host: string; port: number }): Target;
};

async function fillArchives(
  dir: string,
  cert: string,
  s3: { host: string; port: number },
  options: GroundOptions & { readonly barman: BarmanSide | null },
  closing: (() => Promise<void>)[],
): Promise<Archives> {
  const host = `${options.net}.12`;
  const config = join(dir, 'pgbackrest.conf');
  const pg = await createPostgres({
    dir: join(dir, 'pg'),
    host,
    port: 5472,
    settings: [
      'wal_level = minimal',
      'max_wal_senders = 0',
      'max_wal_size = 8GB',
      'checkpoint_timeout = 1h',
      'shared_buffers = 256MB',
      'synchronous_commit = off',
      'autovacuum = off',
    ],
  });
  closing.push(() => pg.stop('immediate').catch(() => undefined));
  writeFileSync(config, pgbackrestConfig(dir, { ...s3, cert }, pg.dataDir, options.compress));
  const targetAt = (at: { host: string; port: number }): Target =>
    restoreTarget({ dir, host, port: 5472, systemIdentifier: pg.systemIdentifier, endpoint: `https://${at.host}:${at.port}` });
  const target = targetAt(s3);
  const pgbackrest = async (...args: readonly string[]): Promise<string> => {
    const result = await run(['pgbackrest', `--config=${config}`, '--stanza=bench', ...args], {
      timeoutMs: 300_000,
      ...lookUpUser('postgres'),
      env: { PATH: '/usr/bin:/bin' },
    });
    if (result.code !== 0) throw new Error(`pgbackrest ${args.join(' ')}: ${result.stdout}${result.stderr}`);
    return result.stdout;
  };
  const sql = <T>(work: (sql: Sql) => Promise<T>): Promise<T> =>
    withSql({ host, port: 5472, user: 'postgres', password: null, database: 'postgres' }, work, { queryTimeoutMs: 300_000 });
  const one = (text: string): Promise<string> =>
    sql(async (connection) => Object.values((await connection.query(text)).at(0) ?? {})[0] ?? '');
  say('load: about ' + options.megabytes + ' MB');
  await pg.start();
  const bench = async (...args: readonly string[]): Promise<void> => {
    const result = await run(
      [join(locateTools().postgresBin, 'pgbench'), '-h', host, '-p', '5472', '-U', 'postgres', ...args, 'postgres'],
      { timeoutMs: 300_000 },
    );
    if (result.code !== 0) throw new Error(`pgbench: ${result.stderr}`);
  };
  await bench('-i', '-q', '-I', 'dtGvp', '-s', String(Math.max(1, Math.round((options.megabytes * 0.55) / 15))));
  await load(one, options.megabytes);
  const walG = options.walG === null ? null : [options.walG, '--config', join(dir, 'wal-g.json')];
  if (walG !== null) writeFileSync(join(dir, 'wal-g.json'), walGConfig({ ...s3, cert }, dir));
  const foreign = [
    `pgbackrest --config=${config} --stanza=bench archive-push %p`,
    ...(walG === null ? [] : [[...walG, 'wal-push', '%p'].join(' ')]),
    ...(options.barman === null ? [] : [options.barman.push]),
  ];
  await archiveFrom(pg, target, foreign.join(' && '));
  for (const bucket of ['archive', 'pgbackrest', 'wal-g', BARMAN_BUCKET])
    await ensureBucket({ ...openSettings(target), bucket, timeoutMs: 10_000, versioning: false });
  closing.push(await startArchiver(dir, target));
  await pgbackrest('stanza-create');
  const store = openArchiveStore(target, null);
  const node = target.nodes[0];
  if (node === undefined) throw new Error('the target has no node');
  say('back up with all, at the same time');
  const [manifest, walGBackup, barmanBackup] = await Promise.all([
    takeBaseBackup(target, node, store, AbortSignal.timeout(300_000)),
    walG === null ? '' : backUpByWalG(walG, pg.dataDir),
    options.barman?.backUp(['-h', host, '-p', '5472', '-U', 'postgres']) ?? '',
    pgbackrest('backup', '--type=full'),
  ]);
  const info = JSON.parse(await pgbackrest('info', '--output=json')) as { backup: { label: string }[] }[];
  await writeWal(one, bench, options.segments);
  const rows = await one('select count(*)::text from pgbench_history');
  await one(`select pg_create_restore_point('${RESTORE_POINT}')`);
  const last = await one('select pg_walfile_name(pg_switch_wal())');
  await until(async () => ((await one('select last_archived_wal from pg_stat_archiver')) >= last ? true : null), {
    timeoutMs: 240_000,
    everyMs: 500,
    onTimeout: () => new Error(`${last} was not archived`),
  });
  await pg.stop('fast');
  const segments: string[] = [];
  for await (const { key } of store.list('wal/00000001/')) {
    const name = /\/([0-9A-F]{24})\.gz$/.exec(key)?.[1];
    if (name !== undefined && name >= manifest.startWal && name <= last) segments.push(name);
  }
  return { manifest, segments, pgbackrestLabel: info[0]?.backup.at(-1)?.label ?? '', walGBackup, barmanBackup, rows, targetAt };
}

/** Returns its name. */
async function backUpByWalG(walG: readonly string[], dataDir: string): Promise<string> {
  const options = { timeoutMs: 300_000, ...lookUpUser('postgres'), env: { PATH: '/usr/bin:/bin' } };
  const { code, stderr } = await run([...walG, 'backup-push', dataDir], options);
  if (code !== 0) throw new Error(`wal-g backup-push: ${stderr}`);
  return /Wrote backup with name (\S+)/.exec(stderr)?.[1] ?? '';
}

/** The resident archiver as it is delivered. Returns its end. */
async function startArchiver(dir: string, target: Target): Promise<() => Promise<void>> {
  const file = join(dir, 'target.yaml');
  writeFileSync(file, JSON.stringify(target));
  const program = join(packageRoot(), 'dist', 'targets', 'archives', 'native-archiver.js');
  const log = openSync(join(dir, 'archiver.log'), 'a');
  const child = spawn(process.execPath, [program, '--home', dir, '--target', file], { stdio: ['ignore', log, log] });
  await until(() => (child.exitCode === null && existsSync(join(dir, 'run', 'archiver.sock')) ? true : null), {
    timeoutMs: 15_000,
    onTimeout: () => new Error(`the archiver did not start: ${readFileSync(join(dir, 'archiver.log'), 'utf8')}`),
  });
  return () => end(child);
}

function openSettings(target: Target): { endpoint: string; region: string; accessKey: string; secretKey: string } {
  const archive = nativeArchiveOf(target);
  if (archive === null) throw new Error('the target has no archive of our own');
  return archive;
}

/** From here on both archives get every segment, through one archive_command. */
async function archiveFrom(pg: OwnPostgres, target: Target, foreign: string): Promise<void> {
  await pg.stop('fast');
  const [node] = target.nodes;
  if (node !== undefined) prepareSpool(target, node);
  const command = `${archiveCommand(target, 'n1')} && ${foreign}`;
  const settings = [
    `archive_mode = on`,
    `archive_command = '${command.replace(/'/g, "''")}'`,
    'wal_level = replica',
    'max_wal_senders = 4',
  ];
  writeFileSync(join(pg.dataDir, 'postgresql.conf'), `${settings.join('\n')}\n`, { flag: 'a' });
  await pg.start();
}

/** Transactions of pgbench until this many segments were written since now. */
async function writeWal(
  one: (text: string) => Promise<string>,
  bench: (...args: readonly string[]) => Promise<void>,
  segments: number,
): Promise<void> {
  const start = await one('select pg_current_wal_lsn()::text');
  for (;;) {
    const written = Number(await one(`select (pg_wal_lsn_diff(pg_current_wal_lsn(), '${start}') / 16777216)::int::text`));
    say(`written: ${written} of ${segments} segments`);
    if (written >= segments) return;
    await bench('-n', '-c', '4', '-j', '2', '-T', '4');
  }
}
