import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { openCommandController, commandBand, type CommandController } from './command';
import { paperCluster, type PaperNode } from './paper-cluster.test-data';

const never = new AbortController().signal;
let dir: string;
beforeEach(() => (dir = mkdtempSync('/tmp/gd-runbook-')));
afterEach(() => rmSync(dir, { recursive: true, force: true }));

const said = (): string[] => (existsSync(join(dir, 'ran')) ? readFileSync(join(dir, 'ran'), 'utf8').trim().split('\n') : []);

/** A runbook that says with which words it ran; the paper cluster looks promoted once `promoted` exists. */
function open(change: Partial<CommandController> = {}, lost = true) {
  const script = `echo "$*" >> ${dir}/ran; touch ${dir}/promoted`;
  const controller: CommandController = {
    kind: 'command',
    syncStandbys: 0,
    status: null,
    failover: ['/bin/sh', '-c', script, 'fo', '{candidate}', 'from={primary}'],
    rejoin: null,
    expectedMs: null,
    ...change,
  };
  const nodes = (): Record<string, PaperNode> => {
    const promoted = existsSync(join(dir, 'promoted'));
    return {
      n1: { inRecovery: false, up: !lost },
      n2: { inRecovery: true, lsn: '0/3000100' },
      n3: promoted ? { inRecovery: false, timeline: 2 } : { inRecovery: true, lsn: '0/3000200' },
    };
  };
  const live = paperCluster(controller, dir, nodes);
  const opened = openCommandController(live, controller);
  const stamps: string[] = [];
  return {
    controller: opened,
    stamps,
    failover: (token = 'drill-1/failover', candidate: string | null = null, timeoutMs = 5_000, since: string | null = null) =>
      opened.failover({
        token,
        candidate,
        since,
        timeoutMs,
        signal: never,
        on: async (name, phase) => void stamps.push(`${name} ${phase}`),
      }),
  };
}

test('the runbook gets the most advanced standby and the old primary, and what it did is seen over SQL', async () => {
  const { failover, stamps } = open();
  const result = await failover();
  expect(said()).toEqual(['n3 from=n1']);
  expect(result).toMatchObject({ from: 'n1', to: 'n3', timeline: 2 });
  expect(result.candidates.map(({ node }) => node)).toEqual(['n2', 'n3']);
  // The order is the detection; the decision lies between the start and the new primary.
  for (const [name, phase] of Object.entries({ detect: 'about-to', decide: 'about-to', promote: 'looking' })) {
    expect(stamps.indexOf(`${name} ${phase}`)).toBeGreaterThanOrEqual(0);
    expect(stamps.lastIndexOf(`${name} done`)).toBeGreaterThan(stamps.indexOf(`${name} ${phase}`));
  }
});

test('automation was quicker than the step: its promotion is taken, and the runbook is not run', async () => {
  const { failover, stamps } = open();
  writeFileSync(join(dir, 'promoted'), '');
  expect(await failover('t', null, 5_000, 'n1')).toMatchObject({ from: 'n1', to: 'n3', timeline: 2 });
  expect(said()).toEqual([]);
  // Nobody had looked before: a beginning would say so.
  expect(stamps.filter((each) => each.startsWith('promote'))).toEqual(['promote done']);
  // The same one as before the fault has not been replaced.
  await expect(failover('u', null, 700, 'n3')).rejects.toMatchObject({ code: 'failover_failed' });
  expect(said()).toEqual(['n2 from=n3']);
});

test('the same token runs it once: the second call says what came of the first', async () => {
  const ground = open();
  const first = await ground.failover();
  expect(await ground.failover()).toEqual(first);
  expect(said()).toHaveLength(1);
});

test('a runbook that failed is not run again under its token', async () => {
  const ground = open({ failover: ['/bin/sh', '-c', `echo x >> ${dir}/ran; echo "no quorum" >&2; exit 4`] });
  await expect(ground.failover()).rejects.toMatchObject({
    code: 'failover_failed',
    message: expect.stringMatching(/ended with 4: no quorum/),
  });
  await expect(ground.failover()).rejects.toMatchObject({
    code: 'failover_failed',
    message: expect.stringMatching(/not run again: .*no quorum/),
  });
  expect(said()).toHaveLength(1);
});

test('one that ends well and promotes nobody has failed', async () => {
  const { failover } = open({ failover: ['true'] });
  await expect(failover('t', null, 700)).rejects.toMatchObject({
    code: 'failover_failed',
    message: expect.stringMatching(/no other node than n1 takes writes after 700 ms/),
  });
});

test('one that hangs behind its promotion is ended, and has failed', async () => {
  const { failover } = open({ failover: ['/bin/sh', '-c', `touch ${dir}/promoted; sleep 30`] });
  await expect(failover('t', null, 700)).rejects.toMatchObject({ message: expect.stringMatching(/did not end within 700 ms/) });
});

test('a candidate is one that answers, and can be asked for only where the runbook takes one', async () => {
  await expect(open().failover('t', 'n1')).rejects.toMatchObject({ code: 'no_candidate' });
  await expect(open({ failover: ['true'] }).failover('t', 'n2')).rejects.toMatchObject({ code: 'no_candidate' });
  await open()
    .failover('t', 'n2')
    .catch(() => undefined);
  expect(said()).toEqual(['n2 from=n1']);
});

test('who may write is the runbook’s own word, else the one node out of recovery or the one that is silent', async () => {
  const { controller } = open({}, false);
  expect([await controller.mayWrite('n1'), await controller.mayWrite('n2')]).toEqual([true, false]);
  expect(await open({}, true).controller.mayWrite('n1')).toBe(true);
  expect(await open({ status: ['echo', 'n2'] }).controller.mayWrite('n1')).toBe(false);
  await expect(open({ status: ['echo', 'db-7'] }).controller.mayWrite('n1')).rejects.toThrow(/printed "db-7"/);
});

test('two nodes out of recovery: nobody may write', async () => {
  const { controller, failover } = open({}, false);
  await failover();
  expect(await Promise.all(['n1', 'n3'].map((node) => controller.mayWrite(node)))).toEqual([false, false]);
});

test('a runbook whose status goes on naming the old primary has not failed over', async () => {
  const { failover } = open({ status: ['echo', 'n1'] });
  await expect(failover('t', null, 900)).rejects.toThrow(/n3 takes writes, and the runbook’s status says n1/);
});

test('a node that is down and has no agent is not started, and the error says what to add', async () => {
  await expect(open().controller.startNode('n1')).rejects.toMatchObject({
    code: 'step_failed',
    hint: expect.stringContaining('agent: { find:'),
  });
  await expect(open().controller.startNode('n2', { TZ: 'UTC' })).rejects.toMatchObject({ code: 'fault_refused' });
});

test('the predicted band is the target’s own word, or nothing', () => {
  expect(commandBand(null)).toBeNull();
  expect(commandBand(45_000)).toMatchObject({ lowMs: 0, highMs: 45_000 });
});
