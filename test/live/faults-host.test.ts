/** Faults of servers and hosts, on real servers: the contract of each, and what each promises by itself. */
import { once } from 'node:events';
import { existsSync, mkdtempSync, readdirSync, rmSync, symlinkSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { until } from '../../core/clock';
import { run } from '../../core/process';
import { faultLabel, type FaultContext } from '../../faults/contract';
import { askNode } from '../../faults/link-traffic';
import { memoryInMemory } from '../../faults/paper-target.test-data';
import { dropPackets, findLeft, findRules, markOf, passPackets, requireFilter, rulesOf } from '../../faults/packet-filter';
import { findFault } from '../../faults/registry';
import type { Host, LiveTarget } from '../../targets/ports';
import { startFaultGround, type FaultGround } from './fault-ground';
import { contractTests, CONTRACT_DRILL } from './fault-contract';

let ground: FaultGround;
beforeAll(async () => {
  ground = await startFaultGround('127.0.61');
}, 120_000);
afterAll(() => ground?.close(), 30_000);

/** What a drill does in its redundancy phase. */
async function rejoinAll(): Promise<void> {
  const { controller, target } = ground.live;
  const { primary, replication } = await controller.topology();
  for (const { name } of target.nodes) {
    if (name === primary || (replication[name] ?? '') !== '') continue;
    await controller.rejoin(name, { timeoutMs: 30_000, signal: AbortSignal.timeout(30_000) });
  }
}

contractTests('host', () => ground.live, rejoinAll);

const contextOf = (step: string): FaultContext => ({
  live: ground.live,
  drill: CONTRACT_DRILL,
  label: faultLabel(CONTRACT_DRILL, step),
  memory: memoryInMemory(),
});

const answers = async (): Promise<boolean> => {
  const [n1] = ground.target.nodes;
  if (n1 === undefined) throw new Error('the ground has no node');
  return (await askNode(n1, 1_000)).answered;
};

test('a cut whose guardian, worker and Temporal are all gone ends by the timer that was left on the host', async () => {
  const fault = findFault('host-net-cut');
  const context = contextOf('armed');
  const resolved = await fault.resolve(fault.schema.parse({ node: 'n1' }), context);
  await fault.armOnHost?.(resolved, context, 3_000);
  await fault.inject(resolved, context);
  expect(await answers()).toBe(false);
  // Nobody undoes it.
  await until(async () => ((await answers()) ? true : null), {
    timeoutMs: 15_000,
    onTimeout: () => new Error('the timer never took it off'),
  });
  expect(await fault.confirmGone(resolved, context)).toMatchObject({ holds: true });
}, 40_000);

test('undo takes the timer on the host away with the rules', async () => {
  const fault = findFault('host-net-cut');
  const context = contextOf('timed');
  const host = ground.live.host('n1');
  const mark = markOf(ground.live, 'n1', context.label);
  const resolved = await fault.resolve(fault.schema.parse({ node: 'n1' }), context);
  await fault.armOnHost?.(resolved, context, 60_000);
  expect(await findLeft(host, mark)).toBe(`timer ${mark} still waits`);
  expect((await findRules(ground.live)).map(({ labels }) => labels)).toEqual([[context.label]]);
  await fault.inject(resolved, context);
  await fault.undo(resolved, context);
  expect(await findLeft(host, mark)).toBeNull();
}, 40_000);

test('rules that nobody holds are found by their label and removed; a stranger’s and another lab’s of the same label stay', async () => {
  const fault = findFault('host-net-cut');
  const context = contextOf('left-behind');
  const host = ground.live.host('n1');
  const rule = (comment: string): readonly string[] => ['-d', '127.0.61.250', '-m', 'comment', '--comment', comment, '-j', 'DROP'];
  const others = [rule('not gameday'), rule(`${context.label}.1.n1`)];
  const iptables = (...argv: string[]) => host.exec(['iptables', '-w', '5', ...argv], { asNode: false, timeoutMs: 5_000 });
  for (const other of others) await iptables('-A', 'INPUT', ...other);
  try {
    await fault.inject(await fault.resolve(fault.schema.parse({ node: 'n1' }), context), context);
    const [stray, ...more] = await findRules(ground.live);
    expect([stray?.labels, more]).toEqual([[context.label], []]);
    await stray?.remove();
    expect(await findRules(ground.live)).toEqual([]);
    expect(await answers()).toBe(true);
    for (const other of others) expect((await iptables('-C', 'INPUT', ...other)).code).toBe(0);
  } finally {
    for (const other of others) await iptables('-D', 'INPUT', ...other);
    await passPackets(host, markOf(ground.live, 'n1', context.label));
  }
}, 40_000);

/** Of this machine everything but iptables: a host as new distributions make it. */
function withoutIptables(host: Host, dir: string): Host {
  const dirs = (process.env['PATH'] ?? '').split(':').filter((each) => each !== '' && existsSync(each));
  for (const program of dirs.flatMap((each) => readdirSync(each).map((name) => join(each, name))))
    if (!/^(ip6?tables|xtables)/.test(basename(program)) && !existsSync(join(dir, basename(program))))
      symlinkSync(program, join(dir, basename(program)));
  return new Proxy(host, {
    get: (inner, name) =>
      name === 'exec'
        ? (argv: readonly string[], options: Parameters<Host['exec']>[1]) => inner.exec(['env', `PATH=${dir}`, ...argv], options)
        : (Reflect.get(inner, name) as unknown),
  });
}

describe('on a host that has nft and no iptables', () => {
  let dir: string;
  let live: LiveTarget;
  beforeAll(() => {
    dir = mkdtempSync(join(tmpdir(), 'gd-path-'));
    const host = withoutIptables(ground.live.host('n1'), dir);
    live = { ...ground.live, host: (name) => (name === 'n1' ? host : ground.live.host(name)) };
  });
  afterAll(() => rmSync(dir, { recursive: true, force: true }));

  test('a table of its own drops the packets; undo deletes it and no other, twice and without inject', async () => {
    const fault = findFault('host-net-cut');
    const context = { ...contextOf('by-nft'), live };
    const settings = fault.schema.parse({ node: 'n1' });
    const host = live.host('n1');
    const nft = (...argv: string[]) => host.exec(['nft', ...argv], { asNode: false, timeoutMs: 5_000 });
    expect(await fault.ready(settings, context)).toMatchObject([{ ok: true, found: 'nft answers' }, { ok: true }]);
    const handle = await fault.resolve(settings, context);
    expect(fault.preview(handle)).toMatch(/by nft on its host$/);
    const { mark } = handle as { mark: string };
    const neighbour = `${context.label}.1.n1`;
    await nft('add', 'table', 'inet', neighbour);
    try {
      await fault.undo(handle, context);
      await fault.armOnHost?.(handle, context, 60_000);
      await fault.inject(handle, context);
      await fault.inject(handle, context);
      expect((await nft('list', 'table', 'inet', mark)).stdout.match(/ drop /g)).toHaveLength(6);
      expect(await fault.confirm(handle, context)).toMatchObject({ holds: true });
      expect((await findRules(live)).map(({ labels }) => labels)).toEqual([[context.label]]);
      await fault.undo(handle, context);
      await fault.undo(handle, context);
      expect(await fault.confirmGone(handle, context)).toMatchObject({ holds: true });
      expect((await nft('list', 'tables')).stdout).toContain(`table inet ${neighbour}`);
    } finally {
      await nft('delete', 'table', 'inet', neighbour);
      await passPackets(host, mark);
    }
  }, 40_000);

  test.each([
    ['the timer on the host', 3_000, async () => undefined],
    [
      'what a person types',
      60_000,
      async (lines: readonly string[]) => void (await Promise.all(lines.map((line) => run(['sh', '-c', line], { timeoutMs: 10_000 })))),
    ],
  ])(
    'it comes off by %s alone',
    async (_, maxMs, act) => {
      const fault = findFault('host-net-cut');
      const context = { ...contextOf('nft-alone'), live };
      const handle = await fault.resolve(fault.schema.parse({ node: 'n1' }), context);
      await fault.armOnHost?.(handle, context, maxMs);
      await fault.inject(handle, context);
      expect(await answers()).toBe(false);
      await act(fault.manualUndo(handle, live.target));
      await until(async () => ((await fault.confirmGone(handle, context)).holds ? true : null), {
        timeoutMs: 15_000,
        onTimeout: () => new Error('the table still stands'),
      });
    },
    40_000,
  );
});

test('where others share the node’s address they go on answering, while the node falls silent', async () => {
  const shared = '127.0.61.201';
  const [n1, n2] = ground.target.nodes;
  if (n1 === undefined || n2 === undefined) throw new Error('the ground has too few nodes');
  const target = {
    ...ground.target,
    links: null,
    nodes: [
      { ...n1, host: shared, port: 5432 },
      { ...n2, host: shared, port: 5433 },
    ],
  };
  const host = ground.live.host('n1');
  const mark = markOf(ground.live, 'n1', faultLabel(CONTRACT_DRILL, 'shared'));
  const servers = target.nodes.map(({ port }) =>
    createServer((socket) => socket.on('error', () => undefined).end('S')).listen(port, shared),
  );
  await Promise.all(servers.map((server) => once(server, 'listening')));
  const ask = (): Promise<readonly boolean[]> => Promise.all(target.nodes.map(async (node) => (await askNode(node, 1_000)).answered));
  try {
    expect(await ask()).toEqual([true, true]);
    await dropPackets(host, await requireFilter(ground.live, 'n1'), mark, rulesOf(target, 'n1', 'both'));
    expect(await ask()).toEqual([false, true]);
    // Undo and the timer on the host may come at the same moment.
    await Promise.all([passPackets(host, mark), passPackets(host, mark)]);
    expect(await ask()).toEqual([true, true]);
  } finally {
    await passPackets(host, mark);
    for (const server of servers) server.close();
  }
}, 40_000);

test('without its synchronous standbys the primary keeps commits waiting, and they come through when the standbys are back', async () => {
  const fault = findFault('sync-standby-loss');
  const context = contextOf('waits');
  const resolved = await fault.resolve(fault.schema.parse({}), context);
  await fault.inject(resolved, context);
  let done = false;
  const { primary } = await ground.live.controller.topology();
  const commit = ground.live
    .sql(primary ?? '', 'probe', (sql) => sql.query('CREATE TABLE gameday.waited ()'))
    .then(
      () => 'committed',
      () => 'gave up',
    )
    .finally(() => (done = true));
  await until(
    async () => {
      const rows = await ground.live.sql(primary ?? '', 'operate', (sql) =>
        sql.query(`SELECT count(*)::text AS n FROM pg_stat_activity WHERE wait_event = 'SyncRep'`),
      );
      return rows[0]?.['n'] === '1' ? true : null;
    },
    { timeoutMs: 4_000, onTimeout: () => new Error('no commit waits') },
  );
  expect(done).toBe(false);
  await fault.undo(resolved, context);
  expect(await commit).toBe('committed');
  expect(await fault.confirmGone(resolved, context)).toMatchObject({ holds: true });
}, 40_000);
