/** Runs the team's own pgBackRest with the team's own configuration on this machine, as the sandbox's user. It never passes a secret on. */
import { existsSync } from 'node:fs';
import { GamedayError } from '../../core/errors';
import { lookUpUser, run, type RunResult } from '../../core/process';
import type { PgbackrestTargetArchive, Target } from '../../model/target';
import type { SandboxPlace } from './sandbox-server';

/** What opens the repository instead of the configuration's own passphrase. Its value is read when it is used, and handed on in the environment alone. */
export interface PgbackrestKey {
  readonly name: string;
  readonly passphrase: () => string;
}

/** The variable that pgBackRest prefers to its configuration's `repo1-cipher-pass`. */
const PASSPHRASE = 'PGBACKREST_REPO1_CIPHER_PASS';

export function passphraseOf(key: PgbackrestKey | null): { readonly [variable: string]: string } {
  return key === null ? {} : { [PASSPHRASE]: key.passphrase() };
}

export interface PgbackrestRun {
  readonly place: Pick<SandboxPlace, 'owner'>;
  readonly key: PgbackrestKey | null;
  readonly timeoutMs: number;
  readonly signal?: AbortSignal;
}

/** `words`: command and its options. Throws `tool_missing`; says nothing of an exit code. */
export function runPgbackrest(
  archive: PgbackrestTargetArchive,
  words: readonly string[],
  { place, key, ...options }: PgbackrestRun,
): Promise<RunResult> {
  if (!existsSync(archive.program))
    throw new GamedayError(
      'tool_missing',
      `${archive.program} is not on this machine`,
      'install pgBackRest where restores run, or correct archive.program.',
    );
  const [command = '', ...rest] = words;
  // Commands on the whole repository take no stanza.
  const stanza = command.startsWith('repo-') ? [] : [`--stanza=${archive.stanza}`];
  const argv = [
    archive.program,
    `--config=${archive.config}`,
    ...stanza,
    '--log-level-console=warn',
    '--log-level-stderr=error',
    command,
    ...rest,
  ];
  return run(argv, {
    ...options,
    cwd: '/',
    env: { PATH: '/usr/bin:/bin', LC_ALL: 'C', TZ: 'UTC', ...passphraseOf(key) },
    ...(place.owner === null ? {} : { uid: place.owner.uid, gid: place.owner.gid }),
  });
}

/** As whom: the sandbox's user, who must be able to read the configuration. */
export function ownerOf(target: Target): SandboxPlace['owner'] {
  const user = target.sandbox?.osUser ?? null;
  return user === null || process.getuid?.() !== 0 ? null : lookUpUser(user);
}
