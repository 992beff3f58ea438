/**
 * Who consented to a drill: the signed approvals handed over, held against one plan, one system, now, and the allowed signers of whoever asks. The
 * drill asks with the target's file, the guardian with its own. It counts people by name and by key, and never counts who starts the drill.
 */
import { z } from 'zod';
import { canonicalJson } from '../core/canonical-json';
import { GamedayError } from '../core/errors';
import { sha256Hex } from '../core/files';
import { readOwnedFile } from '../core/owned-file';
import { isSamePerson } from '../core/people';
import { checkSignature } from '../core/ssh-signature';
import { APPROVAL_NAMESPACE, APPROVALS_NEEDED } from '../model/constants';
import type { Approval, SignedApproval } from '../model/approval';
import type { FaultStep, Plan, PlanStep } from '../model/plan';

/** More than any drill needs; each costs a process to check. */
const MAX_APPROVALS = 20;
const time = z.iso.datetime();
const schema = z.strictObject({
  formatVersion: z.literal(1),
  planSha256: z.string().regex(/^[0-9a-f]{64}$/),
  systemIdentifier: z.string().regex(/^[0-9]{1,20}$/),
  from: time,
  until: time,
  approver: z.string().regex(/^[A-Za-z0-9][A-Za-z0-9._@+-]{0,99}$/),
});

/** One approval that counts. */
export interface Consent extends Approval {
  /** Fingerprint of the key that signed, `SHA256:…`. */
  readonly key: string;
}

export interface ApprovalQuestion {
  readonly planSha256: string;
  readonly systemIdentifier: string;
  readonly approvals: readonly SignedApproval[];
  /** Absolute path of the allowed-signers file. */
  readonly signersFile: string;
  /** Null where nobody has started anything yet. */
  readonly startedBy: string | null;
  /** Milliseconds since the epoch. */
  readonly nowMs: number;
}

/** At most one per person, and in words why others do not count. Throws `tool_missing` where there is no ssh-keygen. */
export async function weighApprovals(
  question: ApprovalQuestion,
): Promise<{ readonly consents: readonly Consent[]; readonly problems: readonly string[] }> {
  const signers = readOwnedFile(question.signersFile);
  if ('problem' in signers) return { consents: [], problems: [`allowed-signers file ${question.signersFile}: ${signers.problem}`] };
  const consents: Consent[] = [];
  const problems: string[] = [];
  for (const signed of question.approvals.slice(0, MAX_APPROVALS)) {
    const weighed = await weighOne(question, signed, signers.text);
    const twin =
      typeof weighed === 'string'
        ? undefined
        : consents.find((each) => each.key === weighed.key || isSamePerson(each.approver, weighed.approver));
    if (typeof weighed === 'string') problems.push(weighed);
    else if (twin !== undefined)
      problems.push(`approval of ${weighed.approver}: the same person or key as ${twin.approver}’s, so it counts once`);
    else consents.push(weighed);
  }
  return { consents, problems };
}

/** Those who consent, or `approval_missing` with every reason and what to do. */
export async function requireApprovals(question: ApprovalQuestion): Promise<readonly Consent[]> {
  const { consents, problems } = await weighApprovals(question);
  if (consents.length >= APPROVALS_NEEDED) return consents;
  const found = consents.length === 0 ? 'none counts' : `only ${consents.map(({ approver }) => approver).join(', ')}’s counts`;
  throw new GamedayError(
    'approval_missing',
    `${APPROVALS_NEEDED} approvals of plan ${question.planSha256.slice(0, 12)} are needed and ${found}${problems.length === 0 ? '' : `: ${problems.join('; ')}`}`,
  );
}

/** When the first of the consents that are needed runs out: nothing that they allow may stand longer. Milliseconds since the epoch. */
export function consentsEndMs(consents: readonly Consent[]): number {
  const ends = consents.map(({ until }) => Date.parse(until)).sort((a, b) => b - a);
  return ends[APPROVALS_NEEDED - 1] ?? 0;
}

export function planDigest(plan: Plan): string {
  return sha256Hex(canonicalJson(plan));
}

/** The fault step of that id, inside parallel branches too; null if the plan has none. */
export function findFaultStep(steps: readonly PlanStep[], id: string): FaultStep | null {
  for (const step of steps) {
    if (step.kind === 'fault' && step.id === id) return step;
    const inner = step.kind === 'parallel' ? findFaultStep(step.branches.flat(), id) : null;
    if (inner !== null) return inner;
  }
  return null;
}

async function weighOne(question: ApprovalQuestion, signed: SignedApproval, allowedSigners: string): Promise<Consent | string> {
  const approval = readApproval(signed.text);
  if (approval === null) return 'an approval is no approval of format 1';
  const name = `approval of ${approval.approver}`;
  if (approval.planSha256 !== question.planSha256) return `${name}: is for another plan (${approval.planSha256.slice(0, 12)})`;
  if (approval.systemIdentifier !== question.systemIdentifier) return `${name}: is for another system (${approval.systemIdentifier})`;
  if (question.nowMs < Date.parse(approval.from)) return `${name}: holds only from ${approval.from}`;
  if (question.nowMs >= Date.parse(approval.until)) return `${name}: held only until ${approval.until}`;
  if (question.startedBy !== null && isSamePerson(approval.approver, question.startedBy))
    return `${name}: who starts a drill (${question.startedBy}) cannot approve it`;
  const { approver } = approval;
  const check = await checkSignature({ ...signed, identity: approver, allowedSigners, namespace: APPROVAL_NAMESPACE });
  return check.good ? { ...approval, key: check.key } : `${name}: ${question.signersFile} does not vouch for its signature (${check.why})`;
}

/** The approval that the text holds; null if it is none, or holds at no time. */
function readApproval(text: string): Approval | null {
  try {
    const approval = schema.parse(JSON.parse(text));
    return Date.parse(approval.from) < Date.parse(approval.until) ? approval : null;
  } catch {
    return null;
  }
}
