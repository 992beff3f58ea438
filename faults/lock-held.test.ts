/** Settings and handle of lock-held; who waits behind it is tried in test/live/faults-data.test.ts. */
import { lockHeld } from './lock-held';
import { paperContext } from './paper-target.test-data';

const resolve = (settings: object) => lockHeld.resolve(lockHeld.schema.parse(settings), paperContext('migration'));

test('without settings a table of the drill’s own is locked against everybody, and no node is hurt', async () => {
  const resolved = await resolve({});
  expect(resolved).toMatchObject({ node: 'n1', mode: 'access exclusive', table: 'victim_drill_000042_migration', own: { rows: 1 } });
  expect(lockHeld.reach(resolved)).toEqual({ nodes: [] });
});

test('the prober’s table is named by the drill, as the prober does; then the primary’s clients wait', async () => {
  const resolved = await resolve({ table: 'probe', mode: 'share' });
  expect(resolved).toMatchObject({ table: 'probe_drill_000042', own: null, mode: 'share' });
  expect(lockHeld.reach(resolved)).toEqual({ nodes: ['n1'] });
  expect(lockHeld.preview(resolved)).toBe('lock gameday.probe_drill_000042 on n1 in share mode');
});

test.each([{ mode: 'row share' }, { table: 'customers' }, { node: 'n1' }])('%j is refused', (settings) => {
  expect(lockHeld.schema.safeParse(settings).success).toBe(false);
});
