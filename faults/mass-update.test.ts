/** Settings and table of mass-update; the accident itself is tried in test/live/faults-data.test.ts. */
import { massUpdate } from './mass-update';
import { paperContext } from './paper-target.test-data';

test('the table is the drill’s own, and undo by hand computes every row anew', async () => {
  const context = paperContext('oops');
  const resolved = await massUpdate.resolve(massUpdate.schema.parse({ rows: 3 }), context);
  expect(resolved).toMatchObject({ table: 'victim_drill_000042_oops', rows: 3, sha256: expect.stringMatching(/^[0-9a-f]{64}$/) });
  expect(massUpdate.manualUndo(resolved, context.live.target)[0]).toContain(
    'INSERT INTO gameday.victim_drill_000042_oops SELECT id, encode(',
  );
  expect(massUpdate.reach(resolved)).toEqual({ nodes: [] });
});

test('rows have a limit', () => {
  expect(massUpdate.schema.parse({})).toEqual({ rows: 1_000 });
  expect(massUpdate.schema.safeParse({ rows: 0 }).success).toBe(false);
  expect(massUpdate.schema.safeParse({ rows: 1e9 }).success).toBe(false);
});
