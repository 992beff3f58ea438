/** What the bucket's own settings mean for the archive in it: facts in, findings and check lines out. What the store does not tell is never fine. */
import type { AuditCheck } from '../../../model/archive-audit';
import type { BucketFacts, ExpiryRule, Told } from '../../../objects/bucket-facts';
import type { DeleteTrial } from '../../../objects/delete-trial';
import type { FindingBook } from './finding-book';

export interface BucketQuestion {
  readonly facts: BucketFacts;
  /** Null: it was not asked for. */
  readonly trial: DeleteTrial | null;
  /** Prefix of the archive, with its last slash; empty for a whole bucket. */
  readonly root: string;
  readonly windowMs: number | null;
}

const DAY_MS = 86_400_000;

export function bucketChecks(book: FindingBook, question: BucketQuestion): AuditCheck[] {
  const { facts } = question;
  return [
    line('versioning', facts.versioning, (value) => versioning(book, value)),
    line('object lock', facts.objectLock, (value) => objectLock(book, value)),
    line('lifecycle', facts.expiry, (rules) => lifecycle(book, rules, question)),
    line('public access', facts.publicAccess, (ways) => publicAccess(book, ways)),
    deletion(book, question.trial),
  ];
}

type Line = readonly [state: AuditCheck['state'], found: string];

function line<T>(name: AuditCheck['name'], told: Told<T>, judge: (value: T) => Line): AuditCheck {
  const [state, found] = told.told ? judge(told.value) : (['not-examined', `not recorded: ${told.why}`] as const);
  return { name, state, found };
}

function versioning(book: FindingBook, value: 'Enabled' | 'Suspended' | 'off'): Line {
  if (value === 'Enabled') return ['fine', 'enabled'];
  book.add({
    check: 'versioning',
    severity: 'medium',
    key: null,
    what: `versioning of the bucket is ${value === 'off' ? 'off' : 'suspended'}`,
    about: { effect: 'an object that is deleted or overwritten, by mistake or on purpose, is gone for good.', hitsNewest: false },
    remedy: 'enable versioning, with a lifecycle rule for noncurrent versions.',
  });
  return ['found', value.toLowerCase()];
}

function objectLock(book: FindingBook, lock: { readonly mode: string; readonly days: number } | null): Line {
  if (lock !== null) return ['fine', `${lock.mode.toLowerCase()}, ${lock.days} days`];
  book.add({
    check: 'object lock',
    severity: 'low',
    key: null,
    what: 'no object lock by default',
    about: { effect: 'whoever holds credentials that may delete versions can destroy the archive, backups included.', hitsNewest: false },
    remedy: 'set a default retention as long as the window you must be able to restore, or keep a second copy under other credentials.',
  });
  return ['found', 'none'];
}

/** The tools expire backups together with the WAL that belongs to them; a bucket's rule knows no such ties. */
function lifecycle(book: FindingBook, rules: readonly ExpiryRule[], { root, windowMs }: BucketQuestion): Line {
  const hitting = rules.filter(({ prefix, days }) => days !== null && (root.startsWith(prefix) || prefix.startsWith(root)));
  for (const { id, prefix, days, isFiltered } of hitting) {
    const short = windowMs !== null && (days ?? 0) * DAY_MS < windowMs;
    const where = prefix === '' ? 'every object of the bucket' : `objects below ${prefix}`;
    book.add({
      check: 'lifecycle',
      severity: short && !isFiltered ? 'high' : 'medium',
      key: null,
      what: `rule "${id}" removes ${where} after ${days} days${isFiltered ? ', of certain tags or sizes' : ''}`,
      about: {
        effect: `full backups older than ${days} days go, and backups that refer to them, with parts of the WAL, behind the backup tool’s back.`,
        hitsNewest: false,
      },
      remedy: 'let the backup tool expire by its own retention, and keep lifecycle rules to noncurrent versions.',
    });
  }
  return hitting.length === 0
    ? ['fine', 'no rule removes what the archive holds']
    : ['found', hitting.map(({ id }) => `"${id}"`).join(', ')];
}

function publicAccess(book: FindingBook, ways: readonly string[]): Line {
  for (const what of ways)
    book.add({
      check: 'public access',
      severity: 'high',
      key: null,
      what,
      about: { effect: 'anybody can read the whole database out of its backups.', hitsNewest: false },
      remedy: 'block public access of the bucket now, then rotate what secrets the database held.',
    });
  return ways.length === 0 ? ['fine', 'none by policy or ACL'] : ['found', `${ways.length} ways in`];
}

function deletion(book: FindingBook, trial: DeleteTrial | null): AuditCheck {
  const name = 'deletion';
  switch (trial) {
    case null:
      return { name, state: 'not-examined', found: 'not tried' };
    case 'read-only':
      return { name, state: 'not-examined', found: 'not tried: these credentials may not write either' };
    case 'refused':
      return { name, state: 'fine', found: 'these credentials write and may not delete' };
    case 'hidden':
      return { name, state: 'fine', found: 'these credentials hide an object and may not remove its versions' };
    case 'destroyed':
      book.add({
        check: 'deletion',
        severity: 'medium',
        key: null,
        what: 'these very credentials removed an object of ours with all its versions',
        about: { effect: 'whoever gets hold of them can destroy the archive.', hitsNewest: false },
        remedy:
          'give auditors and drills credentials that may not delete versions; keep those that may on the machine that expires backups.',
      });
      return { name, state: 'found', found: 'these credentials destroy what they wrote' };
  }
}
