/** Settings of cpu-starved; the starving itself is tried in test/live/faults-resources.test.ts. */
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
