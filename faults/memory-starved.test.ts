/** Settings of memory-starved; the starving itself is tried in test/live/faults-resources.test.ts. */
import { memoryStarved } from './memory-starved';
import { groupContext } from './node-cgroup.test-data';

test('a limit that nothing could live in, or that no proof could fill, is refused', () => {
  for (const limit of ['31MB', '513MB', '0', 'little', 64])
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
