/** The guardian as a process of its own over a real Toxiproxy and real PostgreSQL: crashes, expiry, late calls, and a Toxiproxy that hangs. */
import type { Socket } from 'node:net';
import { Client } from 'pg';
import { until } from '../../core/clock';
import { findChainBreak } from '../../core/event-chain';
import { processState, signal } from '../../core/process';
import { resolveSecret } from '../../core/secrets';
import { faultLabel } from '../../faults/contract';
import { askPast, askThrough } from '../../faults/link-traffic';
import { findFault } from '../../faults/registry';
import { memoryInMemory } from '../../faults/paper-target.test-data';
import type { JsonObject } from '../../model/json';
import { requireLinks } from '../../faults/resolve-links';
import { startFaultGround, type FaultGround } from './fault-ground';

const NET = '127.0.87';
let ground: FaultGround;
let run = 0;
beforeAll(async () => {
  ground = await startFaultGround(NET);
}, 90_000);
afterAll(() => ground?.close(), 30_000);
beforeEach(() => (run += 1));

const keyOf = (step: string) => ({ workflowId: 'drill/guardian-test', runId: `run-${run}`, step });
const link = () => {
  const found = ground.live.links?.find('n2', 'n1') ?? null;
  if (found === null) throw new Error('no link n2-n1');
  return found;
};
/** The quickest of five, which load disturbs least. */
const throughMs = async (): Promise<number> => {
  let quickest = Infinity;
  for (let n = 0; n < 5; n += 1) {
    const trip = await askThrough(link(), 3_000);
    if (trip.answered) quickest = Math.min(quickest, trip.ms);
  }
  return quickest;
};

async function armed(
  name: string,
  settings: JsonObject,
  options: { readonly step: string; readonly ttlMs?: number },
): Promise<ReturnType<typeof keyOf>> {
  const fault = findFault(name);
  const drill = 'drill-000001';
  const resolved = await fault.resolve(fault.schema.parse(settings), {
    live: ground.live,
    drill,
    label: faultLabel(drill, options.step),
    memory: memoryInMemory(),
  });
  const handle = { fault: name, drill, resolved, preview: fault.preview(resolved), manualUndo: fault.manualUndo(resolved, ground.target) };
  const key = keyOf(options.step);
  await ground.guardian.arm({ key, handle, target: ground.target, ttlMs: options.ttlMs ?? 60_000, maxMs: 60_000 });
  return key;
}

const untilGone = (key: ReturnType<typeof keyOf>) =>
  until(async () => ((await ground.guardian.describe(key))?.state === 'gone' ? true : null), {
    timeoutMs: 15_000,
    onTimeout: () => new Error(`${key.step} is not gone`),
  });

const SLOW = { from: 'any-standby', to: 'primary', latency: '150ms' };

test('latency bites, is proven by bytes, and is proven gone by bytes', async () => {
  const before = await throughMs();
  const key = await armed('link-latency', SLOW, { step: 'slow' });
  const { confirmed } = await ground.guardian.inject(key);
  expect(confirmed).toMatchObject({ holds: true, by: expect.stringContaining('n2-n1') });
  expect(await throughMs()).toBeGreaterThan(before + 120);
  const lease = await ground.guardian.undo({ key, by: 'workflow' });
  expect(lease).toMatchObject({ state: 'gone', endedBy: 'undone', gone: { holds: true } });
  expect(await throughMs()).toBeLessThan(100);
  expect((await requireLinks(ground.live).state(link())).toxics).toEqual([]);
}, 20_000);

test('SIGKILL of the guardian in mid-fault: the next one lets the lease run out and takes the fault off', async () => {
  const key = await armed('link-latency', SLOW, { step: 'orphan', ttlMs: 4_000 });
  await ground.guardian.inject(key);
  await ground.killGuardian();
  await expect(ground.guardian.list()).rejects.toMatchObject({ code: 'guardian_unreachable' });
  expect(await throughMs()).toBeGreaterThan(120);
  await ground.startGuardian();
  await untilGone(key);
  expect(await ground.guardian.describe(key)).toMatchObject({ endedBy: 'expired', gone: { holds: true } });
  expect(await throughMs()).toBeLessThan(100);
  expect(await ground.guardian.renew({ workflowId: key.workflowId, runId: key.runId, ttlMs: 60_000 })).toEqual({
    renewed: [],
    gone: [key],
  });
}, 30_000);

test('an inject that comes after its undo is refused and touches nothing', async () => {
  const key = await armed('link-latency', SLOW, { step: 'late' });
  await ground.guardian.undo({ key, by: 'workflow' });
  await expect(ground.guardian.inject(key)).rejects.toMatchObject({ code: 'lease_gone' });
  const never = keyOf('never-armed');
  await ground.guardian.undo({ key: never, by: 'workflow' });
  await expect(ground.guardian.inject(never)).rejects.toMatchObject({ code: 'lease_gone' });
  expect((await requireLinks(ground.live).state(link())).toxics).toEqual([]);
}, 20_000);

test('a toxic that no lease holds is removed when the guardian starts; a stranger’s stays', async () => {
  const links = requireLinks(ground.live);
  const toxic = (name: string) => ({
    name,
    type: 'latency' as const,
    stream: 'downstream' as const,
    toxicity: 1,
    attributes: { latency: 1, jitter: 0 },
  });
  await links.addToxic(link(), toxic('gd-drill-000099-forgotten'));
  await links.addToxic(link(), toxic('somebody-elses'));
  await ground.killGuardian();
  await ground.startGuardian();
  const names = () => links.state(link()).then((state) => state.toxics.map((each) => each.name));
  await until(async () => ((await names()).includes('gd-drill-000099-forgotten') ? null : true), {
    timeoutMs: 5_000,
    onTimeout: () => new Error('the stray toxic is still there'),
  });
  expect(await names()).toEqual(['somebody-elses']);
  await links.removeToxic(link(), 'somebody-elses');
}, 20_000);

test('Toxiproxy hangs: the undo restarts it, and bytes pass again', async () => {
  const key = await armed('link-cut', { from: 'n2', to: 'primary' }, { step: 'cut' });
  const { confirmed } = await ground.guardian.inject(key);
  expect(confirmed.holds).toBe(true);
  const hung = ground.toxiproxy();
  signal(hung, 'SIGSTOP');
  await until(() => (processState(hung) === 'T' ? true : null), { timeoutMs: 2_000, onTimeout: () => new Error('Toxiproxy did not stop') });
  const start = Date.now();
  const lease = await ground.guardian.undo({ key, by: 'workflow' });
  expect(lease).toMatchObject({ state: 'gone', gone: { holds: true } });
  expect(Date.now() - start).toBeLessThan(15_000);
  expect(ground.toxiproxy().pid).not.toBe(hung.pid);
  expect(await throughMs()).toBeLessThan(100);
  const events = await ground.guardian.events({ drill: 'drill-000001' });
  expect(events.map((event) => event.kind)).toContain('proxy-restarted');
  expect(findChainBreak(events)).toBeNull();
}, 40_000);

test('Toxiproxy locks up by itself when a toxic is removed under load to a black hole: the undo restarts it, every link is restored', async () => {
  // A client that asks for much and never reads: Toxiproxy blocks writing to it, and removing the toxic waits for that for ever (toxiproxy#558).
  const { user, password } = ground.target.roles.probe;
  const hole = new Client({
    host: link().listenHost,
    port: link().listenPort,
    user,
    password: password === null ? '' : resolveSecret(password),
    database: 'gameday',
  });
  hole.on('error', () => undefined);
  await hole.connect();
  const key = await armed('link-latency', SLOW, { step: 'locked' });
  expect((await ground.guardian.inject(key)).confirmed.holds).toBe(true);
  const asked = hole.query("SELECT repeat('x', 1000) FROM generate_series(1, 1000000)").catch(() => undefined);
  (hole as unknown as { connection: { stream: Socket } }).connection.stream.pause();
  const before = ground.toxiproxy();
  const blocked = () =>
    ground.live.sql('n1', 'observe', (sql) => sql.query("SELECT 1 AS one FROM pg_stat_activity WHERE wait_event = 'ClientWrite'"));
  await until(async () => ((await blocked()).length > 0 ? true : null), {
    timeoutMs: 10_000,
    onTimeout: () => new Error('no back-pressure'),
  });

  const lease = await ground.guardian.undo({ key, by: 'workflow' });
  expect(lease).toMatchObject({ state: 'gone', gone: { holds: true } });
  expect(ground.toxiproxy().pid).not.toBe(before.pid);
  for (const each of requireLinks(ground.live).list()) {
    expect(await requireLinks(ground.live).state(each)).toEqual({ exists: true, enabled: true, toxics: [] });
    if ((await askPast(each, 2_000)).answered) expect((await askThrough(each, 2_000)).answered).toBe(true);
  }
  const said = (await ground.guardian.events({ drill: 'drill-000001' })).filter((event) => event.step === 'locked');
  expect(said.map((event) => event.kind)).toEqual(expect.arrayContaining(['proxy-restarted', 'gone']));
  await hole.end().catch(() => undefined);
  await asked;
}, 60_000);

test('halting heals everything, newest first, and stands until it is released', async () => {
  const first = await armed('link-latency', SLOW, { step: 'one' });
  const second = await armed('link-latency', { ...SLOW, from: 'n3' }, { step: 'two' });
  await ground.guardian.inject(first);
  await ground.guardian.inject(second);
  const { leases } = await ground.guardian.haltAll({ by: 'ann', reason: 'a real incident' });
  expect(leases.map((lease) => [lease.key.step, lease.state, lease.endedBy])).toEqual([
    ['two', 'gone', 'halted'],
    ['one', 'gone', 'halted'],
  ]);
  await expect(armed('noop', {}, { step: 'three' })).rejects.toMatchObject({ code: 'halt_standing' });
  await ground.guardian.release({ by: 'ann', reason: 'over' });
  const third = await armed('noop', {}, { step: 'three' });
  expect((await ground.guardian.inject(third)).confirmed.holds).toBe(true);
  await ground.guardian.undo({ key: third, by: 'workflow' });
}, 40_000);
