import type { BucketFacts } from '../../../objects/bucket-facts';
import { openStatements } from '../../../objects/bucket-facts';
import { bucketChecks } from './bucket-checks';
import { exposureOf } from './audit-source';
import { FindingBook } from './finding-book';

const SAFE: BucketFacts = {
  versioning: { told: true, value: 'Enabled' },
  objectLock: { told: true, value: { mode: 'COMPLIANCE', days: 30 } },
  expiry: { told: true, value: [] },
  publicAccess: { told: true, value: [] },
};

function check(
  facts: Partial<BucketFacts>,
  more: { trial?: 'destroyed' | 'hidden' | 'refused' | 'read-only' | null; windowMs?: number } = {},
): unknown[] {
  const book = new FindingBook();
  const checks = bucketChecks(book, {
    facts: { ...SAFE, ...facts },
    trial: more.trial ?? null,
    root: 'team/pg/',
    windowMs: more.windowMs ?? null,
  });
  return [checks.map(({ name, state }) => `${name}: ${state}`), book.drafts().map(({ check: name, severity }) => `${name}: ${severity}`)];
}

test('a bucket with versions, a lock and no way in has no finding', () => {
  expect(check({}, { trial: 'hidden' })).toEqual([
    ['versioning: fine', 'object lock: fine', 'lifecycle: fine', 'public access: fine', 'deletion: fine'],
    [],
  ]);
});

test('what the store does not tell is not recorded, and not fine', () => {
  const untold = { told: false, why: 'the store does not tell (501 NotImplemented)' } as const;
  expect(check({ versioning: untold, objectLock: untold, expiry: untold, publicAccess: untold })).toEqual([
    [
      'versioning: not-examined',
      'object lock: not-examined',
      'lifecycle: not-examined',
      'public access: not-examined',
      'deletion: not-examined',
    ],
    [],
  ]);
});

test.each([
  [{ versioning: { told: true, value: 'off' } }, {}, 'versioning: medium'],
  [{ objectLock: { told: true, value: null } }, {}, 'object lock: low'],
  [{ publicAccess: { told: true, value: ['the ACL grants READ to AllUsers'] } }, {}, 'public access: high'],
  [{}, { trial: 'destroyed' }, 'deletion: medium'],
] as const)('%j %j', (facts, more, finding) => {
  expect(check(facts as Partial<BucketFacts>, more)[1]).toEqual([finding]);
});

test.each([
  ['', 30, false, 'lifecycle: medium'],
  ['team/', 7, false, 'lifecycle: high'],
  ['team/pg/wals/', 7, true, 'lifecycle: medium'],
  ['other/', 7, false, null],
] as const)('a rule for "%s" after %i days, filtered %s: %s', (prefix, days, isFiltered, finding) => {
  const expiry = { told: true, value: [{ id: 'r', prefix, days, isFiltered }] } as const;
  expect(check({ expiry }, { windowMs: 14 * 86_400_000 })[1]).toEqual(finding === null ? [] : [finding]);
});

test.each([
  ['', 0],
  ['not JSON', 0],
  ['{"Statement":{"Effect":"Allow","Principal":"*","Action":"s3:GetObject"}}', 1],
  ['{"Statement":[{"Effect":"Allow","Principal":{"AWS":["*"]},"Action":["s3:*"]}]}', 1],
  ['{"Statement":[{"Effect":"Deny","Principal":"*","Action":"s3:*"}]}', 0],
  ['{"Statement":[{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::1:root"},"Action":"s3:*"}]}', 0],
])('open statements of the policy %s: %i', (policy, count) => {
  expect(openStatements(policy)).toHaveLength(count);
});

test('a pre-flight keeps what is about the bucket, and says what was not examined', () => {
  const book = new FindingBook();
  const question = {
    facts: { ...SAFE, versioning: { told: true, value: 'off' }, publicAccess: { told: true, value: ['its policy lets anybody read'] } },
    trial: null,
    root: '',
    windowMs: null,
  } as const;
  const checks = bucketChecks(book, question);
  book.add({ check: 'reach', severity: 'high', key: null, what: 'a hole', about: { effect: 'e', hitsNewest: true }, remedy: 'r' });
  const findings = book.drafts().map(({ check: name, severity, key, what, remedy }) => ({
    ...{ check: name, severity, key, what, remedy },
    ...{ effect: 'an effect', hitsNewest: false },
  }));
  expect(exposureOf({ checks, findings })).toEqual({
    findings: [
      expect.objectContaining({ check: 'versioning', severity: 'medium', what: 'versioning of the bucket is off' }),
      expect.objectContaining({ check: 'public access', severity: 'high', what: 'its policy lets anybody read' }),
    ],
    notExamined: ['deletion: not tried'],
  });
});
