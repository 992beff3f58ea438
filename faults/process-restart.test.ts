/** Settings of process-restart; what it does is seen in test/live/faults-host.test.ts. */
import { paperContext } from './paper-target.test-data';
import { processRestart } from './process-restart';

test('late words become a node with its postmaster', async () => {
  const resolved = await processRestart.resolve(processRestart.schema.parse({ node: 'primary' }), paperContext('restart'));
  expect(resolved).toEqual({ node: 'n1', mode: 'fast', postmaster: { pid: 4242, startTicks: '1', bootId: 'b' } });
  expect(processRestart.preview(resolved)).toBe('restart PostgreSQL of n1 (fast shutdown, postmaster 4242)');
});

test('only shutdowns that sessions cannot hold up are taken', () => {
  expect(processRestart.schema.safeParse({ node: 'n1', mode: 'smart' }).success).toBe(false);
});
