/** The fault that breaks nothing says so at every turn. What it does on a live target is tried in test/live/faults.test.ts. */
import { noop } from './noop';
import { paperContext } from './paper-target.test-data';

test('it takes a note and no other setting', async () => {
  expect(noop.preview(await noop.resolve(noop.schema.parse({ note: 'control run' }), paperContext('s')))).toBe(
    'break nothing (control run)',
  );
  expect(noop.schema.safeParse({ nodes: 'primary' }).success).toBe(false);
  expect(noop.mayLoseWrites({})).toBe(false);
});
