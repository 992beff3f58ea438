/**
 * A team's bucket filled by barman-cloud as the rest of gameday sees it. Backups are listed and restored by the tool itself; WAL, which no command of it lists,
 * is listed in the bucket with the same keys. It writes nothing there but the backups that a drill asks for.
 */
import { GamedayError } from '../../core/errors';
import { WAL_SEGMENT_BYTES } from '../../core/lsn';
import type { BarmanCloudTargetArchive, Target } from '../../model/target';
import { openS3Store } from '../../objects/s3-store';
import type { ObjectHead, ObjectStore } from '../../objects/store';
import type { Archive, BackupView, Host } from '../ports';
import { codecOf, unpack } from './audit/unpack';
import { readBackupList, type BarmanBackup, type BarmanList } from './barman-cloud-list';
import { barmanEnvironment, barmanError, barmanSettings, barmanWords, runBarman, storeWords } from './barman-cloud-run';
import { barmanSource } from './barman-cloud-source';
import { barmanTime, barmanWalKey, barmanWalOf, parseBackupInfo } from './barman-layout';
import { ownerOf } from './pgbackrest-run';
import { ISIZE_MODULUS } from './plain-pieces';
import { openToolArchive, toolCheck, type ArchivedWal, type ToolRepository } from './tool-archive';
import { firstLine } from './tool-output';
import { historyName } from './wal-chain';

const ASK_LIMIT_MS = 120_000;
const BACKUP_LIMIT_MS = 24 * 3_600_000;
const REQUEST_MS = 30_000;

class Bucket {
  private readonly store: ObjectStore;

  constructor(
    private readonly target: Target,
    private readonly archive: BarmanCloudTargetArchive,
  ) {
    this.store = openS3Store(barmanSettings(archive, REQUEST_MS));
  }

  async listed(): Promise<BarmanList> {
    const words = barmanWords(this.archive, 'backup-list', ['--format', 'json']);
    const result = await runBarman(this.archive, words, { owner: ownerOf(this.target), timeoutMs: ASK_LIMIT_MS });
    if (result.code !== 0) throw barmanError('backup-list', result);
    return readBackupList(result.stdout);
  }

  async look(): Promise<ToolRepository> {
    const { backups, unusable } = await this.listed();
    const archives = await this.archivesById();
    const newest = backups.at(-1)?.id ?? '';
    const later = unusable.filter((each) => each > newest);
    return {
      place: `server ${this.archive.server} in ${this.archive.source}`,
      backups: await Promise.all(backups.map((backup) => this.viewOf(backup, archives.get(backup.id) ?? []))),
      checks: [
        toolCheck(
          'last backup',
          later.length === 0,
          later.join(', ') || 'ended well',
          'it ended well',
          'read what barman-cloud-backup said, and take a new one.',
        ),
      ],
      segments: (timeline) => this.segments(timeline),
      history: async (timeline) => (await this.wal(historyName(timeline)))?.toString('utf8') ?? null,
    };
  }

  /** The tar archives of each backup. */
  private async archivesById(): Promise<ReadonlyMap<string, readonly ObjectHead[]>> {
    const found = new Map<string, ObjectHead[]>();
    for await (const head of this.store.list('base/')) {
      const [, id] = /^base\/([^/]+)\/[^/]+\.tar(?:\.[a-z0-9]+)?$/.exec(head.key) ?? [];
      if (id !== undefined) found.set(id, [...(found.get(id) ?? []), head]);
    }
    return found;
  }

  private async viewOf(backup: BarmanBackup, archives: readonly ObjectHead[]): Promise<BackupView> {
    const { id, timeline, startLsn, stopLsn, startWal } = backup;
    const info = await this.store.get(`base/${id}/backup.info`);
    const finishedAt = barmanTime(parseBackupInfo(Buffer.from(info ?? '').toString('utf8')).get('end_time'));
    if (finishedAt === null) throw new GamedayError('backup_missing', `base/${id}/backup.info states no end_time`);
    const sizes = await Promise.all(archives.map((archive) => this.plainBytes(archive)));
    return { name: id, timeline, startLsn, stopLsn, startWal, finishedAt, bytes: sizes.reduce((sum, bytes) => sum + bytes, 0) };
  }

  /** gzip says it at its end, but for whole multiples of 4 GB: then, and for other packings, it is the least that it can be. */
  private async plainBytes({ key, bytes }: ObjectHead): Promise<number> {
    if (!key.endsWith('.gz') || bytes < 4) return bytes;
    const tail: Uint8Array[] = [];
    for await (const chunk of await this.store.read(key, { start: bytes - 4, end: bytes - 1 })) tail.push(chunk);
    const stated = Buffer.concat(tail).readUInt32LE(0);
    return stated + ISIZE_MODULUS * Math.max(0, Math.ceil((bytes * 0.99 - stated) / ISIZE_MODULUS));
  }

  private async segments(timeline: number): Promise<ArchivedWal[]> {
    const found: ArchivedWal[] = [];
    for await (const { key, modifiedAt } of this.store.list(`wals/${historyName(timeline).slice(0, 8)}`)) {
      const wal = barmanWalOf(key);
      if (wal?.kind === 'segment') found.push({ name: wal.name, modifiedAt });
    }
    return found;
  }

  /** Plain bytes of a WAL file; null where the archive has none. */
  async wal(name: string): Promise<Buffer | null> {
    for await (const { key } of this.store.list(barmanWalKey(name))) {
      const wal = barmanWalOf(key);
      const codec = codecOf(wal?.extension ?? '');
      if (wal?.name !== name || codec === null) continue;
      const packed = await this.store.get(key);
      if (packed === null) continue;
      const plain = await unpack(codec, packed, Number(WAL_SEGMENT_BYTES));
      if (plain.kind === 'plain') return plain.data;
      throw new GamedayError(plain.kind === 'damaged' ? 'object_corrupt' : 'tool_missing', `${key} ${plain.why}`);
    }
    return null;
  }
}

export function openBarmanCloudArchive(target: Target, archive: BarmanCloudTargetArchive, hostOf: (node: string) => Host): Archive {
  let opened: Bucket | null = null;
  const bucket = (): Bucket => (opened ??= new Bucket(target, archive));
  return openToolArchive({
    kind: 'barman-cloud',
    target,
    look: () => bucket().look(),
    wal: (name) => bucket().wal(name),
    answers: 'barman-cloud-backup-list lists the server’s backups',
    source: async (recovery, estimate) => {
      const { backups } = await bucket().listed();
      const tablespaces = backups.find(({ id }) => id === recovery.backup)?.tablespaces ?? [];
      return barmanSource({ archive, recovery, estimate, tablespaces });
    },
    async takeBackup(node, signal) {
      const { user } = target.roles.operate;
      const own = { ...archive, credentials: archive.nodeCredentials ?? archive.credentials };
      const variables = Object.entries(barmanEnvironment(own)).map(([name, value]) => `${name}=${value}`);
      const server = ['-h', node.host, '-p', String(node.port), '-U', user, '--immediate-checkpoint'];
      const packing = archive.compression === 'none' ? [] : [`--${archive.compression}`];
      const program = `${archive.programs}/barman-cloud-backup`;
      const argv = ['/usr/bin/env', ...variables, program, ...storeWords(archive), ...server, ...packing, archive.source, archive.server];
      const result = await hostOf(node.name).exec(argv, { asNode: true, timeoutMs: BACKUP_LIMIT_MS, signal });
      if (result.code !== 0) {
        const output = result.stderr + result.stdout;
        const line = output.split('\n').find((each) => /ERROR:/.test(each)) ?? output;
        throw new GamedayError('step_failed', `barman-cloud-backup on ${node.name}: ${firstLine(line.replace(/^.*ERROR: /, ''))}`);
      }
    },
  });
}
