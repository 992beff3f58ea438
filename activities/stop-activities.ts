/** Watches a drill's stop conditions, each at its own pace, until one has failed often enough. */
import { nowUtc, sleep } from '../core/clock';
import type { StopCondition } from '../model/plan';
import { openTarget } from '../targets/open-target';
import type { LiveTarget } from '../targets/ports';
import { evaluateStop, type StopFinding } from '../targets/stop-checks';
import type { SiteActivities, StopTripped } from './contract';
import { cancellable } from './open-drill';

const MOST_WAIT_MS = 10_000;

/** The first condition that trips; rejects when `signal` aborts. */
export async function watchStop({ plan }: Parameters<SiteActivities['watchStop']>[0]): Promise<StopTripped> {
  const live = openTarget(plan.target);
  return cancellable(async (signal) => {
    const others = new AbortController();
    const until = AbortSignal.any([signal, others.signal]);
    try {
      return await Promise.race((plan.stop ?? []).map((condition) => watchOne(live, condition, until)));
    } finally {
      others.abort();
    }
  });
}

async function watchOne(live: LiveTarget, condition: StopCondition, signal: AbortSignal): Promise<StopTripped> {
  const newest: StopFinding[] = [];
  for (;;) {
    newest.push(await evaluateStop(live, condition.check, Math.min(MOST_WAIT_MS, Math.max(1_000, condition.everyMs))));
    newest.splice(0, newest.length - condition.of);
    const failures = newest.filter((finding) => !finding.holds);
    const last = failures.at(-1);
    if (last !== undefined && failures.length >= condition.failures)
      return { condition: condition.id, at: nowUtc(), failures: failures.length, of: newest.length, found: last.found };
    await sleep(condition.everyMs, signal);
  }
}
