/**
 * The files of one restore by barman-cloud: its own `restore` into the sandbox, its own `wal-restore` as restore_command. The tool fills an empty directory or
 * none: what a restore that was cut short left is thrown away, and it begins anew.
 */
import { chmodSync, existsSync, mkdirSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { GamedayError } from '../../core/errors';
import type { CheckResult } from '../../model/record';
import type { BarmanCloudTargetArchive } from '../../model/target';
import type { RecoveryTarget, RestoreEstimate } from '../ports';
import type { BarmanBackup } from './barman-cloud-list';
import { barmanEnvironment, barmanError, barmanWords, OPERATION_ERROR, runBarman } from './barman-cloud-run';
import { bytesBelow, tellGrowth } from './directory-growth';
import type { RestoreSource } from './sandbox-restore';
import type { SandboxPlace } from './sandbox-server';
import { openWalByTool } from './wal-by-tool';
import { historyName } from './wal-chain';

const RESTORE_LIMIT_MS = 24 * 3_600_000;

export interface BarmanWay {
  readonly archive: BarmanCloudTargetArchive;
  readonly recovery: RecoveryTarget;
  readonly estimate: RestoreEstimate;
  readonly tablespaces: BarmanBackup['tablespaces'];
}

export function barmanSource({ archive, recovery, estimate, tablespaces }: BarmanWay): RestoreSource {
  return {
    estimate,
    async fetchBase(place, signal, onBytes) {
      startOver(place);
      const options = tablespaces.flatMap(({ name, oid }) => ['--tablespace', `${name}:${join(tablespacesOf(place), String(oid))}`]);
      const words = [...barmanWords(archive, 'restore', options), recovery.backup, place.dataDir];
      const restoring = runBarman(archive, words, { owner: place.owner, timeoutMs: RESTORE_LIMIT_MS, signal });
      const result = await tellGrowth(place.dataDir, restoring, onBytes);
      if (result.code !== 0) throw barmanError('restore', result);
      // The archive may hold the directory with the rights that it had, or not at all.
      chmodSync(place.dataDir, 0o700);
      const bytes = (await bytesBelow(place.dataDir)) + (await bytesBelow(tablespacesOf(place)));
      onBytes(bytes);
      return bytes;
    },
    verifyBase: (place) => Promise.resolve(verifyFiles(place)),
    openWal: (place) =>
      Promise.resolve(
        openWalByTool(
          {
            name: 'barman-cloud-wal-restore',
            argv: barmanWords(archive, 'wal-restore'),
            env: barmanEnvironment(archive),
            secrets: {},
            absent: OPERATION_ERROR,
            directories: [],
          },
          place,
          { segments: estimate.segments, known: recovery.timeline === 1 ? [] : [historyName(recovery.timeline)] },
        ),
      ),
  };
}

/** Beside the data directory: else they would go where the original's stand. */
const tablespacesOf = (place: SandboxPlace): string => join(place.dir, 'tablespaces');

function startOver(place: SandboxPlace): void {
  mkdirSync(place.dataDir, { recursive: true, mode: 0o700 });
  for (const name of readdirSync(place.dataDir)) rmSync(join(place.dataDir, name), { recursive: true, force: true });
  rmSync(tablespacesOf(place), { recursive: true, force: true });
}

/** Barman keeps no checksum of any file. backup_label is the last member of the archive: where it is, the archive was unpacked to its end. */
function verifyFiles(place: SandboxPlace): CheckResult {
  const missing = ['global/pg_control', 'backup_label'].filter((name) => !existsSync(join(place.dataDir, name)));
  if (missing.length > 0)
    throw new GamedayError(
      'object_corrupt',
      `barman-cloud-restore ended well, but ${missing.join(' and ')} is not there: its archive is cut`,
    );
  const words = 'the archive was unpacked to its last member; Barman keeps no checksums of files';
  return { name: 'barman-cloud-restore', ok: true, found: words, expected: words, hint: null };
}
