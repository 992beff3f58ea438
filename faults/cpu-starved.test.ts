/** Settings of cpu-starved and what its proof goes by; the starving itself is tried in test/live/faults-resources.test.ts. */
import type { Host } from '../targets/ports';
import type { FaultContext } from './contract';
import { cpuStarved } from './cpu-starved';
import { groupContext } from './node-cgroup.test-data';

test('a share that could not be proven is refused', () => {
  for (const share of [0, 1, 51, 2.5, '10']) expect(cpuStarved.schema.safeParse({ node: 'n2', share }).success).toBe(false);
  expect(cpuStarved.schema.safeParse({ node: 'n2' }).success).toBe(false);
  expect(cpuStarved.schema.safeParse({ node: 'n2', share: 5, cores: 1 }).success).toBe(false);
});

test('late words become a node, its postmaster and the group that it came from', async () => {
  const resolved = await cpuStarved.resolve(cpuStarved.schema.parse({ node: 'any-standby', share: 5 }), groupContext('starve', 1));
  expect(resolved).toMatchObject({
    share: 5,
    group: { node: 'n2', version: 1, origin: '/cg/cpu/pg', dir: '/cg/cpu/pg/gd-drill-000042-starve.77.n2', postmaster: { pid: 4242 } },
  });
  expect(cpuStarved.preview(resolved)).toBe('leave n2 5 % of one processor core');
  expect(cpuStarved.reach(resolved)).toEqual({ nodes: ['n2'] });
  const [line = '', ...more] = cpuStarved.manualUndo(resolved, groupContext('starve', 1).live.target);
  expect([more, line.includes(`rmdir /cg/cpu/pg/gd-drill-000042-starve.77.n2 `), line.includes('to=/cg/cpu/pg;')]).toEqual([
    [],
    true,
    true,
  ]);
});

/** The paper host with the node in the group; each count takes these many periods and is held back in so many of them. */
function countContext(counts: readonly (readonly [throttled: number, periods: number])[], version: 1 | 2 = 1): FaultContext {
  const context = groupContext('starve', version);
  let [throttled, periods, counted] = [3, 40, 0];
  const inner = context.live.host('n2');
  const where = {
    1: '4242 4:cpu,cpuacct:/pg/gd-drill-000042-starve.77.n2\n',
    2: '4242 0::/system.slice/gd-drill-000042-starve.77.n2@postgresql.service\n',
  };
  const host: Host = {
    ...inner,
    readFile: async (path) =>
      path.endsWith('/cpu.stat') ? `nr_periods ${periods}\nnr_throttled ${throttled}\nthrottled_time 5\n` : inner.readFile(path),
    exec: async () => ({ code: 0, stdout: where[version], stderr: '' }),
  };
  const sql: FaultContext['live']['sql'] = async (_node, _purpose, work) => {
    const [more = 0, of = 0] = counts[counted++] ?? [];
    throttled += more;
    periods += of;
    return work({ query: async () => [] });
  };
  return { ...context, live: { ...context.live, host: () => host, sql } };
}

test.each([
  [[[10, 11]], true, 10],
  [
    [
      [0, 0],
      [4, 30],
      [6, 12],
    ],
    true,
    6,
  ],
  [
    [
      [4, 4],
      [4, 4],
      [4, 4],
      [9, 9],
    ],
    false,
    4,
  ],
  [
    [
      [5, 11],
      [5, 11],
      [5, 11],
    ],
    false,
    5,
  ],
] as const)('counts held back in %j periods: holds %s', async (counts, holds, throttledPeriods) => {
  for (const version of [1, 2] as const) {
    const context = countContext(counts, version);
    const resolved = await cpuStarved.resolve(cpuStarved.schema.parse({ node: 'n2', share: 50 }), context);
    expect(await cpuStarved.confirm(resolved, context)).toMatchObject({ holds, facts: { throttledPeriods } });
  }
});
