/** The first faults on real servers: the contract of each, and what each promises by itself. */
import { until } from '../../core/clock';
import { cleanUpDrillTables, cleanUpOtherDrills, createAndFill, describeDrillTable } from '../../faults/drill-table';
import { faultLabel, type FaultContext } from '../../faults/contract';
import { findFault } from '../../faults/registry';
import { findPrimary } from '../../faults/resolve-node';
import { memoryInMemory } from '../../faults/paper-target.test-data';
import { evaluateStop } from '../../targets/stop-checks';
import { contractTests, typeIn } from './fault-contract';
import { startFaultGround, type FaultGround } from './fault-ground';

const DRILL = 'drill-000042';
let ground: FaultGround;
beforeAll(async () => {
  ground = await startFaultGround('127.0.66');
}, 90_000);
afterAll(() => ground?.close(), 30_000);

const contextOf = (step: string): FaultContext => ({
  live: ground.live,
  drill: DRILL,
  label: faultLabel(DRILL, step),
  memory: memoryInMemory(),
});

contractTests('basic', () => ground.live);

test('a killed backend makes PostgreSQL restart its processes, on the same postmaster', async () => {
  const fault = findFault('process-kill');
  const context = contextOf('backend');
  const resolved = await fault.resolve(fault.schema.parse({ node: 'primary', scope: 'backend' }), context);
  const session = ground.live.sql('n1', 'probe', (sql) => sql.query('SELECT pg_sleep(4)')).catch(() => null);
  const facts = await waitForSession(() => fault.inject(resolved, context));
  expect(facts).toMatchObject({ killed: 1 });
  expect(await fault.confirm(resolved, context)).toMatchObject({ holds: true });
  await fault.undo(resolved, context);
  expect(await fault.confirmGone(resolved, context)).toMatchObject({ holds: true });
  await session;
}, 60_000);

/** The session above needs a moment to appear; until then the fault says that there is nothing to kill. */
function waitForSession<T>(work: () => Promise<T>): Promise<T> {
  return until(work, { timeoutMs: 4_000, everyMs: 50, onTimeout: (last) => (last instanceof Error ? last : new Error('no session')) });
}

test('a dropped table leaves xid, LSN and timeline of the accident, and clean-up removes the drill’s tables and no other', async () => {
  const fault = findFault('drop-table');
  const context = contextOf('drop-it');
  const node = await findPrimary(ground.live);
  await ground.live.sql(node, 'probe', async (sql) => {
    await sql.query('CREATE TABLE gameday.keep_me (id int)');
    await sql.query('CREATE TABLE gameday.victim_drill_000043_other (id int)');
  });
  const resolved = await fault.resolve(fault.schema.parse({ rows: 10 }), context);
  const facts = await fault.inject(resolved, context);
  expect(facts).toMatchObject({
    table: 'gameday.victim_drill_000042_drop_it',
    primary: node,
    timeline: 1,
    xid: expect.stringMatching(/^[0-9]+$/),
    lsn: expect.stringMatching(/^[0-9A-F]+\/[0-9A-F]+$/),
  });
  const status = await ground.live.sql(node, 'probe', (sql) =>
    sql.query('SELECT pg_xact_status($1::xid8) AS status, ($2::pg_lsn > $3::pg_lsn)::text AS later', [
      facts['xid'] as string,
      facts['lsnAfter'] as string,
      facts['lsnBefore'] as string,
    ]),
  );
  expect(status[0]).toEqual({ status: 'committed', later: 'true' });
  await fault.undo(resolved, context);
  expect(await cleanUpDrillTables(ground.live, DRILL)).toContain('gameday.victim_drill_000042_drop_it');
  expect(await cleanUpDrillTables(ground.live, DRILL)).toEqual([]);
  const left = await ground.live.sql(node, 'probe', (sql) =>
    sql.query(`SELECT tablename FROM pg_tables WHERE schemaname = 'gameday' ORDER BY 1`),
  );
  expect(left.map((row) => row['tablename'])).toEqual(['keep_me', 'victim_drill_000043_other']);
  expect(await cleanUpOtherDrills(ground.live, DRILL)).toEqual(['gameday.victim_drill_000043_other']);
}, 20_000);

test('a link that carries nothing is refused, with the way round that does', async () => {
  const fault = findFault('link-cut');
  await expect(fault.resolve(fault.schema.parse({ from: 'primary', to: 'n2' }), contextOf('backwards'))).rejects.toMatchObject({
    code: 'fault_refused',
    hint: expect.stringContaining('from: n2, to: n1'),
  });
  await expect(fault.resolve(fault.schema.parse({ from: 'client', to: 's3' }), contextOf('nowhere'))).rejects.toMatchObject({
    code: 'fault_refused',
  });
});

test('a frozen primary that lost its role meanwhile never thaws writable: it is killed where it stands and comes back a standby', async () => {
  const fault = findFault('process-freeze');
  const context = contextOf('freeze');
  const node = await findPrimary(ground.live);
  const resolved = await fault.resolve(fault.schema.parse({ node }), context);
  await fault.inject(resolved, context);
  // A transaction that had begun before must not commit after: the session hangs, and breaks.
  const late = ground.live
    .sql(node, 'probe', (sql) => sql.query('CREATE TABLE gameday.too_late ()'))
    .then(
      () => 'committed',
      () => 'broken',
    );
  const { to: primary } = await ground.live.controller.failover({
    token: 'freeze',
    candidate: null,
    timeoutMs: 20_000,
    on: async () => undefined,
    signal: new AbortController().signal,
  });
  expect(primary).not.toBe(node);
  await fault.undo(resolved, context);
  expect(await late).toBe('broken');
  expect(await fault.confirmGone(resolved, context)).toMatchObject({ holds: true, facts: { node, inRecovery: true, writable: [primary] } });
}, 60_000);

test.each([
  { by: 'undo', name: 'process-kill', with: { node: 'n3' } },
  { by: 'hand', name: 'process-kill', with: { node: 'n3' } },
  { by: 'undo', name: 'sync-standby-loss', with: { count: 'all' } },
  { by: 'hand', name: 'sync-standby-loss', with: { count: 'all' } },
])(
  'a kill by $name that was cut off between stopping all and killing them comes off by $by',
  async ({ by, name, with: settings }) => {
    const fault = findFault(name);
    const context = contextOf(`half-killed-${name}-${by}`);
    const resolved = await fault.resolve(fault.schema.parse(settings), context);
    const hosts = fault.reach(resolved).nodes.map((node) => ground.live.host(node));
    const processes = async (): Promise<readonly string[]> =>
      (await Promise.all(hosts.map((host) => host.serverProcesses()))).flat().map(({ pid, startTicks }) => `${pid} ${startTicks}`);
    const before = await processes();
    for (const host of hosts) for (const each of await host.serverProcesses()) expect(await host.signal(each, 'SIGSTOP')).toBe(true);
    expect(
      await fault.confirmGone(resolved, context).then(
        (proof) => proof.holds,
        () => false,
      ),
    ).toBe(false);
    if (by === 'undo') await fault.undo(resolved, context);
    else expect(await typeIn(fault.manualUndo(resolved, ground.live.target))).toEqual({ code: 0, said: '' });
    expect(await fault.confirmGone(resolved, context)).toMatchObject({ holds: true });
    const after = await processes();
    expect(after.length).toBeGreaterThan(hosts.length);
    for (const each of after) expect(before).not.toContain(each);
  },
  90_000,
);

test.each([
  { name: 'mass-update', waits: 'the accident' },
  { name: 'drop-table', waits: 'the accident' },
  { name: 'drop-table', waits: 'the table itself' },
])(
  '$name, where the commit of $waits waits for standbys that are held, is taken off and does not come back with them',
  async ({ name, waits }) => {
    const fault = findFault(name);
    const context = contextOf(`untold-${waits}`);
    const resolved = await fault.resolve(fault.schema.parse({ rows: 10 }), context);
    const primary = await findPrimary(ground.live);
    if (waits === 'the accident') {
      await fault.inject(resolved, context);
      await fault.undo(resolved, context);
    }
    const standbys = ground.live.target.nodes.map((node) => node.name).filter((node) => node !== primary);
    const each = async (word: 'SIGSTOP' | 'SIGCONT'): Promise<void> => {
      for (const node of standbys)
        for (const process of await ground.live.host(node).serverProcesses()) await ground.live.host(node).signal(process, word);
    };
    await each('SIGSTOP');
    try {
      // What a guardian that died in the midst of it has sent, and no more.
      const sent =
        waits === 'the accident'
          ? fault.inject(resolved, context)
          : ground.live.sql(primary, 'probe', (sql) => createAndFill(sql, describeDrillTable(context, 10)));
      const accident = sent.catch(() => null);
      await until(
        async () => {
          const waiting = await ground.live.sql(primary, 'observe', (sql) =>
            sql.query(`SELECT 1 AS n FROM pg_stat_activity WHERE wait_event = 'SyncRep' AND query LIKE 'COMMIT%'`),
          );
          return waiting.length > 0 ? true : null;
        },
        { timeoutMs: 10_000, onTimeout: () => new Error('no commit waits') },
      );
      await fault.undo(resolved, context);
      expect(await fault.confirmGone(resolved, context)).toMatchObject({ holds: true });
      await each('SIGCONT');
      await accident;
      expect(await fault.confirmGone(resolved, context)).toMatchObject({ holds: true });
    } finally {
      await each('SIGCONT');
    }
  },
  60_000,
);

test('a stop condition in SQL is asked of the servers themselves, cannot write, and does not hold where one is silent', async () => {
  const sql = (text: string, expect: string, on: 'primary' | 'every-node') =>
    evaluateStop(ground.live, { kind: 'sql', sql: text, expect, on }, 5_000);
  const node = await findPrimary(ground.live);
  expect(await sql('SELECT pg_is_in_recovery()', 'f', 'primary')).toEqual({ holds: true, found: `${node} says f` });
  expect(await sql('SELECT pg_is_in_recovery()', 'f', 'every-node')).toMatchObject({ holds: false });
  expect((await sql('CREATE TABLE gameday.by_a_check ()', '', 'primary')).holds).toBe(false);
  const fault = findFault('process-freeze');
  const context = contextOf('silent');
  const resolved = await fault.resolve(fault.schema.parse({ node: 'any-standby' }), context);
  await fault.inject(resolved, context);
  try {
    expect((await sql('SELECT 1', '1', 'every-node')).holds).toBe(false);
    expect((await sql('SELECT 1', '1', 'primary')).holds).toBe(true);
  } finally {
    await fault.undo(resolved, context);
  }
  expect((await sql('SELECT 1', '1', 'every-node')).holds).toBe(true);
}, 40_000);
