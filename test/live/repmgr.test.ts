/**
 * A cluster under repmgr that somebody else made: PostgreSQL's and repmgr's own commands start a primary, two standbys and a repmgrd beside each. It is
 * discovered; its primary is lost and replaced by repmgrd within what its settings predict, comes back, and is asked to hand over. Set-up installs repmgr for
 * the tests; where it could not, they are skipped and say so.
 */
import { appendFileSync, chmodSync, chownSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { until } from '../../core/clock';
import { identify, lookUpUser, run, terminate } from '../../core/process';
import { locateTools } from '../../infra/tools';
import { loadTarget } from '../../scenarios/load-target';
import { openTarget } from '../../targets/open-target';
import type { LiveTarget } from '../../targets/ports';
import { withSql } from '../../targets/sql';
import { cli } from './lab';

const NET = '127.0.56';
const NODES = ['n1', 'n2', 'n3'] as const;
const hostOf = (node: string): string => `${NET}.${10 + Number(node.slice(1))}`;
const SETTINGS = { monitor_interval_secs: 1, reconnect_attempts: 3, reconnect_interval: 1 };
const never = new AbortController().signal;
const owner = process.getuid?.() === 0 ? lookUpUser('postgres') : null;
const bin = locateTools().postgresBin;
const isInstalled = existsSync(join(bin, 'repmgrd'));
let base: string;
let live: LiveTarget;

async function tool(name: string, args: readonly string[]): Promise<string> {
  const result = await run([join(bin, name), ...args], {
    timeoutMs: 60_000,
    cwd: base,
    env: { PATH: '/usr/bin:/bin', LC_ALL: 'C' },
    ...(owner === null ? {} : { uid: owner.uid, gid: owner.gid }),
  });
  if (result.code !== 0) throw new Error(`${name} ${args.join(' ')}: ${result.stderr}`);
  return result.stdout;
}

const confOf = (node: string): string => join(base, `${node}.conf`);
const repmgr = (node: string, ...args: string[]): Promise<string> => tool('repmgr', ['-f', confOf(node), ...args]);
const ask = async (node: string, text: string): Promise<(string | null)[]> =>
  (await withSql({ host: hostOf(node), port: 5432, user: 'postgres', password: null, database: 'gameday' }, (sql) => sql.query(text))).map(
    (row) => Object.values(row)[0] ?? null,
  );

/** As repmgr's quick start has it. */
function writeConf(node: string): void {
  const data = join(base, node);
  const ctl = `${join(bin, 'pg_ctl')} -D ${data} -w`;
  const lines = {
    node_id: node.slice(1),
    node_name: node,
    conninfo: `host=${hostOf(node)} user=repmgr dbname=repmgr connect_timeout=2`,
    data_directory: data,
    pg_bindir: bin,
    failover: 'automatic',
    promote_command: `${join(bin, 'repmgr')} standby promote -f ${confOf(node)} --log-to-file`,
    follow_command: `${join(bin, 'repmgr')} standby follow -f ${confOf(node)} --log-to-file --upstream-node-id=%n`,
    service_start_command: `${ctl} -l ${data}.log start`,
    service_stop_command: `${ctl} -m fast stop`,
    log_file: join(base, `${node}.repmgrd.log`),
    repmgrd_pid_file: join(base, `${node}.pid`),
    ...SETTINGS,
  };
  const text = Object.entries(lines).map(([key, value]) => `${key}='${value}'\n`);
  writeFileSync(confOf(node), text.join(''));
}

async function startServer(node: string): Promise<void> {
  const settings = [
    `listen_addresses = '${hostOf(node)}'`,
    `unix_socket_directories = ''`,
    'fsync = off',
    'shared_buffers = 16MB',
    `shared_preload_libraries = 'repmgr'`,
  ];
  appendFileSync(join(base, node, 'postgresql.conf'), `${settings.join('\n')}\n`);
  await tool('pg_ctl', ['-D', join(base, node), '-l', join(base, `${node}.log`), '-w', '-s', 'start']);
}

async function makeCluster(): Promise<void> {
  await tool('initdb', ['-D', join(base, 'n1'), '-U', 'postgres', '-A', 'trust', '--data-checksums', '-N']);
  appendFileSync(join(base, 'n1', 'pg_hba.conf'), 'host all,replication all 127.0.0.0/8 trust\n');
  for (const node of NODES) writeConf(node);
  for (const node of NODES) {
    if (node === 'n1') {
      await startServer(node);
      const psql = (database: string, text: string): Promise<string> =>
        tool('psql', ['-qX', '-h', hostOf(node), '-U', 'postgres', '-d', database, '-c', text]);
      await psql('postgres', 'CREATE ROLE repmgr SUPERUSER LOGIN');
      await psql('postgres', 'CREATE DATABASE repmgr OWNER repmgr');
      await psql('postgres', 'CREATE DATABASE gameday');
      await psql('gameday', 'CREATE TABLE t AS SELECT generate_series(1, 10) AS i');
      await repmgr(node, 'primary', 'register');
    } else {
      await repmgr(node, '-h', hostOf('n1'), '-U', 'repmgr', '-d', 'repmgr', 'standby', 'clone', '--fast-checkpoint');
      await startServer(node);
      await repmgr(node, 'standby', 'register');
    }
  }
  for (const node of NODES) await tool('repmgrd', ['-f', confOf(node), '-d']);
  await until(async () => ((await repmgr('n1', 'service', 'status', '--csv')).match(/,1,1,[0-9]+,0,/g)?.length === 3 ? true : null), {
    timeoutMs: 20_000,
    onTimeout: () => new Error('not every repmgrd runs'),
  });
}

/** What discovery leaves to whoever owns the file: how repmgrd is found and started here, and gameday's roles. */
function completed(text: string): string {
  const asOwner = owner === null ? [] : ['runuser', '-u', 'postgres', '--'];
  const agent = (node: string): string =>
    JSON.stringify({
      find: ['sh', '-c', `cat ${join(base, `${node}.pid`)} 2>/dev/null || true`],
      start: [...asOwner, join(bin, 'repmgrd'), '-f', confOf(node), '-d'],
    });
  return NODES.reduce((all, node) => all.replace(`  - name: ${node} `, `  - agent: ${agent(node)}\n    name: ${node} `), text)
    .replace(/user: gameday_\w+, password: env:\w+/g, 'user: postgres, password: null')
    .replace(/^runDir: .*$/m, `runDir: ${join(base, 'run')}`);
}

(isInstalled ? describe : describe.skip)(
  `repmgr${isInstalled ? '' : ' (apt-get install postgresql-15-repmgr, which set-up does as root)'}`,
  () => {
    beforeAll(async () => {
      base = mkdtempSync('/tmp/gd-repmgr-');
      chmodSync(base, 0o755);
      if (owner !== null) chownSync(base, owner.uid, owner.gid);
      await makeCluster();
    }, 120_000);

    afterAll(async () => {
      for (const node of NODES) {
        const daemon = existsSync(join(base, `${node}.pid`)) ? identify(Number(readFileSync(join(base, `${node}.pid`), 'utf8'))) : null;
        if (daemon !== null) await terminate(daemon, 5_000);
        if (existsSync(join(base, node, 'postmaster.pid'))) await tool('pg_ctl', ['-D', join(base, node), '-m', 'immediate', '-s', 'stop']);
      }
      rmSync(base, { recursive: true, force: true });
    }, 60_000);

    test('it is discovered with the names and files that repmgr has of its nodes', async () => {
      const file = join(base, 'shop.yaml');
      const servers = NODES.map(hostOf).join(',');
      const found = await cli(['target', 'discover', '--dsn', `postgresql://postgres@${servers}/postgres`, '--out', file], { home: base });
      expect({ code: found.code, stdout: found.stdout }).toEqual({
        code: 0,
        stdout: expect.stringContaining('n1 primary, n2 standby, n3 standby'),
      });
      const text = readFileSync(file, 'utf8');
      for (const node of NODES) expect(text).toContain(`    ${node}: ${confOf(node)}\n`);
      writeFileSync(file, completed(text));
      live = openTarget(loadTarget(file).target);
      expect(live.controller.kind).toBe('repmgr');
      expect(await Promise.all(NODES.map((node) => live.controller.mayWrite(node)))).toEqual([true, false, false]);
    }, 60_000);

    test('a lost primary is replaced by repmgrd as its settings predict, its fork is saved, and it comes back under the new one', async () => {
      const before = await live.controller.topology();
      expect([before.primary, Object.keys(before.replication).sort()]).toEqual(['n1', ['n2', 'n3']]);
      const band = await live.controller.predictedFailover('lost');
      const detection = band?.segments.find(({ name }) => name === 'detection');
      if (band === null || detection === undefined) throw new Error('repmgrd runs, and nothing is predicted');

      // Rows that nobody else has: without them there is nothing to save.
      for (const node of ['n2', 'n3']) {
        await ask(node, "ALTER SYSTEM SET primary_conninfo = ''");
        await ask(node, 'SELECT pg_reload_conf()');
      }
      await until(async () => ((await ask('n1', 'SELECT pid FROM pg_stat_replication')).length === 0 ? true : null), {
        timeoutMs: 10_000,
        onTimeout: () => new Error('the standbys stream on'),
      });
      await ask('n1', 'INSERT INTO t SELECT generate_series(11, 17)');
      const host = live.host('n1');
      for (const id of [await host.agent(), await host.postmaster()]) {
        if (id === null) throw new Error('n1 does not run whole');
        await host.killTree(id);
      }
      const lostAt = performance.now();
      const stamps: { readonly what: string; readonly afterMs: number }[] = [];
      const result = await live.controller.failover({
        token: 'drill-000001/failover',
        candidate: null,
        timeoutMs: 40_000,
        signal: never,
        on: async (name, phase) => void stamps.push({ what: `${name} ${phase}`, afterMs: performance.now() - lostAt }),
      });
      expect(result).toMatchObject({ from: 'n1', timeline: 2 });
      const at = (what: string): number => stamps.find((stamp) => stamp.what === what)?.afterMs ?? NaN;
      expect(at('detect done')).toBeGreaterThanOrEqual(detection.lowMs);
      expect(stamps.filter(({ what }) => what === 'detect looking').at(-1)?.afterMs).toBeLessThanOrEqual(detection.highMs);
      expect(at('decide done')).toBeGreaterThanOrEqual(at('detect done'));
      expect(at('promote done')).toBeLessThanOrEqual(band.highMs);

      const started = await live.controller.startNode('n1');
      expect(started).toMatchObject({ role: 'fenced', salvage: { node: 'n1', timeline: 1 } });
      expect(await ask('n1', 'SELECT count(*)::text FROM t')).toEqual(['17']);
      expect(await live.controller.mayWrite(result.to)).toBe(true);
      expect(await live.controller.rejoin('n1', { timeoutMs: 60_000, signal: never })).toEqual({ method: 'follow', movedAside: null });
      expect(await ask('n1', 'SELECT count(*)::text FROM t')).toEqual(['10']);
      expect(await repmgr('n1', 'node', 'check', '--role')).toContain('OK');
      await asBefore(before.settings, result.to);
    }, 120_000);

    test('a healthy primary hands over without any ssh, and nothing that was written is lost', async () => {
      const before = await live.controller.topology();
      const from = before.primary ?? '';
      await ask(from, 'INSERT INTO t SELECT generate_series(101, 200)');
      const request = { token: 'drill-000002/switchover', candidate: 'n1', timeoutMs: 60_000, signal: never, on: async () => undefined };
      expect(await live.controller.failover(request)).toMatchObject({ from, to: 'n1', timeline: 3 });
      expect(await ask('n1', 'SELECT count(*)::text FROM t')).toEqual(['110']);
      await asBefore(before.settings, 'n1');
      // A second call, as after a crash of the worker, finds what the first one did.
      expect(await live.controller.failover(request)).toMatchObject({ to: 'n1', timeline: 3 });
    }, 90_000);

    /** Streams, settings, membership and pauses as they were, under another primary. */
    async function asBefore(settings: object, primary: string): Promise<void> {
      const standbys = NODES.filter((node) => node !== primary);
      const seen = await until(
        async () => {
          const now = await live.controller.topology();
          return now.primary === primary &&
            Object.keys(now.replication).sort().join() === standbys.join() &&
            /n1.*n2.*n3/.test(now.settings['repmgr']?.['repmgrd'] ?? '')
            ? now
            : null;
        },
        { timeoutMs: 20_000, onTimeout: () => new Error(`not every node stands under ${primary} again`) },
      );
      expect(seen.settings).toEqual(settings);
    }
  },
);
