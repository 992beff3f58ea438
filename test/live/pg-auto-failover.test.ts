/** Drills under pg_auto_failover: the lab's monitor decides and its keepers act, by the same scenario files as under gameday's runbook and Patroni. */
import { readLabTarget } from '../../infra/lab/lab-file';
import { openTarget } from '../../targets/open-target';
import { fullTest } from './drawn';
import { cli, makeHome, removeHome } from './lab';
import { outcome, PASSED, runScenario } from './scenario-run';

const NET = '127.0.85';
let home: string;

beforeAll(async () => {
  home = makeHome();
  const up = await cli(['lab', 'up', '--topology', 'pg-auto-failover', '--net', NET], { home, timeoutMs: 240_000 });
  if (up.code !== 0) throw new Error(`exit ${up.code}\n${up.stdout}${up.stderr}`);
}, 250_000);
afterAll(() => removeHome(home), 120_000);

test('the monitor says who may write, every node streams through a link of its own, and the way to the monitor is one too', async () => {
  const target = readLabTarget(home);
  const { controller } = openTarget(target);
  const { primary, nodes, replication, routed, settings, slots } = await controller.topology();
  expect(routed).toEqual([primary]);
  expect(Object.values(replication)).toEqual(['quorum', 'quorum']);
  expect(nodes.filter(({ node }) => node !== primary).map(({ streamingFrom }) => streamingFrom)).toEqual([primary, primary]);
  expect(target.links?.list.filter(({ from, to }) => [from, to].includes('monitor'))).toHaveLength(6);
  expect(settings['pg_auto_failover']).toMatchObject({ numberSyncStandbys: '1', n1: 'candidate priority 50, replication quorum true' });
  expect(Object.values(slots).flat()).toEqual([]);
  expect(await Promise.all(['n1', 'n2', 'n3'].map((name) => controller.mayWrite(name)))).toEqual(
    ['n1', 'n2', 'n3'].map((name) => name === primary),
  );
}, 60_000);

test('a lost primary is replaced within the band that the monitor’s timers predict, and comes back as a standby', async () => {
  const lost = await runScenario(home, 'primary-loss', '--set', 'rto=45s');
  expect(outcome(lost)).toEqual(PASSED);
  const { record } = lost;
  if ('notRecorded' in record.predicted) throw new Error(record.predicted.notRecorded);
  if ('notRecorded' in record.rto) throw new Error(record.rto.notRecorded);
  expect(record.rto.segments[0]?.name).toBe('detection');
  expect(record.splitBrain).toEqual([]);
}, 240_000);

fullTest(
  'a healthy primary hands over when it is asked to',
  async () => {
    expect(outcome(await runScenario(home, 'planned-switchover', '--set', 'rto=30s'))).toEqual(PASSED);
  },
  240_000,
);

test('the lab goes down with everything that was started for it, and comes back with its data', async () => {
  const down = await cli(['lab', 'down'], { home, timeoutMs: 120_000 });
  expect([down.code, down.code === 0 ? '' : down.stderr]).toEqual([0, '']);
  const up = await cli(['lab', 'up'], { home, timeoutMs: 120_000 });
  expect([up.code, up.code === 0 ? '' : up.stderr]).toEqual([0, '']);
}, 240_000);
