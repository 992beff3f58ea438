/**
 * `gameday observe` as people run it, on a PostgreSQL of this file's own: no lab, no supervisor, no Temporal. What it reports is timed and counted a
 * second time here. Listens on 127.0.73.x only.
 */
import { execFileSync, spawn, type ChildProcess } from 'node:child_process';
import { appendFileSync, chmodSync, chownSync, existsSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { monotonicNs, sleep, until } from '../../core/clock';
import { packageRoot, readJsonFile } from '../../core/files';
import { identify, isAlive, lookUpUser, run } from '../../core/process';
import { locateTools } from '../../infra/tools';
import type { DrillRecord } from '../../model/record';
import { openProber } from '../../probe/client';
import type { ProberConfig } from '../../probe/contract';
import { withSql, type Sql } from '../../targets/sql';
import { fullTest } from './drawn';

const BIN = locateTools().postgresBin;
const HOST = '127.0.73.21';
/** Nobody listens there. */
const NOBODY = '127.0.73.22';
const PASSWORD = 'correct-horse-battery';
const root = process.getuid?.() === 0;
let base: string;
let home: string;
const started: ChildProcess[] = [];

interface Ended {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}
interface Line {
  readonly state: string;
  readonly verdict: string;
  readonly lost: number | null;
  readonly left: readonly string[];
  readonly evidence: string;
}

/** Runs a PostgreSQL tool as the user who owns the data; the event loop goes on meanwhile. */
async function pg(tool: string, args: readonly string[]): Promise<void> {
  const argv = [join(BIN, tool), ...args];
  const { code, stderr } = await run(root ? ['runuser', '-u', 'postgres', '--', ...argv] : argv, { timeoutMs: 60_000 });
  if (code !== 0) throw new Error(`${tool} ended with ${code}: ${stderr}`);
}

function sql<T>(database: string, work: (sql: Sql) => Promise<T>): Promise<T> {
  return withSql({ host: HOST, port: 5432, user: 'postgres', password: null, database }, work);
}

function observe(
  args: readonly string[],
  env: NodeJS.ProcessEnv = {},
): { readonly child: ChildProcess; readonly ended: Promise<Ended>; stderr(): string } {
  const child = spawn(process.execPath, [join(packageRoot(), 'infra', 'bin', 'gameday.js'), ...args], {
    cwd: base,
    // Nobody answers there: whoever asked Temporal would fail.
    env: { PATH: process.env['PATH'], HOME: base, GAMEDAY_HOME: home, NO_COLOR: '1', TEMPORAL_ADDRESS: '127.0.73.99:1', ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  started.push(child);
  let [stdout, stderr] = ['', ''];
  child.stdout.setEncoding('utf8').on('data', (chunk: string) => (stdout += chunk));
  child.stderr.setEncoding('utf8').on('data', (chunk: string) => (stderr += chunk));
  const ended = new Promise<Ended>((resolve) => child.once('close', (code) => resolve({ code: code ?? -1, stdout, stderr })));
  return { child, ended, stderr: () => stderr };
}

function resultOf({ code, stdout, stderr }: Ended): { readonly line: Line; readonly record: DrillRecord } {
  const last = stdout.trim().split('\n').at(-1) ?? '';
  if (!last.startsWith('{"drill"')) throw new Error(`no result line; exit ${code}\n${stdout}\n${stderr}`);
  const line = JSON.parse(last) as Line;
  const record = readJsonFile<DrillRecord>(join(line.evidence, 'record.json'));
  if (record === null) throw new Error(`no record in ${line.evidence}`);
  return { line, record };
}

/** Files below `dir` that hold the text. */
function filesWith(dir: string, text: string): readonly string[] {
  return readdirSync(dir, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && readFileSync(join(entry.parentPath, entry.name)).includes(text))
    .map((entry) => join(entry.parentPath, entry.name));
}

const probeTables = (database = 'gameday'): Promise<readonly string[]> =>
  sql(database, async (one) =>
    (await one.query(`SELECT tablename FROM pg_tables WHERE schemaname = 'gameday'`)).map((row) => row['tablename'] ?? ''),
  );

/** The probe table of the observation that runs, once it holds `rows`. */
function awaitRows(rows: number, which = 'true'): Promise<string> {
  return until(
    async () => {
      const [table] = await probeTables();
      if (table === undefined) return null;
      const count = await sql('gameday', async (one) =>
        Number((await one.query(`SELECT count(*) AS n FROM gameday.${table} WHERE ${which}`))[0]?.['n']),
      );
      return count >= rows ? table : null;
    },
    { timeoutMs: 20_000, everyMs: 100, onTimeout: (last) => new Error(`no ${rows} rows: ${String(last)}`) },
  );
}

beforeAll(async () => {
  base = mkdtempSync('/tmp/gd-observe-');
  chmodSync(base, 0o755);
  home = join(base, 'home');
  mkdirSync(join(base, 'pg'));
  if (root) {
    const { uid, gid } = lookUpUser('postgres');
    chownSync(join(base, 'pg'), uid, gid);
  }
  const data = join(base, 'pg', 'data');
  await pg('initdb', ['-D', data, '-A', 'trust', '-U', 'postgres', '--no-sync']);
  const certificate = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-subj', '/CN=observed', '-days', '2'];
  const [key, crt] = [join(data, 'server.key'), join(data, 'server.crt')];
  execFileSync('openssl', ['req', '-x509', ...certificate, '-keyout', key, '-out', crt], { stdio: 'ignore' });
  if (root) for (const file of [key, crt]) chownSync(file, lookUpUser('postgres').uid, lookUpUser('postgres').gid);
  chmodSync(key, 0o600);
  appendFileSync(
    join(data, 'postgresql.conf'),
    `listen_addresses='${HOST}'\nport=5432\nunix_socket_directories='${join(base, 'pg')}'\nssl=on\n`,
  );
  appendFileSync(
    join(data, 'pg_hba.conf'),
    'hostssl all guest 127.0.0.0/8 scram-sha-256\nhost all guest 127.0.0.0/8 reject\nhost all all 127.0.0.0/8 trust\n',
  );
  await pg('pg_ctl', ['-D', data, '-l', join(base, 'pg', 'log'), '-w', 'start']);
  await sql('postgres', async (one) => {
    await one.query(`CREATE ROLE probe LOGIN`);
    await one.query(`CREATE ROLE reader LOGIN`);
    await one.query(`CREATE ROLE guest LOGIN PASSWORD '${PASSWORD}'`);
    for (const name of ['gameday', 'shop', 'carried']) await one.query(`CREATE DATABASE ${name}`);
  });
  for (const name of ['gameday', 'carried']) await sql(name, (one) => one.query('CREATE SCHEMA gameday AUTHORIZATION probe'));
  await sql('gameday', (one) => one.query('GRANT USAGE, CREATE ON SCHEMA gameday TO guest'));
  await sql('carried', (one) => one.query('CREATE PUBLICATION everything FOR ALL TABLES'));
  // Compiles what is stale now, not inside a timed observation.
  await observe(['--version']).ended;
}, 60_000);

afterAll(async () => {
  for (const child of started) child.kill('SIGKILL');
  for (const name of existsSync(join(home, 'probes')) ? readdirSync(join(home, 'probes')) : []) {
    const config = readJsonFile<ProberConfig>(join(home, 'probes', name, 'config.json'));
    if (config !== null && existsSync(config.socket))
      await openProber(config.socket)
        .stop()
        .catch(() => undefined);
  }
  await pg('pg_ctl', ['-D', join(base, 'pg', 'data'), '-m', 'immediate', 'stop']);
  rmSync(base, { recursive: true, force: true });
});

test('what it may not write to is refused before anything is registered, with the SQL that prepares it', async () => {
  const at = (role: string, database: string): string[] => ['observe', '--dsn', `postgresql://${role}@${HOST}/${database}`, '--for', '1s'];
  const refused = await Promise.all(
    [
      at('probe', 'shop'),
      [...at('probe', 'shop'), '--application-database'],
      [...at('probe', 'carried'), '--application-database'],
      at('reader', 'gameday'),
      at('probe', 'nowhere'),
      ['observe', '--dsn', `postgresql://probe@${NOBODY}/gameday`],
    ].map((args) => observe(args).ended),
  );
  expect(refused.map(({ code }) => code)).toEqual([2, 2, 6, 2, 2, 75]);
  const words = [
    'CREATE DATABASE gameday; and in it: CREATE SCHEMA gameday AUTHORIZATION probe;',
    'CREATE SCHEMA gameday AUTHORIZATION probe;',
    'publication everything of database carried would carry the observation',
    'GRANT USAGE, CREATE ON SCHEMA gameday TO reader;',
    'CREATE DATABASE gameday;',
    'ECONNREFUSED',
  ];
  refused.forEach(({ stderr, stdout }, n) => {
    expect(stderr).toContain(words[n]);
    expect(stdout).toBe('');
  });
  expect(existsSync(join(home, 'drills'))).toBe(false);
}, 60_000);

test('a clean observation over TLS passes, its bundle verifies, and nothing is left but the evidence', async () => {
  const dsn = `postgresql://guest:${PASSWORD}@${HOST}/gameday?sslmode=require`;
  const ended = await observe([
    'observe',
    '--dsn',
    dsn,
    '--node',
    `n1=host=${HOST}`,
    '--for',
    '3s',
    '--window',
    '1s',
    '--rto',
    '2s',
    '--rpo',
    '0',
    '--name',
    'mine',
    '--json',
  ]).ended;
  const { line, record } = resultOf(ended);
  expect([ended.code, line.state, line.verdict, line.left]).toEqual([0, 'completed', 'pass', []]);
  expect(record.judgement.objectives.map(({ objective, verdict }) => [objective.name, verdict])).toEqual([
    ['rto', 'pass'],
    ['rpo_transactions', 'pass'],
  ]);
  if ('notRecorded' in record.rpo) throw new Error('the rows were not counted');
  expect(record.rpo).toMatchObject({ lost: 0, phantoms: 0, duplicates: 0, joinedOn: 'n1' });
  // 20 a second for at least 4 s.
  expect(record.rpo.acked).toBeGreaterThan(60);
  expect(record.rpo.acked).toBeLessThan(400);
  expect([...new Set(record.nodeSpans.map(({ node, role }) => `${node} ${role}`))]).toEqual(['n1 primary']);
  expect([record.type, record.target.controller, record.scenario.name]).toEqual(['live', 'unknown', 'observe']);
  expect(await probeTables()).toEqual([]);
  const verified = await observe(['verify', line.evidence, '--key', join(home, 'keys', 'signing.pub.pem')]).ended;
  expect([verified.code, verified.stdout]).toEqual([0, expect.stringContaining('verified: ')]);
  expect(readFileSync(join(line.evidence, 'report.html'), 'utf8')).toContain('Observation of mine');
  expect(filesWith(home, PASSWORD)).toEqual([]);
  expect(ended.stdout + ended.stderr).not.toContain(PASSWORD);
}, 60_000);

test('an outage in the middle is reported with bounds that hold what was timed here', async () => {
  const data = join(base, 'pg', 'data');
  const running = observe(['observe', '--dsn', `postgresql://probe@${HOST}`, '--for', '6s', '--window', '1s', '--rto', '100ms', '--json']);
  await until(() => (running.stderr().includes('the baseline is steady') ? true : null), {
    timeoutMs: 20_000,
    onTimeout: () => new Error(running.stderr()),
  });
  const watch = watchServer();
  await sleep(500);
  await pg('pg_ctl', ['-D', data, '-m', 'immediate', 'stop']);
  await sleep(700);
  await pg('pg_ctl', ['-D', data, '-l', join(base, 'pg', 'log'), '-w', 'start']);
  const timed = await watch.stop();
  const ended = await running.ended;
  const { line, record } = resultOf(ended);
  expect([ended.code, line.verdict]).toEqual([1, 'fail']);
  if ('notRecorded' in record.rto || 'notRecorded' in record.rpo) throw new Error('not measured');
  // A busy disk may stall a commit for a moment before or after: the outage that was made is the longest by far.
  const [down, ...stalls] = record.rto.outages.map((outage) => outage.down).sort((a, b) => (b?.lowMs ?? 0) - (a?.lowMs ?? 0));
  expect(stalls.filter((stall) => (stall?.highMs ?? Infinity) >= 1_000)).toEqual([]);
  expect(down?.lowMs).toBeLessThanOrEqual(timed.highMs);
  expect(down?.highMs).toBeGreaterThanOrEqual(timed.lowMs);
  // 2δ is 100 ms; the rest is the spacing of attempts while nothing answers, what answers took just before, and what the prober itself did not see.
  expect((down?.highMs ?? Infinity) - (down?.lowMs ?? 0)).toBeLessThan(500 + 2 * record.rto.longestStallMs + record.rto.starvedMs);
  expect(record.rto.rto?.highMs).toBeGreaterThanOrEqual(timed.lowMs);
  expect(record.rpo.lost).toBe(0);
  expect(running.stderr()).toContain('writes again after about');
  expect(await probeTables()).toEqual([]);
}, 60_000);

/** Asks the server as fast as it can. The time without an answer lies between what surely failed and what surely answered. */
function watchServer(): { stop(): Promise<{ readonly lowMs: number; readonly highMs: number }> } {
  const ms = (): number => Number(monotonicNs()) / 1e6;
  let ending = false;
  const asked: { readonly from: number; readonly to: number; readonly ok: boolean }[] = [];
  const loop = (async () => {
    while (!ending) {
      const from = ms();
      const ok = await sql('postgres', (one) => one.query('SELECT 1')).then(
        () => true,
        () => false,
      );
      asked.push({ from, to: ms(), ok });
      await sleep(2);
    }
  })();
  return {
    stop: async () => {
      ending = true;
      await loop;
      const first = asked.findIndex(({ ok }) => !ok);
      const last = asked.findLastIndex(({ ok }) => !ok);
      const [before, after] = [asked[first - 1], asked[last + 1]];
      if (before === undefined || after === undefined) throw new Error('no outage was seen from here');
      return { lowMs: asked[last]!.from - asked[first]!.to, highMs: after.to - before.from };
    },
  };
}

test('rows removed behind its back are counted exactly; two ways in stay within ten connections', async () => {
  const dsn = [`postgresql://probe@${NOBODY},${HOST}/gameday`, `postgresql://probe@${HOST}/gameday`].flatMap((text) => ['--dsn', text]);
  const running = observe([
    'observe',
    ...dsn,
    '--node',
    `n1=host=${HOST}`,
    '--connections',
    '11',
    '--for',
    '4s',
    '--window',
    '1s',
    '--json',
  ]);
  const table = await awaitRows(5, 'stream = 0 AND seq IN (3, 4, 5, 11, 12)');
  await sql('gameday', (one) => one.query(`DELETE FROM gameday.${table} WHERE stream = 0 AND seq IN (3, 4, 5, 11, 12)`));
  let most = 0;
  const counting = (): Promise<unknown> =>
    sql('postgres', async (one) => {
      const [row] = await one.query(`SELECT count(*) AS n FROM pg_stat_activity WHERE usename = 'probe'`);
      most = Math.max(most, Number(row?.['n']));
    });
  await until(async () => ((await counting(), running.child.exitCode) === null ? null : true), {
    timeoutMs: 30_000,
    onTimeout: () => new Error('it did not end'),
  });
  const ended = await running.ended;
  const { line, record } = resultOf(ended);
  expect([ended.code, line.verdict, line.lost]).toEqual([1, 'fail', 5]);
  if ('notRecorded' in record.rpo) throw new Error('the rows were not counted');
  expect(record.rpo.lostSample).toEqual([3, 4, 5, 11, 12].map((seq) => ({ stream: 0, seq })));
  expect(record.views.map(({ kind, path }) => `${kind} ${path}`)).toEqual(['read entry', 'write path-2', 'read path-2']);
  expect(record.views.find(({ kind, path }) => kind === 'write' && path === 'path-2')?.rto.counts.acked).toBeGreaterThan(10);
  expect(most).toBeGreaterThan(3);
  expect(most).toBeLessThanOrEqual(11);
}, 60_000);

test('a role that may write nothing observes reads alone, and Ctrl-C ends early with a verdict', async () => {
  const running = observe([
    'observe',
    '--dsn',
    `postgresql://reader@${HOST}/shop`,
    '--for',
    '10m',
    '--window',
    '1s',
    '--read-only',
    '--json',
  ]);
  await until(() => (running.stderr().includes('the baseline is steady') ? true : null), {
    timeoutMs: 20_000,
    onTimeout: () => new Error(running.stderr()),
  });
  await sleep(1_500);
  running.child.kill('SIGINT');
  const ended = await running.ended;
  const { line, record } = resultOf(ended);
  expect(ended.stderr).toContain('ending early');
  expect(record.rpo).toEqual({ notRecorded: 'read-only: nothing was written, so nothing could be lost' });
  expect(record.notExercised.join('; ')).toMatch(
    /the rest of the 10 min 0 s that were planned.*writes \(read-only\)|writes \(read-only\).*the rest of the 10 min 0 s/,
  );
  expect(record.judgement.reasons.join()).toMatch(/^only \d+ writes were due, the plan requires 100$/);
  expect([ended.code, line.state, line.verdict]).toEqual([3, 'completed', 'inconclusive']);
  expect(readFileSync(join(line.evidence, 'report.md'), 'utf8')).toMatch(/reads due/);
}, 60_000);

fullTest(
  'SIGKILL of the command: the prober ends by its lease, and the next observation names the table and how to drop it',
  async () => {
    const running = observe(['observe', '--dsn', `postgresql://probe@${HOST}`, '--for', '10m', '--window', '1s']);
    const table = await awaitRows(20);
    const config = readdirSync(join(home, 'probes'))
      .map((name) => readJsonFile<ProberConfig>(join(home, 'probes', name, 'config.json')))
      .find((one) => one?.table === table);
    if (config == null) throw new Error('no prober has this table');
    const prober = identify((await openProber(config.socket).status()).pid);
    if (prober === null) throw new Error('no prober runs');
    running.child.kill('SIGKILL');
    await running.ended;
    expect(isAlive(prober)).toBe(true);
    await until(() => (isAlive(prober) ? null : true), { timeoutMs: 25_000, onTimeout: () => new Error('the prober outlived its lease') });
    const connections = await sql('postgres', (one) => one.query(`SELECT pid FROM pg_stat_activity WHERE usename = 'probe'`));
    expect([connections, existsSync(config.socket), await probeTables()]).toEqual([[], false, [table]]);
    const next = observe(['observe', '--dsn', `postgresql://probe@${HOST}`, '--for', '1s', '--window', '1s', '--json']);
    const { line, record } = resultOf(await next.ended);
    const drop = `DROP TABLE gameday.${table};`;
    expect(next.stderr()).toContain(drop);
    expect(record.readiness.find(({ name }) => name === 'nothing is left of earlier observations')).toMatchObject({ ok: false });
    expect(line.left).toEqual([]);
    expect(await probeTables()).toEqual([table]);
    await withSql({ host: HOST, port: 5432, user: 'probe', password: null, database: 'gameday' }, (one) => one.query(drop));
    expect(await probeTables()).toEqual([]);
  },
  60_000,
);
