/** Who follows whom, and who may confirm a commit, where a standby streams from another standby. */
import { labTarget, type LabPlan } from '../../infra/lab/topology';
import type { Target } from '../../model/target';
import { confirmersOf, depthOf, requireNode, synchronousStandbyNames, upstreamConninfo, upstreamOf } from './standalone-config';

const plan: LabPlan = {
  home: '/tmp/home',
  lab: '/tmp/home/lab',
  net: '127.0.9',
  topology: 'cascade',
  replication: 'quorum',
  syncStandbys: 1,
  nodeDiskBytes: null,
  watchdog: false,
  user: 'postgres',
  postgresBin: '/usr/lib/postgresql/15/bin',
};
const cascade = labTarget(plan, '1');
const names = (target: Target, primary: string): string => synchronousStandbyNames(target, requireNode(target, primary));

test('a cascading standby follows its upstream while that runs, and the primary when it does not or leads itself', () => {
  expect(upstreamOf(cascade, 'n4', 'n1', () => true)).toBe('n3');
  expect(upstreamOf(cascade, 'n4', 'n2', () => true)).toBe('n3');
  expect(upstreamOf(cascade, 'n4', 'n1', (node) => node !== 'n3')).toBe('n1');
  expect(upstreamOf(cascade, 'n4', 'n3', () => false)).toBe('n3');
  expect(upstreamOf(cascade, 'n3', 'n4', () => true)).toBe('n4');
});

test('it is started after its upstream, and reaches it through the link between the two', () => {
  expect(cascade.nodes.map(({ name }) => depthOf(cascade, name))).toEqual([0, 0, 0, 1]);
  expect(upstreamConninfo(cascade, requireNode(cascade, 'n4'), 'n3')).toContain("host='127.0.9.14' port='6003' ");
});

test('only who streams straight from a primary can confirm its commits', () => {
  expect(confirmersOf(cascade, 'n1')).toEqual(['n2', 'n3']);
  expect(confirmersOf(cascade, 'n3')).toEqual(['n1', 'n2', 'n4']);
  expect(names(cascade, 'n1')).toBe('ANY 1 ("n2", "n3")');
});

test('commits wait for the first standbys, for any of them, or for nobody, as the target says', () => {
  expect(names(labTarget({ ...plan, topology: 'standalone', replication: 'sync', syncStandbys: 2 }, '1'), 'n2')).toBe(
    'FIRST 2 ("n1", "n3")',
  );
  expect(names(labTarget({ ...plan, replication: 'async', syncStandbys: 0 }, '1'), 'n1')).toBe('');
});
