/**
 * The contract of every fault, on real servers: it bites and is proven to; undo works twice, works when inject never happened, and is proven;
 * inject may be called twice. Besides, what each fault promises by itself.
 */
import { until } from '../../core/clock';
import { cleanUpDrillTables } from '../../faults/drop-table';
import { faultLabel, type FaultContext } from '../../faults/contract';
import { FAULTS, findFault } from '../../faults/registry';
import { findPrimary } from '../../faults/resolve-node';
import type { JsonObject } from '../../model/json';
import { startFaultGround, type FaultGround } from './fault-ground';

const DRILL = 'drill-000042';
let ground: FaultGround;
beforeAll(async () => {
  ground = await startFaultGround('127.0.66');
}, 90_000);
afterAll(() => ground?.close(), 30_000);

const contextOf = (step: string): FaultContext => ({ live: ground.live, drill: DRILL, label: faultLabel(DRILL, step) });

/** What is tried of each fault: every fault must stand here. */
const TRIED: readonly (readonly [string, JsonObject])[] = [
  ['noop', {}],
  ['link-latency', { from: 'standbys', to: 'primary', latency: '100ms', jitter: '10ms' }],
  ['link-latency', { from: 'client', to: 'router', latency: '100ms' }],
  ['link-cut', { from: 'any-standby', to: 'primary' }],
  ['link-cut', { from: 'client', to: 'router', direction: 'up' }],
  ['link-cut', { from: 'n3', to: 'primary', direction: 'down' }],
  ['process-kill', { node: 'n3', scope: 'tree' }],
  ['process-kill', { node: 'primary', scope: 'postmaster' }],
  ['drop-table', { rows: 50 }],
];

test('every fault is tried here', () => {
  expect([...new Set(TRIED.map(([name]) => name))].sort()).toEqual(FAULTS.map((fault) => fault.name).sort());
});

test.each(TRIED.map(([name, settings], n) => ({ name, settings, step: `try-${n}`, what: JSON.stringify(settings) })))(
  '$name $what keeps the contract',
  async ({ name, settings, step }) => {
    const fault = findFault(name);
    const parsed = fault.schema.parse(settings);
    const context = contextOf(step);
    expect((await fault.ready(parsed, context)).filter((check) => !check.ok)).toEqual([]);
    const resolved = await fault.resolve(parsed, context);
    // The handle travels as JSON and must still be enough to undo.
    const handle = JSON.parse(JSON.stringify(resolved)) as JsonObject;
    expect(fault.preview(handle)).not.toBe('');
    expect(fault.manualUndo(handle, ground.target).length).toBeGreaterThan(0);

    await fault.undo(handle, context);
    expect(await fault.confirmGone(handle, context)).toMatchObject({ holds: true });

    await fault.inject(handle, context);
    await fault.inject(handle, context);
    expect(await fault.confirm(handle, context)).toMatchObject({ holds: true });
    if (name !== 'noop') expect(await fault.confirmGone(handle, context).catch(() => ({ holds: false }))).toMatchObject({ holds: false });

    await fault.undo(handle, context);
    await fault.undo(handle, context);
    expect(await fault.confirmGone(handle, context)).toMatchObject({ holds: true });
    if (name !== 'noop') expect((await fault.confirm(handle, context)).holds).toBe(false);
  },
  45_000,
);

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
}, 30_000);

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
