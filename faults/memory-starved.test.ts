/** Settings of memory-starved and when its proof ends; the starving itself is tried in test/live/faults-resources.test.ts. */
import type { Host } from '../targets/ports';
import type { FaultContext } from './contract';
import { memoryStarved } from './memory-starved';
import { groupContext } from './node-cgroup.test-data';

test('a limit that nothing could live in, or that no proof could fill, is refused', () => {
  for (const limit of ['31MB', '257MB', '0', 'little', 64])
    expect(memoryStarved.schema.safeParse({ node: 'n2', limit }).success).toBe(false);
  expect(memoryStarved.schema.safeParse({ node: 'n2', limit: '64MB', kill: true }).success).toBe(false);
});

test('the manual undo lifts the limit first: whoever waits for memory could not leave otherwise', async () => {
  const context = groupContext('starve', 1);
  const resolved = await memoryStarved.resolve(memoryStarved.schema.parse({ node: 'primary', limit: '64MB' }), context);
  expect(resolved).toMatchObject({ limitBytes: 67_108_864, group: { node: 'n1', dir: '/cg/memory/pg/gd-drill-000042-starve.77.n1' } });
  expect(memoryStarved.preview(resolved)).toBe('leave n1 64.0 MB of memory besides what it holds');
  expect(memoryStarved.manualUndo(resolved, context.live.target)[0]).toContain(
    'then echo -1 >/cg/memory/pg/gd-drill-000042-starve.77.n1/memory.limit_in_bytes; for round in',
  );
  const v2 = groupContext('starve', 2);
  const unified = await memoryStarved.resolve(memoryStarved.schema.parse({ node: 'n1', limit: '64MB' }), v2);
  expect(memoryStarved.manualUndo(unified, v2.live.target)[0]).toMatch(/then echo max >.*memory.high; for round in/);
});

/** The paper host with the node in the group, which is held back as often as `failures` says; its session ends as `query` does. */
function fillContext(failures: () => number, query: () => Promise<[]>): FaultContext {
  const context = groupContext('starve', 1);
  const inner = context.live.host('n2');
  const host: Host = {
    ...inner,
    readFile: async (path) => (path.endsWith('/memory.failcnt') ? `${failures()}\n` : inner.readFile(path)),
    exec: async () => ({ code: 0, stdout: '4242 9:memory:/pg/gd-drill-000042-starve.77.n2\n', stderr: '' }),
  };
  const sql: FaultContext['live']['sql'] = async (_node, _purpose, work) => work({ query });
  return { ...context, live: { ...context.live, host: () => host, sql } };
}

const proveStarved = async (context: FaultContext) =>
  memoryStarved.confirm(await memoryStarved.resolve(memoryStarved.schema.parse({ node: 'n2', limit: '256MB' }), context), context);

test('a session that was cut off goes on filling: the proof waits until the group is held back', async () => {
  let reads = 0;
  const cut = (): Promise<[]> => Promise.reject(new Error('Query read timeout'));
  const failures = (): number => (++reads > 4 ? 12 : 7);
  expect(await proveStarved(fillContext(failures, cut))).toMatchObject({ holds: true, facts: { heldBack: 5 } });
});

test('a file that was written whole without the group being held back proves nothing, at once', async () => {
  const whole = async (): Promise<[]> => [];
  expect(await proveStarved(fillContext(() => 7, whole))).toMatchObject({ holds: false, facts: { heldBack: 0 } });
});
