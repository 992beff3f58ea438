/** Pre-flight of the owner's limits on a target on paper: n1 primary, n2 and n3 standbys. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { planDigest } from '../faults/approvals';
import { makePeople } from '../faults/approvals.test-data';
import { paperContext } from '../faults/paper-target.test-data';
import type { Plan, PlanStep } from '../model/plan';
import type { Target, TargetPolicy } from '../model/target';
import { samplePlan } from '../test/sample-plan';
import { approvalChecks, blastChecks, policyChecks } from './policy-checks';

const cut = (id: string, from: string, to: string): PlanStep => ({
  kind: 'fault',
  id,
  title: id,
  fault: 'link-cut',
  settings: { from, to, direction: 'both' },
  maxMs: 1_000,
});
const FAILOVER: PlanStep = { kind: 'failover', id: 'failover', title: 'f', candidate: null, timeoutMs: 1_000 };
const heal = (...steps: string[]): PlanStep => ({ kind: 'heal', id: 'heal', title: 'h', steps: steps.length === 0 ? null : steps });
const SOURCE = 'name: shop\nkind: production\npolicy:\n  allowFaults: [link-cut]\n  allowQuorumLoss: true\n';

function planOf(steps: readonly PlanStep[], policy: Partial<TargetPolicy> = {}, kind: Target['kind'] = 'staging'): Plan {
  const plan = samplePlan(steps);
  const strict = { allowFaults: ['link-cut'], maxNodesAtOnce: 1, allowQuorumLoss: true, acceptDataLoss: false, ...policy };
  const target = { ...plan.target, kind, policy: { ...plan.target.policy, ...strict } };
  return { ...plan, target, targetSource: { source: SOURCE, sha256: '', file: 'shop.yaml' } };
}
const blast = async (steps: readonly PlanStep[], policy: Partial<TargetPolicy> = {}): Promise<readonly string[]> =>
  (await blastChecks(planOf(steps, policy), paperContext('x').live, 'drill-000000')).map(
    ({ name, ok, found }) => `${ok ? 'ok' : name} ${found}`,
  );

test('faults that would stand together are added up before anything is touched', async () => {
  expect(await blast([cut('a', 'n2', 'n1')])).toEqual(['ok 1 nodes at once']);
  expect(await blast([cut('a', 'n2', 'n1'), cut('b', 'n3', 'n1')])).toEqual([
    'b: blast radius shop.yaml:3: policy.maxNodesAtOnce is 1; with link-cut the faults that stand would hurt 2 nodes (n2, n3)',
  ]);
  expect(await blast([{ kind: 'parallel', id: 'p', title: 'p', branches: [[cut('a', 'n2', 'n1')], [cut('b', 'n3', 'n1')]] }])).toHaveLength(
    1,
  );
  expect(await blast([cut('a', 'n2', 'n1'), heal('a'), cut('b', 'n3', 'n1')])).toEqual(['ok 1 nodes at once']);
  expect((await blast([cut('a', 'n2', 'n1'), heal('c'), cut('b', 'n3', 'n1')]))[0]).toContain('b: blast radius');
});

test('after a failover late words are not added up, but each fault still counts by itself', async () => {
  expect(await blast([cut('a', 'n2', 'n1'), FAILOVER, cut('b', 'n3', 'n1')])).toEqual(['ok 1 nodes at once']);
  expect((await blast([FAILOVER, cut('b', 'each-standby', 'primary')]))[0]).toContain('maxNodesAtOnce is 1');
});

test('what the policy does not list is named with its line', () => {
  const [opted] = policyChecks(planOf([cut('a', 'n2', 'n1')], { allowFaults: [] }));
  expect(opted).toMatchObject({ ok: false, found: 'not allowed: link-cut (shop.yaml:4: policy.allowFaults does not list link-cut)' });
});

describe('production', () => {
  const breaking = [cut('a', 'n2', 'n1'), FAILOVER];

  test('is not asked about on other targets, nor for plans that break nothing', async () => {
    expect(await approvalChecks(planOf(breaking), [], 'ann')).toEqual([]);
    expect(await approvalChecks(planOf([heal()], {}, 'production'), [], 'ann')).toMatchObject([{ ok: true }]);
  });

  test('without approvers nobody can allow it, and both lines are named', async () => {
    expect(await approvalChecks(planOf(breaking, {}, 'production'), [], 'ann')).toMatchObject([
      {
        ok: false,
        found:
          'shop.yaml:2: kind is production, and the plan breaks it (a, failover); shop.yaml:3: policy.approvers names nobody who could approve',
      },
    ]);
  });

  test('two others allow it; the one who starts it does not count', async () => {
    const dir = mkdtempSync(join(tmpdir(), 'gd-ready-'));
    try {
      const people = makePeople(dir, ['ann', 'bob']);
      const plan = planOf(breaking, { approvers: people.signersFile }, 'production');
      const what = { planSha256: planDigest(plan), systemIdentifier: plan.target.systemIdentifier };
      const approvals = [await people.approve('ann', what), await people.approve('bob', what)];
      expect(await approvalChecks(plan, approvals, 'carol')).toMatchObject([
        { ok: true, found: expect.stringMatching(/^ann \(SHA256:.*bob/) },
      ]);
      expect(await approvalChecks(plan, approvals, 'ann')).toMatchObject([
        { ok: false, found: expect.stringContaining('only bob'), hint: expect.stringContaining('gameday approve') },
      ]);
    } finally {
      rmSync(dir, { recursive: true });
    }
  });
});
