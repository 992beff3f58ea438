/**
 * Runs the team's own barman-cloud commands on this machine, as the sandbox's user, with the team's own AWS files: credentials are read there by the tool and
 * by our own store, and stand in no argument, environment or file of gameday's.
 */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { GamedayError } from '../../core/errors';
import { run, type RunResult } from '../../core/process';
import type { BarmanCloudTargetArchive } from '../../model/target';
import type { S3Settings } from '../../objects/s3-store';
import type { SandboxPlace } from './sandbox-server';
import { firstLine } from './tool-output';

/** `barman-cloud-` and one of these. */
export type BarmanTool = 'backup-list' | 'restore' | 'wal-restore';

/** Exit codes of barman-cloud since 2.19 (clients/cloud_cli.py). */
const NETWORK_ERROR = 2;
export const OPERATION_ERROR = 1;

export interface BarmanRun {
  readonly owner: SandboxPlace['owner'];
  readonly timeoutMs: number;
  readonly signal?: AbortSignal;
}

/** Where the tool looks for keys, region and way of addressing. */
export function barmanEnvironment({ credentials, awsConfig, region }: BarmanCloudTargetArchive): { readonly [name: string]: string } {
  return {
    LC_ALL: 'C.UTF-8',
    AWS_SHARED_CREDENTIALS_FILE: credentials,
    ...(awsConfig === null ? {} : { AWS_CONFIG_FILE: awsConfig }),
    AWS_DEFAULT_REGION: region,
  };
}

/** Words of a command up to what it asks for itself. Throws `tool_missing`. */
export function barmanWords(archive: BarmanCloudTargetArchive, tool: BarmanTool, options: readonly string[] = []): string[] {
  const program = join(archive.programs, `barman-cloud-${tool}`);
  if (!existsSync(program))
    throw new GamedayError(
      'tool_missing',
      `${program} is not on this machine`,
      'install barman-cli-cloud where restores run, or correct archive.programs.',
    );
  return [program, ...storeWords(archive), ...options, archive.source, archive.server];
}

/** Options that every command takes. */
export function storeWords({ endpoint, profile }: BarmanCloudTargetArchive): string[] {
  return [...(endpoint === null ? [] : ['--endpoint-url', endpoint]), '-P', profile];
}

/** Says nothing of an exit code. */
export function runBarman(archive: BarmanCloudTargetArchive, words: readonly string[], options: BarmanRun): Promise<RunResult> {
  const { owner, ...limits } = options;
  return run(words, {
    ...limits,
    cwd: '/',
    env: { PATH: '/usr/bin:/bin', TZ: 'UTC', ...barmanEnvironment(archive) },
    ...(owner === null ? {} : { uid: owner.uid, gid: owner.gid }),
  });
}

/** What a command that failed says, as an error of ours. */
export function barmanError(tool: string, { code, stdout, stderr }: RunResult): GamedayError {
  const output = stderr + stdout;
  const line = output.split('\n').find((each) => /ERROR:/.test(each)) ?? output;
  const said = `barman-cloud-${tool}: ${firstLine(line.replace(/^.*ERROR: /, ''))}`;
  if (/No space left/.test(output)) return new GamedayError('disk_full', said);
  const isKey = /could not be found|locate credentials|InvalidAccessKeyId|SignatureDoesNotMatch|AccessDenied|\(40[13]\)/.test(output);
  if (isKey)
    return new GamedayError(
      'store_unreachable',
      said,
      'archive.credentials and archive.profile name the keys; the sandbox’s user must be able to read that file.',
    );
  if (code === NETWORK_ERROR || /Bucket .* does not exist/.test(output)) return new GamedayError('store_unreachable', said);
  return new GamedayError('restore_failed', said, 'the message is Barman’s own; run the command by hand as the sandbox’s user.');
}

/** The same place for gameday's own reading: WAL is listed there, because no command of barman-cloud lists it. */
export function barmanSettings(archive: BarmanCloudTargetArchive, timeoutMs: number): S3Settings {
  const [bucket = '', ...path] = archive.source.slice('s3://'.length).split('/');
  const key = (name: string): string => `ini:${archive.credentials}#${archive.profile}#${name}`;
  return {
    endpoint: archive.endpoint ?? `https://s3.${archive.region}.amazonaws.com`,
    region: archive.region,
    bucket,
    prefix: [...path, archive.server].join('/'),
    accessKey: key('aws_access_key_id'),
    secretKey: key('aws_secret_access_key'),
    timeoutMs,
  };
}
