/** Faults that take a node's resources away, on real servers: the contract of each, and what each promises by itself. Needs root, as these faults do. */
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { monotonicNs, until } from '../../core/clock';
import { faultLabel, type FaultContext } from '../../faults/contract';
import { memoryInMemory } from '../../faults/paper-target.test-data';
import { findFault } from '../../faults/registry';
import { STRAY_FINDERS } from '../../faults/strays';
import type { JsonObject } from '../../model/json';
import { DRAWN, FULL, tryCrashes } from './drawn';
import { contractTests, CONTRACT_DRILL, crashAfter } from './fault-contract';
import { startFaultGround, type FaultGround } from './fault-ground';

/** Calls that the contract's own crashes reach already. */
const FIRST_TABLE_CALLS = 13;
/** About as many as there are where nothing is waited for. */
const TABLE_CALLS = 24;

let ground: FaultGround;
beforeAll(async () => {
  ground = await startFaultGround('127.0.60', { n2: 400 * 1024 ** 2 });
}, 90_000);
afterAll(() => ground?.close(), 30_000);

contractTests('resources', () => ground.live);

const contextOf = (step: string): FaultContext => ({
  live: ground.live,
  drill: CONTRACT_DRILL,
  label: faultLabel(CONTRACT_DRILL, step),
  memory: memoryInMemory(),
});

async function resolve(name: string, settings: JsonObject, context: FaultContext): Promise<JsonObject> {
  const fault = findFault(name);
  return fault.resolve(fault.schema.parse(settings), context);
}

/** Removes what the finders find of this step; returns it in words. */
async function sweep(step: string): Promise<string[]> {
  const found = (await Promise.all(STRAY_FINDERS.map(({ find }) => find(ground.live)))).flat();
  const ours = found.filter((stray) => stray.labels.includes(faultLabel(CONTRACT_DRILL, step)));
  for (const stray of ours) await stray.remove();
  return ours.map((stray) => stray.what);
}

test('a machine’s own disk is never filled: a node that shares it is refused', async () => {
  const context = contextOf('own-disk');
  await expect(resolve('disk-full', { node: 'primary' }, context)).rejects.toMatchObject({ code: 'fault_refused' });
  const fault = findFault('disk-full');
  expect(await fault.ready(fault.schema.parse({ node: 'n3' }), context)).toMatchObject([
    { ok: false, found: expect.stringContaining('it holds /') },
  ]);
});

test('a standby without room for WAL stops, and undo brings it back to where the primary is', async () => {
  const fault = findFault('disk-full');
  const context = contextOf('no-wal');
  const resolved = await resolve('disk-full', { node: 'n2', where: 'wal' }, context);
  await fault.inject(resolved, context);
  await until(
    async () => {
      await ground.live.sql('n1', 'operate', (sql) => sql.query(`SELECT pg_logical_emit_message(false, 'gameday', 'x'), pg_switch_wal()`));
      return (await streams('n2')) ? null : true;
    },
    { timeoutMs: 20_000, onTimeout: () => new Error('n2 goes on without room') },
  );
  expect(await fault.confirm(resolved, context)).toMatchObject({ holds: true });
  await fault.undo(resolved, context);
  expect(await fault.confirmGone(resolved, context)).toMatchObject({ holds: true, facts: { up: true } });
  await until(async () => ((await streams('n2')) ? true : null), { timeoutMs: 20_000, onTimeout: () => new Error('n2 does not stream') });
}, 60_000);

async function streams(node: string): Promise<boolean> {
  const { replication } = await ground.live.controller.topology();
  return replication[node] !== undefined;
}

test('commits of a primary wait for a slowed disk, and no longer once it is undone', async () => {
  const fault = findFault('disk-slow');
  const context = contextOf('slow-commits');
  const resolved = await resolve('disk-slow', { node: 'primary', iops: 10 }, context);
  const commitMs = async (): Promise<number> => {
    const began = monotonicNs();
    await ground.live.sql('n1', 'probe', (sql) => sql.query(`SELECT pg_logical_emit_message(true, 'gameday', 'x')`));
    return Number(monotonicNs() - began) / 1e6;
  };
  const calmMs = Math.min(await commitMs(), await commitMs());
  await fault.inject(resolved, context);
  const slowMs = Math.max(await commitMs(), await commitMs(), await commitMs());
  await fault.undo(resolved, context);
  const healedMs = Math.min(await commitMs(), await commitMs(), await commitMs());
  expect(slowMs).toBeGreaterThan(calmMs + 50);
  expect(healedMs).toBeLessThan(slowMs / 2);
}, 30_000);

test('a session that wants more memory than there is waits, is not killed, and goes on once it is undone', async () => {
  const fault = findFault('memory-starved');
  const context = contextOf('waits');
  const resolved = await resolve('memory-starved', { node: 'n3', limit: '32MB' }, context);
  const postmaster = await ground.live.host('n3').postmaster();
  let ended = false;
  await fault.inject(resolved, context);
  const session = ground.live
    .sql('n3', 'observe', (sql) => sql.query(`SELECT length(repeat('x', 300000000))::text AS length`))
    .finally(() => (ended = true));
  try {
    const { dir } = resolved['group'] as { dir: string };
    await until(() => (readFileSync(join(dir, 'memory.oom_control'), 'utf8').includes('under_oom 1') ? true : null), {
      timeoutMs: 4_000,
      onTimeout: () => new Error('nobody waits for memory'),
    });
    expect(ended).toBe(false);
  } finally {
    await fault.undo(resolved, context);
  }
  expect(await session).toEqual([{ length: '300000000' }]);
  expect(await ground.live.host('n3').postmaster()).toEqual(postmaster);
  expect(await fault.confirmGone(resolved, context)).toMatchObject({ holds: true });
}, 20_000);

test(`a spoiled page comes off after a crash behind any call from the restart of its standby on${DRAWN}`, async () => {
  const fault = findFault('page-corrupt');
  await tryCrashes('spoiled page', { first: FIRST_TABLE_CALLS, last: FULL ? Number.MAX_SAFE_INTEGER : TABLE_CALLS }, async (n) => {
    const context = contextOf(`spoil-${n}`);
    const resolved = await resolve('page-corrupt', { node: 'n3' }, context);
    const dying = crashAfter(ground.live, n);
    await untilDead(fault.inject(resolved, { ...context, live: dying.live }), dying.crashed);
    await fault.undo(resolved, context);
    expect({ after: n, ...(await fault.confirmGone(resolved, context)) }).toMatchObject({ after: n, holds: true });
    return { crashed: dying.crashed(), calls: dying.calls() };
  });
}, 120_000);

/** Returns when the work ends or its process has died: what waits for an answer then would wait for its whole deadline. */
async function untilDead(work: Promise<unknown>, crashed: () => boolean): Promise<void> {
  const stop = new AbortController();
  const death = until(() => (crashed() ? true : null), {
    timeoutMs: 30_000,
    everyMs: 10,
    signal: stop.signal,
    onTimeout: () => new Error('neither ended nor died'),
  });
  await Promise.race([work.catch(() => undefined), death]).finally(() => stop.abort());
  await death.catch(() => undefined);
}

test('groups and files whose lease is lost are found by their names, of this target and no other, and removed', async () => {
  const context = contextOf('lost');
  const starved = await resolve('cpu-starved', { node: 'n3', share: 20 }, context);
  await findFault('cpu-starved').inject(starved, context);
  const { dir } = starved['group'] as { dir: string };
  const neighbour = join(dirname(dir), basename(dir).replace(ground.target.systemIdentifier, '1'));
  mkdirSync(neighbour);
  const file = join(ground.target.nodes[2]!.dataDir, `pgsql_tmp.${context.label}`);
  writeFileSync(file, '');
  try {
    expect((await sweep('lost')).sort()).toEqual([`control group ${dir}`, `file ${file}`]);
    expect(existsSync(dir) || existsSync(file)).toBe(false);
    expect(existsSync(neighbour)).toBe(true);
    expect(readdirSync(dirname(dir)).filter((name) => name.includes(ground.target.systemIdentifier))).toEqual([]);
    expect(await findFault('cpu-starved').confirmGone(starved, context)).toMatchObject({ holds: true });
  } finally {
    await ground.live.host('n3').exec(['rmdir', neighbour], { asNode: false, timeoutMs: 5_000 });
  }
}, 20_000);

test('a server left under a false clock is found by its environment, and gets its true one back', async () => {
  const fault = findFault('clock-skew');
  const context = contextOf('lost-clock');
  const resolved = await resolve('clock-skew', { node: 'n3', by: '+1h' }, context);
  await fault.inject(resolved, context);
  expect(await sweep('lost-clock')).toEqual([`clock of n3, set by ${context.label}`]);
  expect(await fault.confirmGone(resolved, context)).toMatchObject({ holds: true });
}, 20_000);
