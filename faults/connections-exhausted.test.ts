/** Settings and handle of connections-exhausted; the refused client is tried in test/live/faults-data.test.ts. */
import { connectionsExhausted } from './connections-exhausted';
import { paperContext } from './paper-target.test-data';

test('without settings the primary is filled up to the last connection', async () => {
  const context = paperContext('fill');
  const resolved = await connectionsExhausted.resolve(connectionsExhausted.schema.parse({}), context);
  expect(resolved).toEqual({ node: 'n1', leave: 0, label: 'gd-drill-000042-fill' });
  expect(connectionsExhausted.preview(resolved)).toBe('open sessions on n1 until no ordinary connections are left');
  expect(connectionsExhausted.manualUndo(resolved, context.live.target)[0]).toContain(
    `user=gameday_operate dbname=gameday' -1 -c 'SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = '\\''gd-drill-000042-fill'\\'''`,
  );
});

test('a step whose label PostgreSQL would cut is refused, with the length that fits', async () => {
  const context = paperContext('x'.repeat(60));
  await expect(connectionsExhausted.resolve(connectionsExhausted.schema.parse({}), context)).rejects.toMatchObject({
    code: 'fault_refused',
    hint: expect.stringContaining('at most 47 characters'),
  });
});

test.each([{ leave: -1 }, { leave: 51 }, { leave: 1.5 }, { seats: 1 }, { node: '' }])('%j is refused', (settings) => {
  expect(connectionsExhausted.schema.safeParse(settings).success).toBe(false);
});
