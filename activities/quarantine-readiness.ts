/**
 * Pre-flight of the quarantine: a drill that may leave a fork is refused outside labs while nothing says to whom the fork would be encrypted. Refused before
 * anything is broken, never afterwards: a fork that is there is saved, encrypted or not.
 */
import { atLine } from '../faults/blast-radius';
import { promoteBehindBack } from '../faults/promote-behind-back';
import { findFault, type AnyFault } from '../faults/registry';
import type { JsonObject } from '../model/json';
import type { Plan, PlanStep } from '../model/plan';
import type { CheckResult } from '../model/record';
import { certificateSha256, encryptCommand } from '../targets/controllers/quarantine-encryption';
import type { LiveTarget } from '../targets/ports';
import { faultSteps, result } from './policy-checks';

const NAME = 'what an old primary alone holds would be encrypted';
const EXPECTED = 'a certificate, whose key is kept elsewhere';
const HOW =
  'add `quarantine: { certificate: /etc/gameday/quarantine.pem }` to the target file; make the pair on a machine of whoever may read the rows: `openssl req -x509 -newkey rsa:3072 -nodes -days 3650 -subj /CN=quarantine -keyout quarantine.key -out quarantine.pem`, and bring only quarantine.pem here';

/**
 * A fork needs a promotion: by a failover step, by agents that answer a fault by themselves, behind everybody's back, or by people, where a fault that may cost
 * writes stands beside a manual step. A primary that dies and is started again where it was leaves none.
 */
export function mayFork({ steps, target }: Pick<Plan, 'steps' | 'target'>): boolean {
  const holds = (kind: PlanStep['kind'], list: readonly PlanStep[]): boolean =>
    list.some((step) => step.kind === kind || (step.kind === 'parallel' && step.branches.some((branch) => holds(kind, branch))));
  const faults = faultSteps(steps);
  const byItself = target.controller.kind !== 'standalone' && target.controller.kind !== 'command';
  if (holds('failover', steps) || (byItself && faults.length > 0)) return true;
  if (faults.some(({ fault }) => fault === promoteBehindBack.name)) return true;
  return holds('manual', steps) && faults.some(({ fault, settings }) => mayLoseWrites(findFault(fault), settings));
}

function mayLoseWrites(fault: AnyFault, settings: JsonObject): boolean {
  return fault.mayLoseWrites(fault.schema.parse(settings));
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
