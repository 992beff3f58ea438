/**
 * A team's archive kept by WAL-G as the rest of gameday sees it. Everything is asked of the tool itself, so that it works for every kind of storage, packing and
 * encryption. It writes nothing there but the backups that a drill asks for.
 */
import { chownSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { GamedayError } from '../../core/errors';
import type { Target, WalGTargetArchive } from '../../model/target';
import type { Archive, Host } from '../ports';
import { ownerOf } from './pgbackrest-run';
import { openToolArchive, toolCheck, type ArchivedWal, type ToolRepository } from './tool-archive';
import { historyName } from './wal-chain';
import { walGPlace } from './wal-g-config';
import { readFileList, readListing, readTablespaces, readWalGBackups, readWalListing, type WalGList } from './wal-g-list';
import { ABSENT, QUICK_ENV, runWalG, tellable, WAL_G_ENV, walGError, walGSaid } from './wal-g-run';
import { walGSource } from './wal-g-source';

const ASK_LIMIT_MS = 120_000;
const BACKUP_LIMIT_MS = 24 * 3_600_000;

class Repository {
  constructor(
    private readonly target: Target,
    private readonly archive: WalGTargetArchive,
  ) {}

  private async ask(words: readonly string[]): Promise<string> {
    const result = await runWalG(this.archive, words, { owner: ownerOf(this.target), timeoutMs: ASK_LIMIT_MS, env: QUICK_ENV });
    if (result.code === 0) return result.stdout;
    const said = walGError(this.archive, words.slice(0, 2).join(' '), result);
    // Nothing was restored yet.
    throw said.code === 'restore_failed' ? new GamedayError('store_unreachable', said.message, said.hint) : said;
  }

  private async listed(): Promise<WalGList> {
    return readWalGBackups(await this.ask(['backup-list', '--detail', '--json']));
  }

  async look(): Promise<ToolRepository> {
    const { backups, unusable } = await this.listed();
    // Names begin with timeline and segment.
    const later = unusable.filter((each) => each > (backups.at(-1)?.name ?? ''));
    let listing: Promise<readonly ArchivedWal[]> | null = null;
    // All timelines lie in one directory: listed once, when somebody asks.
    const wal = (): Promise<readonly ArchivedWal[]> => (listing ??= this.ask(['st', 'ls', 'wal_005']).then(readWalListing));
    return {
      place: walGPlace(this.archive) ?? `the storage of ${this.archive.config}`,
      backups,
      checks: [
        toolCheck(
          'last backup',
          later.length === 0,
          later.join('; ') || 'it has what it builds on',
          'it has what it builds on',
          'take a full backup (`backup-push --full`); `wal-g delete` keeps the backups that deltas need.',
        ),
      ],
      segments: async (timeline) => {
        const prefix = historyName(timeline).slice(0, 8);
        return (await wal()).filter(({ name }) => name.length === 24 && name.startsWith(prefix));
      },
      history: async (timeline) => {
        const name = historyName(timeline);
        return (await wal()).some((each) => each.name === name) ? ((await this.wal(name))?.toString('utf8') ?? null) : null;
      },
    };
  }

  async tablespaces(backup: string): Promise<readonly string[]> {
    return readTablespaces(await this.ask(['st', 'cat', `basebackups_005/${backup}_backup_stop_sentinel.json`]));
  }

  /** Lists are not encrypted, and backup-fetch tries a wrong key again and again for most of an hour: one segment tells at once. */
  async opens(segment: string): Promise<void> {
    if ((await this.wal(segment)) !== null) return;
    throw new GamedayError('wal_missing', `wal-g wal-fetch did not find ${segment}, which its archive listed`);
  }

  async files(backup: string): Promise<readonly string[]> {
    const listing = await this.ask(['st', 'ls', `basebackups_005/${backup}`]);
    return readListing(listing).some(({ name }) => name === 'files_metadata.json')
      ? readFileList(await this.ask(['st', 'cat', `basebackups_005/${backup}/files_metadata.json`]))
      : [];
  }

  /** Plain bytes of a WAL file, by the command that PostgreSQL would give; null where the archive has none. */
  async wal(name: string): Promise<Buffer | null> {
    const owner = ownerOf(this.target);
    const dir = mkdtempSync(join(tmpdir(), 'gameday-wal-'));
    try {
      if (owner !== null) chownSync(dir, owner.uid, owner.gid);
      // Just this one: it fetches nothing ahead, nor takes what production has fetched.
      const env = { ...QUICK_ENV, WALG_DOWNLOAD_CONCURRENCY: '1', WALG_PREFETCH_DIR: dir };
      const result = await runWalG(this.archive, ['wal-fetch', name, join(dir, name)], { owner, timeoutMs: ASK_LIMIT_MS, env });
      if (result.code === ABSENT) return null;
      if (result.code !== 0) throw walGError(this.archive, `wal-fetch ${name}`, result);
      return readFileSync(join(dir, name));
    } finally {
      rmSync(dir, { recursive: true, force: true });
    }
  }
}

export function openWalGArchive(target: Target, archive: WalGTargetArchive, hostOf: (node: string) => Host): Archive {
  const repository = new Repository(target, archive);
  return openToolArchive({
    kind: 'wal-g',
    target,
    look: () => repository.look(),
    wal: (name) => repository.wal(name),
    answers: 'wal-g backup-list lists the backups',
    async source(recovery, estimate) {
      await repository.opens(estimate.segments[0] ?? estimate.backup.startWal);
      return walGSource({
        archive,
        recovery,
        estimate,
        tablespaces: await repository.tablespaces(recovery.backup),
        files: await repository.files(recovery.backup),
      });
    },
    async takeBackup(node, signal) {
      const variables = Object.entries(WAL_G_ENV).map(([name, value]) => `${name}=${value}`);
      const command = [archive.program, '--config', archive.nodeConfig ?? archive.config, 'backup-push', node.dataDir];
      const result = await hostOf(node.name).exec(['/usr/bin/env', ...variables, ...command], {
        asNode: true,
        timeoutMs: BACKUP_LIMIT_MS,
        signal,
      });
      if (result.code !== 0)
        throw new GamedayError(
          'step_failed',
          `wal-g backup-push on ${node.name}: ${walGSaid(tellable(archive, result.stderr + result.stdout))}`,
        );
    },
  });
}
