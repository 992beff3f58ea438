/** Pre-flight of rebuilds: who can make a standby anew at all, and whether a second data directory has room. */
import type { PlanStep } from '../model/plan';
import type { LiveTarget, Topology } from '../targets/ports';
import { samplePlan } from '../test/sample-plan';
import { rebuildChecks } from './rebuild-activities';

const REBUILD: PlanStep = { kind: 'rebuild', id: 'anew', title: 'anew', node: 'n2', timeoutMs: 1_000 };
const WAIT: PlanStep = { kind: 'wait', id: 'wait', title: 'w', wait: { kind: 'for', ms: 1_000 } };
const GB = 1024 ** 3;
const topology = { primary: 'n1' } as Topology;

function liveWith({ kind, free }: { readonly kind: string; readonly free: number }): LiveTarget {
  const plan = samplePlan([]);
  return {
    target: plan.target,
    controller: { kind, ...(kind === 'standalone' ? { rebuild: () => Promise.reject(new Error('not asked')) } : {}) },
    host: () => ({ freeBytes: () => Promise.resolve(free) }),
    sql: (_node: string, _role: string, work: (sql: unknown) => unknown) =>
      work({ query: () => Promise.resolve([{ bytes: String(10 * GB) }]) }),
  } as unknown as LiveTarget;
}

const checked = (steps: readonly PlanStep[], live: Parameters<typeof liveWith>[0]) =>
  rebuildChecks({ plan: samplePlan(steps), live: liveWith(live), topology });

test('is not asked about where nothing is rebuilt', async () => {
  expect(await checked([WAIT], { kind: 'patroni', free: 0 })).toEqual([]);
});

test('a controller that makes its standbys by its own means is refused', async () => {
  expect(await checked([REBUILD], { kind: 'patroni', free: 100 * GB })).toMatchObject([
    { ok: false, found: 'patroni makes its standbys by its own means alone' },
  ]);
});

test('the new data directory needs room beside the old one', async () => {
  const room = async (free: number): Promise<unknown> => (await checked([REBUILD], { kind: 'standalone', free })).map(({ ok }) => ok);
  expect(await room(100 * GB)).toEqual([true, true]);
  expect(await room(9 * GB)).toEqual([true, false]);
});

test('no target but a lab gets the configuration that a standby made anew is given', async () => {
  const plan = samplePlan([REBUILD]);
  const staging = { ...plan, target: { ...plan.target, kind: 'staging' as const } };
  const live = liveWith({ kind: 'standalone', free: 100 * GB });
  expect(await rebuildChecks({ plan: staging, live, topology })).toMatchObject([
    { ok: false, found: expect.stringContaining('is no lab') },
  ]);
});
