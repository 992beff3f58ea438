/**
 * `gameday archive audit`: what can be restored from an archive in S3, read straight from the bucket in whatever layout, and what is wrong with it. It
 * restores nothing, needs no tool of the archive's own, and writes one small object of its own at most.
 */
import { Command } from 'commander';
import { randomInt } from 'node:crypto';
import { GamedayError } from '../../core/errors';
import { parseDurationMs } from '../../core/units';
import type { ArchiveLayout } from '../../model/archive-audit';
import { findTarget, loadTarget } from '../../scenarios/load-target';
import { AUDIT_REQUEST_MS, auditSource, auditSourceOf, type AuditSource } from '../../targets/archives/audit/audit-source';
import { auditExit, auditText } from '../archive-text';
import { defineCommand } from '../command';
import { exitWith } from '../terminal';

const LAYOUTS = ['native', 'pgbackrest', 'wal-g', 'barman-cloud'] as const satisfies readonly ArchiveLayout[];
const SAMPLE_LIMIT = 1_000_000;
const SEED_LIMIT = 2 ** 32;

interface Options {
  readonly target?: string;
  readonly endpoint?: string;
  readonly region: string;
  readonly bucket?: string;
  readonly prefix?: string;
  readonly layout?: string;
  readonly stanza?: string;
  readonly accessKey: string;
  readonly secretKey: string;
  readonly all?: boolean;
  readonly sample: string;
  readonly seed?: string;
  readonly window?: string;
  readonly maxAge?: string;
  readonly tryDelete: boolean;
}

export function archiveCommand(): Command {
  const audit = new Command('audit')
    .description('what can be restored from an archive, and what is wrong with it; restores nothing')
    .option('-t, --target <target>', 'name or path of a target file that names the archive')
    .option('--endpoint <url>', 'without a target: the S3 endpoint, e.g. https://s3.eu-central-1.amazonaws.com')
    .option('--bucket <bucket>', 'the bucket')
    .option('--prefix <prefix>', 'of the archive within it: for pgBackRest repo1-path, for barman-cloud with the server’s name')
    .option('--region <region>', 'of the bucket', 'us-east-1')
    .option('--layout <layout>', `${LAYOUTS.join(', ')} (default: by what is there)`)
    .option('--stanza <stanza>', 'of pgBackRest (default: the first one there)')
    .option('--access-key <name>', 'where the key is, as env:NAME or file:PATH', 'env:AWS_ACCESS_KEY_ID')
    .option('--secret-key <name>', 'where the secret is, as env:NAME or file:PATH', 'env:AWS_SECRET_ACCESS_KEY')
    .option('--all', 'read every segment and every file that has a checksum')
    .option('--sample <n>', 'read this many segments, drawn by the seed, and three files of each backup', '32')
    .option('--seed <n>', 'draws the sample (default: at random; it is printed)')
    .option('--window <duration>', 'how far back a restore must be possible, e.g. 14d')
    .option('--max-age <duration>', 'how old the newest segment may be (default: the target’s policy)')
    .option('--no-try-delete', 'do not try whether the credentials could delete, which puts a small object of our own and removes it')
    .addHelpText('after', '\nexit code: 0 nothing of high severity · 1 something · 2 bad input · 75 the store does not answer');
  return new Command('archive').description('backups and WAL in object storage').addCommand(
    defineCommand(audit, async ({ home, terminal }, options: Options) => {
      const source = sourceOf(home, options);
      const seed = options.seed === undefined ? randomInt(SEED_LIMIT) : whole('--seed', options.seed, SEED_LIMIT - 1);
      const sample = options.all === true ? 'all' : whole('--sample', options.sample, SAMPLE_LIMIT);
      terminal.progress(`reading s3 ${source.settings.bucket} at ${source.settings.endpoint}; seed ${seed}`);
      const result = await auditSource(source, {
        sample,
        seed,
        windowMs: duration('--window', options.window),
        maxAgeMs: duration('--max-age', options.maxAge),
        tryDelete: options.tryDelete,
        signal: new AbortController().signal,
        onProgress: ({ objects }) => terminal.live(`${objects} objects seen`),
      });
      terminal.live(null);
      terminal.print(auditText(result));
      terminal.result(result);
      exitWith(auditExit(result));
    }),
  );
}

function sourceOf(home: string, options: Options): AuditSource {
  const layout = LAYOUTS.find((each) => each === options.layout) ?? null;
  if (options.layout !== undefined && layout === null)
    throw new GamedayError('usage', `--layout "${options.layout}" is none of ${LAYOUTS.join(', ')}`);
  if (options.target !== undefined) {
    const beside = (['endpoint', 'bucket', 'prefix'] as const).find((name) => options[name] !== undefined);
    if (beside !== undefined) throw new GamedayError('usage', `--${beside} and --target name the archive twice`, 'leave one of them out.');
    const source = auditSourceOf(loadTarget(findTarget(home, options.target)).target);
    return { ...source, layout: layout ?? source.layout, stanza: options.stanza ?? source.stanza };
  }
  const { endpoint, bucket } = options;
  if (endpoint === undefined || bucket === undefined)
    throw new GamedayError(
      'usage',
      'name the archive: --target, or --endpoint and --bucket',
      '`gameday archive audit --help` shows both ways.',
    );
  if (!/^https?:\/\/[^/]+/.test(endpoint) || !URL.canParse(endpoint))
    throw new GamedayError(
      'usage',
      `--endpoint "${endpoint}" is no URL of an S3 endpoint`,
      'write it as https://host or http://host:port.',
    );
  const { region, accessKey, secretKey } = options;
  const prefix = (options.prefix ?? '').replace(/^\/+|\/+$/g, '');
  return {
    settings: { endpoint: endpoint.replace(/\/$/, ''), region, bucket, prefix, accessKey, secretKey, timeoutMs: AUDIT_REQUEST_MS },
    layout,
    stanza: options.stanza ?? null,
    systemIdentifier: null,
    maxAgeMs: null,
  };
}

function whole(option: string, text: string, limit: number): number {
  if (!/^[0-9]{1,10}$/.test(text) || Number(text) > limit)
    throw new GamedayError('usage', `${option} takes a whole number up to ${limit}, not "${text}"`);
  return Number(text);
}

function duration(option: string, text: string | undefined): number | null {
  if (text === undefined) return null;
  const ms = parseDurationMs(text);
  if (ms === null || ms <= 0) throw new GamedayError('usage', `${option} takes a duration like 14d or 5m, not "${text}"`);
  return ms;
}
