/** Settings of link-reset; resets are seen in test/live/faults.test.ts. */
import { linkReset } from './link-reset';
import { paperContext } from './paper-target.test-data';

test.each([
  [{}, 'client-router: reset every connection at its next answer (answers only)'],
  [{ after: '2s' }, 'client-router: reset every connection 2.00 s after its next answer (answers only)'],
])('%j', async (more, preview) => {
  const resolved = await linkReset.resolve(linkReset.schema.parse({ from: 'client', to: 'router', ...more }), paperContext('reset'));
  expect(linkReset.preview(resolved)).toBe(preview);
  expect(linkReset.reach(resolved)).toEqual({ nodes: [] });
});

test('a life longer than a proof can wait for is no reset', () => {
  expect(linkReset.schema.safeParse({ from: 'client', to: 'router', after: '12s' }).success).toBe(true);
  expect(linkReset.schema.safeParse({ from: 'client', to: 'router', after: '13s' }).success).toBe(false);
});
