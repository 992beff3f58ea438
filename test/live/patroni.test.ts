/**
 * Drills on a cluster that fails over by itself: the Patroni lab, by the same scenario files as everywhere. What it predicts of itself stands beside what
 * clients saw. All disasters, and those that must fail, are `npm run test:disasters`.
 */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { readLabTarget } from '../../infra/lab/lab-file';
import { locateEtcd } from '../../infra/lab/patroni';
import { openPatroniRest } from '../../targets/controllers/patroni-rest';
import { openTarget } from '../../targets/open-target';
import { contractTests } from './fault-contract';
import { cli, makeHome, removeHome } from './lab';
import { outcome, PASSED, runAsIs, runScenario, type Run } from './scenario-run';
import { fullTest } from './drawn';

const NET = '127.0.84';
let home: string;

beforeAll(async () => {
  locateEtcd();
  home = makeHome();
  const up = await cli(['lab', 'up', '--topology', 'patroni', '--net', NET], { home, timeoutMs: 240_000 });
  if (up.code !== 0) throw new Error(`exit ${up.code}\n${up.stdout}${up.stderr}`);
}, 250_000);
afterAll(() => removeHome(home), 120_000);

const run = (scenario: string, ...more: readonly string[]): Promise<Run> => runScenario(home, scenario, ...more);

test('the lab says who leads, every node streams through a link of its own, and the store is reached through links', async () => {
  const target = readLabTarget(home);
  const { controller } = openTarget(target);
  const { primary, nodes, replication, routed } = await controller.topology();
  expect(routed).toEqual([primary]);
  expect(Object.keys(replication)).toHaveLength(2);
  // By name, which each member looks up in a hosts file of its own: the address it finds is the link's.
  expect(nodes.filter(({ node }) => node !== primary).map(({ streamingFrom }) => streamingFrom)).toEqual([primary, primary]);
  expect(target.links?.list.filter(({ speaks, to }) => speaks === 'http' && to !== 's3')).toHaveLength(9);
  expect(await controller.mayWrite(primary ?? '')).toBe(true);
  expect(await controller.advice?.()).toMatchObject([{ remedy: null }]);
}, 60_000);

test('a lost primary is replaced within the band that its live settings predict, and the segments say where the time went', async () => {
  const lost = await run('primary-loss', '--set', 'rto=40s');
  expect(outcome(lost)).toEqual(PASSED);
  const { record } = lost;
  if ('notRecorded' in record.predicted) throw new Error(record.predicted.notRecorded);
  const rto = record.rto;
  if ('notRecorded' in rto) throw new Error(rto.notRecorded);
  const names = rto.segments.flatMap(({ name }) => name.split('+'));
  expect(names).toEqual(['detection', 'decision', 'promotion', 'routing', 'client recovery']);
  expect(rto.segments[0]?.name).toBe('detection');
  // At a segment's end commits may stall once more on a busy machine: RTO goes to the end of that, and the last stretch with it, which no setting predicts.
  const stalledAgain = rto.outages.length > 1;
  // What is predicted of clients is that they connect again; their recovery ends with a whole window that no stall of a disk disturbs.
  const backMs = (rto.outages.at(-1)?.tFirst?.highMs ?? Infinity) - (rto.segments.at(-1)?.from.lowMs ?? 0);
  const slow = record.findings.map(({ text }) => text).filter((text) => text.includes('slower than the settings predict'));
  expect(slow.filter((text) => !((stalledAgain || backMs <= 5_000) && text.startsWith('client recovery ')))).toEqual([]);
  // By their own logs the standbys noticed, and one of them took the key; what they wrote contradicts nothing that was watched.
  const { controllerLog } = record;
  if (controllerLog === undefined) throw new Error('no log of an agent was read');
  const led = record.nodeSpans.filter(({ role }) => role === 'primary').at(-1)?.node;
  expect(controllerLog).toMatchObject({ notRecorded: [], contradictions: [] });
  expect(controllerLog.instants.find(({ means }) => means === 'noticed')?.words).toMatch(
    /^(?:Got response from|Request failed to|following) /,
  );
  expect(controllerLog.instants).toContainEqual(
    expect.objectContaining({ node: led, means: 'decided', words: 'promoted self to leader by acquiring session lock' }),
  );
  const noticedMs = controllerLog.instants.find(({ means }) => means === 'noticed')?.at.highMs ?? Infinity;
  if (controllerLog.narrowed.includes('detection')) expect(rto.segments[0]?.to.highMs).toBe(noticedMs);
  expect(readFileSync(join(home, 'drills', 'lab', record.drill, 'report.md'), 'utf8')).toContain(`${led} decided, `);
  expect((await cli(['recompute', record.drill], { home, timeoutMs: 30_000 })).code).toBe(0);
  // The lab's Patroni has no watchdog, and says so on its host alone; whoever took over is guarded as the lost primary was.
  expect(record.watchdog).toMatchObject({ mode: 'automatic', device: '/dev/watchdog', isFed: false });
  expect(record.findings.filter(({ rule }) => rule === 'no-watchdog')).toHaveLength(1);
  if (record.securityParity === undefined || 'notRecorded' in record.securityParity) throw new Error(JSON.stringify(record.securityParity));
  const { from, to, aspects } = record.securityParity;
  expect(from).not.toBe(to);
  expect(aspects.filter(({ same }) => same === false)).toEqual([]);
  expect(aspects.filter(({ same }) => same === true).map(({ aspect }) => aspect)).toEqual(
    expect.arrayContaining(['TLS', 'rules of access', 'password encryption', 'roles', 'extensions', 'archiving']),
  );
  expect(record.deviations).toEqual([]);
}, 240_000);

fullTest(
  'a healthy primary hands over when it is asked to',
  async () => {
    expect(outcome(await run('planned-switchover'))).toEqual(PASSED);
  },
  240_000,
);

fullTest(
  'a primary whose way to the store is cut gives its key up, and never two nodes write',
  async () => {
    const cut = await run('primary-without-dcs', '--set', 'rto=60s');
    expect(outcome(cut)).toEqual(PASSED);
    expect(cut.record.splitBrain).toEqual([]);
  },
  240_000,
);

test('a plan’s numbers follow from the live timers, and it is refused once these have changed', async () => {
  const { controller } = readLabTarget(home);
  if (controller.kind !== 'patroni') throw new Error(controller.kind);
  const rest = openPatroniRest(controller);
  const file = join(home, 'hangs.json');
  const planned = await cli(['plan', 'controller-hangs', '--out', file], { home, timeoutMs: 30_000 });
  expect(planned.stdout).toContain("computed    from the controller's settings: ttl 20 s, loop_wait 5 s");
  expect(planned.stdout).toContain('  pause = 8s (ttl - loop_wait - 7s)');
  expect(await rest.configure({ ttl: 25 })).toMatchObject({ ok: true });
  try {
    const { code, record } = await runAsIs(home, file);
    expect([code, record.state, record.faults]).toEqual([6, 'refused', []]);
    expect(record.judgement.reasons.join('\n')).toContain('timers are those of the plan');
  } finally {
    expect(await rest.configure({ ttl: 20 })).toMatchObject({ ok: true });
  }
}, 120_000);

contractTests('patroni', () => openTarget(readLabTarget(home)));

fullTest(
  'clients hardly notice that the leader of the DCS dies; without a majority they do, and the members come back when it is healed',
  async () => {
    expect(outcome(await run('dcs-leader-loss', '--set', 'hold=3s'))).toEqual(PASSED);
    const { code, record } = await run('dcs-leader-loss', '--set', 'member=dcs-quorum', '--set', 'hold=12s');
    expect({ code, state: record.state, verdict: record.judgement.verdict }).toEqual({ code: 1, state: 'completed', verdict: 'fail' });
    expect(record.judgement.objectives.find(({ objective }) => objective.name === 'write_stall')?.low).toBeGreaterThan(3_000);
    expect(record.faults.map(({ confirmed, healed }) => [confirmed, healed])).toEqual([[true, true]]);
  },
  240_000,
);

test('the lab goes down with everything that was started for it', async () => {
  const down = await cli(['lab', 'down'], { home, timeoutMs: 120_000 });
  expect([down.code, down.code === 0 ? '' : down.stderr]).toEqual([0, '']);
  expect(existsSync(join(home, 'lab', 'etcd'))).toBe(true);
}, 130_000);
