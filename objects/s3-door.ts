/**
 * One request at a time to an S3 store, over a connection of its own, tried once: for whoever must know what the store answers now, and how fast.
 * It never retries and leaves nothing behind.
 */
import { DeleteObjectCommand, GetObjectCommand, HeadObjectCommand, PutObjectCommand } from '@aws-sdk/client-s3';
import { monotonicNs } from '../core/clock';
import { GamedayError } from '../core/errors';
import { validKey } from './object-key';
import { clientFor, sha256Base64, statusOf, type S3Settings } from './s3-store';
import { classifyFailure } from './store-retry';

/** `status`: the HTTP status; 404 is an answer as good as any. */
export type StoreAnswer =
  | { readonly answered: true; readonly status: number; readonly ms: number }
  /** `silent`: nothing came until the time was over, not even a refusal. */
  | { readonly answered: false; readonly silent: boolean; readonly reason: string; readonly ms: number };

const fullKey = (settings: S3Settings, key: string): string =>
  settings.prefix === undefined || settings.prefix === '' ? validKey(key) : `${validKey(settings.prefix)}/${validKey(key)}`;

/** Asks for an object's head, which need not exist. Never rejects; at most `settings.timeoutMs`. */
export async function askStore(settings: S3Settings, key: string): Promise<StoreAnswer> {
  const client = clientFor(settings);
  const start = monotonicNs();
  const ms = (): number => Number(monotonicNs() - start) / 1e6;
  try {
    const abortSignal = AbortSignal.timeout(settings.timeoutMs);
    const answer = await client.send(new HeadObjectCommand({ Bucket: settings.bucket, Key: fullKey(settings, key) }), { abortSignal });
    return { answered: true, status: answer.$metadata.httpStatusCode ?? 200, ms: ms() };
  } catch (error) {
    const status = statusOf(error);
    if (status !== undefined) return { answered: true, status, ms: ms() };
    // The client has deadlines of its own, which may come a moment earlier.
    return { answered: false, silent: ms() >= 0.9 * settings.timeoutMs, reason: classifyFailure(error).kind, ms: ms() };
  } finally {
    client.destroy();
  }
}

/** Puts an object, reads its head and its bytes, and removes the very version that it put. Throws `store_unreachable` with what failed. */
export async function exchangeWithStore(settings: S3Settings, key: string, data: Uint8Array): Promise<void> {
  const client = clientFor(settings);
  const at = { Bucket: settings.bucket, Key: fullKey(settings, key) };
  const options = (): { abortSignal: AbortSignal } => ({ abortSignal: AbortSignal.timeout(settings.timeoutMs) });
  try {
    const put = await client.send(
      new PutObjectCommand({ ...at, Body: data, ContentLength: data.length, ChecksumSHA256: sha256Base64(data) }),
      options(),
    );
    const head = await client.send(new HeadObjectCommand(at), options());
    const got = (await (await client.send(new GetObjectCommand(at), options())).Body?.transformToByteArray()) ?? new Uint8Array();
    await client.send(new DeleteObjectCommand({ ...at, ...(put.VersionId === undefined ? {} : { VersionId: put.VersionId }) }), options());
    if (head.ContentLength !== data.length || Buffer.compare(got, data) !== 0) throw new Error('other bytes came back than were put');
  } catch (error) {
    throw new GamedayError(
      'store_unreachable',
      `an object put, read and removed at ${settings.endpoint}: ${classifyFailure(error).kind}`,
      null,
      {
        cause: error,
      },
    );
  } finally {
    client.destroy();
  }
}
