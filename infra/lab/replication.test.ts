/** For whom commits wait: what was said, what is remembered, and what a topology cannot do. */
import { chooseReplication, patroniReplication, replicationWords, type ReplicationRequest } from './replication';

const choose = (request: Partial<ReplicationRequest> = {}): unknown =>
  chooseReplication({ topology: 'standalone', patroni: null, standbys: 2, before: null, ...request });

test('a lab of which nothing is said waits for one standby, in the way its topology always did', () => {
  expect(choose()).toEqual({ replication: 'quorum', syncStandbys: 1 });
  expect(choose({ topology: 'patroni', patroni: '3.0.2' })).toEqual({ replication: 'sync', syncStandbys: 1 });
  expect(choose({ topology: 'patroni-cascade', patroni: '3.0.2' })).toEqual({ replication: 'sync', syncStandbys: 1 });
  expect(choose({ topology: 'pg-auto-failover' })).toEqual({ replication: 'quorum', syncStandbys: 1 });
});

test('what is not asked for stays as it was, also in a lab made before there was a choice', () => {
  expect(choose({ before: { replication: 'sync', syncStandbys: 2 } })).toEqual({ replication: 'sync', syncStandbys: 2 });
  expect(choose({ before: { replication: 'sync', syncStandbys: 2 }, replication: 'quorum' })).toEqual({
    replication: 'quorum',
    syncStandbys: 2,
  });
  expect(choose({ before: { syncStandbys: 0 } })).toEqual({ replication: 'async', syncStandbys: 0 });
  expect(choose({ before: { syncStandbys: 2 }, topology: 'patroni' })).toEqual({ replication: 'sync', syncStandbys: 2 });
});

test('asynchronous and no standby are the same word, and a number alone ends it', () => {
  expect(choose({ replication: 'async', before: { syncStandbys: 2 } })).toEqual({ replication: 'async', syncStandbys: 0 });
  expect(choose({ syncStandbys: 0 })).toEqual({ replication: 'async', syncStandbys: 0 });
  expect(choose({ syncStandbys: 2, before: { replication: 'async', syncStandbys: 0 } })).toEqual({
    replication: 'quorum',
    syncStandbys: 2,
  });
  expect(choose({ replication: 'sync', before: { replication: 'async', syncStandbys: 0 } })).toEqual({
    replication: 'sync',
    syncStandbys: 1,
  });
});

test.each([
  [{ replication: 'async', syncStandbys: 1 }, /contradict/],
  [{ replication: 'quorum', syncStandbys: 0 }, /contradict/],
  [{ syncStandbys: 3 }, /3 synchronous standbys are not possible/],
  [{ topology: 'patroni', patroni: '3.0.2', replication: 'quorum' }, /Patroni 3\.0\.2 has no quorum mode/],
  [{ topology: 'patroni-cascade', patroni: '3.0.2', replication: 'quorum' }, /Patroni 3\.0\.2 has no quorum mode/],
  [{ topology: 'patroni', replication: 'quorum' }, /of the distribution has no quorum mode/],
  [{ topology: 'pg-auto-failover', replication: 'sync' }, /no order among standbys/],
  [{ topology: 'pg-auto-failover', syncStandbys: 2 }, /a standby more than commits wait for, and there are 2/],
] as const)('%j is refused', (request, why) => {
  expect(() => choose(request)).toThrow(why);
});

test('Patroni is told by its own settings, quorum only where it has that mode', () => {
  const wanted = chooseReplication({
    topology: 'patroni',
    patroni: '4.1.5',
    standbys: 2,
    replication: 'quorum',
    syncStandbys: 2,
    before: null,
  });
  expect(patroniReplication(wanted)).toEqual({
    synchronous_mode: 'quorum',
    synchronous_mode_strict: false,
    synchronous_node_count: 2,
    maximum_lag_on_failover: 67_108_864,
  });
  expect(patroniReplication({ replication: 'async', syncStandbys: 0 })).toMatchObject({
    synchronous_mode: false,
    maximum_lag_on_failover: 67_108_864,
  });
  expect(replicationWords(wanted)).toBe('quorum, any 2 standbys confirm');
});
