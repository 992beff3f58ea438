/**
 * An object store in S3 or anything that speaks it: the only user of @aws-sdk/client-s3. Every write carries a checksum that the
 * server verifies, every request has a deadline and bounded retries. It never deletes a version and never leaks a credential into an error.
 */
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import {
  CreateBucketCommand,
  DeleteObjectCommand,
  GetObjectCommand,
  HeadBucketCommand,
  HeadObjectCommand,
  ListObjectsV2Command,
  PutBucketVersioningCommand,
  PutObjectCommand,
  S3Client,
} from '@aws-sdk/client-s3';
import { GamedayError } from '../core/errors';
import { resolveSecret } from '../core/secrets';
import { validKey, validPrefix } from './object-key';
import { STORE_RETRY, withStoreRetry, type RetryPolicy } from './store-retry';
import type { ObjectHead, ObjectStore } from './store';

export interface S3Settings {
  /** Base URL, e.g. http://127.0.1.40:7070. Buckets are addressed by path. */
  readonly endpoint: string;
  readonly region: string;
  readonly bucket: string;
  /** Put before every key, without leading or trailing slash; keys that come back do not carry it. */
  readonly prefix?: string;
  /** Names of secrets (`env:NAME`, `file:/path`), never their values. */
  readonly accessKey: string;
  readonly secretKey: string;
  /** Deadline of one attempt of one request; connecting may take at most 3 s of it. */
  readonly timeoutMs: number;
  /** Of every request of a store; default: 4 attempts within a second. */
  readonly retry?: RetryPolicy;
  /** Everything that is written stays for that long (S3 Object Lock); the bucket must have been made with it. */
  readonly retention?: { readonly mode: 'compliance' | 'governance'; readonly days: number };
}

/** Largest object of a single PUT (Amazon S3: 5 GiB). Larger things are stored as parts by their owner. */
const PUT_LIMIT_BYTES = 5 * 1024 ** 3;
const LIST_PAGES_LIMIT = 100_000;

/** A client that sends each request once. Whoever makes it destroys it, unless it lives as long as the process. */
export function clientFor(
  settings: S3Settings,
  responseChecksumValidation: 'WHEN_SUPPORTED' | 'WHEN_REQUIRED' = 'WHEN_SUPPORTED',
): S3Client {
  // The SDK's note on future Node versions is for developers, not for whoever runs a drill.
  process.env['AWS_SDK_JS_NODE_VERSION_SUPPORT_WARNING_DISABLED'] ??= 'true';
  return new S3Client({
    endpoint: settings.endpoint,
    region: settings.region,
    forcePathStyle: true,
    credentials: { accessKeyId: resolveSecret(settings.accessKey), secretAccessKey: resolveSecret(settings.secretKey) },
    // Retries are ours, so that their number is bounded and their errors come as one.
    maxAttempts: 1,
    requestChecksumCalculation: 'WHEN_SUPPORTED',
    responseChecksumValidation,
    requestHandler: {
      connectionTimeout: Math.min(3_000, settings.timeoutMs),
      requestTimeout: settings.timeoutMs,
      throwOnRequestTimeout: true,
      httpAgent: { keepAlive: true, maxSockets: 32 },
    },
  });
}

/**
 * Opens the store; nothing is sent yet. Errors: `store_unreachable` after 4 attempts or at once for a refusal; the signal's reason. `ended`: of the work that the
 * store is opened for: no request, and no wait between two attempts, outlasts it.
 */
export function openS3Store(settings: S3Settings, ended?: AbortSignal): ObjectStore {
  const client = clientFor(settings);
  // A range has no sum of its own, and who reads in ranges holds the whole's: summing it here would cost bulk reads a quarter of their time.
  const ranges = clientFor(settings, 'WHEN_REQUIRED');
  const description = `s3 ${settings.bucket} at ${settings.endpoint}`;
  const root = settings.prefix === undefined || settings.prefix === '' ? '' : `${validKey(settings.prefix)}/`;
  const at = (key: string): { Bucket: string; Key: string } => ({ Bucket: settings.bucket, Key: root + validKey(key) });
  const retry = <T>(what: string, work: (abortSignal: AbortSignal, attempt: number) => Promise<T>, own?: AbortSignal): Promise<T> => {
    const signal = own === undefined || ended === undefined ? (own ?? ended) : AbortSignal.any([own, ended]);
    const attemptSignal = (): AbortSignal => {
      const late = AbortSignal.timeout(settings.timeoutMs);
      return signal === undefined ? late : AbortSignal.any([late, signal]);
    };
    return withStoreRetry(`${description}: ${what}`, (attempt) => work(attemptSignal(), attempt), settings.retry ?? STORE_RETRY, signal);
  };

  const lock = (): { ObjectLockMode?: 'COMPLIANCE' | 'GOVERNANCE'; ObjectLockRetainUntilDate?: Date } =>
    settings.retention === undefined
      ? {}
      : {
          ObjectLockMode: settings.retention.mode === 'compliance' ? 'COMPLIANCE' : 'GOVERNANCE',
          ObjectLockRetainUntilDate: new Date(Date.now() + settings.retention.days * 86_400_000),
        };
  const get = (key: string): Promise<Uint8Array | null> =>
    retry(`get ${key}`, (abortSignal) =>
      orNull(async () => {
        const answer = await client.send(new GetObjectCommand(at(key)), { abortSignal });
        return (await answer.Body?.transformToByteArray()) ?? new Uint8Array();
      }),
    );
  const put = (key: string, data: Uint8Array, ifAbsent: boolean): Promise<boolean> =>
    retry(`put ${key}`, async (abortSignal, attempt) => {
      try {
        const condition = ifAbsent ? { IfNoneMatch: '*' } : {};
        await client.send(
          new PutObjectCommand({
            ...at(key),
            Body: data,
            ContentLength: data.length,
            ChecksumSHA256: sha256Base64(data),
            ...lock(),
            ...condition,
          }),
          { abortSignal },
        );
        return true;
      } catch (error) {
        const status = statusOf(error);
        // 409: two conditional writes at once; the retry finds out who won.
        if (status === 409 && ifAbsent) throw Object.assign(new Error('conflict'), { $metadata: { httpStatusCode: 503 } });
        if (status !== 412) throw error;
        // An attempt before this one may have written the object and lost only its answer: then the bytes there are ours.
        return attempt > 1 && Buffer.compare((await get(key)) ?? Buffer.alloc(0), data) === 0;
      }
    });

  return {
    description,
    get,
    read: async (key, range, signal) => {
      const command = new GetObjectCommand({ ...at(key), ...(range === undefined ? {} : { Range: `bytes=${range.start}-${range.end}` }) });
      const ask = async (abortSignal: AbortSignal): Promise<unknown> =>
        (await (range === undefined ? client : ranges).send(command, { abortSignal })).Body ?? null;
      const body = await retry(`read ${key}`, (abortSignal) => orNull(() => ask(abortSignal)), signal).catch((error: unknown) => {
        if (range !== undefined && statusOf((error as Error).cause) === 416)
          throw new GamedayError('object_corrupt', `${description}: ${key} ends before byte ${range.start}`);
        throw error;
      });
      if (body === null) throw new GamedayError('object_missing', `${description}: no object ${key}`);
      return body as unknown as AsyncIterable<Uint8Array>;
    },
    head: (key) =>
      retry(`head ${key}`, (abortSignal) =>
        orNull(async () => {
          const answer = await client.send(new HeadObjectCommand(at(key)), { abortSignal });
          return headOf(key, answer.ContentLength, answer.LastModified);
        }),
      ),
    put: async (key, data) => void (await put(key, data, false)),
    create: (key, data) => put(key, data, true),
    putFile: async (key, path) => {
      const size = (await stat(path)).size;
      if (size > PUT_LIMIT_BYTES)
        throw new GamedayError('setting_invalid', `${path} has ${size} bytes; one object holds at most ${PUT_LIMIT_BYTES}`);
      const checksum = await fileSha256Base64(path);
      await retry(`put ${key}`, (abortSignal) =>
        client.send(
          new PutObjectCommand({ ...at(key), Body: createReadStream(path), ContentLength: size, ChecksumSHA256: checksum, ...lock() }),
          {
            abortSignal,
          },
        ),
      );
    },
    list: (prefix) => listPages(client, settings.bucket, root, validPrefix(prefix), retry),
    delete: async (key) =>
      void (await retry(`delete ${key}`, (abortSignal) => client.send(new DeleteObjectCommand(at(key)), { abortSignal }))),
  };
}

async function* listPages(
  client: S3Client,
  bucket: string,
  root: string,
  prefix: string,
  retry: <T>(what: string, work: (abortSignal: AbortSignal) => Promise<T>) => Promise<T>,
): AsyncIterable<ObjectHead> {
  let token: string | undefined;
  for (let page = 0; page < LIST_PAGES_LIMIT; page += 1) {
    const ContinuationToken = token;
    const answer = await retry(`list ${prefix}`, (abortSignal) =>
      client.send(
        new ListObjectsV2Command({
          Bucket: bucket,
          Prefix: root + prefix,
          ...(ContinuationToken === undefined ? {} : { ContinuationToken }),
        }),
        { abortSignal },
      ),
    );
    for (const object of answer.Contents ?? []) {
      // A key that ends with `/` is a directory marker of some gateway, not an object.
      if (object.Key !== undefined && !object.Key.endsWith('/'))
        yield headOf(object.Key.slice(root.length), object.Size, object.LastModified);
    }
    token = answer.NextContinuationToken;
    if (answer.IsTruncated !== true || token === undefined) return;
  }
  throw new GamedayError('store_unreachable', `list ${prefix}: more than ${LIST_PAGES_LIMIT} pages`);
}

/** Creates the bucket if it is not there, with versioning, or with object lock (which implies it), if asked. Idempotent. */
export async function ensureBucket(settings: S3Settings & { readonly versioning: boolean; readonly objectLock?: boolean }): Promise<void> {
  const client = clientFor(settings);
  const Bucket = settings.bucket;
  try {
    await withStoreRetry(`s3 ${Bucket} at ${settings.endpoint}: create bucket`, async () => {
      const abortSignal = AbortSignal.timeout(settings.timeoutMs);
      if ((await orNull(() => client.send(new HeadBucketCommand({ Bucket }), { abortSignal }))) === null) {
        await client
          .send(new CreateBucketCommand({ Bucket, ObjectLockEnabledForBucket: settings.objectLock === true }), { abortSignal })
          .catch((error: unknown) => {
            if ((error as Error).name !== 'BucketAlreadyOwnedByYou') throw error;
          });
      }
      if (settings.versioning) {
        await client.send(new PutBucketVersioningCommand({ Bucket, VersioningConfiguration: { Status: 'Enabled' } }), { abortSignal });
      }
    });
  } finally {
    client.destroy();
  }
}

/** HTTP status of an answer that the SDK threw; undefined when there was none. */
export function statusOf(error: unknown): number | undefined {
  return (error as { $metadata?: { httpStatusCode?: number } } | null | undefined)?.$metadata?.httpStatusCode;
}

/**
 * Whether the store said that an object is not there. A missing bucket is 404 as well, and a key that the store does not know is with some: neither must read as an
 * empty store. An answer to HEAD has no body, and so no other name than NotFound.
 */
export function isAbsence(error: unknown): boolean {
  return statusOf(error) === 404 && ['NoSuchKey', 'NoSuchVersion', 'NotFound'].includes((error as Error).name);
}

async function orNull<T>(work: () => Promise<T>): Promise<T | null> {
  try {
    return await work();
  } catch (error) {
    if (isAbsence(error)) return null;
    throw error;
  }
}

function headOf(key: string, bytes: number | undefined, modified: Date | undefined): ObjectHead {
  return { key, bytes: bytes ?? 0, modifiedAt: (modified ?? new Date(0)).toISOString() };
}

export function sha256Base64(data: Uint8Array): string {
  return createHash('sha256').update(data).digest('base64');
}

async function fileSha256Base64(path: string): Promise<string> {
  const hash = createHash('sha256');
  for await (const chunk of createReadStream(path)) hash.update(chunk as Uint8Array);
  return hash.digest('base64');
}
