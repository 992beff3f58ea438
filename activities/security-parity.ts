/**
 * Is the node that leads after a drill guarded as the one before it was? Digests of both sides are taken under one key, which lives in the drill's workflow alone;
 * the record keeps which aspects are the same, never a digest. A failover to a node with other rules of access is a finding, however fast it was.
 */
import { randomBytes } from 'node:crypto';
import { messageOf } from '../core/errors';
import { SECURITY_ASPECTS } from '../model/constants';
import type { Plan } from '../model/plan';
import type { Maybe, SecurityParity } from '../model/record';
import { openTarget } from '../targets/open-target';
import type { LiveTarget } from '../targets/ports';
import { readSecurityDigests } from '../targets/security-facts';
import type { SecurityBefore } from './contract';

const KEY_BYTES = 32;

/** Of the primary before anything is broken; null where nobody led. Never rejects. */
export async function readSecurityBefore(live: LiveTarget, primary: string | null): Promise<SecurityBefore | null> {
  if (primary === null) return null;
  const key = randomBytes(KEY_BYTES).toString('hex');
  return { node: primary, key, digests: await readSecurityDigests(live, primary, key) };
}

/** Never rejects: what cannot be compared says why. */
export async function compareSecurity(plan: Plan, before: SecurityBefore | null | undefined): Promise<Maybe<SecurityParity>> {
  if (before === undefined) return { notRecorded: 'the pre-flight did not come so far' };
  if (before === null) return { notRecorded: 'nobody led when the drill began' };
  try {
    const live = openTarget(plan.target);
    const { primary } = await live.controller.topology();
    if (primary === null) return { notRecorded: 'nobody leads after the drill' };
    if (primary === before.node) return { notRecorded: `${primary} leads as it did before: there is no other node to compare` };
    return parityOf(before, primary, await readSecurityDigests(live, primary, before.key));
  } catch (error) {
    return { notRecorded: `the nodes could not be compared: ${messageOf(error)}` };
  }
}

export function parityOf({ node, digests }: SecurityBefore, to: string, after: SecurityBefore['digests']): SecurityParity {
  return {
    from: node,
    to,
    aspects: SECURITY_ASPECTS.map((aspect) => {
      const [old, now] = [digests[aspect], after[aspect]];
      if (typeof old !== 'string') return { aspect, same: { notRecorded: `before, on ${node}: ${old.notRecorded}` } };
      if (typeof now !== 'string') return { aspect, same: { notRecorded: `after, on ${to}: ${now.notRecorded}` } };
      return { aspect, same: old === now };
    }),
  };
}
