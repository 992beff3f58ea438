/** Settings and the resolved process of process-kill; the killing itself is tried in test/live/faults.test.ts. */
import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import type { FaultContext } from './contract';
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

test.each([
  ['postmaster', 'its agent started another', 4343, 77, true],
  ['postmaster', 'another runs without an agent that could have started it', 4343, null, false],
  ['postmaster', 'it still runs', 4242, 77, false],
  ['postmaster', 'nobody knows who accepts', null, 77, false],
  ['tree', 'another runs in its place', 4343, 77, false],
] as const)('%s: something accepts, and %s', async (scope, _what, pid, agent, holds) => {
  const server = createServer((socket) => socket.destroy()).listen(0, '127.0.0.1');
  await new Promise((resolve) => server.once('listening', resolve));
  const context = paperContext('kill');
  const found = await processKill.resolve(processKill.schema.parse({ node: 'n1', scope }), context);
  const resolved = { ...found, agent: agent === null ? null : { pid: agent, startTicks: '1', bootId: 'b' } };
  const { port } = server.address() as AddressInfo;
  const target = { ...context.live.target, nodes: context.live.target.nodes.map((each) => ({ ...each, host: '127.0.0.1', port })) };
  const host = (): object => ({ postmaster: async () => (pid === null ? null : { pid, startTicks: '1', bootId: 'b' }) });
  const live = { ...context.live, target, host } as unknown as FaultContext['live'];
  expect(await processKill.confirm(resolved, { ...context, live })).toMatchObject({ holds });
  await new Promise((resolve) => server.close(resolve));
});
