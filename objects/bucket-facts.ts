/**
 * What a bucket promises about the objects in it: versions, locks, expiry, and who may read it. It asks and changes nothing. What the store does not
 * tell, or not to these credentials, is said to be untold and never taken for "off".
 */
import {
  GetBucketAclCommand,
  GetBucketLifecycleConfigurationCommand,
  GetBucketPolicyCommand,
  GetBucketVersioningCommand,
  GetObjectLockConfigurationCommand,
  GetPublicAccessBlockCommand,
  type LifecycleRule,
  type S3Client,
} from '@aws-sdk/client-s3';
import { clientFor, statusOf, type S3Settings } from './s3-store';
import { withStoreRetry } from './store-retry';

/** `untold`: the store has no answer to give (not implemented, or not to these credentials). */
export type Told<T> = { readonly told: true; readonly value: T } | { readonly told: false; readonly why: string };

export interface ExpiryRule {
  readonly id: string;
  /** Full keys it applies to; empty for all. */
  readonly prefix: string;
  /** Days after which the current version goes; null: it never does by this rule. */
  readonly days: number | null;
  /** It applies to objects with certain tags or sizes only. */
  readonly isFiltered: boolean;
}

export interface BucketFacts {
  readonly versioning: Told<'Enabled' | 'Suspended' | 'off'>;
  /** Null: no lock. */
  readonly objectLock: Told<{ readonly mode: string; readonly days: number } | null>;
  readonly expiry: Told<readonly ExpiryRule[]>;
  /** Ways in which anybody may read, in words; none: nobody. */
  readonly publicAccess: Told<readonly string[]>;
}

/** Throws `store_unreachable` if the store answers nothing at all. */
export async function readBucketFacts(settings: S3Settings): Promise<BucketFacts> {
  const client = clientFor(settings);
  const { bucket: Bucket } = settings;
  const ask = <T>(what: string, work: (abortSignal: AbortSignal) => Promise<T>, whenNone?: T): Promise<Told<T>> =>
    told(settings, what, work, whenNone);
  try {
    return {
      versioning: await ask('versioning', async (abortSignal) => {
        const { Status } = await client.send(new GetBucketVersioningCommand({ Bucket }), { abortSignal });
        return Status ?? 'off';
      }),
      objectLock: await ask<{ readonly mode: string; readonly days: number } | null>(
        'object lock',
        async (abortSignal) => {
          const { ObjectLockConfiguration: lock } = await client.send(new GetObjectLockConfigurationCommand({ Bucket }), { abortSignal });
          const rule = lock?.Rule?.DefaultRetention;
          return rule?.Mode === undefined ? null : { mode: rule.Mode, days: rule.Days ?? (rule.Years ?? 0) * 365 };
        },
        null,
      ),
      expiry: await ask<readonly ExpiryRule[]>(
        'lifecycle',
        async (abortSignal) => {
          const { Rules } = await client.send(new GetBucketLifecycleConfigurationCommand({ Bucket }), { abortSignal });
          return (Rules ?? []).filter(({ Status }) => Status === 'Enabled').map(expiryRule);
        },
        [],
      ),
      publicAccess: await publicAccess(client, Bucket, ask),
    };
  } finally {
    client.destroy();
  }
}

/** Codes by which stores say that nothing is configured: an answer as good as any. */
const NONE =
  /^(ObjectLockConfigurationNotFoundError|NoSuchLifecycleConfiguration|NoSuchBucketPolicy|NoSuchPublicAccessBlockConfiguration)$/;

async function told<T>(
  settings: S3Settings,
  what: string,
  work: (abortSignal: AbortSignal) => Promise<T>,
  whenNone: T | undefined,
): Promise<Told<T>> {
  return withStoreRetry(`s3 ${settings.bucket} at ${settings.endpoint}: ask for ${what}`, async () => {
    try {
      return { told: true, value: await work(AbortSignal.timeout(settings.timeoutMs)) };
    } catch (error) {
      const [status, name] = [statusOf(error), (error as Error).name];
      if (NONE.test(name) && whenNone !== undefined) return { told: true, value: whenNone };
      if (name === 'NoSuchBucket' || status === undefined || status === 503) throw error;
      return { told: false, why: status === 403 ? 'these credentials may not ask' : `the store does not tell (${status} ${name})` };
    }
  });
}

function expiryRule(rule: LifecycleRule): ExpiryRule {
  const { Filter, Expiration, ID, Prefix } = rule;
  const and = Filter?.And;
  return {
    id: ID ?? 'unnamed',
    prefix: and?.Prefix ?? Filter?.Prefix ?? Prefix ?? '',
    days: Expiration?.Days ?? (Expiration?.Date === undefined ? null : 0),
    isFiltered:
      and !== undefined ||
      Filter?.Tag !== undefined ||
      Filter?.ObjectSizeGreaterThan !== undefined ||
      Filter?.ObjectSizeLessThan !== undefined,
  };
}

type Ask = <T>(what: string, work: (abortSignal: AbortSignal) => Promise<T>, whenNone?: T) => Promise<Told<T>>;

/** By policy and by ACL, unless both are blocked. What one of the two does not tell leaves the whole untold, unless the other says it is open. */
async function publicAccess(client: S3Client, Bucket: string, ask: Ask): Promise<Told<readonly string[]>> {
  const block = await ask<boolean>(
    'public access block',
    async (abortSignal) => {
      const { PublicAccessBlockConfiguration: all } = await client.send(new GetPublicAccessBlockCommand({ Bucket }), { abortSignal });
      return all?.IgnorePublicAcls === true && all.RestrictPublicBuckets === true;
    },
    false,
  );
  if (block.told && block.value) return { told: true, value: [] };
  const policy = await ask<string>(
    'policy',
    async (abortSignal) => (await client.send(new GetBucketPolicyCommand({ Bucket }), { abortSignal })).Policy ?? '',
    '',
  );
  const acl = await ask<readonly string[]>('ACL', async (abortSignal) => {
    const { Grants } = await client.send(new GetBucketAclCommand({ Bucket }), { abortSignal });
    return (Grants ?? [])
      .filter(({ Grantee }) => /\/(AllUsers|AuthenticatedUsers)$/.test(Grantee?.URI ?? '') || Grantee?.ID === 'all-users')
      .map(({ Grantee, Permission }) => `the ACL grants ${Permission ?? '?'} to ${(Grantee?.URI ?? Grantee?.ID ?? '').split('/').at(-1)}`);
  });
  const ways = [...(policy.told ? openStatements(policy.value) : []), ...(acl.told ? acl.value : [])];
  if (ways.length > 0) return { told: true, value: ways };
  const untold = [policy, acl].find((each) => !each.told);
  return untold !== undefined && !untold.told ? untold : { told: true, value: [] };
}

/** Statements of a bucket policy that allow reading or listing to everybody. Conditions may narrow them: said, not weighed. Exported for its test. */
export function openStatements(policy: string): string[] {
  if (policy === '') return [];
  let parsed: { Statement?: unknown };
  try {
    parsed = JSON.parse(policy) as { Statement?: unknown };
  } catch {
    return [];
  }
  const list = (value: unknown): unknown[] => (Array.isArray(value) ? value : [value]);
  return list(parsed.Statement).flatMap((each) => {
    const statement = (each ?? {}) as Readonly<Record<string, unknown>>;
    const principal = statement['Principal'];
    const everybody = principal === '*' || list((principal as { AWS?: unknown } | null)?.AWS).includes('*');
    const actions = list(statement['Action']).map(String);
    const reads = actions.some((action) => /^(\*|s3:\*|s3:(Get|List|Put|Delete)[A-Za-z*]*)$/.test(action));
    if (statement['Effect'] !== 'Allow' || !everybody || !reads) return [];
    const narrowed = statement['Condition'] === undefined ? '' : ' under a condition';
    return [`the policy allows ${actions.join(', ')} to everybody${narrowed}`];
  });
}
