/**
 * Pre-flight of the quarantine: a drill that may leave a fork is refused outside labs while nothing says to whom the fork would be encrypted. Refused before
 * anything is broken, never afterwards: a fork that is there is saved, encrypted or not.
 */
import { atLine } from '../faults/blast-radius';
import { findFault } from '../faults/registry';
import type { Plan, PlanStep } from '../model/plan';
import type { CheckResult } from '../model/record';
import { certificateSha256, encryptCommand } from '../targets/controllers/quarantine-encryption';
import type { LiveTarget } from '../targets/ports';
import { faultSteps, result } from './policy-checks';

const NAME = 'what an old primary alone holds would be encrypted';
const EXPECTED = 'a certificate, whose key is kept elsewhere';
const HOW =
  'add `quarantine: { certificate: /etc/gameday/quarantine.pem }` to the target file; make the pair on a machine of whoever may read the rows: `openssl req -x509 -newkey rsa:3072 -nodes -days 3650 -subj /CN=quarantine -keyout quarantine.key -out quarantine.pem`, and bring only quarantine.pem here';

/** Where a node can be left with commits that nobody else has: by a failover of ours, of an agent's, or a fault that may cost writes. */
export function mayFork({ steps, target }: Pick<Plan, 'steps' | 'target'>): boolean {
  const failsOver = (list: readonly PlanStep[]): boolean =>
    list.some((step) => step.kind === 'failover' || (step.kind === 'parallel' && step.branches.some(failsOver)));
  const faults = faultSteps(steps);
  const byItself = target.controller.kind !== 'standalone' && target.controller.kind !== 'command';
  if (failsOver(steps) || (byItself && faults.length > 0)) return true;
  return faults.some((step) => {
    const fault = findFault(step.fault);
    return fault.mayLoseWrites(fault.schema.parse(step.settings));
  });
}

/** Nodes behind ssh and in containers are not saved by gameday at all, and so are none of this check's. */
export async function quarantineChecks({
  plan,
  live,
}: {
  readonly plan: Plan;
  readonly live: LiveTarget;
}): Promise<readonly CheckResult[]> {
  const { target } = plan;
  const [node] = target.nodes.filter(({ runsOn }) => runsOn.kind === 'local');
  if (target.kind === 'lab' || node === undefined || !mayFork(plan)) return [];
  if (target.quarantine === undefined) {
    const found = atLine(plan.targetSource, { path: ['kind'], why: `kind is ${target.kind}, and no quarantine.certificate is named` });
    return [result(NAME, false, found, EXPECTED, HOW)];
  }
  const { certificate } = target.quarantine;
  const sha256 = certificateSha256(certificate);
  const tried = await live
    .host(node.name)
    .exec([...encryptCommand('/dev/null', '/dev/null', certificate)], { asNode: false, timeoutMs: 10_000 });
  const found = tried.code === 0 ? `to the certificate with SHA-256 ${sha256}` : tried.stderr.trim().slice(-300);
  return [
    result(
      NAME,
      tried.code === 0,
      found,
      EXPECTED,
      'is openssl installed, and does the certificate’s key serve to encrypt (RSA, or an elliptic curve)?',
    ),
  ];
}
