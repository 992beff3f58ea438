import { parseCluster, readTags } from './patroni-rest';

test('Patroni 3.0: the leader, who is synchronous, and that nothing is paused', () => {
  const cluster = parseCluster({
    members: [
      {
        name: 'n1',
        role: 'sync_standby',
        state: 'running',
        api_url: 'http://127.0.90.11:8008/patroni',
        host: 'n1',
        port: 5432,
        timeline: 1,
        lag: 0,
      },
      { name: 'n2', role: 'leader', state: 'running', api_url: 'http://127.0.90.12:8008/patroni', host: 'n2', port: 5432, timeline: 1 },
      { name: 'n3', role: 'replica', state: 'stopped', api_url: 'http://127.0.90.13:8008/patroni', host: 'n3', port: 5432, lag: 'unknown' },
    ],
  });
  expect(cluster).toMatchObject({ leader: 'n2', paused: false });
  expect(cluster.members.map(({ name, role, synchronous, timeline }) => [name, role, synchronous, timeline])).toEqual([
    ['n1', 'standby', true, 1],
    ['n2', 'leader', false, 1],
    ['n3', 'standby', false, null],
  ]);
});

test('Patroni 4: quorum standbys count as synchronous, and a pause is seen', () => {
  const cluster = parseCluster({
    members: [
      { name: 'a', role: 'leader', state: 'running', timeline: 7 },
      { name: 'b', role: 'quorum_standby', state: 'streaming', timeline: 7, lag: 0 },
    ],
    pause: true,
    scope: 'demo',
  });
  expect(cluster).toMatchObject({
    leader: 'a',
    paused: true,
    members: [{ name: 'a' }, { name: 'b', synchronous: true, state: 'streaming' }],
  });
});

test('nobody leads: null, which is an answer; what is no cluster is an error', () => {
  expect(parseCluster({ members: [{ name: 'a', role: 'replica', state: 'running' }] }).leader).toBeNull();
  expect(() => parseCluster({ message: 'nginx' })).toThrow(/no answer of Patroni’s/);
});

test.each([
  [undefined, null, false],
  [{ clonefrom: true }, null, false],
  [{ nofailover: true, nosync: true, replicatefrom: 'n3' }, 'n3', true],
  [{ replicatefrom: 'n3' }, 'n3', false],
  // From 4.0 on; the older word counts where both are said.
  [{ failover_priority: 0 }, null, true],
  [{ failover_priority: 2 }, null, false],
  [{ nofailover: false, failover_priority: 0 }, null, false],
])('tags %j: streams from %s, never leads: %s', (tags, upstream, neverLeads) => {
  expect(readTags(tags)).toEqual({ upstream, neverLeads });
  const { members } = parseCluster({
    members: [{ name: 'n4', role: 'replica', state: 'running', ...(tags === undefined ? {} : { tags }) }],
  });
  expect(members[0]?.tags).toEqual({ upstream, neverLeads });
});
