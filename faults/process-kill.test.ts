/** Settings and the resolved process of process-kill; the killing itself is tried in test/live/faults.test.ts. */
import { HEALTHY, paperContext } from './paper-target.test-data';
import { processKill } from './process-kill';

test('the whole tree is the default, and the handle names the process by pid, start and boot', async () => {
  const settings = processKill.schema.parse({ node: 'primary' });
  const resolved = await processKill.resolve(settings, paperContext('kill'));
  expect(resolved).toEqual({
    node: 'n1',
    scope: 'tree',
    postmaster: { pid: 4242, startTicks: '1', bootId: 'b' },
    agent: null,
    checkpointerSince: null,
  });
  expect(processKill.preview(resolved)).toBe('SIGKILL the whole PostgreSQL process tree of n1 (postmaster 4242)');
});

test('killing a server may lose writes, killing a backend may not', () => {
  expect(processKill.mayLoseWrites({ node: 'n1', scope: 'tree' })).toBe(true);
  expect(processKill.mayLoseWrites({ node: 'n1', scope: 'backend' })).toBe(false);
});

test('with two writable nodes the word primary is refused', async () => {
  const split = HEALTHY.map((node) => (node.node === 'n2' ? { ...node, inRecovery: false } : node));
  await expect(processKill.resolve(processKill.schema.parse({ node: 'primary' }), paperContext('kill', split))).rejects.toMatchObject({
    code: 'fault_refused',
    message: expect.stringContaining('n1, n2'),
  });
});
