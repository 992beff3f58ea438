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

/** A certificate of the team's own, and a service that says at which address to ask. */
const ONLY_THE_TOOL = ['S3_CA_CERT_FILE', 'S3_ENDPOINT_SOURCE'] as const;
const AMAZON = /\.amazonaws\.com(\.cn)?(:\d+)?$/;

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
  const given = (name: string): string | null => settings.get(name)?.trim() || null;
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
  const only = ONLY_THE_TOOL.find((name) => given(name) !== null);
  if (only !== undefined) throw refuse(`it names ${only}, which is for the tool alone`);
  const [named, at] = [given('AWS_REGION'), given('AWS_ENDPOINT')?.replace(/\/+$/, '') ?? null];
  // Of every other store WAL-G takes us-east-1, too.
  if (named === null && (at === null || AMAZON.test(at))) throw refuse('it names no AWS_REGION; WAL-G asks Amazon for it');
  const region = named ?? 'us-east-1';
  const endpoint = at ?? `https://s3.${region}.amazonaws.com`;
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
