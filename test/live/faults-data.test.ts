/** Faults of sessions, rows, credentials and the archive, on real servers: the contract of each, and what each promises by itself. */
import { join } from 'node:path';
import { until } from '../../core/clock';
import { probeTableName } from '../../core/ids';
import { callRpc } from '../../core/rpc';
import { examineVictim } from '../../faults/accident';
import { faultLabel, type FaultContext } from '../../faults/contract';
import { sqlState } from '../../faults/labelled-sessions';
import { memoryInMemory } from '../../faults/paper-target.test-data';
import { findFault } from '../../faults/registry';
import { findPrimary } from '../../faults/resolve-node';
import { STRAY_FINDERS } from '../../faults/strays';
import type { JsonObject } from '../../model/json';
import type { ArchiverStatus } from '../../targets/archives/native-archiver';
import type { ArchiveDoor } from '../../targets/ports';
import { startArchiveGround } from './archive-ground';
import { contractTests, CONTRACT_DRILL } from './fault-contract';
import type { FaultGround } from './fault-ground';

let ground: FaultGround;
beforeAll(async () => {
  ground = await startArchiveGround('127.0.62');
  // As the prober of this drill would have made it.
  await ground.live.sql('n1', 'probe', (sql) => sql.query(`CREATE TABLE gameday.${probeTableName(CONTRACT_DRILL)} (stream int)`));
}, 120_000);
afterAll(() => ground?.close(), 30_000);

contractTests('data', () => ground.live);

interface Standing {
  readonly resolved: JsonObject;
  readonly facts: JsonObject;
  readonly context: FaultContext;
  readonly undo: () => Promise<void>;
  readonly gone: () => Promise<boolean>;
}

async function inject(name: string, settings: JsonObject, step: string): Promise<Standing> {
  const fault = findFault(name);
  const context = { live: ground.live, drill: CONTRACT_DRILL, label: faultLabel(CONTRACT_DRILL, step), memory: memoryInMemory() };
  const resolved = await fault.resolve(fault.schema.parse(settings), context);
  const facts = await fault.inject(resolved, context);
  return {
    resolved,
    facts,
    context,
    undo: () => fault.undo(resolved, context),
    gone: async () => (await fault.confirmGone(resolved, context)).holds,
  };
}

const door = (): ArchiveDoor => {
  const found = ground.live.archive?.door;
  if (found === undefined) throw new Error('the ground has no archive');
  return found;
};

/** Archives what was written up to now; returns the segment's name. */
async function switchWal(): Promise<string> {
  const rows = await ground.live.sql(await findPrimary(ground.live), 'operate', (sql) =>
    sql.query(`SELECT pg_logical_emit_message(false, 'gameday', 'x'), pg_walfile_name(pg_switch_wal()) AS segment`),
  );
  return rows[0]?.['segment'] ?? '';
}

test('a connection that somebody lets go is taken at once', async () => {
  let letGo = (): void => undefined;
  const released = new Promise<void>((resolve) => (letGo = resolve));
  const theirs = ground.live.sql('n2', 'probe', () => released);
  const { undo, gone } = await inject('connections-exhausted', { node: 'n2' }, 'greedy');
  letGo();
  await theirs;
  const connect = (): Promise<string | null> => ground.live.sql('n2', 'probe', async () => null).catch(sqlState);
  await until(async () => ((await connect()) === '53300' ? true : null), {
    timeoutMs: 5_000,
    everyMs: 300,
    onTimeout: () => new Error('the connection stayed free'),
  });
  await undo();
  expect(await gone()).toBe(true);
}, 20_000);

test('a mass update leaves what a restore needs: its transaction, and a digest that tells a whole table from a spoiled one', async () => {
  const { facts, undo } = await inject('mass-update', { rows: 20 }, 'oops');
  expect(facts).toMatchObject({
    table: 'gameday.victim_drill_000042_oops',
    timeline: 1,
    rows: 20,
    xid: expect.stringMatching(/^[0-9]+$/),
    lsnAfter: expect.stringMatching(/^[0-9A-F]+\/[0-9A-F]+$/),
  });
  const node = await findPrimary(ground.live);
  const look = (): Promise<unknown> => ground.live.sql(node, 'probe', (sql) => examineVictim(sql, facts));
  const status = await ground.live.sql(node, 'probe', (sql) =>
    sql.query('SELECT pg_xact_status($1::xid8) AS status', [facts['xid'] as string]),
  );
  expect([status, await look()]).toEqual([[{ status: 'committed' }], { whole: false, table: facts['table'], rows: 20 }]);
  await undo();
  expect(await look()).toMatchObject({ whole: true });
}, 20_000);

test('PostgreSQL’s archiver is told 503 while the store says so, and loses nothing', async () => {
  const { undo, gone } = await inject('archive-unavailable', { how: 'error-503' }, 'overloaded');
  const segment = await switchWal();
  const status = (): Promise<ArchiverStatus> =>
    callRpc<ArchiverStatus>(join(ground.target.runDir, 'archiver.sock'), 'status', null, {
      timeoutMs: 2_000,
      unreachable: 'store_unreachable',
    });
  await until(async () => ((await status()).nodes.some((node) => node.lastError?.includes('503') === true) ? true : null), {
    timeoutMs: 15_000,
    everyMs: 200,
    onTimeout: () => new Error('the archiver met no 503'),
  });
  expect(await ground.live.archive?.holds(segment)).toBe(false);
  await undo();
  expect(await gone()).toBe(true);
  await until(async () => ((await ground.live.archive?.holds(segment)) === true ? true : null), {
    timeoutMs: 20_000,
    everyMs: 200,
    onTimeout: () => new Error(`${segment} was not archived`),
  });
}, 60_000);

test('an audit of the archive sees a lost part of its backup, and nothing once it is back', async () => {
  const { undo } = await inject('archive-object-lost', { object: 'backup' }, 'lifecycle');
  const backup = async (): Promise<boolean | undefined> =>
    (await ground.live.archive?.audit())?.find((check) => check.name === 'base backup')?.ok;
  expect(await backup()).toBe(false);
  await undo();
  expect(await backup()).toBe(true);
});

test('a version that somebody else put on top stays on top', async () => {
  const { resolved, undo, gone } = await inject('archive-object-corrupt', { object: 'newest-wal' }, 'rot');
  const { key, versionId } = resolved as { key: string; versionId: string };
  const good = await door().getVersion(key, versionId);
  await door().putLabelled(key, good ?? Buffer.alloc(0), 'somebody else');
  const [theirs] = await door().versions(key);
  await undo();
  expect(await gone()).toBe(true);
  expect((await door().versions(key)).map((each) => each.id)).toEqual([theirs?.id, versionId]);
  await door().removeVersion(key, theirs?.id ?? '');
});

test('what a guardian left that lost its leases is found in every place by its label, and removed', async () => {
  const left: readonly Standing[] = [
    await inject('long-transaction', {}, 'lost-1'),
    await inject('slot-bloat', { bytes: '16MB' }, 'lost-2'),
    await inject('archive-object-lost', {}, 'lost-3'),
    await inject('archive-object-corrupt', { object: 'backup' }, 'lost-4'),
    await inject('archive-unavailable', { how: 'denied-403' }, 'lost-5'),
    await inject('credentials-rotated', { role: 'replicate' }, 'lost-6'),
  ];
  const found = (await Promise.all(STRAY_FINDERS.map(({ find }) => find(ground.live)))).flat();
  const ours = found.filter((stray) => stray.labels.some((label) => label.includes('-lost-')));
  expect(ours.flatMap((stray) => stray.labels).sort()).toEqual(left.map(({ context }) => context.label).sort());
  for (const stray of ours) await stray.remove();
  // The table of the first is the drill's to clean up; everything else is back by the finders alone.
  await left[0]?.undo();
  for (const { gone, context } of left) expect([context.label, await gone()]).toEqual([context.label, true]);
}, 60_000);
