/**
 * Faults of whole containers, on an engine of the test's own: the contract of each, and what each promises by itself. The container holds one PostgreSQL; who
 * may write is what the test says.
 */
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { appendFileSync, chmodSync, chownSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { monotonicNs, until } from '../../core/clock';
import { lookUpUser, run } from '../../core/process';
import { askWhere } from '../../faults/node-container';
import { findContainers } from '../../faults/container-strays';
import { faultLabel, type FaultContext } from '../../faults/contract';
import { memoryInMemory } from '../../faults/paper-target.test-data';
import { findFault } from '../../faults/registry';
import { serverUser } from '../../infra/lab/places';
import { locateTools } from '../../infra/tools';
import type { JsonObject } from '../../model/json';
import type { Target } from '../../model/target';
import { openTarget } from '../../targets/open-target';
import type { ContainerPower, Controller, LiveTarget } from '../../targets/ports';
import { sampleTarget } from '../sample-plan';
import { startDocker, type DockerGround } from './docker-ground';
import { contractTests, CONTRACT_DRILL } from './fault-contract';

const NET = `172.31.${process.pid % 128}`;
const BACK = `172.31.${128 + (process.pid % 128)}`;
const osUser = serverUser();
let dir: string;
let docker: DockerGround | null = null;
let live: LiveTarget;
/** What the controller's book says. */
let leads = true;

const container = (): ContainerPower => {
  const { container: power } = live.host('n1');
  if (power === undefined) throw new Error('it is no container');
  return power;
};

async function initialise(dataDir: string): Promise<void> {
  const argv = [join(locateTools().postgresBin, 'initdb'), '-D', dataDir, '-U', 'postgres', '--no-sync', '-A', 'trust'];
  const { code, stderr } = await run(argv, { timeoutMs: 60_000, ...(osUser === null ? {} : lookUpUser(osUser)) });
  if (code !== 0) throw new Error(`initdb: ${stderr}`);
  appendFileSync(join(dataDir, 'pg_hba.conf'), `host all all ${NET}.0/24 trust\nhost all all ${BACK}.0/24 trust\n`);
}

function describeTarget(runsOn: Target['nodes'][number]['runsOn'], dataDir: string): Target {
  const sample = sampleTarget();
  const role = { user: 'postgres', password: null };
  const { postgresBin: binDir } = locateTools();
  const node = { name: 'n1', host: `${NET}.11`, port: 5432, dataDir, binDir, osUser, runsOn, logFile: join(dir, 'log') };
  return {
    ...sample,
    kind: 'lab',
    controller: { kind: 'patroni', scope: 'x', syncStandbys: 0, api: {}, auth: null, dcs: [] } as unknown as Target['controller'],
    nodes: [{ ...node, agent: { find: ['pgrep', '-o', 'nobody'], start: ['true'] } }],
    links: null,
    archive: null,
    paths: [],
    router: { ...sample.router, kind: 'none' },
    entry: { ...sample.entry, database: 'postgres' },
    roles: { operate: role, observe: role, probe: role, replicate: role },
  };
}

/** Of one node, that leads as long as the test says so. */
function paperController(): Controller {
  const controller = {
    kind: 'paper',
    mayWrite: async () => leads,
    async status() {
      const [row] = await live.sql('n1', 'observe', (sql) => sql.query('SELECT pg_is_in_recovery()::text AS recovery'));
      return [{ node: 'n1', up: true, inRecovery: row?.['recovery'] === 'true', error: null }];
    },
    async startNode() {
      await live.host('n1').wake?.();
      return { role: 'primary', salvage: null };
    },
  };
  return controller as unknown as Controller;
}

beforeAll(async () => {
  if (osUser === null) return;
  dir = mkdtempSync('/tmp/gd-container-');
  chmodSync(dir, 0o755);
  const base = join(dir, 'n1');
  mkdirSync(base, { mode: 0o755 });
  chownSync(base, lookUpUser(osUser).uid, lookUpUser(osUser).gid);
  docker = await startDocker(join(dir, 'engine'), NET);
  const dataDir = join(base, 'data');
  await initialise(dataDir);
  const argv = [
    // Before it one that collects what commands leave behind: PostgreSQL would take that for crashes of its own.
    ...['sh', '-c', '"$@" & wait', 'sh'],
    join(locateTools().postgresBin, 'postgres'),
    '-D',
    dataDir,
    '-c',
    'listen_addresses=*',
    '-c',
    `unix_socket_directories=${base}`,
  ];
  const runsOn = docker.start('n1', osUser, base, argv, `${NET}.11`);
  docker.seat('n1', 'back', BACK, `${BACK}.11`);
  const target = describeTarget(runsOn, dataDir);
  const controller = paperController();
  live = new Proxy(openTarget(target), {
    get: (opened, name) => (name === 'controller' ? controller : (Reflect.get(opened, name) as unknown)),
  });
  await until(async () => ((await askWhere(live, 'n1', null)).answered ? true : null), {
    timeoutMs: 30_000,
    onTimeout: () => new Error('the server did not start'),
  });
}, 120_000);

afterAll(async () => {
  await docker?.close();
  if (docker !== null) rmSync(dir, { recursive: true, force: true });
}, 60_000);

beforeEach(() => (leads = true));

const contextOf = (step: string): FaultContext => ({
  live,
  drill: CONTRACT_DRILL,
  label: faultLabel(CONTRACT_DRILL, step),
  memory: memoryInMemory(),
});

async function injected(name: string, settings: JsonObject, step: string) {
  const fault = findFault(name);
  const context = contextOf(step);
  const handle = await fault.resolve(fault.schema.parse(settings), context);
  await fault.inject(handle, context);
  expect(await fault.confirm(handle, context)).toMatchObject({ holds: true });
  return { fault, context, handle };
}

(osUser === null ? describe.skip : describe)('on an engine', () => {
  contractTests('container', () => live);

  test('what was replaced while it was paused is killed without waking up: nothing that it had begun leaves it', async () => {
    let heard = 0;
    const listener = createSocket('udp4', () => (heard += 1)).bind(0, `${NET}.1`);
    await once(listener, 'listening');
    // Something in it that speaks as soon as it may, and never waits.
    const loop = `exec 3<>/dev/udp/${NET}.1/${listener.address().port}; while :; do echo x >&3; done 2>/dev/null`;
    const talks = live.host('n1').exec(['bash', '-c', loop], { asNode: true, timeoutMs: 60_000 });
    talks.catch(() => undefined);
    try {
      await until(async () => (heard > 20 ? true : null), { timeoutMs: 20_000, onTimeout: () => new Error('it says nothing') });
      const first = await live.host('n1').postmaster();
      const { fault, context, handle } = await injected('container-pause', { node: 'primary' }, 'replaced');
      leads = false;
      const before = heard;
      await fault.undo(handle, context);
      expect(heard).toBe(before);
      await expect(talks).rejects.toMatchObject({ code: 'host_unreachable' });
      expect(await live.host('n1').postmaster()).not.toEqual(first);
      expect(await fault.confirmGone(handle, context)).toMatchObject({ holds: true });
    } finally {
      listener.close();
    }
  }, 90_000);

  test('what still leads wakes up as it was, and its sessions go on', async () => {
    const answer = live.sql('n1', 'observe', (sql) => sql.query(`SELECT pg_sleep(1), 'still here' AS said`));
    const first = await live.host('n1').postmaster();
    const { fault, context, handle } = await injected('container-pause', { node: 'primary' }, 'woken');
    await fault.undo(handle, context);
    expect((await answer)[0]).toMatchObject({ said: 'still here' });
    expect(await live.host('n1').postmaster()).toEqual(first);
  }, 60_000);

  test('whoever asks for a command meanwhile is told at once, and one that is under way ends by its own limit', async () => {
    const under = live.host('n1').exec(['sleep', '30'], { asNode: true, timeoutMs: 3_000 });
    under.catch(() => undefined);
    const { fault, context, handle } = await injected('container-pause', { node: 'primary' }, 'asked');
    try {
      const start = monotonicNs();
      await expect(live.host('n1').postmaster()).rejects.toMatchObject({
        code: 'host_unreachable',
        message: expect.stringMatching(/paused/),
      });
      await expect(under).rejects.toMatchObject({ code: 'host_unreachable' });
      expect(Number(monotonicNs() - start) / 1e6).toBeLessThan(10_000);
    } finally {
      await fault.undo(handle, context);
    }
  }, 60_000);

  test('off one of two networks it goes on in the other; back it has the same address and names in each', async () => {
    const before = await container().seats();
    expect(before.map(({ network, address, aliases }) => [network, address, aliases])).toEqual([
      ['back', `${BACK}.11`, ['other']],
      ['ground', `${NET}.11`, ['node']],
    ]);
    const { fault, context, handle } = await injected('container-disconnect', { node: 'n1', network: 'back' }, 'one');
    expect((await askWhere(live, 'n1', null)).answered).toBe(true);
    await fault.undo(handle, context);
    expect(await container().seats()).toEqual(before);
    const both = await injected('container-disconnect', { node: 'n1' }, 'both');
    expect(await container().seats()).toEqual([]);
    await both.fault.undo(both.handle, both.context);
    expect(await container().seats()).toEqual(before);
  }, 60_000);

  test('what is left of a guardian that is gone is found by its mark and undone; a stranger’s mark stays', async () => {
    const stranger = { name: 'someone', label: 'not gameday', note: { fault: 'container-pause' } };
    await container().mark(stranger);
    try {
      for (const name of ['container-pause', 'container-disconnect']) {
        const { fault, context, handle } = await injected(name, { node: 'n1' }, `left-${name}`);
        const [stray, ...more] = await findContainers(live);
        expect([stray?.labels, more]).toEqual([[context.label], []]);
        await stray?.remove();
        expect(await findContainers(live)).toEqual([]);
        expect(await fault.confirmGone(handle, context)).toMatchObject({ holds: true });
      }
      expect((await container().marks()).map(({ name }) => name)).toEqual(['someone']);
    } finally {
      await container().unmark('someone');
    }
  }, 60_000);
});
