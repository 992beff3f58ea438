/**
 * Pre-flight of what the target's owner allows: faults, limits, how much at once, and on production who approved. Each refusal names the line of the
 * target file that forbids it. Touches nothing; the guardian asks the same again when something is armed.
 */
import { formatMs } from '../core/units';
import type { SignedApproval } from '../model/approval';
import { APPROVALS_NEEDED } from '../model/constants';
import type { FaultStep, Plan, PlanStep } from '../model/plan';
import type { CheckResult } from '../model/record';
import type { Target } from '../model/target';
import { consentsEndMs, planDigest, weighApprovals } from '../faults/approvals';
import { atLine, findForbidden, type Forbidden, type Hurt } from '../faults/blast-radius';
import { faultLabel, NO_MEMORY } from '../faults/contract';
import { findFault, type AnyFault } from '../faults/registry';
import { blastLimits, permitOf } from '../targets/policy';
import type { LiveTarget } from '../targets/ports';

export const result = (name: string, ok: boolean, found: string, expected: string, hint: string | null = null): CheckResult => ({
  name,
  ok,
  found,
  expected,
  hint: ok ? null : hint,
});

export function faultSteps(steps: readonly PlanStep[]): FaultStep[] {
  return inOrder(steps).filter((step) => step.kind === 'fault');
}

/** Steps as they begin; those side by side one after the other, which is the worst case. */
function inOrder(steps: readonly PlanStep[]): PlanStep[] {
  return steps.flatMap((step) => (step.kind === 'parallel' ? step.branches.flatMap(inOrder) : [step]));
}

/** Null unless the fault may lose acknowledged writes where the owner has not said that they may be lost. */
export function findLossForbidden(target: Target, fault: AnyFault, settings: unknown): Forbidden | null {
  if (target.kind === 'lab' || target.policy.acceptDataLoss || !fault.mayLoseWrites(settings)) return null;
  return {
    path: ['policy', 'acceptDataLoss'],
    why: `policy.acceptDataLoss is false, and ${fault.name} may lose acknowledged writes`,
    hint: 'say acceptDataLoss: true in the target file only if its owner agrees to lose data.',
  };
}

export function policyChecks(plan: Plan): readonly CheckResult[] {
  const { policy, name } = plan.target;
  const steps = faultSteps(plan.steps);
  const wanted = [...new Set(steps.map((step) => step.fault))];
  const forbidden = wanted.filter((fault) => permitOf(policy, fault) === null);
  const line = (path: readonly string[], why: string): string => atLine(plan.targetSource, { path, why });
  const list = forbidden.join(', ');
  const lossy = steps.flatMap((step) => {
    const fault = findFault(step.fault);
    const why = findLossForbidden(plan.target, fault, fault.schema.parse(step.settings));
    return why === null
      ? []
      : [result(`${step.id}: no write may be lost`, false, atLine(plan.targetSource, why), 'acceptDataLoss: true', why.hint)];
  });
  return [
    result(
      'target opted in to these faults',
      forbidden.length === 0,
      forbidden.length === 0
        ? wanted.join(', ') || 'no faults'
        : `not allowed: ${list} (${line(['policy', 'allowFaults'], `policy.allowFaults does not list ${list}`)})`,
      `policy.allowFaults of target ${name}`,
      'add them to policy.allowFaults in the target file if its owner agrees',
    ),
    result(
      'drill fits the policy’s limit',
      plan.limits.maxDrillMs <= policy.maxDrillMs,
      formatMs(plan.limits.maxDrillMs),
      line(['policy', 'maxDrillMs'], `≤ ${formatMs(policy.maxDrillMs)}`),
      'shorten the drill, or raise policy.maxDrillMs',
    ),
    ...lossy,
  ];
}

/**
 * Each fault by itself, and together with what stands before it. Late words may mean other nodes after a failover, so from there on each is held
 * against the limits by itself; the guardian knows better when it comes.
 */
export async function blastChecks(plan: Plan, live: LiveTarget, drill: string): Promise<readonly CheckResult[]> {
  const found: CheckResult[] = [];
  let standing: (Hurt & { readonly step: string })[] = [];
  let moved = false;
  let most = 0;
  for (const step of inOrder(plan.steps)) {
    if (step.kind === 'failover') moved = true;
    if (step.kind === 'heal') standing = standing.filter((each) => step.steps !== null && !step.steps.includes(each.step));
    if (step.kind !== 'fault' || permitOf(plan.target.policy, step.fault) === null) continue;
    const nodes = await reachNow(step, live, drill);
    if (nodes === null) continue;
    const before = moved ? [] : standing;
    const forbidden = findForbidden(plan.target, before, { fault: step.fault, nodes });
    if (forbidden !== null)
      found.push(result(`${step.id}: blast radius`, false, atLine(plan.targetSource, forbidden), 'within the policy', forbidden.hint));
    most = Math.max(most, new Set([...before.flatMap((each) => each.nodes), ...nodes]).size);
    standing.push({ fault: step.fault, nodes, step: step.id });
  }
  const { maxNodesAtOnce } = blastLimits(plan.target.policy);
  return found.length > 0 ? found : [result('blast radius', true, `${most} nodes at once`, `≤ ${maxNodesAtOnce} nodes at once`)];
}

/** The nodes it would hurt if it ran now; null when that cannot be told yet. Why it cannot is for the fault's own check to say. */
async function reachNow(step: FaultStep, live: LiveTarget, drill: string): Promise<readonly string[] | null> {
  const fault = findFault(step.fault);
  try {
    const resolved = await fault.resolve(fault.schema.parse(step.settings), {
      live,
      drill,
      label: faultLabel(drill, step.id),
      memory: NO_MEMORY,
    });
    return fault.reach(resolved).nodes;
  } catch {
    return null;
  }
}

/** Production is broken only with the consent of two others; observing it and restoring copies of it needs none. */
export async function approvalChecks(
  plan: Plan,
  approvals: readonly SignedApproval[],
  startedBy: string | null,
): Promise<readonly CheckResult[]> {
  const { target } = plan;
  if (target.kind !== 'production') return [];
  const name = 'production: approved by two others';
  const breaking = inOrder(plan.steps).filter((step) => step.kind === 'fault' || step.kind === 'failover');
  if (breaking.length === 0) return [result(name, true, 'not needed: the plan holds neither fault nor failover', 'two approvals')];
  const planSha256 = planDigest(plan);
  const { systemIdentifier } = target;
  const signersFile: string | null | undefined = target.policy.approvers;
  const why = `kind is production, and the plan breaks it (${breaking.map((step) => step.id).join(', ')})`;
  const here = atLine(plan.targetSource, { path: ['kind'], why });
  // Plans made before there were approvers hold none.
  if (signersFile === null || signersFile === undefined) {
    const missing = atLine(plan.targetSource, { path: ['policy', 'approvers'], why: 'policy.approvers names nobody who could approve' });
    const hint = 'name an allowed-signers file as policy.approvers in the target file; docs/SECURITY.md shows how';
    return [result(name, false, `${here}; ${missing}`, 'two approvals', hint)];
  }
  const nowMs = Date.now();
  const { consents, problems } = await weighApprovals({ planSha256, systemIdentifier, approvals, signersFile, startedBy, nowMs });
  const enough = consents.length >= APPROVALS_NEEDED;
  const people = consents.map(({ approver, key, until }) => `${approver} (${key}) until ${until}`).join(', ');
  return [
    result(
      name,
      enough,
      enough
        ? `${people}; nothing stands after ${new Date(consentsEndMs(consents)).toISOString()}`
        : `${here}; ${[people === '' ? 'nobody approves' : `only ${people} approves`, ...problems].join('; ')}`,
      `${APPROVALS_NEEDED} approvals of plan ${planSha256.slice(0, 12)} by signers of ${signersFile}`,
      `two others run \`gameday approve\` with this plan and a key that ${signersFile} lists; docs/SECURITY.md shows how`,
    ),
  ];
}
