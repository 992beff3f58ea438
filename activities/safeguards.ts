/** What stands around a drill before it begins: who could read or destroy the archive, whether a watchdog is fed, who approved. Touches nothing, refuses nothing. */
import { planDigest, weighApprovals } from '../faults/approvals';
import { messageOf } from '../core/errors';
import type { SignedApproval } from '../model/approval';
import type { Plan } from '../model/plan';
import type { Safeguards } from '../model/record';
import type { LiveTarget } from '../targets/ports';

/** Never rejects: what could not be looked at says why. */
export async function readSafeguards(
  { plan, live }: { readonly plan: Plan; readonly live: LiveTarget },
  approvals: readonly SignedApproval[],
  startedBy: string | null,
  archiveExposure: Safeguards['archiveExposure'],
): Promise<Safeguards> {
  const { controller } = live;
  return {
    archiveExposure,
    watchdog: (await controller.watchdog?.()) ?? { notRecorded: `of controller ${controller.kind} no watchdog is known` },
    approvals: await consentsTo(plan, approvals, startedBy),
  };
}

/** Those that count, by the same rules as the pre-flight's own check. */
async function consentsTo(plan: Plan, approvals: readonly SignedApproval[], startedBy: string | null): Promise<Safeguards['approvals']> {
  const { kind, systemIdentifier, policy } = plan.target;
  if (kind !== 'production') return { notRecorded: 'none is asked for: the target is no production' };
  // Plans made before there were approvers hold none.
  const signersFile: string | null | undefined = policy.approvers;
  if (signersFile === null || signersFile === undefined) return { notRecorded: 'the target file names nobody who could approve' };
  try {
    const asked = { planSha256: planDigest(plan), systemIdentifier, approvals, signersFile, startedBy, nowMs: Date.now() };
    const { consents } = await weighApprovals(asked);
    return consents.map(({ approver, key, from, until }) => ({ approver, key, from, until }));
  } catch (error) {
    return { notRecorded: `approvals could not be weighed: ${messageOf(error)}` };
  }
}
