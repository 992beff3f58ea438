/**
 * Runs the team's own WAL-G with the team's own configuration on this machine, as the sandbox's user. Keys and passphrases stay in that file: they stand in no
 * argument, environment or file of gameday's.
 */
import { existsSync } from 'node:fs';
import { GamedayError } from '../../core/errors';
import { run, type RunResult } from '../../core/process';
import { readSecretValues } from '../../core/settings-file';
import type { WalGTargetArchive } from '../../model/target';
import type { SandboxPlace } from './sandbox-server';
import { firstLine, redact } from './tool-output';

/** Exit code of `wal-fetch` for "there is no such file" (3.0: ExIoError); older ones end with 1, as for everything else. */
export const ABSENT = 74;
/** Of listings and lists of files: half a million names. */
const OUTPUT_LIMIT_BYTES = 256 * 1024 ** 2;

export interface WalGRun {
  readonly owner: SandboxPlace['owner'];
  readonly timeoutMs: number;
  readonly signal?: AbortSignal;
  /** Variables that are stronger than the configuration. */
  readonly env?: { readonly [name: string]: string };
}

/** Said where gameday hears it, and not into a log that production writes. */
export const WAL_G_ENV = { WALG_LOG_DESTINATION: 'stderr', WALG_LOG_LEVEL: 'NORMAL' } as const;
/** A store that does not answer would be asked 15 times, for longer and longer. */
export const QUICK_ENV = { WALG_S3_MAX_RETRIES: '3' } as const;

/** Words of every command up to its name. Throws `tool_missing`, `file_unreadable`. */
export function walGWords({ program, config }: WalGTargetArchive): string[] {
  if (!existsSync(program))
    throw new GamedayError(
      'tool_missing',
      `${program} is not on this machine`,
      'install WAL-G for PostgreSQL where restores run, or correct archive.program.',
    );
  if (!existsSync(config))
    throw new GamedayError('file_unreadable', `${config} is not on this machine`, 'archive.config names WAL-G’s configuration here.');
  return [program, '--config', config];
}

/** `words`: command and its arguments. Says nothing of an exit code. Throws as `walGWords`, and `step_failed` for more output than there is room for. */
export async function runWalG(archive: WalGTargetArchive, words: readonly string[], options: WalGRun): Promise<RunResult> {
  const { owner, env, ...limits } = options;
  const result = await run([...walGWords(archive), ...words], {
    ...limits,
    cwd: '/',
    env: { PATH: '/usr/bin:/bin', LC_ALL: 'C.UTF-8', TZ: 'UTC', ...WAL_G_ENV, ...env },
    outputLimitBytes: OUTPUT_LIMIT_BYTES,
    ...(owner === null ? {} : { uid: owner.uid, gid: owner.gid }),
  });
  if (result.stdout.length >= OUTPUT_LIMIT_BYTES)
    throw new GamedayError('step_failed', `wal-g ${words.slice(0, 2).join(' ')} printed more than ${OUTPUT_LIMIT_BYTES} bytes`);
  return result;
}

/** Of a configuration that WAL-G could not read, with the lines that follow: they quote what stands in it. */
const PARSER = /^.*Failed to parse config file (.*(?:\n(?!(?:DEBUG|INFO|WARNING|ERROR|PANIC): \d{4}\/).*)*)/gm;

/** What the tool printed, without what its configuration keeps secret, and without what a parser quotes of that file. */
export function tellable({ config }: Pick<WalGTargetArchive, 'config'>, output: string): string {
  const told = output.replace(PARSER, (_all, words: string) => {
    const [, reason] = /^.*open .*: (permission denied|no such file or directory)\.?\s*$/.exec(words) ?? [];
    return `WARNING: ${reason === undefined ? `cannot parse ${config}` : `cannot read ${config}: ${reason}`}`;
  });
  return redact(told, readSecretValues(config));
}

/** The first line that names an error, without WAL-G's time of day. Give it what is `tellable`. */
export function walGSaid(output: string): string {
  const line = output.split('\n').find((each) => /^(ERROR|PANIC|panic): /.test(each)) ?? output;
  return firstLine(line.replace(/^[A-Za-z]+: (\d{4}\/\d\d\/\d\d [0-9:.]+ )?/, ''));
}

const KEY_HINT = 'compare WALG_PGP_KEY, WALG_LIBSODIUM_KEY or their files in archive.config with those of the servers that push.';

/** What a command that failed says, as an error of ours. */
export function walGError(archive: Pick<WalGTargetArchive, 'config'>, command: string, { stdout, stderr }: RunResult): GamedayError {
  const output = tellable(archive, stderr + stdout);
  const said = `wal-g ${command}: ${walGSaid(output)}`;
  if (/No space left|no space left/.test(output)) return new GamedayError('disk_full', said);
  const [, unread] = /^WARNING: (cannot (?:parse|read) .*)$/m.exec(output) ?? [];
  if (unread !== undefined || /any configured storage|No storage is configured|configure storage with prefix/.test(output))
    return new GamedayError(
      'setting_invalid',
      `wal-g ${command}: ${unread === undefined ? walGSaid(output) : firstLine(unread)}`,
      unread?.startsWith('cannot parse') === true
        ? 'run the command by hand: WAL-G’s words quote the line, which may hold a secret, so they are not repeated here.'
        : 'archive.config must name a storage, and the sandbox’s user must be able to read it.',
    );
  if (/openpgp: |incorrect key|init decrypt reader|decrypt failed/i.test(output))
    return new GamedayError('archive_key_wrong', said, KEY_HINT);
  if (
    /InvalidAccessKeyId|SignatureDoesNotMatch|AccessDenied|Forbidden|NoCredentialProviders|No user exists|status code: 40[13]/.test(output)
  )
    return new GamedayError('store_unreachable', said, 'the keys in archive.config are refused; they need to list and to get.');
  if (/NoSuchBucket/.test(output))
    return new GamedayError('store_unreachable', said, 'the bucket that archive.config names is not there: compare it with the servers’.');
  if (/dial tcp|no such host|connection refused|RequestError|timeout/i.test(output)) return new GamedayError('store_unreachable', said);
  return new GamedayError('restore_failed', said, 'the message is WAL-G’s own; run the command by hand as the sandbox’s user.');
}
