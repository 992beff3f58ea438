/**
 * What the auditor asks of a layout: who the archive belongs to, which backups it holds and whether their files are there, and what a key in its WAL
 * area is. A reader works on listings and on the objects themselves, never by the tool that wrote them.
 */
import type { ArchiveLayout, AuditedBackup } from '../../../model/archive-audit';
import type { ObjectHead, ObjectStore } from '../../../objects/store';
import type { WalFileKind } from '../wal-object';
import type { FindingBook } from './finding-book';
import type { Codec } from './unpack';

/** An object of the WAL area. `name`: as PostgreSQL calls the file. */
export interface WalObject extends ObjectHead {
  readonly name: string;
  readonly kind: WalFileKind;
  readonly codec: Codec;
  /** Of the plain bytes, where the key states it. */
  readonly sha1: string | null;
}

export interface BackupFacts {
  readonly label: string;
  /** The object that describes it. */
  readonly key: string;
  readonly type: AuditedBackup['type'];
  readonly timeline: number | null;
  readonly startLsn: bigint | null;
  readonly stopLsn: bigint | null;
  /** Name of the segment that holds its start: with the position it tells the segment size where no segment can be read. */
  readonly startWal: string | null;
  readonly finishedAt: string | null;
  readonly systemIdentifier: string | null;
  readonly serverVersion: number | null;
  /** Backups without which it cannot be restored. */
  readonly needs: readonly string[];
  /** False: its own objects are not what it takes. Null: not told. */
  readonly whole: boolean | null;
}

export interface ArchiveIdentity {
  readonly systemIdentifier: string | null;
  readonly serverVersion: number | null;
  readonly encrypted: boolean;
}

export interface ArchiveReader {
  readonly layout: ArchiveLayout;
  readonly stanza: string | null;
  readonly identity: ArchiveIdentity;
  /** Everything below it is in the WAL area. */
  readonly walPrefix: string;
  /** `known`: belongs there and is no WAL file. `stray`: the layout puts no such object there. */
  walOf(head: ObjectHead): WalObject | 'known' | 'stray';
  /** Where a WAL file of that name should stand; `*` where the key holds a checksum. */
  expectedKey(name: string): string;
  /** Oldest first, each checked against its list of files and the objects that are there. */
  backups(): Promise<readonly BackupFacts[]>;
}

export interface ReaderContext {
  readonly store: ObjectStore;
  readonly book: FindingBook;
  readonly random: () => number;
  /** Files of each backup whose content is read and compared with its checksum. */
  readonly filesPerBackup: number;
  readonly count: (head: ObjectHead) => void;
  readonly signal: AbortSignal;
}

/** Objects below a prefix, counted, and broken off when the audit is. */
export async function* listed(context: ReaderContext, prefix: string): AsyncGenerator<ObjectHead> {
  for await (const head of context.store.list(prefix)) {
    context.signal.throwIfAborted();
    context.count(head);
    yield head;
  }
}

export const byTime = (a: BackupFacts, b: BackupFacts): number =>
  (a.finishedAt ?? '').localeCompare(b.finishedAt ?? '') || a.label.localeCompare(b.label);

/** For what a reader finds about a backup: always of check `backups`. */
export function backupFinding(
  context: ReaderContext,
  finding: {
    readonly severity: 'high' | 'medium' | 'low';
    readonly key: string;
    readonly label: string;
    readonly what: string;
    readonly remedy?: string;
  },
): void {
  const { severity, key, label, what, remedy } = finding;
  context.book.add({
    check: 'backups',
    severity,
    key,
    what,
    about: { backup: label },
    remedy: remedy ?? 'take a new full backup now; bring the object back from a version or a second repository.',
  });
}
