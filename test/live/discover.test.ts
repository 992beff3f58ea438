/**
 * From a cluster that somebody else made to a target file that works: PostgreSQL's own tools start a primary and two standbys, and the command line does
 * the rest. Also what it says when it cannot.
 */
import { appendFileSync, chmodSync, chownSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { until } from '../../core/clock';
import { packageRoot } from '../../core/files';
import { lookUpUser, run } from '../../core/process';
import { locateTools } from '../../infra/tools';
import { withSql } from '../../targets/sql';
import { cli, type CliResult } from './lab';
import { fullTest } from './drawn';

const NET = '127.0.55';
const NODES = ['n1', 'n2', 'n3'] as const;
const hostOf = (at: number): string => `${NET}.${11 + at}`;
/** On a cluster whose failover is a person's, who starts it where it was. */
const CRASH = join(packageRoot(), 'test', 'scenarios', 'crash-and-start.yaml');
const SYNC = 'ANY 1 (n2, n3)';
const SECRETS = { GAMEDAY_OPERATE_PASSWORD: 'operate-1', GAMEDAY_OBSERVE_PASSWORD: `o'b "s`, GAMEDAY_PROBE_PASSWORD: 'probe-1' };
const ALL = `postgresql://postgres@${NODES.map((_, at) => hostOf(at)).join(',')}/postgres`;

let base: string;
let home: string;
let shop: string;
const owner = process.getuid?.() === 0 ? lookUpUser('postgres') : null;

async function tool(name: string, args: readonly string[], input?: string, env: NodeJS.ProcessEnv = {}): Promise<string> {
  const result = await run([join(locateTools().postgresBin, name), ...args], {
    timeoutMs: 60_000,
    cwd: base,
    env: { PATH: '/usr/bin:/bin', LC_ALL: 'C', ...env },
    ...(input === undefined ? {} : { input }),
    ...(owner === null ? {} : { uid: owner.uid, gid: owner.gid }),
  });
  if (result.code !== 0) throw new Error(`${name}: ${result.stderr}`);
  return `${result.stdout}${result.stderr}`;
}

const gameday = (args: readonly string[], env: NodeJS.ProcessEnv = SECRETS): Promise<CliResult> =>
  cli(args, { home, env, timeoutMs: 60_000 });
const psql = (script: string, env: NodeJS.ProcessEnv = SECRETS): Promise<string> =>
  tool('psql', ['-X', '-h', hostOf(0), '-U', 'postgres', '-d', 'postgres'], script, env);
const ask = async (text: string, user = 'postgres', password: string | null = null, database = 'postgres'): Promise<(string | null)[]> =>
  (await withSql({ host: hostOf(0), port: 5432, user, password, database }, (sql) => sql.query(text))).map(
    (row) => Object.values(row)[0] ?? null,
  );
const traces = (): Promise<(string | null)[]> =>
  ask(
    `SELECT rolname FROM pg_roles WHERE rolname LIKE 'gameday%' UNION ALL SELECT datname FROM pg_database WHERE datname LIKE 'gameday%' ORDER BY 1`,
  );

beforeAll(async () => {
  base = mkdtempSync('/tmp/gd-discover-');
  chmodSync(base, 0o755);
  home = join(base, 'home');
  shop = join(base, 'shop.yaml');
  mkdirSync(home);
  if (owner !== null) chownSync(base, owner.uid, owner.gid);
  for (const [at, name] of NODES.entries()) {
    const dir = join(base, name);
    if (at === 0) {
      await tool('initdb', ['-D', dir, '-U', 'postgres', '-A', 'trust', '--data-checksums', '-N']);
      writeFileSync(
        join(dir, 'pg_hba.conf'),
        'local all postgres trust\nhost all postgres 127.0.0.0/8 trust\nhost replication all 127.0.0.0/8 trust\nhost all all 127.0.0.0/8 scram-sha-256\n',
      );
    } else await tool('pg_basebackup', ['-D', dir, '-h', hostOf(0), '-U', 'postgres', '-R', '-c', 'fast']);
    const settings = [
      `listen_addresses = '${hostOf(at)}'`,
      'port = 5432',
      `unix_socket_directories = ''`,
      `cluster_name = '${name}'`,
      'fsync = off',
      'shared_buffers = 16MB',
    ];
    appendFileSync(join(dir, 'postgresql.conf'), `${settings.join('\n')}\n`);
    await tool('pg_ctl', ['-D', dir, '-l', join(base, `${name}.log`), '-w', '-s', 'start']);
  }
  await ask(`ALTER SYSTEM SET synchronous_standby_names = '${SYNC}'`);
  await ask('SELECT pg_reload_conf()');
  await until(async () => ((await ask('SELECT 1 FROM pg_stat_replication')).length === 2 ? true : null), {
    timeoutMs: 20_000,
    onTimeout: () => new Error('the standbys do not stream'),
  });
}, 120_000);

afterAll(async () => {
  for (const name of NODES)
    if (existsSync(join(base, name, 'postmaster.pid'))) await tool('pg_ctl', ['-D', join(base, name), '-m', 'immediate', '-s', 'stop']);
  rmSync(base, { recursive: true, force: true });
});

test('a cluster of three is written down whole: its file needs nothing filled in', async () => {
  const { code, stdout, stderr } = await gameday(['target', 'discover', '--dsn', ALL, '--out', shop]);
  expect({ code, stderr }).toEqual({ code: 0, stderr: expect.stringContaining('nothing is left to fill in') });
  expect(stdout).toContain('3 nodes, n1 primary, n2 standby, n3 standby');
  const text = readFileSync(shop, 'utf8');
  expect(text).toContain('name: shop\n');
  expect(text).toContain('syncStandbys: 1');
  for (const [at, name] of NODES.entries()) {
    expect(text).toContain(`host: ${hostOf(at)}`);
    expect(text).toContain(`dataDir: ${join(base, name)}\n`);
    expect(text).toContain(`logFile: ${join(base, `${name}.log`)}\n`);
  }
  expect(text).toContain(`systemIdentifier: "${(await ask('SELECT system_identifier::text FROM pg_control_system()'))[0]}"`);
});

test('from the primary alone what its standbys hide is left open, and check says so', async () => {
  const file = join(base, 'half.yaml');
  const found = await gameday(['target', 'discover', '--dsn', `postgresql://postgres@${hostOf(0)}/postgres`, '--out', file]);
  expect(found.code).toBe(0);
  expect(found.stdout).toMatch(/line [0-9]+: #\? host: <address>/);
  const checked = await gameday(['check', '--target', file]);
  expect({ code: checked.code, stderr: checked.stderr }).toEqual({ code: 2, stderr: expect.stringContaining('nodes[1].host') });
});

test('before it is prepared, check names each thing that is lacking and still gets to the end', async () => {
  const { code, stdout } = await gameday(['check', '--target', shop]);
  expect(code).toBe(6);
  for (const words of [
    '✕ probe: ',
    'gameday target prepare',
    '✓ n2 runs on this machine',
    '✕ guardian: ',
    '✕ allow file: ',
    '✕ policy.allowFaults',
    'disasters (this machine, without Toxiproxy',
  ])
    expect(stdout).toContain(words);
  expect(stdout).toMatch(/– link-cut: not possible: no path leads through Toxiproxy/);
  expect(stdout).toMatch(/✕ process-kill: possible once .*policy\.allowFaults names it/);
}, 60_000);

describe('prepared', () => {
  test('the printed script makes what is needed, twice the same, without a password in it or in the log', async () => {
    const { code, stdout: script } = await gameday(['target', 'prepare', '--target', shop, '--print-sql']);
    expect(code).toBe(0);
    for (const secret of Object.values(SECRETS)) expect(script).not.toContain(secret);
    await psql(script);
    const made = await traces();
    expect(made).toEqual(['gameday', 'gameday_observe', 'gameday_operate', 'gameday_probe']);
    await psql(script);
    expect(await traces()).toEqual(made);
    expect(
      await ask(
        'CREATE TABLE gameday.t AS SELECT 7 AS n; SELECT n::text FROM gameday.t',
        'gameday_probe',
        SECRETS.GAMEDAY_PROBE_PASSWORD,
        'gameday',
      ).catch(String),
    ).toBeDefined();
    expect(await ask('SELECT n::text FROM gameday.t', 'gameday_observe', SECRETS.GAMEDAY_OBSERVE_PASSWORD, 'gameday')).toEqual(['7']);
    await expect(ask('SELECT 1', 'gameday_probe', SECRETS.GAMEDAY_PROBE_PASSWORD, 'gameday')).resolves.toHaveLength(1);
    await expect(ask('INSERT INTO gameday.t VALUES (8)', 'gameday_observe', SECRETS.GAMEDAY_OBSERVE_PASSWORD, 'gameday')).rejects.toThrow(
      /permission denied/,
    );
    const log = readFileSync(join(base, 'n1.log'), 'utf8');
    for (const secret of Object.values(SECRETS)) expect(log).not.toContain(secret);
  }, 60_000);

  test('check finds roles and rights, and says of each fault what it still wants', async () => {
    const { code, stdout } = await gameday(['check', '--target', shop, '--json']);
    const report = JSON.parse(stdout) as {
      ready: boolean;
      lines: { part: string; name: string; state: string }[];
      faults: { fault: string; state: string; reasons: string[] }[];
    };
    expect([code, report.ready]).toEqual([6, false]);
    expect(
      report.lines.filter(({ part, state }) => (part === 'roles' || part === 'nodes' || part === 'hosts') && state === 'lacks'),
    ).toEqual([]);
    const of = (fault: string): string => report.faults.find((each) => each.fault === fault)?.reasons.join('; ') ?? '';
    expect(of('connections-exhausted')).toContain('it must be superuser');
    expect(of('process-freeze')).toContain('policy.allowFaults names it');
    expect(of('process-freeze')).not.toContain('postmaster');
  }, 60_000);

  fullTest(
    'a node that hangs costs its own lines and no others',
    async () => {
      const pid = Number(readFileSync(join(base, 'n3', 'postmaster.pid'), 'utf8').split('\n')[0]);
      process.kill(pid, 'SIGSTOP');
      try {
        const { code, stdout } = await gameday(['check', '--target', shop]);
        expect(code).toBe(6);
        expect(stdout).toMatch(/✕ n3: /);
        expect(stdout).toMatch(/✓ n2 answers/);
        expect(stdout).toMatch(/✓ observe \(gameday_observe\)/);
      } finally {
        process.kill(pid, 'SIGCONT');
      }
    },
    120_000,
  );

  test('remove leaves nothing of ours and everything of theirs; a role that was there before stays as it was', async () => {
    const { stdout: script } = await gameday(['target', 'remove', '--target', shop, '--print-sql']);
    await psql(script);
    expect(await traces()).toEqual([]);
    await psql(script);
    await ask(`CREATE ROLE gameday_observe LOGIN PASSWORD 'theirs'`);
    const prepare = await gameday(['target', 'prepare', '--target', shop, '--dsn', 'postgresql://postgres@/', '--yes']);
    expect({ code: prepare.code, stderr: prepare.stderr }).toEqual({
      code: 0,
      stderr: expect.stringContaining('gameday_observe was there before'),
    });
    expect(`${prepare.stdout}${prepare.stderr}`).not.toContain(SECRETS.GAMEDAY_PROBE_PASSWORD);
    expect(await ask('SELECT 1', 'gameday_observe', 'theirs', 'gameday')).toHaveLength(1);
    const remove = await gameday(['target', 'remove', '--target', shop, '--dsn', 'postgresql://postgres@/', '--yes']);
    expect([remove.code, await traces()]).toEqual([0, ['gameday_observe']]);
    await ask('DROP ROLE gameday_observe');
  }, 60_000);

  test('without a yes nothing is done, and another system is refused', async () => {
    const asked = await gameday(['target', 'prepare', '--target', shop, '--dsn', 'postgresql://postgres@/']);
    expect({ code: asked.code, stderr: asked.stderr }).toEqual({ code: 6, stderr: expect.stringContaining('nobody said yes') });
    const other = join(base, 'other.yaml');
    writeFileSync(other, readFileSync(shop, 'utf8').replace(/systemIdentifier: "[0-9]+"/, 'systemIdentifier: "1"'));
    const refused = await gameday(['target', 'prepare', '--target', other, '--dsn', 'postgresql://postgres@/', '--yes']);
    expect({ code: refused.code, stderr: refused.stderr }).toEqual({ code: 6, stderr: expect.stringContaining('the target names 1') });
    const { stdout: script } = await gameday(['target', 'prepare', '--target', other, '--print-sql']);
    await expect(psql(script)).rejects.toThrow(/not the system that the target names/);
    expect(await traces()).toEqual([]);
  }, 60_000);
});

describe('drilled, by services of gameday’s own and without a lab', () => {
  const drill = (args: readonly string[], timeoutMs: number): Promise<CliResult> => cli(args, { home, timeoutMs });
  const fails = (result: CliResult): string => `${result.code} ${result.stdout}${result.stderr}`;

  afterAll(async () => void (await drill(['lab', 'down', '--purge'], 60_000)), 70_000);

  test('the crash of its primary is measured, after its owner has allowed just that', async () => {
    const prepared = await gameday(['target', 'prepare', '--target', shop, '--dsn', 'postgresql://postgres@/', '--yes']);
    expect(fails(prepared)).toMatch(/^0 /);
    // Whoever is started in the background has no environment of ours: it reads its passwords from files.
    let text = readFileSync(shop, 'utf8')
      .replace('allowFaults: []', 'allowFaults: [process-kill]')
      .replace('acceptDataLoss: false', 'acceptDataLoss: true');
    for (const [name, secret] of Object.entries(SECRETS)) {
      const file = join(base, name.toLowerCase());
      writeFileSync(file, secret, { mode: 0o600 });
      text = text.replace(`env:${name}`, `file:${file}`);
    }
    const asOwner = owner === null ? [] : ['runuser', '-u', 'postgres', '--'];
    const server = (name: string): string =>
      JSON.stringify({
        find: ['sh', '-c', `head -n 1 ${join(base, name, 'postmaster.pid')} 2>/dev/null || true`],
        start: [
          ...asOwner,
          join(locateTools().postgresBin, 'pg_ctl'),
          '-D',
          join(base, name),
          '-l',
          join(base, `${name}.log`),
          '-w',
          'start',
        ],
      });
    text = text.replace(/kind: standalone\n.*stateDir: .*\n/, `kind: command\n  failover: ['false']\n  expectedMs: 10s\n`);
    for (const name of NODES) text = text.replace(`  - name: ${name} `, `  - agent: ${server(name)}\n    name: ${name} `);
    writeFileSync(shop, text);
    const up = await drill(['lab', 'up', '--topology', 'none', '--net', NET], 90_000);
    expect(fails(up)).toMatch(/^0 /);
    expect(up.stdout).toContain('drills can run');

    const refused = await drill(['run', CRASH, '--target', shop], 90_000);
    // The guardian has the last word, and is asked before anything is touched: its machine's owner has said nothing yet.
    expect({ code: refused.code, said: fails(refused) }).toEqual({ code: 6, said: expect.stringContaining('allow.json') });
    const systemIdentifier = (await ask('SELECT system_identifier::text FROM pg_control_system()'))[0];
    writeFileSync(
      join(home, 'guardian', 'allow.json'),
      JSON.stringify({ systemIdentifiers: [systemIdentifier], faults: ['process-kill'], maxFaultMs: 300_000 }),
      { mode: 0o600 },
    );
    const checked = await drill(['check', '--target', shop], 60_000);
    expect(fails(checked)).toMatch(/^0 /);

    const before = await ask('SELECT pg_postmaster_start_time()::text');
    const ended = await drill(['run', CRASH, '--target', shop, '--json'], 120_000);
    expect(fails(ended)).toMatch(/^0 /);
    expect(JSON.parse(ended.stdout.trim().split('\n').at(-1) ?? '{}')).toMatchObject({ state: 'completed', verdict: 'pass' });
    expect(await ask('SELECT pg_postmaster_start_time()::text')).not.toEqual(before);
    expect(await ask('SELECT state FROM pg_stat_replication')).toEqual(['streaming', 'streaming']);
  }, 400_000);

  test('a lab is not made over them, and they go without a trace in the cluster', async () => {
    const lab = await drill(['lab', 'up', '--topology', 'standalone', '--net', NET], 60_000);
    expect({ code: lab.code, stderr: lab.stderr }).toEqual({ code: 2, stderr: expect.stringContaining('services without a cluster') });
    expect((await drill(['lab', 'status'], 30_000)).code).toBe(0);
    expect((await drill(['lab', 'down'], 60_000)).code).toBe(0);
    // The guardian started its primary again, and is gone itself.
    const remove = await gameday(['target', 'remove', '--target', shop, '--dsn', 'postgresql://postgres@/', '--yes']);
    expect([remove.code, await traces()]).toEqual([0, []]);
  }, 180_000);
});

describe('what cannot be discovered is said, with what to do', () => {
  let server: Server;
  beforeAll((done) => {
    server = createServer((_request, response) => void response.end('<html>welcome</html>')).listen(0, `${NET}.10`, done);
  });
  afterAll((done) => void server.close(done));

  test('who is not there, who refuses, who is a standby, who is no Patroni and no monitor', async () => {
    const url = `http://${NET}.10:${(server.address() as AddressInfo).port}`;
    const cases: readonly (readonly [string[], number, string, string])[] = [
      [['--dsn', `postgresql://postgres@${NET}.99/postgres`], 75, 'ECONNREFUSED', 'check that the node is up'],
      [['--dsn', `postgresql://guest:wrong@${hostOf(0)}/postgres`], 75, 'password authentication failed', 'env:NAME or file:/path'],
      [['--dsn', `postgresql://postgres@${hostOf(0)}/nowhere`], 75, 'does not exist', 'no database nowhere'],
      [['--dsn', `postgresql://postgres@${hostOf(1)}/postgres`], 2, 'is a standby', 'name the primary'],
      [['--patroni', url], 2, 'but not as Patroni', 'port 8008'],
      [['--patroni', `http://${NET}.99:8008`], 75, 'ECONNREFUSED', 'curl URL/cluster'],
      [['--pg-auto-failover', `postgresql://postgres@${hostOf(0)}/postgres`], 2, 'is no monitor', 'show uri --monitor'],
      [['--dsn', ALL, '--out', shop], 6, 'exists already', '--force'],
      [['--dsn', ALL, '--out', join(base, 'shop.txt')], 2, 'does not end in .yaml', ''],
      [[], 2, 'name the cluster by', ''],
    ];
    const results = await Promise.all(cases.map(([args]) => gameday(['target', 'discover', ...args])));
    results.forEach(({ code, stdout, stderr }, at) => {
      const [args, expected, words, hint] = cases[at]!;
      expect({ args, code, stdout, stderr }).toEqual({ args, code: expected, stdout: '', stderr: expect.stringContaining(words) });
      expect(stderr).not.toContain('wrong@');
      expect(stderr.slice(stderr.indexOf('HINT: '))).toContain(hint);
    });
  }, 60_000);
});
