/**
 * The files of one restore by WAL-G: its own `backup-fetch` into the sandbox, its own `wal-fetch` as restore_command. The tool fills an empty directory or none:
 * what a restore that was cut short left is thrown away, and it begins anew. Nothing of the copy may lead to where the original's tablespaces stand.
 */
import {
  chmodSync,
  chownSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { GamedayError } from '../../core/errors';
import type { ProcessId } from '../../core/process';
import type { CheckResult } from '../../model/record';
import type { WalGTargetArchive } from '../../model/target';
import type { RecoveryTarget, RestoreEstimate } from '../ports';
import { bytesBelow, tellGrowth } from './directory-growth';
import type { RestoreSource, WalSupply } from './sandbox-restore';
import { endWorkers, SANDBOX_ENV, type SandboxPlace } from './sandbox-server';
import { openWalByTool } from './wal-by-tool';
import { historyName } from './wal-chain';
import { ABSENT, runWalG, tellable, WAL_G_ENV, walGError, walGWords } from './wal-g-run';

const RESTORE_LIMIT_MS = 24 * 3_600_000;

export interface WalGWay {
  readonly archive: WalGTargetArchive;
  readonly recovery: RecoveryTarget;
  readonly estimate: RestoreEstimate;
  /** OIDs. */
  readonly tablespaces: readonly string[];
  /** Files that the backup's own list names; empty: it keeps none. Asked for before the base comes: a store that stutters then costs no base. */
  readonly files: readonly string[];
}

export function walGSource({ archive, recovery, estimate, tablespaces, files }: WalGWay): RestoreSource {
  return {
    estimate,
    async fetchBase(place, signal, onBytes) {
      await startOver(place);
      const spec = tablespaces.length === 0 ? [] : ['--restore-spec', writeSpec(place, tablespaces)];
      const fetching = runWalG(archive, ['backup-fetch', place.dataDir, recovery.backup, ...spec], {
        owner: place.owner,
        timeoutMs: RESTORE_LIMIT_MS,
        signal,
        env: { [SANDBOX_ENV]: place.dir },
      });
      const result = await tellGrowth(place.dataDir, fetching, onBytes);
      if (result.code !== 0) throw walGError(archive, 'backup-fetch', result);
      chmodSync(place.dataDir, 0o700);
      keepTablespaces(place);
      const bytes = (await bytesBelow(place.dataDir)) + (await bytesBelow(tablespacesOf(place)));
      onBytes(bytes);
      return bytes;
    },
    verifyBase: async (place) => verifyFiles(place, files),
    openWal: async (place) => {
      const known = recovery.timeline === 1 ? [] : [historyName(recovery.timeline)];
      const tool = {
        name: 'wal-g wal-fetch',
        argv: [...walGWords(archive), 'wal-fetch'],
        // Segments that it fetches ahead lie in the sandbox, whatever its configuration says: production may use that directory.
        env: { ...WAL_G_ENV, WALG_PREFETCH_DIR: place.walDir },
        secrets: {},
        absent: ABSENT,
        directories: [],
        tellable: (said: string) => tellable(archive, said),
      };
      return withoutPrefetch(place, openWalByTool(tool, place, { segments: estimate.segments, known }));
    },
  };
}

/** Beside the data directory: else they would go where the original's stand. */
const tablespacesOf = (place: SandboxPlace): string => join(place.dir, 'tablespaces');

/** A tool whose worker died goes on writing: it ends first. */
async function startOver(place: SandboxPlace): Promise<void> {
  await endWorkers(place);
  for (const name of readdirSync(place.dataDir)) rmSync(join(place.dataDir, name), { recursive: true, force: true });
  rmSync(tablespacesOf(place), { recursive: true, force: true });
}

/** Without it WAL-G would make links and directories where the original has them. Its form is that of a sentinel's `Spec`. */
function writeSpec(place: SandboxPlace, tablespaces: readonly string[]): string {
  const path = join(place.dir, 'restore-spec.json');
  const own = (made: string): void => {
    if (place.owner !== null) chownSync(made, place.owner.uid, place.owner.gid);
  };
  mkdirSync(tablespacesOf(place), { mode: 0o700 });
  own(tablespacesOf(place));
  const places = tablespaces.map((oid) => [oid, { loc: join(tablespacesOf(place), oid), link: `pg_tblspc/${oid}` }] as const);
  writeFileSync(path, JSON.stringify({ base_prefix: place.dataDir, tablespaces, ...Object.fromEntries(places) }), { mode: 0o600 });
  own(path);
  return path;
}

/** PostgreSQL makes links as tablespace_map says, over those that are there. Throws `restore_failed` for a link that leads out of the copy. */
function keepTablespaces(place: SandboxPlace): void {
  const dir = join(place.dataDir, 'pg_tblspc');
  const map = join(place.dataDir, 'tablespace_map');
  const lines = existsSync(map) ? readFileSync(map, 'utf8').split('\n').filter(Boolean) : [];
  rmSync(map, { force: true });
  const oids = [...new Set([...lines.map((line) => line.split(' ')[0] ?? ''), ...(existsSync(dir) ? readdirSync(dir) : [])])];
  for (const oid of oids) {
    const link = lstatSync(join(dir, oid), { throwIfNoEntry: false });
    const leadsTo = link?.isSymbolicLink() === true ? readlinkSync(join(dir, oid)) : 'nowhere';
    if (leadsTo !== join(tablespacesOf(place), oid))
      throw new GamedayError(
        'restore_failed',
        `tablespace ${oid} of the backup would lead to ${leadsTo}, out of the copy`,
        'its sentinel does not name it, so WAL-G cannot be told where to put it; take a new base backup.',
      );
  }
}

/** Partitions are fetched as they are listed, so that WAL-G misses none that is not there: its own list of files tells. It keeps no checksums of them. */
function verifyFiles(place: SandboxPlace, listed: readonly string[]): CheckResult {
  const needed = ['global/pg_control', 'backup_label', ...listed];
  const missing = needed.filter((path) => !existsSync(join(place.dataDir, path)));
  if (missing.length > 0)
    throw new GamedayError(
      'object_corrupt',
      `wal-g backup-fetch ended well, but ${missing.length} of ${needed.length} files are not there, such as ${missing[0] ?? ''}: a partition is missing`,
      '`gameday archive audit` names it; take a new base backup.',
    );
  const found =
    listed.length === 0
      ? 'pg_control came last; the backup keeps no list of its files'
      : `all ${listed.length} files of the backup’s list are there`;
  return {
    name: 'wal-g backup-fetch',
    ok: true,
    found: `${found}; WAL-G keeps no checksums of files`,
    expected: 'every file of the backup’s list',
    hint: null,
  };
}

/** wal-fetch leaves a process behind that fetches what may be asked for next: when WAL has come, nobody asks. */
function withoutPrefetch(place: SandboxPlace, supply: WalSupply): WalSupply {
  return {
    ...supply,
    async stop() {
      await supply.stop();
      await endWorkers(place, isPrefetch);
    },
  };
}

function isPrefetch({ pid }: ProcessId): boolean {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0').includes('wal-prefetch');
  } catch {
    return false;
  }
}
