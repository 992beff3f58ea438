/**
 * Opens the object store that a target's archive names: directly, or through one node's own link, as that node would.
 * It holds no state; credentials are resolved by name where the store is opened.
 */
import { GamedayError } from '../../core/errors';
import type { Target } from '../../model/target';
import { openS3Store } from '../../objects/s3-store';
import type { ObjectStore } from '../../objects/store';

/** Deadline of one request. A segment has 16 MB before compression. */
const REQUEST_TIMEOUT_MS = 15_000;
/** Through a node's link: shorter, because a cut link must be noticed while PostgreSQL's script still waits. */
const LINK_TIMEOUT_MS = 8_000;

/** `node`: whose link to S3 is used if the target declares one; null goes straight to the endpoint. */
export function openArchiveStore(target: Target, node: string | null): ObjectStore {
  const archive = target.archive;
  if (archive === null) throw new GamedayError('setting_invalid', `target ${target.name} has no archive`);
  const link = node === null ? undefined : target.links?.list.find((one) => one.from === node && one.to === 's3');
  const endpoint = new URL(archive.endpoint);
  if (link !== undefined) {
    endpoint.hostname = link.listenHost;
    endpoint.port = String(link.listenPort);
  }
  return openS3Store({
    endpoint: endpoint.toString().replace(/\/$/, ''),
    region: archive.region,
    bucket: archive.bucket,
    prefix: archive.prefix,
    accessKey: archive.accessKey,
    secretKey: archive.secretKey,
    timeoutMs: link === undefined ? REQUEST_TIMEOUT_MS : LINK_TIMEOUT_MS,
  });
}
