/**
 * What WAL-G's own configuration says of its store, for whoever reads the bucket without the tool. Keys are named, never held. A store that only the tool gets into
 * is said to be one, with the reason.
 */
import { GamedayError } from '../../core/errors';
import { readSettings } from '../../core/settings-file';
import type { WalGTargetArchive } from '../../model/target';
import type { S3Settings } from '../../objects/s3-store';

/** `WALG_S3_PREFIX` and its like, and the names they had in WAL-E. */
const PREFIX = /^WAL[GE]_(S3|GS|AZ|SWIFT|SSH|FILE)_PREFIX$/;

/** Where the archive stands, e.g. `s3://bucket/path`, in WAL-G's own words; null: the configuration names none. */
export function walGPlace({ config }: WalGTargetArchive): string | null {
  const settings = readSettings(config);
  const named = [...settings].find(([name]) => PREFIX.test(name))?.[1];
  const below = settings.get('WALG_STORAGE_PREFIX') ?? '';
  return named === undefined ? null : [named.replace(/\/+$/, ''), below].filter(Boolean).join('/');
}

/** Throws `setting_invalid` where gameday cannot read the store by itself, with the reason; `file_unreadable`. */
export function walGSettings(archive: WalGTargetArchive, timeoutMs: number): S3Settings {
  const { config } = archive;
  const settings = readSettings(config);
  const [, bucket, prefix = ''] = /^s3:\/\/([^/]+)\/*(.*)$/.exec(walGPlace(archive) ?? '') ?? [];
  const refuse = (why: string): GamedayError =>
    new GamedayError(
      'setting_invalid',
      `${config}: ${why}`,
      '`gameday archive audit --endpoint … --bucket … --prefix …` reads it with keys of its own.',
    );
  if (bucket === undefined) throw refuse('its archive is not in S3, which is all that gameday reads by itself');
  const [accessKey, secretKey] = [
    ['AWS_ACCESS_KEY_ID', 'AWS_ACCESS_KEY'],
    ['AWS_SECRET_ACCESS_KEY', 'AWS_SECRET_KEY'],
  ].map((names) => names.find((name) => settings.has(name)));
  if (accessKey === undefined || secretKey === undefined || settings.has('AWS_SESSION_TOKEN') || settings.has('AWS_ROLE_ARN'))
    throw refuse('it holds no lasting keys; a role or a login is for the tool alone');
  const region = settings.get('AWS_REGION') ?? 'us-east-1';
  const endpoint = (settings.get('AWS_ENDPOINT') ?? `https://s3.${region}.amazonaws.com`).replace(/\/+$/, '');
  return {
    endpoint: /^https?:\/\//.test(endpoint) ? endpoint : `https://${endpoint}`,
    region,
    bucket,
    prefix: prefix.replace(/\/+$/, ''),
    accessKey: `setting:${config}#${accessKey}`,
    secretKey: `setting:${config}#${secretKey}`,
    timeoutMs,
  };
}
