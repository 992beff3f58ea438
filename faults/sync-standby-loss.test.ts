/** Settings of sync-standby-loss; what it does is seen in test/live/faults-host.test.ts. */
import type { FaultContext } from './contract';
import { HEALTHY, paperContext } from './paper-target.test-data';
import { syncStandbyLoss } from './sync-standby-loss';

function withReplication(replication: Record<string, string>, primary = 'n1'): FaultContext {
  const now = HEALTHY.map((each) => ({ ...each, inRecovery: each.node !== primary }));
  const context = paperContext('loss', now);
  const controller = { ...context.live.controller, topology: async () => ({ primary, replication }) };
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

test('after a failover meanwhile it is enough that they are back: one that has diverged confirms nothing before it has rejoined', async () => {
  const resolved = await syncStandbyLoss.resolve({ count: 1 }, withReplication(quorum));
  expect(await syncStandbyLoss.confirmGone(resolved, withReplication({ n1: 'quorum' }, 'n3'))).toMatchObject({
    holds: true,
    by: 'n2 is up and in recovery; writable: n3; n3 is primary now, so who confirms commits is settled when redundancy is restored',
  });
});

test('under the same primary they must confirm commits again', async () => {
  const resolved = await syncStandbyLoss.resolve({ count: 'all' }, withReplication(quorum));
  expect(await syncStandbyLoss.confirmGone(resolved, withReplication(quorum))).toMatchObject({
    holds: true,
    by: 'n2, n3 are up; n2, n3 confirm commits',
  });
});
