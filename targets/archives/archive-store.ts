/**
 * Opens the object store that a target's archive names: directly, or through one node's own link, as that node would.
 * It holds no state; credentials are resolved by name where the store is opened.
 */
import { GamedayError } from '../../core/errors';
import { nativeArchiveOf, type Target, type TargetLink } from '../../model/target';
import { openS3Store, type S3Settings } from '../../objects/s3-store';
import type { ObjectStore } from '../../objects/store';
import type { RetryPolicy } from '../../objects/store-retry';

/** Deadline of one request. A segment has 16 MB before compression. */
const REQUEST_TIMEOUT_MS = 15_000;
/** Through a node's link: shorter, because a cut link must be noticed while PostgreSQL's script still waits. */
const LINK_TIMEOUT_MS = 8_000;

/** How the target's archive is reached. `node`: over its link to S3 if the target declares one; null goes straight to the endpoint. */
export function archiveSettings(target: Target, node: string | null, timeoutMs: number): S3Settings {
  const archive = nativeArchiveOf(target);
  if (archive === null) throw new GamedayError('setting_invalid', `target ${target.name} has no archive of gameday’s own`);
  const link = linkToStore(target, node);
  const endpoint = new URL(archive.endpoint);
  if (link !== undefined) {
    endpoint.hostname = link.listenHost;
    endpoint.port = String(link.listenPort);
  }
  return {
    endpoint: endpoint.toString().replace(/\/$/, ''),
    region: archive.region,
    bucket: archive.bucket,
    prefix: archive.prefix,
    accessKey: archive.accessKey,
    secretKey: archive.secretKey,
    timeoutMs,
  };
}

function linkToStore(target: Target, node: string | null): TargetLink | undefined {
  return node === null ? undefined : target.links?.list.find((one) => one.from === node && one.to === 's3');
}

/** As `archiveSettings`, with the deadline that the way there deserves. `retry`: for every request of this store; default as in `openS3Store`, as `ended`. */
export function openArchiveStore(target: Target, node: string | null, retry?: RetryPolicy, ended?: AbortSignal): ObjectStore {
  const settings = archiveSettings(target, node, linkToStore(target, node) === undefined ? REQUEST_TIMEOUT_MS : LINK_TIMEOUT_MS);
  return openS3Store(retry === undefined ? settings : { ...settings, retry }, ended);
}

/** What restores read: with keys of their own where the target names some. */
export function openRestoreStore(target: Target, node: string | null, retry: RetryPolicy): ObjectStore {
  const { archive } = target;
  if (archive?.kind !== 'native' || archive.restoreKeys === undefined) return openArchiveStore(target, node, retry);
  return openArchiveStore({ ...target, archive: { ...archive, ...archive.restoreKeys } }, node, retry);
}
