/** Settings, resolved links and directions of link-cut; silence is measured in test/live/faults.test.ts. */
import { linkCut } from './link-cut';
import { paperContext } from './paper-target.test-data';

test.each([
  ['both', ['gd-drill-000042-cut-upstream', 'gd-drill-000042-cut-downstream']],
  ['up', ['gd-drill-000042-cut-upstream']],
  ['down', ['gd-drill-000042-cut-downstream']],
])('direction %s places %j', async (direction, toxics) => {
  const context = paperContext('cut');
  const resolved = await linkCut.resolve(linkCut.schema.parse({ from: 'any-standby', to: 'primary', direction }), context);
  expect(resolved.links.map((link) => link.name)).toEqual(['n2-n1']);
  expect(
    linkCut
      .manualUndo(resolved, context.live.target)
      .slice(0, toxics.length)
      .map((command) => /toxics\/(\S+)/.exec(command)?.[1]),
  ).toEqual(toxics);
});

test('without a direction both are cut, and an unknown one is refused', () => {
  expect(linkCut.schema.parse({ from: 'n2', to: 'n1' })).toMatchObject({ direction: 'both' });
  expect(linkCut.schema.safeParse({ from: 'n2', to: 'n1', direction: 'sideways' }).success).toBe(false);
});

test('the store behind a node is reached by the word s3', async () => {
  const resolved = await linkCut.resolve(linkCut.schema.parse({ from: 'primary', to: 's3' }), paperContext('cut'));
  expect(resolved.links.map((link) => link.name)).toEqual(['n1-s3']);
});
