/** Which nodes page-corrupt refuses; the spoiling itself is tried in test/live/faults-resources.test.ts. */
import { HEALTHY, paperContext } from './paper-target.test-data';
import { pageCorrupt } from './page-corrupt';

test('the word primary is refused as a setting, and so is a table of somebody’s choice', () => {
  expect(pageCorrupt.schema.safeParse({ node: 'primary' }).success).toBe(false);
  expect(pageCorrupt.schema.safeParse({ node: 'n2', table: 'accounts' }).success).toBe(false);
});

test('a node that is the primary by name, or is down, is refused', async () => {
  await expect(pageCorrupt.resolve({ node: 'n1' }, paperContext('spoil'))).rejects.toMatchObject({
    code: 'fault_refused',
    message: 'n1 is a primary, whose files are never spoiled',
  });
  const down = HEALTHY.map((node) => (node.node === 'n2' ? { ...node, up: false, inRecovery: null } : node));
  await expect(pageCorrupt.resolve({ node: 'n2' }, paperContext('spoil', down))).rejects.toMatchObject({ code: 'fault_refused' });
});

test('late words become a standby and a table of the drill’s own', async () => {
  const context = paperContext('spoil');
  const resolved = await pageCorrupt.resolve(pageCorrupt.schema.parse({ node: 'any-standby' }), context);
  expect(resolved).toMatchObject({ node: 'n2', table: 'victim_drill_000042_spoil', rows: 500 });
  expect(pageCorrupt.preview(resolved)).toBe(
    'restart n2 and spoil a page of gameday.victim_drill_000042_spoil, a table made for it, in its files',
  );
  expect(pageCorrupt.manualUndo(resolved, context.live.target)[1]).toContain('DROP TABLE IF EXISTS gameday.victim_drill_000042_spoil');
});
