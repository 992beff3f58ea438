/** Settings of sync-standby-loss; what it does is seen in test/live/faults-host.test.ts. */
import type { FaultContext } from './contract';
import { HEALTHY, paperContext } from './paper-target.test-data';
import { syncStandbyLoss } from './sync-standby-loss';

function withReplication(replication: Record<string, string>, primary = 'n1', timelines: Record<string, number> = {}): FaultContext {
  const now = HEALTHY.map((each) => ({ ...each, inRecovery: each.node !== primary, timeline: timelines[each.node] ?? 1 }));
  const context = paperContext('loss', now);
  const controller = { ...context.live.controller, topology: async () => ({ primary, replication, nodes: now }) };
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

/** The primary's answers in order, the last one for ever; no server runs any more. */
function primaryCounts(...answers: readonly (Record<string, string> | null)[]): FaultContext {
  const context = withReplication(quorum);
  let asked = 0;
  const topology = async (): Promise<object> => {
    const replication = answers[Math.min(asked++, answers.length - 1)] ?? null;
    return { ...(await context.live.controller.topology()), primary: replication === null ? null : 'n1', replication: replication ?? {} };
  };
  const host = (): object => ({ postmaster: async () => null });
  return {
    ...context,
    live: { ...context.live, host, controller: { ...context.live.controller, topology } } as unknown as FaultContext['live'],
  };
}

test('a primary that still counts the lost ones at the first look is looked at again', async () => {
  const resolved = await syncStandbyLoss.resolve({ count: 1 }, withReplication(quorum));
  expect(await syncStandbyLoss.confirm(resolved, primaryCounts(quorum, null, { n3: 'quorum' }))).toMatchObject({
    holds: true,
    by: 'n2: no postmaster runs; the primary counts 1 of 2 synchronous standbys (n3)',
  });
});

/** Looked at once, and then the time is over. */
const timeForOneLook = (): jest.SpyInstance =>
  jest
    .spyOn(process.hrtime, 'bigint')
    .mockReturnValueOnce(0n)
    .mockReturnValue(1n << 62n);

test.each([
  ['that counts them on', quorum, 'the primary counts 2 of 2 synchronous standbys (n2, n3)'],
  ['that does not answer', null, 'no primary answers'],
])('a primary %s proves nothing', async (_what, answer, says) => {
  const resolved = await syncStandbyLoss.resolve({ count: 1 }, withReplication(quorum));
  const clock = timeForOneLook();
  try {
    expect(await syncStandbyLoss.confirm(resolved, primaryCounts(answer))).toMatchObject({
      holds: false,
      by: `n2: no postmaster runs; ${says}`,
    });
  } finally {
    clock.mockRestore();
  }
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

test('one that somebody else keeps from streaming is not missed among those who confirm', async () => {
  const resolved = await syncStandbyLoss.resolve({ count: 1 }, withReplication(quorum));
  expect(await syncStandbyLoss.confirmGone(resolved, withReplication({ n2: 'quorum' }, 'n1', { n3: 2 }))).toMatchObject({
    holds: true,
    by: 'n2 are up; n2 confirm commits',
  });
});

test('one that was promoted meanwhile is back when it is up, and is told to wait for its rejoining', async () => {
  const resolved = await syncStandbyLoss.resolve({ count: 'all' }, withReplication(quorum));
  expect(await syncStandbyLoss.confirmGone(resolved, withReplication({ n2: 'quorum' }, 'n1', { n3: 2 }))).toMatchObject({
    holds: true,
    by: 'n2, n3 are up; n2 confirm commits; n3 diverged meanwhile and waits to be rejoined',
    facts: { confirming: ['n2'], diverged: ['n3'] },
  });
});

test.each([
  ['streams not', { n3: 'quorum' }],
  ['streams, and confirms nothing', { n2: 'async', n3: 'quorum' }],
])('a lost one that %s is not back', async (_what, replication: Record<string, string>) => {
  const resolved = await syncStandbyLoss.resolve({ count: 1 }, withReplication(quorum));
  const clock = timeForOneLook();
  try {
    await expect(syncStandbyLoss.confirmGone(resolved, withReplication(replication))).rejects.toMatchObject({ code: 'step_failed' });
  } finally {
    clock.mockRestore();
  }
});
