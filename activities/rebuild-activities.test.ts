/** Pre-flight of rebuilds: who can make a standby anew at all, and whether a second data directory has room. */
import { dirname } from 'node:path';
import type { PlanStep } from '../model/plan';
import type { LiveTarget, Topology } from '../targets/ports';
import { samplePlan } from '../test/sample-plan';
import { rebuildChecks } from './rebuild-activities';

const REBUILD: PlanStep = { kind: 'rebuild', id: 'anew', title: 'anew', node: 'n2', timeoutMs: 1_000 };
const WAIT: PlanStep = { kind: 'wait', id: 'wait', title: 'w', wait: { kind: 'for', ms: 1_000 } };
const GB = 1024 ** 3;
const topology = { primary: 'n1' } as Topology;

/** `free`: beside the data directories, of each node or of all. */
function liveWith({ kind, free }: { readonly kind: string; readonly free: number | { readonly [node: string]: number } }): LiveTarget {
  const plan = samplePlan([]);
  const besides = plan.target.nodes.map(({ dataDir }) => dirname(dataDir));
  return {
    target: plan.target,
    controller: { kind, ...(kind === 'standalone' ? { rebuild: () => Promise.reject(new Error('not asked')) } : {}) },
    host: (name: string) => ({
      freeBytes: async (path: string) => {
        const bytes = besides.includes(path) ? (typeof free === 'number' ? free : free[name]) : 0;
        return bytes ?? Promise.reject(new Error(`${name} is away`));
      },
    }),
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

test('a word may mean any standby when the step runs, and behind a failover any node: each needs the room', async () => {
  const word: PlanStep = { ...REBUILD, node: 'any-replica' };
  const failover: PlanStep = { kind: 'failover', id: 'fo', title: 'fo', candidate: null, timeoutMs: 1_000 };
  const kind = 'standalone';
  const free = { n1: 1, n2: 100 * GB };
  const rooms = async (steps: readonly PlanStep[]) =>
    (await checked(steps, { kind, free })).slice(1).map(({ name, ok }) => [name.slice(-2), ok]);
  expect(await rooms([word])).toEqual([
    ['n2', true],
    ['n3', false],
  ]);
  expect(await rooms([failover, word])).toEqual([
    ['n1', false],
    ['n2', true],
    ['n3', false],
  ]);
});

test('no target but a lab gets the configuration that a standby made anew is given', async () => {
  const plan = samplePlan([REBUILD]);
  const staging = { ...plan, target: { ...plan.target, kind: 'staging' as const } };
  const live = liveWith({ kind: 'standalone', free: 100 * GB });
  expect(await rebuildChecks({ plan: staging, live, topology })).toMatchObject([
    { ok: false, found: expect.stringContaining('is no lab') },
  ]);
});
