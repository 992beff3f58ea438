/** Settings and handle of process-freeze; freezing itself, and what thaws after a failover, is tried in test/live/faults.test.ts. */
import type { LiveTarget } from '../targets/ports';
import type { FaultContext } from './contract';
import { paperContext } from './paper-target.test-data';
import { processFreeze } from './process-freeze';

test('the whole tree is the default, and the handle says whether the node was the one that may write', async () => {
  const resolved = await processFreeze.resolve(processFreeze.schema.parse({ node: 'primary' }), paperContext('freeze'));
  expect(resolved).toEqual({
    node: 'n1',
    scope: 'tree',
    thaw: false,
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

describe('by hand', () => {
  const byHand = async (node: string): Promise<readonly string[]> => {
    const context = paperContext('freeze');
    return processFreeze.manualUndo(await processFreeze.resolve(processFreeze.schema.parse({ node }), context), context.live.target);
  };

  test('a standby is woken', async () => {
    const lines = await byHand('n2');
    expect(lines[0]).toMatch(/ = 1 \] .*; then pkill -CONT -P 4242 \|\| \[ \$\? -eq 1 \]; kill -CONT 4242; fi\)$/);
    expect(lines.at(-1)).toContain('/pg/bin/pg_ctl start');
  });

  test('a primary, that may have been replaced, is never woken by a script: it is ended and started in its role', async () => {
    const lines = await byHand('primary');
    expect(lines[0]).toMatch(/^# while n1 still holds its role.*-CONT/);
    const commands = lines.filter((line) => !line.startsWith('#'));
    expect(commands).toEqual([
      expect.stringMatching(/pkill -KILL -P 4242 .*; kill -KILL 4242; fi\)$/),
      expect.stringContaining('pg_ctl start'),
    ]);
  });
});

describe('waking up as it was', () => {
  const settings = processFreeze.schema.parse({ node: 'primary', thaw: true });
  const at = (kind: string, agent: boolean): FaultContext => {
    const context = paperContext('freeze');
    const { live } = context;
    const host = { ...live.host('n1'), agent: async () => (agent ? { pid: 77, startTicks: '2', bootId: 'b' } : null) };
    return { ...context, live: { ...live, target: { ...live.target, kind }, host: () => host } as unknown as LiveTarget };
  };

  test('is for a whole node only', () => {
    expect(processFreeze.schema.safeParse({ node: 'n1', scope: 'postmaster', thaw: true }).success).toBe(false);
    expect(processFreeze.schema.safeParse({ node: 'n1', scope: 'agent', thaw: true }).success).toBe(false);
  });

  test.each([
    ['outside a lab', 'staging', true, /is no lab/],
    ['where nothing beside it would make it step down', 'lab', false, /nobody would make it step down/],
  ])('is refused %s', async (_where, kind, agent, why) => {
    await expect(processFreeze.resolve(settings, at(kind, agent))).rejects.toMatchObject({
      code: 'fault_refused',
      message: expect.stringMatching(why),
    });
  });

  test('is said in the preview, and done whatever has become of its role', async () => {
    const context = at('lab', true);
    const resolved = await processFreeze.resolve(settings, context);
    expect(processFreeze.preview(resolved)).toMatch(/, and SIGCONT whatever has become of its role$/);
    const sent: string[] = [];
    let stopped = true;
    const server = { pid: 4242, startTicks: '1', bootId: 'b' };
    const host = {
      postmaster: async () => server,
      serverProcesses: async () => [{ ...server, stopped }],
      signal: async ({ pid }: { pid: number }, name: string) => {
        sent.push(`${name} ${pid}`);
        stopped = false;
      },
    };
    const live = { ...context.live, host: () => host, controller: { mayWrite: async () => false, startNode: async () => undefined } };
    const unreachable = { ...live, sql: async () => undefined } as unknown as LiveTarget;
    await processFreeze.undo(resolved, { ...context, live: unreachable });
    expect(sent).toEqual(['SIGCONT 77', 'SIGCONT 4242']);
  });
});
