/**
 * The files of one restore by pgBackRest: its own `restore` into the sandbox, its own `archive-get` as restore_command. Queue, locks and logs are the
 * sandbox's, so that neither production nor another restore is in its way. A half-filled directory is gone on with by `--delta`.
 */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { GamedayError } from '../../core/errors';
import type { CheckResult } from '../../model/record';
import type { PgbackrestTargetArchive } from '../../model/target';
import type { RecoveryTarget, RestoreEstimate } from '../ports';
import { tellGrowth } from './directory-growth';
import { passphraseOf, runPgbackrest, type PgbackrestKey } from './pgbackrest-run';
import type { RestoreSource } from './sandbox-restore';
import type { SandboxPlace } from './sandbox-server';
import { firstLine } from './tool-output';
import { openWalByTool, type WalTool } from './wal-by-tool';

const RESTORE_LIMIT_MS = 24 * 3_600_000;

/** A repository, and what opens it where that is not its configuration's own passphrase. */
export interface OpenedRepository {
  readonly archive: PgbackrestTargetArchive;
  readonly key: PgbackrestKey | null;
}

export function pgbackrestSource({ archive, key }: OpenedRepository, recovery: RecoveryTarget, estimate: RestoreEstimate): RestoreSource {
  return {
    estimate,
    async fetchBase(place, signal, onBytes) {
      const restoring = runPgbackrest(archive, restoreWords(place, recovery), { place, key, timeoutMs: RESTORE_LIMIT_MS, signal });
      const result = await tellGrowth(place.dataDir, restoring, onBytes);
      if (result.code !== 0) throw restoreError(result.stdout + result.stderr);
      onBytes(estimate.baseBytes);
      return estimate.baseBytes;
    },
    verifyBase: (place) => Promise.resolve(verifyFiles(place)),
    openWal: (place) => Promise.resolve(openWalByTool(walTool({ archive, key }, place), place, { segments: estimate.segments, known: [] })),
  };
}

/** Explicit in everything that pgBackRest would choose by itself: a time target that no backup is old enough for silently takes the latest one. */
export function restoreWords(place: SandboxPlace, recovery: RecoveryTarget): string[] {
  const begun = existsSync(join(place.dataDir, 'backup.manifest')) || existsSync(join(place.dataDir, 'PG_VERSION'));
  return [
    'restore',
    `--set=${recovery.backup}`,
    ...targetWords(recovery),
    '--target-action=promote',
    '--archive-mode=off',
    // Else tablespaces would go where the original's stand.
    `--tablespace-map-all=${join(place.dir, 'tablespaces')}`,
    ...(begun ? ['--delta'] : []),
    `--spool-path=${spoolOf(place)}`,
    ...placeWords(place),
  ];
}

/** `immediate` has neither a value nor a timeline: the backup's own end is meant. */
function targetWords({ setting, value, inclusive, timeline }: RecoveryTarget): string[] {
  if (setting === 'recovery_target') return ['--type=immediate'];
  return [
    `--type=${setting.replace('recovery_target_', '')}`,
    `--target=${value}`,
    ...(inclusive ? [] : ['--target-exclusive']),
    `--target-timeline=${timeline}`,
  ];
}

function placeWords(place: SandboxPlace): string[] {
  return [`--pg1-path=${place.dataDir}`, `--lock-path=${join(place.walDir, 'lock')}`, '--log-level-file=off'];
}

const spoolOf = (place: SandboxPlace): string => join(place.walDir, 'spool');

function restoreError(output: string): GamedayError {
  const line = output.split('\n').find((each) => /ERROR: \[[0-9]+\]/.test(each)) ?? output;
  const said = firstLine(line.replace(/^.*ERROR: /, ''));
  if (/No space left/.test(output)) return new GamedayError('disk_full', `pgbackrest restore: ${said}`);
  if (/key\/value found outside of section|CryptoError: unable to flush|cipher header/.test(output))
    return new GamedayError('archive_key_wrong', `pgbackrest restore: the repository cannot be decrypted: ${said}`);
  return new GamedayError(
    'restore_failed',
    `pgbackrest restore: ${said}`,
    'the message is pgBackRest’s own; run the command by hand as the sandbox’s user.',
  );
}

/** pgBackRest compares each file with the checksum in its manifest while it writes it, and writes pg_control last. */
function verifyFiles(place: SandboxPlace): CheckResult {
  const ok = existsSync(join(place.dataDir, 'global', 'pg_control')) && existsSync(join(place.dataDir, 'backup_label'));
  if (!ok) throw new GamedayError('object_corrupt', 'pgbackrest restore ended well, but global/pg_control or backup_label is not there');
  const words = 'every file written equals its checksum in pgBackRest’s manifest';
  return { name: 'pgbackrest restore', ok, found: words, expected: words, hint: null };
}

function walTool({ archive, key }: OpenedRepository, place: SandboxPlace): WalTool {
  return {
    name: 'pgbackrest archive-get',
    argv: [archive.program, `--config=${archive.config}`, `--stanza=${archive.stanza}`, ...placeWords(place), 'archive-get'],
    // As a variable: as a word it is refused where the team's configuration fetches one by one (archive-async=n).
    env: { PGBACKREST_SPOOL_PATH: spoolOf(place) },
    secrets: passphraseOf(key),
    absent: 1,
    directories: ['spool', 'lock'],
  };
}
