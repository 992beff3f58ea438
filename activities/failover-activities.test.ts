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

describe('a standby that streamed from a standby', () => {
  const from = (status: NodeStatus, streamingFrom: string | null): NodeStatus => ({ ...status, streamingFrom });
  const cascade = (nodes: readonly NodeStatus[], primary = 'n1'): Topology =>
    topology({ primary, nodes, routed: [primary], replication: { n2: 'sync', n3: 'async' } });
  const before = cascade([node('n1', 1, false), node('n2', 1), from(node('n3', 1), 'n2')]);

  test('is where it was only when it does so again', () => {
    expect(topologyDifferences(before, before)).toEqual([]);
    const elsewhere = cascade([node('n1', 1, false), node('n2', 1), node('n3', 1)]);
    expect(topologyDifferences(before, elsewhere)).toEqual(['n3 streams from n1, and did from n2, which is a standby still']);
    const nowhere = cascade([node('n1', 1, false), node('n2', 1), from(node('n3', 1), null)]);
    expect(topologyDifferences(before, nowhere)).toEqual([expect.stringMatching(/^n3 streams from nobody, and did from n2/)]);
  });

  test('follows the primary where that is who it streamed from, and may be one itself', () => {
    const promoted = cascade([from(node('n1', 1), 'n2'), node('n2', 1, false), from(node('n3', 1), 'n2')], 'n2');
    expect(topologyDifferences(before, promoted)).toEqual([]);
    const itself = cascade([from(node('n1', 1), 'n3'), from(node('n2', 1), 'n3'), node('n3', 1, false)], 'n3');
    expect(topologyDifferences(before, itself)).toEqual([]);
  });

  test('is no second difference where its upstream is down', () => {
    const down: NodeStatus = { ...node('n2', 1), up: false, inRecovery: null, timeline: null, error: 'refused' };
    const after = { ...cascade([node('n1', 1, false), down, node('n3', 1)]), replication: { n2: 'sync', n3: 'async' } };
    expect(topologyDifferences(before, after)).toEqual(['n2 is down: refused']);
  });
});
