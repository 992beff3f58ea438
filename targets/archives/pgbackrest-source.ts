/**
 * The files of one restore by pgBackRest: its own `restore` into the sandbox, its own `archive-get` as restore_command. Queue, locks and logs are the
 * sandbox's, so that neither production nor another restore is in its way. A half-filled directory is gone on with by `--delta`.
 */
import { chownSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { GamedayError } from '../../core/errors';
import { WAL_SEGMENT_BYTES } from '../../core/lsn';
import type { CheckResult } from '../../model/record';
import type { PgbackrestTargetArchive } from '../../model/target';
import type { RecoveryTarget, RestoreEstimate } from '../ports';
import { firstLine } from './pgbackrest-info';
import { runPgbackrest } from './pgbackrest-run';
import type { RestoreSource, WalSupply } from './sandbox-restore';
import type { SandboxPlace } from './sandbox-server';

const RESTORE_LIMIT_MS = 24 * 3_600_000;
/** So that PostgreSQL aborts instead of taking it for the end of WAL: above 125 (its docs on restore_command). */
const ABORT = 200;

export function pgbackrestSource(archive: PgbackrestTargetArchive, recovery: RecoveryTarget, estimate: RestoreEstimate): RestoreSource {
  return {
    estimate,
    async fetchBase(place, signal, onBytes) {
      const result = await runPgbackrest(archive, restoreWords(place, recovery), { place, timeoutMs: RESTORE_LIMIT_MS, signal });
      if (result.code !== 0) throw restoreError(result.stdout + result.stderr);
      onBytes(estimate.baseBytes);
      return estimate.baseBytes;
    },
    verifyBase: (place) => Promise.resolve(verifyFiles(place)),
    openWal: (place) => Promise.resolve(openWal(archive, place, estimate.segments)),
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

/**
 * restore_command: pgBackRest's own, with its answers told apart. 1 says that it has no such file; for a segment that was seen in the repository that is a
 * hole, and everything else is an error: both must abort recovery, which would else end early and silently.
 */
function walScript(argv: readonly string[], dir: string): string {
  const quoted = argv.map((word) => `'${word.replaceAll("'", "'\\''")}'`).join(' ');
  return `#!/bin/sh
# Written by gameday; called by PostgreSQL as: get.sh %f %p
# As a variable: as a word it is refused where the team's configuration fetches one by one (archive-async=n).
export PGBACKREST_SPOOL_PATH='${dir}/spool'
said=$(${quoted} archive-get "$1" "$2" 2>&1)
code=$?
if [ $code -eq 0 ]; then echo "$1" >> '${dir}/delivered'; exit 0; fi
if [ $code -eq 1 ] && ! grep -qx "$1" '${dir}/plan'; then exit 1; fi
printf '%s %s %s\\n' "$1" "$code" "$(printf '%s' "$said" | head -n 1)" >> '${dir}/failed'
exit ${ABORT}
`;
}

function openWal(archive: PgbackrestTargetArchive, place: SandboxPlace, segments: readonly string[]): WalSupply {
  const dir = place.walDir;
  const own = (path: string): void => {
    if (place.owner !== null) chownSync(path, place.owner.uid, place.owner.gid);
  };
  for (const name of ['', 'spool', 'lock']) {
    mkdirSync(join(dir, name), { recursive: true, mode: 0o700 });
    own(join(dir, name));
  }
  const argv = [archive.program, `--config=${archive.config}`, `--stanza=${archive.stanza}`, ...placeWords(place)];
  const files = { plan: `${segments.join('\n')}\n`, delivered: '', failed: '', 'get.sh': walScript(argv, dir) };
  for (const [name, text] of Object.entries(files)) {
    writeFileSync(join(dir, name), text, { mode: 0o700 });
    own(join(dir, name));
  }
  const planned = new Set(segments);
  const read = (name: string): string[] =>
    existsSync(join(dir, name)) ? readFileSync(join(dir, name), 'utf8').split('\n').filter(Boolean) : [];
  return {
    command: `/bin/sh '${join(dir, 'get.sh')}' "%f" "%p"`,
    needsNetwork: true,
    release: () => undefined,
    failure() {
      const first = read('failed')[0];
      if (first === undefined) return null;
      const [name = '', code = '', ...said] = first.split(' ');
      return code === '1'
        ? new GamedayError('wal_missing', `pgbackrest archive-get did not find ${name}, which its repository listed before the restore`)
        : new GamedayError('restore_failed', `pgbackrest archive-get ${name}: exit ${code}: ${firstLine(said.join(' '))}`);
    },
    delivered() {
      const count = new Set(read('delivered').filter((name) => planned.has(name))).size;
      return { segments: count, bytes: count * Number(WAL_SEGMENT_BYTES) };
    },
    stop: () => Promise.resolve(),
  };
}
