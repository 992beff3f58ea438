/**
 * What the restores of a plan would move, for `gameday plan`: bytes, requests, disk and the time that earlier restores of this target let us expect. Where the
 * target cannot be asked the reason stands there instead; a plan needs no running target.
 */
import { messageOf } from '../core/errors';
import { homePaths } from '../core/home';
import { expectRestore, restoreRates, sampleOf, type RestoreSample } from '../core/restore-forecast';
import { formatBytes, formatMs } from '../core/units';
import { listDrills } from '../evidence/read-bundle';
import type { Plan } from '../model/plan';
import { restoresIn } from '../model/plan-steps';
import type { RestoreCost } from '../targets/archives/restore-cost';
import { costOfRestore, openTarget, refuseCost } from '../targets/open-target';

export interface PlannedRestore {
  readonly step: string;
  readonly cost: RestoreCost | null;
  /** Null: no earlier restore tells. */
  readonly expectedMs: number | null;
  /** Why the restore would be refused, or why its cost is not known. */
  readonly problem: string | null;
}

/** Restores of this target that were measured, oldest first. */
export function measuredRestores(home: string, systemIdentifier: string): readonly RestoreSample[] {
  return listDrills(homePaths(home).drills)
    .flatMap(({ record }) => (record?.target.systemIdentifier === systemIdentifier ? [record] : []))
    .flatMap((record) => record.restores.flatMap((restore) => sampleOf(restore, record.startedAt) ?? []))
    .sort((a, b) => a.at.localeCompare(b.at));
}

export async function planRestores(home: string, plan: Plan): Promise<readonly PlannedRestore[]> {
  const steps = restoresIn(plan.steps);
  const live = openTarget(plan.target);
  const { archive } = live;
  if (archive === null) return [];
  const rates = steps.length === 0 ? null : restoreRates(measuredRestores(home, plan.target.systemIdentifier));
  return Promise.all(
    steps.map(async (step): Promise<PlannedRestore> => {
      try {
        const cost = await costOfRestore(step, live, archive);
        const expected = rates === null ? null : expectRestore(rates, cost.baseBytes, cost.walBytes);
        return { step: step.id, cost, expectedMs: expected?.total ?? null, problem: refuseCost(plan.target, cost)?.why ?? null };
      } catch (error) {
        return { step: step.id, cost: null, expectedMs: null, problem: messageOf(error) };
      }
    }),
  );
}

/** Lines for people; none for a plan that restores nothing. */
export function restoreLines(restores: readonly PlannedRestore[]): readonly string[] {
  if (restores.length === 0) return [];
  return ['restores', ...restores.map((each) => `  ${each.step.padEnd(18)} ${costWords(each)}`)];
}

function costWords({ cost, expectedMs, problem }: PlannedRestore): string {
  if (cost === null) return `not known: ${problem ?? '?'}`;
  const requests = cost.requests === null ? '' : `, ${cost.requests} requests`;
  const moved = `backup ${cost.backup}: base ${formatBytes(cost.baseBytes)}, WAL at most ${formatBytes(cost.walBytes)} (${cost.segments} segments)${requests}`;
  const disk = `needs ${formatBytes(cost.diskBytes)} of disk, ${formatBytes(cost.freeBytes)} are free`;
  const time = `time to expect: ${expectedMs === null ? 'not known yet' : formatMs(expectedMs)}`;
  return `${moved} · ${disk} · ${time}${problem === null ? '' : ` · WILL BE REFUSED: ${problem}`}`;
}
