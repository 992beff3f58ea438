/**
 * Approvals on disk: `<GAMEDAY_HOME>/approvals/<plan's digest>/<approver>.json` and, beside each, its SSHSIG `….json.sig`, as `ssh-keygen -Y verify`
 * reads them. Reading judges nothing: what these files are worth is for whoever knows the allowed signers.
 */
import { existsSync, readFileSync, readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { GamedayError, messageOf } from '../core/errors';
import { writeFileDurably } from '../core/files';
import { homePaths } from '../core/home';
import type { SignedApproval } from '../model/approval';

const MAX_BYTES = 64 * 1024;
const MAX_FILES = 20;

/** Throws `file_unreadable`. */
export function readSignedApproval(path: string): SignedApproval {
  const [text, signature] = [path, `${path}.sig`].map((file) => {
    try {
      if (statSync(file).size > MAX_BYTES) throw new Error(`it is larger than ${MAX_BYTES} bytes`);
      return readFileSync(file, 'utf8');
    } catch (error) {
      throw new GamedayError(
        'file_unreadable',
        `approval ${file} cannot be read: ${messageOf(error)}`,
        'an approval is two files, FILE and FILE.sig; `gameday approve` writes both.',
        { cause: error },
      );
    }
  }) as [string, string];
  return { text, signature };
}

export function approvalPath(home: string, planSha256: string, approver: string): string {
  return join(homePaths(home).approvals, planSha256, `${approver}.json`);
}

export function writeSignedApproval(path: string, { text, signature }: SignedApproval): void {
  writeFileDurably(path, text, 0o644);
  writeFileDurably(`${path}.sig`, signature, 0o644);
}

/** Approvals of this plan that lie in the home; those that cannot be read are left out, as if they had not been brought. */
export function findApprovals(home: string, planSha256: string): readonly SignedApproval[] {
  const dir = join(homePaths(home).approvals, planSha256);
  const names = existsSync(dir) ? readdirSync(dir).filter((name) => name.endsWith('.json')) : [];
  return names
    .sort()
    .slice(0, MAX_FILES)
    .flatMap((name) => {
      try {
        return [readSignedApproval(join(dir, name))];
      } catch {
        return [];
      }
    });
}
