/**
 * Versions of objects in a versioned S3 bucket: looked at, put on top with a label, and removed one by one by their id.
 * It never removes an object as a whole, nor any version that it was not given the id of.
 */
import {
  DeleteObjectCommand,
  GetBucketVersioningCommand,
  GetObjectCommand,
  HeadObjectCommand,
  ListObjectVersionsCommand,
  PutObjectCommand,
} from '@aws-sdk/client-s3';
import { GamedayError } from '../core/errors';
import { validKey } from './object-key';
import { clientFor, isAbsence, sha256Base64, statusOf, type S3Settings } from './s3-store';
import { withStoreRetry } from './store-retry';

export interface ObjectVersion {
  readonly id: string;
  /** A delete marker: the object is hidden, its older versions are kept. */
  readonly marker: boolean;
}

export interface VersionedStore {
  /** Is every overwritten or deleted object kept? */
  isVersioned(): Promise<boolean>;
  /** Of this very key, newest first; at most 1000. Empty where there never was such an object. */
  versions(key: string): Promise<readonly ObjectVersion[]>;
  /** Bytes of a version, or of the newest; null for a delete marker or no such version. */
  getVersion(key: string, id: string | null): Promise<Uint8Array | null>;
  /** The label that a version was put with; null for none. */
  labelOf(key: string, id: string): Promise<string | null>;
  /** A new version that carries the label. */
  putLabelled(key: string, data: Uint8Array, label: string): Promise<void>;
  /** A delete marker on top; returns its id. */
  hide(key: string): Promise<string>;
  /** Removes this one version or delete marker. Idempotent. */
  removeVersion(key: string, id: string): Promise<void>;
}

const VERSIONS_LIMIT = 1_000;
/** Key of the label in an object's own metadata. */
const LABEL = 'gameday-label';

export function openVersionedStore(settings: S3Settings): VersionedStore {
  const client = clientFor(settings);
  const { bucket: Bucket } = settings;
  const root = settings.prefix === undefined || settings.prefix === '' ? '' : `${validKey(settings.prefix)}/`;
  const at = (key: string): { Bucket: string; Key: string } => ({ Bucket, Key: root + validKey(key) });
  const retry = <T>(what: string, work: (abortSignal: AbortSignal) => Promise<T>): Promise<T> =>
    withStoreRetry(`s3 ${Bucket} at ${settings.endpoint}: ${what}`, () => work(AbortSignal.timeout(settings.timeoutMs)));

  return {
    isVersioned: () =>
      retry('ask for versioning', async (abortSignal) => {
        const answer = await client.send(new GetBucketVersioningCommand({ Bucket }), { abortSignal });
        return answer.Status === 'Enabled';
      }),
    versions: (key) =>
      retry(`list versions of ${key}`, async (abortSignal) => {
        const { Key } = at(key);
        const answer = await client.send(new ListObjectVersionsCommand({ Bucket, Prefix: Key, MaxKeys: VERSIONS_LIMIT }), { abortSignal });
        const found = [
          ...(answer.Versions ?? []).map((each) => ({ ...each, marker: false })),
          ...(answer.DeleteMarkers ?? []).map((each) => ({ ...each, marker: true })),
        ].filter((each) => each.Key === Key);
        if (answer.IsTruncated === true && found.length === VERSIONS_LIMIT)
          throw new GamedayError('store_unreachable', `${key} has more than ${VERSIONS_LIMIT} versions`);
        return newestFirst(found).map(({ VersionId, marker }) => ({ id: VersionId ?? 'null', marker }));
      }),
    getVersion: (key, id) =>
      retry(`get ${key}`, async (abortSignal) => {
        try {
          const answer = await client.send(new GetObjectCommand({ ...at(key), ...(id === null ? {} : { VersionId: id }) }), {
            abortSignal,
          });
          return (await answer.Body?.transformToByteArray()) ?? new Uint8Array();
        } catch (error) {
          // 405: a delete marker was asked for by its id.
          if (statusOf(error) === 405 || isAbsence(error)) return null;
          throw error;
        }
      }),
    labelOf: (key, id) =>
      retry(`head ${key}`, async (abortSignal) => {
        const answer = await client.send(new HeadObjectCommand({ ...at(key), VersionId: id }), { abortSignal });
        return answer.Metadata?.[LABEL] ?? null;
      }),
    putLabelled: async (key, data, label) =>
      void (await retry(`put ${key}`, (abortSignal) =>
        client.send(
          new PutObjectCommand({
            ...at(key),
            Body: data,
            ContentLength: data.length,
            ChecksumSHA256: sha256Base64(data),
            Metadata: { [LABEL]: label },
          }),
          { abortSignal },
        ),
      )),
    hide: (key) =>
      retry(`delete ${key}`, async (abortSignal) => {
        const answer = await client.send(new DeleteObjectCommand(at(key)), { abortSignal });
        if (answer.DeleteMarker !== true || answer.VersionId === undefined)
          throw new GamedayError('object_missing', `${key} was deleted and no marker says so: the bucket keeps no versions`);
        return answer.VersionId;
      }),
    removeVersion: async (key, id) =>
      void (await retry(`remove a version of ${key}`, (abortSignal) =>
        client.send(new DeleteObjectCommand({ ...at(key), VersionId: id }), { abortSignal }),
      )),
  };
}

/** The newest is told by the store itself; the rest by time, in the store's own order where it is the same. */
function newestFirst<T extends { readonly LastModified?: Date | undefined; readonly IsLatest?: boolean | undefined }>(
  found: readonly T[],
): T[] {
  return [...found].sort(
    (a, b) =>
      Number(b.IsLatest === true) - Number(a.IsLatest === true) || (b.LastModified?.getTime() ?? 0) - (a.LastModified?.getTime() ?? 0),
  );
}
