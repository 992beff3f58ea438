/** Faults of servers and hosts, on real servers: the contract of each, and what each promises by itself. */
import { until } from '../../core/clock';
import { faultLabel, type FaultContext } from '../../faults/contract';
import { askNode } from '../../faults/link-traffic';
import { memoryInMemory } from '../../faults/paper-target.test-data';
import { findRules, passPackets } from '../../faults/packet-filter';
import { findFault } from '../../faults/registry';
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

test('rules that nobody holds are found by their label and removed; a stranger’s stay', async () => {
  const fault = findFault('host-net-cut');
  const context = contextOf('left-behind');
  const host = ground.live.host('n1');
  const stranger = ['-d', '127.0.61.250', '-m', 'comment', '--comment', 'not gameday', '-j', 'DROP'];
  const iptables = (...argv: string[]) => host.exec(['iptables', '-w', '5', ...argv], { asNode: false, timeoutMs: 5_000 });
  await iptables('-A', 'INPUT', ...stranger);
  try {
    await fault.inject(await fault.resolve(fault.schema.parse({ node: 'n1' }), context), context);
    const [stray, ...more] = await findRules(ground.live);
    expect([stray?.labels, more]).toEqual([[context.label], []]);
    await stray?.remove();
    expect(await findRules(ground.live)).toEqual([]);
    expect(await answers()).toBe(true);
    expect((await iptables('-C', 'INPUT', ...stranger)).code).toBe(0);
  } finally {
    await iptables('-D', 'INPUT', ...stranger);
    await passPackets(host, context.label);
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
