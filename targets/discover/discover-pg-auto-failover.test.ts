import { readMonitor } from './discover-pg-auto-failover';

const MONITOR = { host: '10.0.0.5', port: 5432 };
const LOGIN = { user: 'autoctl_node', database: 'pg_auto_failover' };

/** Columns as extension 2.0 has them; `sysidentifier` as text, as it is asked for. */
const node = (id: number, state: string, more: object = {}): { readonly [column: string]: unknown } => ({
  formationid: 'default',
  nodeid: id,
  groupid: 0,
  nodename: `node_${id}`,
  nodehost: `10.0.0.1${id}`,
  nodeport: 5432,
  sysidentifier: '7268616322854375442',
  goalstate: state,
  reportedstate: state,
  reportedpgisrunning: true,
  health: 1,
  candidatepriority: 50,
  replicationquorum: true,
  nodecluster: 'default',
  ...more,
});
const formation = { formationid: 'default', kind: 'pgsql', dbname: 'shop', opt_secondary: true, number_sync_standbys: 1 };

test('a formation of three: who writes, and what commits wait for', () => {
  const nodes = [node(1, 'secondary'), node(2, 'primary'), node(3, 'catchingup', { health: 0 })];
  const found = readMonitor(MONITOR, LOGIN, { formations: [formation], nodes }, null);
  expect(found.controller).toEqual({ kind: 'pg-auto-failover', formation: 'default', syncStandbys: 1, monitor: { ...MONITOR, ...LOGIN } });
  expect(found.systemIdentifier).toBe('7268616322854375442');
  expect(found.nodes.map(({ name, host, role, problem }) => [name, host, role, problem])).toEqual([
    ['node-1', '10.0.0.11', 'standby', null],
    ['node-2', '10.0.0.12', 'primary', null],
    ['node-3', '10.0.0.13', 'standby', 'the monitor calls it unhealthy, in state catchingup'],
  ]);
});

test('number_sync_standbys 0 is told for what it is; dropped nodes and other formations are not counted', () => {
  const nodes = [node(1, 'primary'), node(2, 'secondary'), node(3, 'dropped'), node(4, 'single', { formationid: 'other' })];
  const found = readMonitor(MONITOR, LOGIN, { formations: [{ ...formation, number_sync_standbys: 0 }], nodes }, 'default');
  expect(found.nodes).toHaveLength(2);
  expect(found.controller.syncStandbys).toBe(0);
  expect(found.notes[0]).toContain('commits wait for one all the same');
});

test('a formation that is not there is refused with those that are', () => {
  expect(() => readMonitor(MONITOR, LOGIN, { formations: [formation], nodes: [] }, 'shop')).toThrow('has no formation shop');
  expect(() => readMonitor(MONITOR, LOGIN, { formations: [formation], nodes: [] }, null)).toThrow('has no nodes');
});

test('before 1.4 a node’s name was its address', () => {
  const old = { formationid: 'default', nodeid: 1, nodename: '10.0.0.11', nodeport: 5432, reportedstate: 'single', goalstate: 'single' };
  const [only] = readMonitor(MONITOR, LOGIN, { formations: [formation], nodes: [old] }, null).nodes;
  expect(only).toMatchObject({ name: 'n1', host: '10.0.0.11', role: 'primary' });
});
