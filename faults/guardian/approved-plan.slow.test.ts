/** What the guardian arms: within the limits of target and machine, and on production only the plan that two others signed. Real keys, real files. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { z } from 'zod';
import type { SignedApproval } from '../../model/approval';
import type { LeaseView } from '../../model/fault';
import type { FaultStep, Plan } from '../../model/plan';
import type { Target, TargetPolicy } from '../../model/target';
import type { LiveTarget } from '../../targets/ports';
import { samplePlan } from '../../test/sample-plan';
import { planDigest } from '../approvals';
import { inMinutes, makePeople, type People } from '../approvals.test-data';
import type { AnyFault } from '../registry';
import type { ArmRequest } from './client';
import { openJournal } from './journal';
import { KEEPER_LIMITS, LeaseKeeper } from './lease-keeper';
import { openLeaseStore } from './lease-store';

const SOURCE = 'name: shop\nkind: production\npolicy:\n  allowFaults: [trial]\n  maxNodesAtOnce: 2\n';
const step = (id: string, node: string, maxMs = 50_000): FaultStep => ({
  kind: 'fault',
  id,
  title: id,
  fault: 'trial',
  settings: { node },
  maxMs,
});

/** `now` stands for a late word: what it resolves to is for the guardian to find out. */
const trial: AnyFault = {
  name: 'trial',
  summary: 'for this test',
  schema: z.strictObject({ node: z.string() }),
  mayLoseWrites: () => false,
  resolve: async (settings) => (await resolving(), { node: (settings as { node: string }).node }),
  preview: ({ node }) => `try ${node as string}`,
  reach: ({ node }) => ({ nodes: [node as string] }),
  manualUndo: () => [],
  ready: async () => [],
  inject: async () => ({}),
  confirm: async () => ({ holds: true, by: 'seen', facts: {} }),
  undo: async () => undefined,
  confirmGone: async () => ({ holds: true, by: 'clear', facts: {} }),
};

/** What happens meanwhile. */
let resolving: () => Promise<void>;
let dir: string;
let people: People;
let keeper: LeaseKeeper;
let allow: Record<string, unknown>;
const allowFile = (): string => join(dir, 'allow.json');
const say = (changes: Record<string, unknown>): void => {
  allow = { ...allow, ...changes };
  writeFileSync(allowFile(), JSON.stringify(allow), { mode: 0o600 });
};

beforeEach(() => {
  resolving = async () => undefined;
  dir = mkdtempSync(join(tmpdir(), 'gd-approved-'));
  people = makePeople(dir, ['ann', 'bob', 'carol']);
  const { systemIdentifier } = samplePlan([]).target;
  allow = { systemIdentifiers: [systemIdentifier], faults: ['trial'], maxFaultMs: 3_600_000 };
  say({ approvers: people.signersFile });
  keeper = new LeaseKeeper({
    store: openLeaseStore(join(dir, 'leases')),
    journal: openJournal(join(dir, 'events')),
    allowFile: allowFile(),
    haltFile: join(dir, 'halt.json'),
    activeDir: dir,
    open: () => ({ controller: { status: async () => [{ node: 'n1', systemIdentifier }] } }) as unknown as LiveTarget,
    find: () => trial,
    log: () => undefined,
    limits: KEEPER_LIMITS,
  });
});
afterEach(() => {
  keeper.stop();
  rmSync(dir, { recursive: true });
});

function planOn(kind: Target['kind'], policy: Partial<TargetPolicy> = {}): Plan {
  const plan = samplePlan([step('one', 'n1'), step('two', 'n2'), step('three', 'n3')]);
  const target = { ...plan.target, name: 'shop', kind, policy: { ...plan.target.policy, allowFaults: ['trial'], ...policy } };
  return { ...plan, target, targetSource: { source: SOURCE, sha256: '', file: 'shop.yaml' } };
}

function request(plan: Plan, id: string, more: Partial<ArmRequest> = {}): ArmRequest {
  const node = { one: 'n1', two: 'n2', three: 'n3' }[id] ?? 'n1';
  const handle = { fault: 'trial', drill: 'drill-000001', resolved: { node }, preview: `try ${node}`, manualUndo: [] };
  const key = { workflowId: 'drill/x', runId: 'r', step: id };
  return { key, handle, target: plan.target, ttlMs: 5_000, maxMs: 3_000_000, plan, startedBy: 'carol', ...more };
}

async function approved(plan: Plan, names: readonly string[], until = inMinutes(60)): Promise<readonly SignedApproval[]> {
  const what = { planSha256: planDigest(plan), systemIdentifier: plan.target.systemIdentifier, until };
  return Promise.all(names.map((name) => people.approve(name, what)));
}

const hardMs = (lease: LeaseView): number => Date.parse(lease.hardMaximumAt) - Date.parse(lease.armedAt);

test('the target’s limits hold against everything that stands, and the refusal names their line', async () => {
  const plan = planOn('staging', { maxNodesAtOnce: 2, allowQuorumLoss: true });
  await keeper.arm(request(plan, 'one'));
  await keeper.arm(request(plan, 'two'));
  await expect(keeper.arm(request(plan, 'three'))).rejects.toMatchObject({
    code: 'fault_refused',
    message: 'shop.yaml:5: policy.maxNodesAtOnce is 2; with trial the faults that stand would hurt 3 nodes (n1, n2, n3)',
  });
  await keeper.undo(request(plan, 'one').key, 'workflow');
  await keeper.arm(request(plan, 'three'));
});

test('two of three at once are refused unless the target says so, and a fault that is not listed always', async () => {
  const plan = planOn('staging', { maxNodesAtOnce: 3, allowQuorumLoss: false });
  await keeper.arm(request(plan, 'one'));
  await expect(keeper.arm(request(plan, 'two'))).rejects.toThrow('shop.yaml:3: policy.allowQuorumLoss is false');
  const closed = planOn('staging', { allowFaults: [] });
  await expect(keeper.arm(request(closed, 'two'))).rejects.toThrow('shop.yaml:4: policy.allowFaults does not list trial');
  const { plan: _plan, ...bare } = request(closed, 'two');
  await expect(keeper.arm(bare)).rejects.toThrow('target shop: policy.allowFaults does not list trial');
});

test('the machine’s own limit holds whatever the target allows, and names the allow file', async () => {
  say({ maxNodesAtOnce: 1 });
  const plan = planOn('lab', { maxNodesAtOnce: 3, allowQuorumLoss: true });
  await keeper.arm(request(plan, 'one'));
  await expect(keeper.arm(request(plan, 'two'))).rejects.toThrow(`allow file ${allowFile()}: maxNodesAtOnce is 1;`);
});

test('a permit’s own time bounds the lease', async () => {
  const plan = planOn('staging', { allowFaults: [{ fault: 'trial', maxMs: 7_000, maxNodes: null }] });
  expect(hardMs(await keeper.arm(request(plan, 'one')))).toBe(7_000);
});

test('production: with two approvals the plan’s step is armed as the guardian resolves it, within the plan’s time; the journal says who approved', async () => {
  const plan = planOn('production');
  const approvals = await approved(plan, ['ann', 'bob']);
  const forged = { fault: 'trial', drill: 'drill-000001', resolved: { node: 'n3' }, preview: 'harmless', manualUndo: [] };
  const lease = await keeper.arm(request(plan, 'one', { approvals, handle: forged }));
  expect(lease.handle).toMatchObject({ resolved: { node: 'n1' }, preview: 'try n1' });
  expect(hardMs(lease)).toBe(50_000);
  const [armed] = openJournal(join(dir, 'events')).events('drill-000001');
  expect(armed?.facts).toMatchObject({
    planSha256: planDigest(plan),
    approvedBy: [expect.stringMatching(/^ann \(SHA256:/), expect.stringMatching(/^bob/)],
  });
});

test('production: nothing stands after the approvals have run out, and a repeated call finds its lease all the same', async () => {
  const plan = planOn('production');
  const approvals = await approved(plan, ['ann', 'bob'], new Date(Date.now() + 20_000).toISOString());
  const lease = await keeper.arm(request(plan, 'one', { approvals }));
  expect(hardMs(lease)).toBeLessThanOrEqual(20_000);
  expect(hardMs(lease)).toBeGreaterThan(10_000);
  expect(await keeper.arm(request(plan, 'one', { approvals: [] }))).toEqual(lease);
});

test('production: the time that checking takes is not added to what the approvals allow', async () => {
  const plan = planOn('production');
  const until = new Date(Date.now() + 20_000).toISOString();
  const approvals = await approved(plan, ['ann', 'bob'], until);
  resolving = () => new Promise((resolve) => setTimeout(resolve, 1_000));
  const lease = await keeper.arm(request(plan, 'one', { approvals }));
  expect(Date.parse(lease.hardMaximumAt)).toBeLessThanOrEqual(Date.parse(until) + 100);
});

test('what the machine’s owner takes back while a fault is being armed is not armed', async () => {
  const plan = planOn('production');
  const approvals = await approved(plan, ['ann', 'bob']);
  resolving = async () => say({ faults: [] });
  await expect(keeper.arm(request(plan, 'one', { approvals }))).rejects.toThrow('faults does not list trial');
  say({ faults: ['trial'] });
  resolving = async () => say({ productionSystems: [] });
  await keeper.arm(request(plan, 'one', { approvals }));
});

describe('production is refused', () => {
  const refused = (more: Partial<ArmRequest>, plan = planOn('production')) => expect(keeper.arm(request(plan, 'one', more))).rejects;

  test('without approvals, with one, with one’s own, and with those of another plan', async () => {
    const plan = planOn('production');
    await refused({}).toMatchObject({ code: 'approval_missing' });
    await refused({ approvals: await approved(plan, ['ann']) }).toThrow('only ann’s counts');
    await refused({ approvals: await approved(plan, ['ann', 'carol']) }).toThrow('who starts a drill (carol) cannot approve it');
    const other = { ...plan, steps: [step('one', 'n3')] };
    await refused({ approvals: await approved(other, ['ann', 'bob']) }).toThrow('is for another plan');
  });

  test('where this machine’s allow file names no approvers, whatever the target’s file says', async () => {
    const { approvers: _none, ...rest } = allow;
    allow = rest;
    say({});
    const plan = planOn('production', { approvers: people.signersFile });
    await refused({ approvals: await approved(plan, ['ann', 'bob']) }, plan).toThrow(`allow file ${allowFile()}: approvers is not set`);
  });

  test('a system that this machine’s owner calls production, though the target’s file says lab', async () => {
    const plan = planOn('lab');
    say({ productionSystems: [plan.target.systemIdentifier] });
    await refused({}, plan).toMatchObject({ code: 'approval_missing' });
  });

  test('without plan, step or starter, and for another target or fault than the plan’s', async () => {
    const plan = planOn('production');
    const approvals = await approved(plan, ['ann', 'bob']);
    const { plan: _plan, ...noPlan } = request(plan, 'one', { approvals });
    await expect(keeper.arm(noPlan)).rejects.toThrow('the request holds no plan');
    const { startedBy: _nobody, ...noStarter } = request(plan, 'one', { approvals });
    await expect(keeper.arm(noStarter)).rejects.toThrow('nobody is named as the starter');
    await refused({ approvals, target: { ...plan.target, entry: { ...plan.target.entry, port: 1 } } }).toThrow(
      'is not the one of the plan',
    );
    await refused({ approvals, key: { workflowId: 'drill/x', runId: 'r', step: 'four' } }).toThrow('has no step four');
  });
});
