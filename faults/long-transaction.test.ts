/** Settings and handle of long-transaction; the idle transaction is tried in test/live/faults-data.test.ts. */
import { longTransaction } from './long-transaction';
import { paperContext } from './paper-target.test-data';

const resolve = (settings: object) => longTransaction.resolve(longTransaction.schema.parse(settings), paperContext('forgotten'));

test('on the primary it holds a row of a table of its own, on a standby a snapshot alone', async () => {
  expect(await resolve({})).toMatchObject({
    node: 'n1',
    label: 'gd-drill-000042-forgotten',
    table: { table: 'victim_drill_000042_forgotten' },
  });
  const standby = await resolve({ node: 'any-standby' });
  expect(standby).toEqual({ node: 'n2', label: 'gd-drill-000042-forgotten', table: null });
  expect(longTransaction.preview(standby)).toBe('leave a transaction idle on n2, with a snapshot');
});

test('undo by hand ends the session by its name', async () => {
  const { live } = paperContext('forgotten');
  expect(longTransaction.manualUndo(await resolve({}), live.target)[0]).toContain('gd-drill-000042-forgotten');
});

test('unknown settings are refused', () => {
  expect(longTransaction.schema.safeParse({ minutes: 5 }).success).toBe(false);
});
