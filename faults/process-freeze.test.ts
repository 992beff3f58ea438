/** Settings and handle of process-freeze; freezing itself, and what thaws after a failover, is tried in test/live/faults.test.ts. */
import { paperContext } from './paper-target.test-data';
import { processFreeze } from './process-freeze';

test('the whole tree is the default, and the handle says whether the node was the one that may write', async () => {
  const resolved = await processFreeze.resolve(processFreeze.schema.parse({ node: 'primary' }), paperContext('freeze'));
  expect(resolved).toEqual({
    node: 'n1',
    scope: 'tree',
    postmaster: { pid: 4242, startTicks: '1', bootId: 'b' },
    primary: true,
    agent: null,
  });
  expect(processFreeze.preview(resolved)).toBe('SIGSTOP every PostgreSQL process of n1 (postmaster 4242)');
  expect(processFreeze.reach(resolved)).toEqual({ nodes: ['n1'] });
});

test('another scope, and a node that is none, are refused', async () => {
  expect(processFreeze.schema.safeParse({ node: 'n1', scope: 'backend' }).success).toBe(false);
  await expect(processFreeze.resolve(processFreeze.schema.parse({ node: 'n9' }), paperContext('freeze'))).rejects.toMatchObject({
    code: 'fault_refused',
  });
});

test('by hand: every process of the server is continued, and after a failover it is not done by hand', async () => {
  const resolved = await processFreeze.resolve(processFreeze.schema.parse({ node: 'n2' }), paperContext('freeze'));
  const lines = processFreeze.manualUndo(resolved, paperContext('freeze').live.target);
  expect(lines.join('\n')).toContain('4242');
  expect(lines[0]).toMatch(/^# only while n2 still holds its role/);
  expect(lines.at(-1)).toBe('gameday lab up');
});
