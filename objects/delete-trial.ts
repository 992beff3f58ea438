/**
 * Whether these credentials could destroy what is in the bucket: tried on one small object of our own, and on that alone. Where the trial is refused the
 * object stays, and the next trial takes the same one.
 */
import { DeleteObjectCommand, PutObjectCommand } from '@aws-sdk/client-s3';
import { clientFor, sha256Base64, statusOf, type S3Settings } from './s3-store';
import { withStoreRetry } from './store-retry';

/** Below the archive's prefix; no tool looks there. */
export const TRIAL_KEY = 'gameday-audit/may-be-deleted';

/**
 * `read-only`: they may not even write, so nothing was tried · `refused`: they write and cannot delete · `hidden`: a delete leaves the version, and
 * removing that is refused · `destroyed`: nothing was left.
 */
export type DeleteTrial = 'read-only' | 'refused' | 'hidden' | 'destroyed';

/** Throws `store_unreachable`. */
export async function tryToDelete(settings: S3Settings): Promise<DeleteTrial> {
  const client = clientFor(settings);
  const Key = settings.prefix === undefined || settings.prefix === '' ? TRIAL_KEY : `${settings.prefix}/${TRIAL_KEY}`;
  const at = { Bucket: settings.bucket, Key };
  const body = Buffer.from('Made by `gameday archive audit` to see whether its credentials can delete. It may be removed.\n');
  /** Null: refused. */
  const attempt = <T>(what: string, work: (abortSignal: AbortSignal) => Promise<T>): Promise<T | null> =>
    withStoreRetry(`s3 ${settings.bucket} at ${settings.endpoint}: ${what}`, async () => {
      try {
        return await work(AbortSignal.timeout(settings.timeoutMs));
      } catch (error) {
        const [status, name] = [statusOf(error), (error as Error).name];
        if (status === undefined || status >= 500 || name === 'NoSuchBucket') throw error;
        return null;
      }
    });
  try {
    const put = new PutObjectCommand({ ...at, Body: body, ContentLength: body.length, ChecksumSHA256: sha256Base64(body) });
    const written = await attempt('put an object of our own', (abortSignal) => client.send(put, { abortSignal }));
    if (written === null) return 'read-only';
    const hidden = await attempt('delete our own object', (abortSignal) => client.send(new DeleteObjectCommand(at), { abortSignal }));
    if (hidden === null) return 'refused';
    const marker = hidden.DeleteMarker === true ? hidden.VersionId : undefined;
    for (const VersionId of [written.VersionId, marker].filter((each) => each !== undefined)) {
      const command = new DeleteObjectCommand({ ...at, VersionId });
      if ((await attempt('delete a version of our own object', (abortSignal) => client.send(command, { abortSignal }))) === null)
        return 'hidden';
    }
    return 'destroyed';
  } finally {
    client.destroy();
  }
}
