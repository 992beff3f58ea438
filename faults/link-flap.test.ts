/** Settings and toxics of link-flap; it is watched in test/live/faults.test.ts. */
import { linkFlap } from './link-flap';
import { paperContext } from './paper-target.test-data';

test('both directions flap unless said otherwise', async () => {
  const context = paperContext('flap');
  const resolved = await linkFlap.resolve(linkFlap.schema.parse({ from: 'n2', to: 'n1' }), context);
  expect(linkFlap.preview(resolved)).toBe('n2-n1: silent for 2.00 s, well for 5.00 s, again and again');
  expect(linkFlap.manualUndo(resolved, context.live.target)).toHaveLength(4);
});

test.each([{ up: '100ms' }, { down: '2m' }, { down: '2' }])('refuses %j', (more) => {
  expect(linkFlap.schema.safeParse({ from: 'n2', to: 'n1', ...more }).success).toBe(false);
});

test('what nobody holds is confirmed by nobody', async () => {
  const context = paperContext('flap');
  const resolved = await linkFlap.resolve(linkFlap.schema.parse({ from: 'n2', to: 'n1' }), context);
  expect(await linkFlap.confirm({ ...resolved, links: [] }, context)).toMatchObject({ holds: false, by: 'nothing is held' });
});
