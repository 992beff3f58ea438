/** People with ssh keys of their own for tests of approvals: real keys, really signed by ssh-keygen. */
import { execFileSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { canonicalJson } from '../core/canonical-json';
import { signText } from '../core/ssh-signature';
import type { Approval, SignedApproval } from '../model/approval';
import { APPROVAL_NAMESPACE } from '../model/constants';

export interface People {
  /** Lists every one of them by name. */
  readonly signersFile: string;
  readonly keyOf: (name: string) => string;
  /** `name` approves, with the key of `by` (default: his own). */
  readonly approve: (
    name: string,
    what: Pick<Approval, 'planSha256' | 'systemIdentifier'> & Partial<Approval>,
    by?: string,
    namespace?: string,
  ) => Promise<SignedApproval>;
}

export const inMinutes = (minutes: number): string => new Date(Date.now() + minutes * 60_000).toISOString();

export function makePeople(dir: string, names: readonly string[]): People {
  const keyOf = (name: string): string => join(dir, name);
  for (const name of names) execFileSync('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-C', name, '-f', keyOf(name)]);
  const signersFile = join(dir, 'allowed_signers');
  writeFileSync(signersFile, names.map((name) => `${name} ${readFileSync(`${keyOf(name)}.pub`, 'utf8')}`).join(''), { mode: 0o644 });
  return {
    signersFile,
    keyOf,
    async approve(name, what, by = name, namespace = APPROVAL_NAMESPACE) {
      const approval: Approval = { formatVersion: 1, from: inMinutes(-5), until: inMinutes(60), approver: name, ...what };
      const text = canonicalJson(approval);
      return { text, signature: await signText({ text, key: keyOf(by), namespace }) };
    },
  };
}
