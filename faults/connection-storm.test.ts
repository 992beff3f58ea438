/** Settings and handle of connection-storm; its rate is counted by a server in test/live/faults-data.test.ts. */
import { connectionStorm } from './connection-storm';
import { paperContext } from './paper-target.test-data';

const resolve = (settings: object) => connectionStorm.resolve(connectionStorm.schema.parse(settings), paperContext('storm'));

test('without a node it goes in where clients do, and undo by hand looks at every node', async () => {
  const resolved = await resolve({});
  expect(resolved).toEqual({ label: 'gd-drill-000042-storm', rate: 50, host: '127.0.66.10', port: 5432, node: null });
  expect(connectionStorm.reach(resolved)).toEqual({ nodes: [] });
  expect(connectionStorm.manualUndo(resolved, paperContext('storm').live.target)).toHaveLength(3);
});

test('a node is stormed past every router', async () => {
  const resolved = await resolve({ node: 'any-standby', rate: 20 });
  expect(resolved).toMatchObject({ host: '127.0.66.97', port: 1, node: 'n2' });
  expect(connectionStorm.preview(resolved)).toBe('open and close 20 sessions a second on n2, at most 20 at once');
});

test.each([{ rate: 1 }, { rate: 201 }, { rate: '50/s' }, { pause: 1 }])('%j is refused', (settings) => {
  expect(connectionStorm.schema.safeParse(settings).success).toBe(false);
});
