/** Readiness only: what would stop a drill now. Touches nothing. */
import type { Plan } from '../model/plan';
import type { CheckResult } from '../model/record';
import { openHands } from './proxies';

export async function readiness(plan: Plan): Promise<readonly CheckResult[]> {
  const result = await openHands(plan.target.site).site.checkReadiness({ plan, drill: null });
  return result.checks;
}
