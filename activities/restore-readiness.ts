/** Pre-flight of restores: where copies may stand, and what each would move and need. Touches nothing. */
import { messageOf, GamedayError } from '../core/errors';
import { resolveSecret } from '../core/secrets';
import { formatBytes } from '../core/units';
import type { Plan, RestoreStep } from '../model/plan';
import { restoresIn } from '../model/plan-steps';
import type { CheckResult } from '../model/record';
import { atLine } from '../faults/blast-radius';
import { costOfRestore, refuseCost, refuseEstimate } from '../targets/archives/restore-cost';
import type { Archive, LiveTarget, RecoveryTarget } from '../targets/ports';
import { credentialChecks } from './restore-credentials';
import { requireDeclaredHost } from './restore-place';

export async function restoreChecks({ plan, live }: { readonly plan: Plan; readonly live: LiveTarget }): Promise<readonly CheckResult[]> {
  const steps = restoresIn(plan.steps);
  const { archive } = live;
  if (steps.length === 0 || archive === null) return [];
  const credentials = await credentialChecks(plan.target, (node, path) => live.host(node).readFile(path));
  return [
    placeCheck(plan),
    ...credentials,
    ...keyChecks(plan),
    ...(await Promise.all(steps.map((step) => costCheck(plan, step, live, archive)))),
  ];
}

function placeCheck({ target }: Plan): CheckResult {
  const name = 'restored copies may stand here';
  try {
    requireDeclaredHost(target);
    return { name, ok: true, found: target.sandbox?.dir ?? '', expected: 'a machine that the target names', hint: null };
  } catch (error) {
    return {
      name,
      ok: false,
      found: messageOf(error),
      expected: 'a machine that the target names',
      hint: error instanceof GamedayError ? error.hint : null,
    };
  }
}

/** That a key cannot be read here is for whoever set up the drill; whether it opens the archive is for the drill to find out. */
function keyChecks({ target: { archive }, steps }: Plan): readonly CheckResult[] {
  const keys = archive?.kind === 'pgbackrest' ? (archive.keys ?? {}) : {};
  const named = new Set(restoresIn(steps).map(({ key }) => key));
  return Object.entries(keys).flatMap(([key, secret]): readonly CheckResult[] => {
    if (!named.has(key)) return [];
    const check = { name: `the key ${key} can be read`, expected: 'a secret that the worker can read' };
    try {
      resolveSecret(secret);
      return [{ ...check, ok: true, found: secret, hint: null }];
    } catch (error) {
      return [
        { ...check, ok: false, found: messageOf(error), hint: 'put the copy of the key where archive.keys of the target file says.' },
      ];
    }
  });
}

async function costCheck(plan: Plan, step: RestoreStep, live: LiveTarget, archive: Archive): Promise<CheckResult> {
  const name = `${step.id}: the restore is possible`;
  const expected = 'a backup that reaches back far enough, within the policy, and room for the copy';
  try {
    const cost = await costOfRestore(step, live, archive);
    const refusal = refuseCost(plan.target, cost);
    if (refusal !== null) return { name, ok: false, found: placed(plan, refusal), expected, hint: refusal.hint };
    const found = `backup ${cost.backup}: ${formatBytes(cost.baseBytes)} and at most ${formatBytes(cost.walBytes)} of WAL; needs ${formatBytes(cost.diskBytes)} of ${formatBytes(cost.freeBytes)} free`;
    return { name, ok: true, found, expected, hint: null };
  } catch (error) {
    return { name, ok: false, found: messageOf(error), expected, hint: error instanceof GamedayError ? error.hint : null };
  }
}

const placed = ({ targetSource }: Plan, { path, why }: { readonly path: readonly string[] | null; readonly why: string }): string =>
  path === null ? why : atLine(targetSource, { path, why });

/** The last word before bytes move. Throws `refused`. */
export async function requireAffordable(plan: Plan, archive: Archive, recovery: RecoveryTarget): Promise<void> {
  const refusal = refuseEstimate(plan.target, await archive.estimate(recovery));
  if (refusal !== null) throw new GamedayError('refused', placed(plan, refusal), refusal.hint);
}
