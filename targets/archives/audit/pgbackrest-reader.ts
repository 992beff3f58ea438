/**
 * The pgBackRest layout: `archive/<stanza>` with archive.info and segments whose key carries the SHA-1 of their plain bytes, `backup/<stanza>` with
 * backup.info and a manifest for each backup. Of an encrypted repository it reads names only, and says so.
 */
import { parseLsn } from '../../../core/lsn';
import { walFileKind } from '../wal-object';
import {
  backupFinding,
  type ArchiveIdentity,
  type ArchiveReader,
  type BackupFacts,
  type ReaderContext,
  type WalObject,
} from './archive-reader';
import { isEncrypted, scanInfoFile } from './info-file';
import { checkManifests, labelsByListing, type ListedBackup } from './pgbackrest-files';
import { codecOf } from './unpack';

const TYPES = { full: 'full', diff: 'differential', incr: 'incremental' } as const;
const isType = (value: unknown): value is keyof typeof TYPES => typeof value === 'string' && Object.hasOwn(TYPES, value);

export async function openPgbackrestReader(context: ReaderContext, stanza: string): Promise<ArchiveReader> {
  const archive = await readInfo(context, `archive/${stanza}/archive.info`);
  const info = await readInfo(context, `backup/${stanza}/backup.info`);
  const encrypted = archive.encrypted || info.encrypted;
  const id = archive.id ?? info.id ?? (await idByListing(context, stanza));
  if (archive.system !== null && info.system !== null && archive.system !== info.system)
    context.book.add({
      check: 'archive',
      severity: 'high',
      key: `backup/${stanza}/backup.info`,
      what: `its backups are of system ${info.system}, its WAL of system ${archive.system}`,
      about: { effect: 'no backup can be rolled forward by this WAL.', hitsNewest: true },
      remedy: 'find out which cluster writes here; `pgbackrest check` on it says whether the stanza is its own.',
    });
  const identity: ArchiveIdentity = {
    systemIdentifier: archive.system ?? info.system,
    serverVersion: archive.version ?? info.version,
    encrypted,
  };
  const walPrefix = `archive/${stanza}/${id}/`;
  return {
    layout: 'pgbackrest',
    stanza,
    identity,
    walPrefix,
    walOf: (head) => walObjectOf(head, walPrefix),
    expectedKey: (name) => (walFileKind(name) === 'history' ? `${walPrefix}${name}` : `${walPrefix}${name.slice(0, 16)}/${name}-*`),
    backups: () => (encrypted ? encryptedBackups(context, stanza) : plainBackups(context, stanza, info)),
  };
}

const OBJECT = /^(?:([0-9A-F]{16})\/)?([0-9A-F.a-z]+?)(?:-([0-9a-f]{40}))?(?:\.(gz|lz4|zst|bz2))?$/;

function walObjectOf(
  head: WalObject | { readonly key: string; readonly bytes: number; readonly modifiedAt: string },
  prefix: string,
): WalObject | 'stray' {
  const [, directory, name, sha1, extension] = OBJECT.exec(head.key.slice(prefix.length)) ?? [];
  const [kind, codec] = [walFileKind(name ?? ''), codecOf(extension ?? '')];
  if (name === undefined || kind === null || codec === null || (kind === 'history') !== (directory === undefined)) return 'stray';
  if (directory !== undefined && !name.startsWith(directory)) return 'stray';
  return { ...head, name, kind, codec, sha1: sha1 ?? null };
}

interface ListedInfo {
  readonly encrypted: boolean;
  /** `<version>-<db id>`, the directory of the current cluster's WAL. */
  readonly id: string | null;
  readonly dbId: number | null;
  readonly system: string | null;
  readonly version: number | null;
  readonly backups: ReadonlyMap<string, Readonly<Record<string, unknown>>>;
}

/** The file, else its copy; what is wrong with either is found. */
async function readInfo(context: ReaderContext, key: string): Promise<ListedInfo> {
  const problems: string[] = [];
  let read: ListedInfo | null = null;
  for (const each of [key, `${key}.copy`]) {
    const data = await context.store.get(each);
    if (data !== null && isEncrypted(data))
      return { encrypted: true, id: null, dbId: null, system: null, version: null, backups: new Map() };
    const parsed = data === null ? 'is missing' : parseInfo(data);
    if (typeof parsed !== 'string') read ??= parsed;
    else problems.push(each === key ? parsed : `its copy ${parsed}`);
  }
  if (problems.length > 0)
    context.book.add({
      check: 'archive',
      severity: read === null ? 'high' : 'medium',
      key,
      what: problems.join(', and '),
      about: {
        effect:
          read === null
            ? 'pgBackRest restores nothing from a stanza whose info file and copy are unusable.'
            : 'pgBackRest goes by what is left of the two; the next loss is final.',
        hitsNewest: read === null,
      },
      remedy:
        'bring the file back from a version of the bucket, or from its `.copy`; pgBackRest writes both anew with the next backup or stanza-upgrade.',
    });
  return read ?? { encrypted: false, id: null, dbId: null, system: null, version: null, backups: new Map() };
}

function parseInfo(data: Uint8Array): ListedInfo | string {
  const backups = new Map<string, Readonly<Record<string, unknown>>>();
  const db = new Map<string, string>();
  const problem = scanInfoFile(data, (section, key, value, raw) => {
    if (section === 'db') db.set(key, raw.replace(/^"|"$/g, ''));
    if (section === 'backup:current' && typeof value === 'object' && value !== null) backups.set(key, value as Record<string, unknown>);
  });
  if (problem !== null) return `is damaged: ${problem}`;
  const [dbId, version] = [db.get('db-id'), db.get('db-version')];
  return {
    encrypted: false,
    id: dbId === undefined || version === undefined ? null : `${version}-${dbId}`,
    dbId: dbId === undefined ? null : Number(dbId),
    system: db.get('db-system-id') ?? null,
    version: version === undefined ? null : Math.floor(Number(version)),
    backups,
  };
}

/** Where no info file can be read: the directory of the newest server's WAL. */
async function idByListing({ store, signal }: ReaderContext, stanza: string): Promise<string> {
  let newest = '';
  const rank = (id: string): number => Number(id.split('-')[1] ?? 0);
  for await (const { key } of store.list(`archive/${stanza}/`)) {
    signal.throwIfAborted();
    const id = key.split('/')[2] ?? '';
    if (/^[0-9.]+-[0-9]+$/.test(id) && (newest === '' || rank(id) > rank(newest))) newest = id;
  }
  return newest === '' ? 'none-1' : newest;
}

async function plainBackups(context: ReaderContext, stanza: string, info: ListedInfo): Promise<readonly BackupFacts[]> {
  const listed: ListedBackup[] = [];
  for (const [label, entry] of info.backups) {
    const text = (name: string): string | null => (typeof entry[name] === 'string' ? entry[name] : null);
    if (info.dbId !== null && entry['db-id'] !== info.dbId) {
      context.book.leaveOut('backups', 'a backup of an older server of this stanza');
      continue;
    }
    const type = entry['backup-type'];
    const [start, stop, from] = [text('backup-lsn-start'), text('backup-lsn-stop'), text('backup-archive-start')];
    listed.push({
      label,
      type: isType(type) ? TYPES[type] : 'full',
      timeline: from === null ? null : Number.parseInt(from.slice(0, 8), 16),
      startLsn: lsnOf(start),
      stopLsn: lsnOf(stop),
      startWal: from,
      finishedAt: typeof entry['backup-timestamp-stop'] === 'number' ? new Date(entry['backup-timestamp-stop'] * 1000).toISOString() : null,
      // The manifest names file by file what it takes from others: that is checked, and no more than that is needed.
      needs: [],
    });
    if (entry['backup-error'] === true)
      backupFinding(context, {
        severity: 'medium',
        key: `backup/${stanza}/${label}/backup.manifest`,
        label,
        what: 'pages with wrong checksums were found in the database while it was backed up',
        remedy: 'find the damaged relations by `pg_amcheck` on the database; older backups may hold them whole.',
      });
  }
  const { system, version } = info;
  const whole = await checkManifests(context, stanza, listed);
  return listed.map((backup) => ({
    ...backup,
    key: `backup/${stanza}/${backup.label}/backup.manifest`,
    systemIdentifier: system,
    serverVersion: version,
    whole: whole.get(backup.label) ?? null,
  }));
}

function lsnOf(text: string | null): bigint | null {
  return text !== null && /^[0-9A-Fa-f]{1,8}\/[0-9A-Fa-f]{1,8}$/.test(text) ? parseLsn(text) : null;
}

/** Labels tell type and chain; the rest is behind the key. */
async function encryptedBackups(context: ReaderContext, stanza: string): Promise<readonly BackupFacts[]> {
  const labels = await labelsByListing(context, stanza);
  context.book.leaveOut('backups', 'manifests are encrypted: files are not compared with them', labels.length);
  return labels.map(({ label, finishedAt }) => {
    const [full = '', own] = label.split('_');
    return {
      label,
      key: `backup/${stanza}/${label}/backup.manifest`,
      type: own === undefined ? 'full' : own.endsWith('D') ? 'differential' : 'incremental',
      timeline: null,
      startLsn: null,
      stopLsn: null,
      startWal: null,
      finishedAt,
      systemIdentifier: null,
      serverVersion: null,
      needs: own === undefined ? [] : [full],
      whole: null,
    };
  });
}
