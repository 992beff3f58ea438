/** Settings of sync-standby-loss; what it does is seen in test/live/faults-host.test.ts. */
import type { FaultContext } from './contract';
import { paperContext } from './paper-target.test-data';
import { syncStandbyLoss } from './sync-standby-loss';

function withReplication(replication: Record<string, string>): FaultContext {
  const context = paperContext('loss');
  const controller = { ...context.live.controller, topology: async () => ({ replication }) };
  return { ...context, live: { ...context.live, controller } as unknown as FaultContext['live'] };
}
const quorum = { n2: 'quorum', n3: 'quorum' };

test.each([
  [{}, quorum, ['n2', 'n3']],
  [{ count: 1 }, quorum, ['n2']],
  [{ count: 1 }, { n2: 'async', n3: 'sync' }, ['n3']],
])('%j of %j are %j', async (settings, replication, names) => {
  const resolved = await syncStandbyLoss.resolve(syncStandbyLoss.schema.parse(settings), withReplication(replication));
  expect(syncStandbyLoss.reach(resolved)).toEqual({ nodes: names });
});

test.each([
  [{}, { n2: 'async' }],
  [{ count: 3 }, quorum],
])('%j of %j is refused', async (settings, replication) => {
  const resolving = syncStandbyLoss.resolve(syncStandbyLoss.schema.parse(settings), withReplication(replication));
  await expect(resolving).rejects.toMatchObject({ code: 'fault_refused' });
});
