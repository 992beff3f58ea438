/**
 * Where readers and checks put what they find. What a finding means for a restore is written in later, when all backups and segments are known; the
 * book therefore holds drafts that name what they are about. It never holds more than its limit of each check: the rest is counted.
 */
import type { AuditCheckName, AuditSeverity } from '../../../model/archive-audit';

/** What is hit: a backup, a segment by its number, or neither. */
export type Subject =
  | { readonly backup: string }
  | { readonly timeline: number; readonly no: number }
  /** Neither: then `effect` says what it means. */
  | { readonly effect: string; readonly hitsNewest: boolean };

export interface DraftFinding {
  readonly check: AuditCheckName;
  readonly severity: AuditSeverity;
  readonly key: string | null;
  readonly what: string;
  readonly about: Subject;
  readonly remedy: string;
}

const LIMIT_PER_CHECK = 200;

export class FindingBook {
  private readonly found: DraftFinding[] = [];
  private readonly perCheck = new Map<AuditCheckName, number>();
  private readonly reasons = new Map<AuditCheckName, Map<string, number>>();
  private dropped = 0;

  add(finding: DraftFinding): void {
    const count = this.perCheck.get(finding.check) ?? 0;
    this.perCheck.set(finding.check, count + 1);
    if (count < LIMIT_PER_CHECK) this.found.push(finding);
    else this.dropped += 1;
  }

  /** Something that could not be looked at, and why; the same reason is told once with its count. */
  leaveOut(check: AuditCheckName, reason: string, count = 1): void {
    const reasons = this.reasons.get(check) ?? new Map<string, number>();
    this.reasons.set(check, reasons.set(reason, (reasons.get(reason) ?? 0) + count));
  }

  drafts(): readonly DraftFinding[] {
    return this.found;
  }

  leftOut(check: AuditCheckName): string | null {
    const reasons = [...(this.reasons.get(check) ?? [])].map(([reason, count]) => (count === 1 ? reason : `${count} × ${reason}`));
    return reasons.length === 0 ? null : reasons.join('; ');
  }

  get unlisted(): number {
    return this.dropped;
  }
}
