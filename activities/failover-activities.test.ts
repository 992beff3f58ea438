import type { NodeStatus, Topology } from '../targets/ports';
import { topologyDifferences } from './failover-activities';

const node = (name: string, timeline: number, inRecovery = true): NodeStatus => ({
  node: name,
  up: true,
  inRecovery,
  timeline,
  lsn: '0/5000000',
  streamingFrom: inRecovery ? 'n1' : null,
  systemIdentifier: '1',
  error: null,
});
const topology = (changes: Partial<Topology> = {}): Topology => ({
  primary: 'n1',
  nodes: [node('n1', 1, false), node('n2', 1)],
  replication: { n2: 'sync' },
  settings: { n1: { fsync: 'on' }, Patroni: { paused: 'false' } },
  slots: { n1: [], n2: [] },
  routed: ['n1'],
  epoch: null,
  lineage: ['1'],
  ...changes,
});

test('another primary on the next timeline, with its standby, is as redundant as before', () => {
  const after = topology({
    primary: 'n2',
    routed: ['n2'],
    nodes: [node('n1', 2), node('n2', 2, false)],
    replication: { n1: 'sync' },
    lineage: ['1 until 0/4000000', '2'],
  });
  expect(topologyDifferences(topology(), after)).toEqual([]);
});

test.each<readonly [string, Partial<Topology>, RegExp]>([
  ['a standby that stayed on the old timeline', { nodes: [node('n1', 2, false), node('n2', 1)] }, /n2 is on timeline 1, the primary on 2/],
  [
    'a history that does not go on',
    { lineage: ['2 until 0/1', '3'] },
    /history of timelines is 2 until 0\/1, 3, which does not go on from 1/,
  ],
  ['a cluster that was left paused', { settings: { n1: { fsync: 'on' }, Patroni: { paused: 'true' } } }, /paused is true, was false/],
  ['a changed setting', { settings: { n1: { fsync: 'off' }, Patroni: { paused: 'false' } } }, /n1: fsync is off, was on/],
  ['a slot that was not there', { slots: { n1: ['left'], n2: [] } }, /replication slots are/],
  ['a standby that is gone', { replication: {} }, /0 standbys stream, 1 did/],
])('%s is a named difference', (_, changes, expected) => {
  expect(topologyDifferences(topology(), topology(changes))).toEqual([expect.stringMatching(expected)]);
});
