/**
 * When a person declared the incident, on the prober's clock. Answers reach the workflow, which has no such clock: so the prober is asked for a receipt before
 * the question is put, again and again while it is open, and once the answer is in. The declaration lies between the last that surely came before it and the last.
 */
import { bootTimeMs, sleep } from '../core/clock';
import type { SiteActivities } from './contract';
import { cancellable, stamp, type Asking } from './open-drill';

const LEAST_MS = 1_000;
/** What an hour of waiting adds to the ledger stays small, and the bounds stay within a hundredth of the wait. */
const SHARE_OF_WAIT = 0.01;

export async function declare({ probe, step, phase }: Parameters<SiteActivities['declare']>[0]): Promise<void> {
  await stamp(probe, 'declare', phase, step);
}

/**
 * Ends by cancellation, or when the question is open no more. A receipt is stamped only after the workflow has said that it is open still: that is what makes
 * the receipt before it a bound. A workflow that cannot be asked costs a wider one.
 */
export async function watchDeclaration(
  hand: Asking,
  { drill, probe, step }: Parameters<SiteActivities['watchDeclaration']>[0],
): Promise<void> {
  await cancellable(async (signal) => {
    const sinceMs = bootTimeMs();
    for (;;) {
      const open = await hand.isAsking(drill.workflowId, drill.runId, step).catch(() => null);
      if (open === false) return;
      signal.throwIfAborted();
      if (open === true) await stamp(probe, 'declare', 'about-to', step);
      await sleep(Math.max(LEAST_MS, SHARE_OF_WAIT * (bootTimeMs() - sinceMs)), signal);
    }
  });
}
