/** Settings of host-stop; what it does is seen in test/live/faults-host.test.ts. */
import { hostStop } from './host-stop';
import { paperContext } from './paper-target.test-data';

const postmaster = { pid: 7, startTicks: '1', bootId: 'b' };
const resolved = { node: 'n1', mark: 'gd-drill-000042-stop.7.n1', whole: true, postmaster, agent: null, filter: 'iptables' } as const;

test('it says what it kills and what it silences', () => {
  expect(hostStop.preview(resolved)).toBe(
    'SIGKILL the whole PostgreSQL process tree of n1 (postmaster 7) and drop every packet to and from it',
  );
  expect(hostStop.preview({ ...resolved, whole: false })).toMatch(/drop every packet to and from its PostgreSQL port$/);
  expect(hostStop.reach(resolved)).toEqual({ nodes: ['n1'] });
  expect(hostStop.manualUndo(resolved, paperContext('stop').live.target).at(-1)).toContain('/pg/bin/pg_ctl start');
  expect(hostStop.mayLoseWrites({ node: 'n1' })).toBe(true);
});

test.each([{}, { node: '' }, { node: 'n1', scope: 'tree' }])('refuses %j', (settings) => {
  expect(hostStop.schema.safeParse(settings).success).toBe(false);
});
