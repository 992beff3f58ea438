/**
 * Where evidence is kept and by which key it is signed: `evidence.yaml` in GAMEDAY_HOME, or the file that GAMEDAY_EVIDENCE names. It belongs to the
 * installation and not to a target file, so that whoever describes a target cannot redirect its evidence. Secrets stand in it by name only.
 */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parse } from 'yaml';
import { z } from 'zod';
import { GamedayError, messageOf } from '../core/errors';
import { lineOf } from '../core/yaml-places';
import type { TargetKind } from '../model/target';

const secret = z.string().regex(/^(env:[A-Za-z_][A-Za-z0-9_]*|file:\/.+)$/, 'must name a secret as env:NAME or file:/path, never hold it');
const days = z.number().int().min(1).max(36_500);

const s3 = z.strictObject({
  kind: z.literal('s3'),
  endpoint: z.url(),
  region: z.string().min(1),
  bucket: z.string().min(3),
  prefix: z.string().min(1).optional(),
  accessKey: secret,
  secretKey: secret,
  timeoutMs: z.number().int().min(500).max(60_000).default(10_000),
  /** S3 Object Lock; the bucket must have been made with it. */
  lock: z
    .strictObject({
      mode: z.enum(['compliance', 'governance']),
      days: z.strictObject({ lab: days.optional(), staging: days.optional(), production: days.optional() }),
    })
    .optional(),
});

const settingsSchema = z.strictObject({
  store: s3.optional(),
  key: z
    .strictObject({
      /** `file`, or `awskms:` and a key's id, alias or ARN. */
      signer: z
        .string()
        .regex(/^(file|awskms:\S+)$/, 'is `file`, or `awskms:` followed by a key’s id, alias or ARN')
        .default('file'),
      fingerprint: z
        .string()
        .regex(/^[0-9a-f]{64}$/, 'is the SHA-256 of the public key in hex, as `gameday verify` prints it')
        .optional(),
      region: z.string().min(1).optional(),
      endpoint: z.url().optional(),
      accessKey: secret.optional(),
      secretKey: secret.optional(),
    })
    .default({ signer: 'file' }),
  timestamps: z
    .strictObject({
      url: z.url(),
      /** Certificates (PEM) of the authority; a copy goes into each bundle. */
      ca: z.string().startsWith('/', 'is an absolute path'),
      timeoutMs: z.number().int().min(500).max(60_000).default(10_000),
    })
    .optional(),
});

export type EvidenceSettings = z.infer<typeof settingsSchema>;
export type RetentionDays = Readonly<Partial<Record<TargetKind, number>>>;

const NONE: EvidenceSettings = { key: { signer: 'file' } };

/** The settings of a home; without a file the defaults: this machine's directory, and a key made here. Throws `setting_invalid` with file and line. */
export function readEvidenceSettings(home: string, env: NodeJS.ProcessEnv = process.env): EvidenceSettings {
  const named = env['GAMEDAY_EVIDENCE'];
  const path = named === undefined || named === '' ? join(home, 'evidence.yaml') : named;
  if (!existsSync(path)) {
    if (path === named) throw new GamedayError('file_unreadable', `GAMEDAY_EVIDENCE names ${path}, which does not exist`);
    return NONE;
  }
  let text: string;
  let value: unknown;
  try {
    text = readFileSync(path, 'utf8');
    value = parse(text, { maxAliasCount: 0 }) ?? {};
  } catch (error) {
    throw new GamedayError('yaml_invalid', `${path}: ${messageOf(error).split('\n')[0] ?? ''}`, null, { cause: error });
  }
  const parsed = settingsSchema.safeParse(value);
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  const at = (issue?.path ?? []).filter((part): part is string | number => typeof part !== 'symbol');
  throw new GamedayError(
    'setting_invalid',
    `${path}:${lineOf(text, at)}: ${at.length === 0 ? '' : `${at.join('.')} `}${issue?.message ?? 'is not valid'}`,
    'docs/SECURITY.md, "Keys and stores", shows the whole file.',
  );
}
