import type { Target } from '../../model/target';
import { pgAutoFailoverBand } from './pg-auto-failover-band';
import { bookedNode, leaderOf } from './pg-auto-failover-monitor';

const NODES = [
  { name: 'n1', host: '10.0.0.11', port: 5432 },
  { name: 'n2', host: '10.0.0.12', port: 5432 },
] as unknown as Target['nodes'];
const row = (name: string, host: string, goal: string, reported = goal): Record<string, string> => ({
  id: '7',
  name,
  host,
  port: '5432',
  goal,
  reported,
  health: '1',
  priority: '50',
  quorum: 'true',
});

test('a node is told by its name, or by its address where the monitor named it', () => {
  expect(bookedNode(NODES, row('n2', 'db2.internal', 'secondary')).node).toBe('n2');
  expect(bookedNode(NODES, row('node_7', '10.0.0.11', 'primary'))).toMatchObject({ node: 'n1', id: 7, replicationQuorum: true });
  expect(bookedNode(NODES, row('node_8', '10.0.0.99', 'secondary')).node).toBeNull();
});

test.each([
  // As recorded while a primary was lost and replaced.
  [['primary', 'secondary'], 'n1'],
  [['draining', 'report_lsn'], null],
  [['demote_timeout', 'stop_replication'], null],
  [['demoted', 'wait_primary'], 'n2'],
  [['secondary', 'primary'], 'n2'],
])('goals %j: %s may write', (goals, leader) => {
  const booked = goals.map((goal, at) => bookedNode(NODES, row(`n${at + 1}`, 'x', goal, 'primary')));
  expect(leaderOf(booked)).toBe(leader);
});

test('the band of its default timers: half a minute until a lost node is given up, then as long again for the old primary to stop', () => {
  const { lowMs, highMs, segments } = pgAutoFailoverBand({
    healthCheckPeriodMs: 5_000,
    healthCheckTimeoutMs: 5_000,
    healthCheckRetries: 2,
    healthCheckRetryDelayMs: 2_000,
    unhealthyTimeoutMs: 20_000,
    demoteTimeoutMs: 30_000,
  });
  expect(segments.map(({ name }) => name)).toEqual(['detection', 'decision', 'promotion', 'routing', 'client recovery']);
  expect({ lowMs, highMs }).toEqual({ lowMs: 44_000, highMs: 75_000 });
  expect(segments[0]).toMatchObject({ lowMs: 18_000, highMs: 26_000 });
});
