/** The lab's promises: up is idempotent, survives kills at any moment, keeps data, names who is in the way, and down leaves nothing. */
import { spawn, type ChildProcess } from 'node:child_process';
import { existsSync, realpathSync } from 'node:fs';
import { join } from 'node:path';
import { sleep, until } from '../../core/clock';
import { GamedayError } from '../../core/errors';
import { packageRoot } from '../../core/files';
import { identify, isAlive, signal, terminate } from '../../core/process';
import { resolveSecret } from '../../core/secrets';
import { labDown } from '../../infra/lab/down';
import { findTaken } from '../../infra/lab/ports';
import { describeProcess, labProcesses } from '../../infra/lab/residue';
import { labText } from '../../cli/commands/lab';
import { labStatus } from '../../infra/lab/status';
import { allAddresses } from '../../infra/lab/topology';
import { labUp } from '../../infra/lab/up';
import { openSupervisorClient } from '../../infra/supervisor/client';
import type { Target } from '../../model/target';
import { openTarget } from '../../targets/open-target';
import { withSql } from '../../targets/sql';
import { DirectRun } from '../crash/direct';
import { cli, cutPower, lab, makeHome, removeHome } from './lab';

const OWN_NET = '127.0.78';
const TAKEN_NET = '127.0.79';
let own = '';

beforeAll(() => {
  own = realpathSync(makeHome());
});
afterAll(async () => {
  await removeHome(own);
}, 60_000);

/** As a client: through the client link and the router. */
function asClient(target: Target, sql: string): Promise<readonly { readonly [column: string]: string | null }[]> {
  const { user, password } = target.roles.probe;
  return withSql({ ...target.entry, user, password: password === null ? null : resolveSecret(password) }, (each) => each.query(sql));
}

const supervisorOf = (home: string): ReturnType<typeof openSupervisorClient> => openSupervisorClient(join(home, 'run'));

async function pidsOf(home: string): Promise<Record<string, number | null>> {
  const status = await labStatus({ home });
  const shown = [...status.servers, ...status.nodes].map((each) => [each.name, each.pid] as const);
  return Object.fromEntries(shown);
}

/** SIGKILL to everything at once, as a power cut would. */
function startUp(home: string, net: string): ChildProcess {
  const program = join(packageRoot(), 'dist', 'infra', 'lab', 'up.js');
  return spawn(
    process.execPath,
    ['-e', `require(${JSON.stringify(program)}).labUp({ home: ${JSON.stringify(home)}, net: ${JSON.stringify(net)} })`],
    { stdio: 'ignore' },
  );
}

test('a second `up` changes nothing and is quick', async () => {
  const { home, net, target } = lab();
  const before = await pidsOf(home);
  const began = process.hrtime.bigint();
  const again = await labUp({ home, net });
  const tookMs = Number(process.hrtime.bigint() - began) / 1e6;
  expect(again).toEqual(target);
  expect(await pidsOf(home)).toEqual(before);
  expect(Object.values(before)).not.toContain(null);
  expect(tookMs).toBeLessThan(10_000);
}, 60_000);

test('status tells every server and node, and one primary with two standbys that stream', async () => {
  const status = await labStatus({ home: lab().home });
  expect(status.up).toBe(true);
  expect(status.servers.map((server) => server.name).sort()).toEqual(
    expect.arrayContaining(['archiver', 'guardian', 'haproxy', 'pgbouncer', 's3', 'temporal', 'toxiproxy', 'worker']),
  );
  expect(status.nodes.map((node) => node.role).sort()).toEqual(['primary', 'standby', 'standby']);
  expect(status.routed).toEqual([status.nodes.find((node) => node.role === 'primary')?.name]);
  expect(status.archive.filter((check) => !check.ok)).toEqual([]);
  for (const each of [...status.servers, ...status.nodes]) expect(existsSync(each.logFile)).toBe(true);
  expect(labText(status)).toContain(': up\n');
}, 30_000);

test('an occupied port is named with the process that holds it, and nothing is started', async () => {
  const home = realpathSync(makeHome());
  const occupier = spawn(process.execPath, ['-e', `require('net').createServer().listen(8474, '${TAKEN_NET}.30')`], { stdio: 'ignore' });
  try {
    await until(() => (findTaken(allAddresses(TAKEN_NET)).length > 0 ? true : null), {
      timeoutMs: 10_000,
      onTimeout: () => new Error('the occupier did not listen'),
    });
    const error = await labUp({ home, net: TAKEN_NET }).then(
      () => null,
      (caught: unknown) => caught,
    );
    expect(error).toBeInstanceOf(GamedayError);
    expect((error as GamedayError).code).toBe('port_in_use');
    expect((error as GamedayError).message).toContain(`${TAKEN_NET}.30:8474 (Toxiproxy) is held by process ${occupier.pid}: `);
    expect(labProcesses(join(home, 'run'), realpathSync(join(home, 'lab')))).toEqual([]);
  } finally {
    const id = identify(occupier.pid ?? 0);
    if (id !== null) await terminate(id, 1_000);
    await removeHome(home);
  }
}, 30_000);

test('an `up` killed at any moment is completed by the next', async () => {
  // During start of the servers, initdb, cloning, and (if it got that far) base backup.
  for (const afterMs of [600, 1_500, 2_500, 4_000]) {
    const up = startUp(own, OWN_NET);
    const ended = new Promise<void>((resolve) => up.once('exit', () => resolve()));
    await sleep(afterMs);
    up.kill('SIGKILL');
    await ended;
  }
  const target = await labUp({ home: own, net: OWN_NET });
  await asClient(target, 'CREATE TABLE gameday.kept (i int)');
  await asClient(target, 'INSERT INTO gameday.kept VALUES (1)');
  const status = await labStatus({ home: own });
  expect(status.nodes.map((node) => node.role).sort()).toEqual(['primary', 'standby', 'standby']);
}, 120_000);

test('a supervisor that was killed is replaced by one that adopts the very same children', async () => {
  const before = await pidsOf(own);
  const supervisor = identify((await supervisorOf(own).status()).pid);
  if (supervisor === null) throw new Error('no supervisor');
  signal(supervisor, 'SIGKILL');
  await until(() => (isAlive(supervisor) ? null : true), { timeoutMs: 5_000, onTimeout: () => new Error('the supervisor lives') });
  await labUp({ home: own });
  expect(await pidsOf(own)).toEqual(before);

  const s3 = identify(before['s3'] ?? 0);
  if (s3 === null) throw new Error('no s3');
  signal(s3, 'SIGKILL');
  const revived = await until(
    async () => {
      const pid = (await pidsOf(own))['s3'] ?? null;
      return pid === s3.pid ? null : pid;
    },
    { timeoutMs: 10_000, onTimeout: () => new Error('an adopted child was not started again') },
  );
  expect(revived).not.toBe(s3.pid);
}, 60_000);

test('`down` leaves no process and no listener; `up` brings the data back', async () => {
  await labDown({ home: own });
  expect(labProcesses(join(own, 'run'), realpathSync(join(own, 'lab'))).map(describeProcess)).toEqual([]);
  expect(findTaken(allAddresses(OWN_NET))).toEqual([]);
  expect((await labStatus({ home: own })).up).toBe(false);
  await labDown({ home: own });
  const target = await labUp({ home: own });
  expect(await asClient(target, 'SELECT count(*) AS n FROM gameday.kept')).toEqual([{ n: '1' }]);
}, 90_000);

test('after a power cut `up` brings the data back, and the old primary is the only writable node', async () => {
  await cutPower(own);
  const target = await labUp({ home: own });
  expect(await asClient(target, 'SELECT count(*) AS n FROM gameday.kept')).toEqual([{ n: '1' }]);
  const status = await labStatus({ home: own });
  expect(status.nodes.filter((node) => node.role === 'primary').map((node) => node.name)).toEqual(['n1']);
}, 90_000);

test('a node that a standing fault holds down stays down; any other is started, though a fault that needs it stands', async () => {
  const target = await labUp({ home: own });
  const live = openTarget(target);
  const run = new DirectRun(target, 901);
  const times = { ttlMs: 120_000 };
  await run.stand('open', { fault: 'long-transaction', with: {} }, times);
  const lost = await run.stand('lost', { fault: 'sync-standby-loss', with: { count: 1 } }, times);
  const primary = await live.host('n1').postmaster();
  if (primary === null) throw new Error('n1 does not run');
  await live.host('n1').killTree(primary);
  const said: string[] = [];
  await labUp({ home: own, onProgress: (text) => said.push(text) });
  expect(said).toContain('n2 is left alone: sync-standby-loss of drill-000901 stands');
  expect(said).toContain('starting n1');
  expect([await live.host('n1').postmaster(), await live.host('n2').postmaster()]).toEqual([expect.anything(), null]);
  await run.guardian.undoSteps({ ...lost, steps: ['open', 'lost'], by: 'test' });
  expect((await run.untilGone(60_000)).map(({ gone }) => gone?.holds)).toEqual([true, true]);
}, 150_000);

test('asynchronous replication can be asked for at any time', async () => {
  const target = await labUp({ home: own, syncStandbys: 0 });
  expect(target.controller.syncStandbys).toBe(0);
  const shown = await until(
    async () => {
      const value = (await asClient(target, 'SHOW synchronous_standby_names'))[0]?.['synchronous_standby_names'] ?? '';
      return value === '' ? 'none' : null;
    },
    { timeoutMs: 5_000, onTimeout: () => new Error('still synchronous') },
  );
  expect(shown).toBe('none');
}, 60_000);

test('a lab that was killed is taken down without its supervisor', async () => {
  const supervisor = identify((await supervisorOf(own).status()).pid);
  if (supervisor === null) throw new Error('no supervisor');
  signal(supervisor, 'SIGKILL');
  await labDown({ home: own });
  expect(labProcesses(join(own, 'run'), realpathSync(join(own, 'lab'))).map(describeProcess)).toEqual([]);
}, 60_000);

test('the lab has all that a drill needs: check of it ends with 0', async () => {
  const { code, stdout } = await cli(['check', '--target', 'lab'], { timeoutMs: 90_000 });
  expect({ code, lacking: stdout.split('\n').filter((line) => line.startsWith('  ✕') && !line.includes('possible once')) }).toEqual({
    code: 0,
    lacking: [],
  });
  expect(stdout).toContain('✓ process-kill: possible');
  expect(stdout).toContain('✓ link-latency: possible');
  expect(stdout).toContain('ready: a drill could run on lab');
}, 120_000);
