/**
 * The WAL-G layout: `basebackups_005/base_<segment>…` with tar partitions and, once a backup is complete, its `_backup_stop_sentinel.json`; `wal_005`
 * with packed segments. WAL-G marks encryption nowhere: bytes that begin as nothing known are not called damaged unless others do begin so.
 */
import { messageOf } from '../../../core/errors';
import { parseLsn } from '../../../core/lsn';
import { walFileKind } from '../wal-object';
import { backupFinding, byTime, listed, type ArchiveReader, type BackupFacts, type ReaderContext, type WalObject } from './archive-reader';
import { codecOf } from './unpack';

const BACKUPS = 'basebackups_005/';
const WAL = 'wal_005/';
const SENTINEL = '_backup_stop_sentinel.json';
const NAME = /^(base_([0-9A-F]{24})(?:_D_[0-9A-F]{24})?)(?:\/(.+)|_backup_stop_sentinel\.json)$/;
const SEGMENT_OBJECT = /^([0-9A-F]{8}\.history|[0-9A-F]{24}(?:\.partial|\.[0-9A-F]{8}\.backup)?)(?:\.([a-z0-9]+))?$/;
/** The list of files may have gigabytes; above this it is left out. */
const METADATA_LIMIT_BYTES = 64 * 1024 * 1024;

export function openWalGReader(context: ReaderContext): ArchiveReader {
  return {
    layout: 'wal-g',
    stanza: null,
    identity: { systemIdentifier: null, serverVersion: null, encrypted: false },
    walPrefix: WAL,
    walOf: (head): WalObject | 'known' | 'stray' => {
      const rest = head.key.slice(WAL.length);
      if (/^[0-9A-F]{24}_delta(?:\.[a-z0-9]+)?$/.test(rest)) return 'known';
      const [, name, extension] = SEGMENT_OBJECT.exec(rest) ?? [];
      const [kind, codec] = [walFileKind(name ?? ''), codecOf(extension ?? '')];
      return name === undefined || kind === null || codec === null ? 'stray' : { ...head, name, kind, codec, sha1: null };
    },
    expectedKey: (name) => `${WAL}${name}.*`,
    backups: () => readBackups(context),
  };
}

interface ListedParts {
  readonly startSegment: string;
  /** Name below `tar_partitions/` → bytes. */
  readonly tars: Map<string, number>;
  metadataBytes: number | null;
  sentinelAt: string | null;
}

async function readBackups(context: ReaderContext): Promise<BackupFacts[]> {
  const names = new Map<string, ListedParts>();
  for await (const head of listed(context, BACKUPS)) {
    const [, name, startSegment = '', rest] = NAME.exec(head.key.slice(BACKUPS.length)) ?? [];
    if (name === undefined) continue;
    const parts = names.get(name) ?? { startSegment, tars: new Map<string, number>(), metadataBytes: null, sentinelAt: null };
    names.set(name, parts);
    if (rest === undefined) parts.sentinelAt = head.modifiedAt;
    else if (rest === 'files_metadata.json') parts.metadataBytes = head.bytes;
    else if (rest.startsWith('tar_partitions/')) parts.tars.set(rest.slice('tar_partitions/'.length), head.bytes);
  }
  const found: BackupFacts[] = [];
  for (const [name, parts] of names) {
    if (parts.sentinelAt !== null) found.push(await readBackup(context, name, parts, parts.sentinelAt));
    else
      backupFinding(context, {
        severity: 'low',
        key: `${BACKUPS}${name}/`,
        label: name,
        what: 'parts without a sentinel: a backup under way, or one that broke off',
        remedy: '`wal-g delete garbage` removes it if no backup is running.',
      });
  }
  return found.sort(byTime);
}

async function readBackup(context: ReaderContext, label: string, parts: ListedParts, sentinelAt: string): Promise<BackupFacts> {
  const key = `${BACKUPS}${label}${SENTINEL}`;
  const isDelta = label.includes('_D_');
  const timeline = Number.parseInt(parts.startSegment.slice(0, 8), 16);
  const facts = { label, key, type: isDelta ? 'incremental' : 'full' } as const;
  const text = Buffer.from((await context.store.get(key)) ?? []).toString('utf8');
  let sentinel: Sentinel;
  try {
    sentinel = parseSentinel(text);
  } catch (error) {
    backupFinding(context, { severity: 'high', key, label, what: `the sentinel cannot be read: ${messageOf(error)}` });
    return {
      ...facts,
      timeline,
      startLsn: null,
      stopLsn: null,
      startWal: null,
      finishedAt: sentinelAt,
      systemIdentifier: null,
      serverVersion: null,
      needs: [],
      whole: false,
    };
  }
  const whole = checkTars(context, label, parts) && (await checkMetadata(context, label, parts, sentinel));
  const { deltaFrom, fullName } = sentinel;
  return {
    ...facts,
    ...sentinel.facts,
    startWal: parts.startSegment,
    timeline: sentinel.timeline ?? timeline,
    finishedAt: sentinel.finishedAt ?? sentinelAt,
    needs: [...new Set([deltaFrom, fullName].filter((each) => each !== null))],
    whole,
  };
}

interface Sentinel {
  readonly facts: Pick<BackupFacts, 'startLsn' | 'stopLsn' | 'systemIdentifier' | 'serverVersion'>;
  readonly timeline: number | null;
  readonly finishedAt: string | null;
  readonly deltaFrom: string | null;
  readonly fullName: string | null;
  readonly lacksFileList: boolean;
}

/** BackupSentinelDto and its second version. The identifier is read from the text: it does not fit a double. */
function parseSentinel(text: string): Sentinel {
  const json = JSON.parse(text) as Readonly<Record<string, unknown>> | null;
  if (typeof json !== 'object' || json === null) throw new Error('it is no JSON object');
  const lsn = (name: string): bigint | null => {
    const value = json[name];
    if (typeof value === 'number') return BigInt(Math.trunc(value));
    return typeof value === 'string' ? parseLsn(value) : null;
  };
  const words = (name: string): string | null => (typeof json[name] === 'string' ? json[name] : null);
  const version = json['PgVersion'];
  const [startLsn, stopLsn, finished] = [lsn('LSN'), lsn('FinishLSN'), words('FinishTime')];
  if (startLsn === null || stopLsn === null) throw new Error('it states no LSN and FinishLSN');
  return {
    facts: {
      startLsn,
      stopLsn,
      systemIdentifier: /"SystemIdentifier"\s*:\s*([0-9]+)/.exec(text)?.[1] ?? null,
      serverVersion: typeof version === 'number' && version >= 100_000 ? Math.floor(version / 10_000) : null,
    },
    timeline: typeof json['Timeline'] === 'number' ? json['Timeline'] : null,
    finishedAt: finished === null || Number.isNaN(Date.parse(finished)) ? null : new Date(finished).toISOString(),
    deltaFrom: words('DeltaFrom'),
    fullName: words('DeltaFullName'),
    lacksFileList: json['FilesMetadataDisabled'] === true,
  };
}

const tarKey = (label: string, name: string): string => `${BACKUPS}${label}/tar_partitions/${name}`;

function checkTars(context: ReaderContext, label: string, { tars }: ListedParts): boolean {
  let whole = true;
  const damaged = (key: string, what: string): void => {
    whole = false;
    backupFinding(context, { severity: 'high', key, label, what });
  };
  if (![...tars.keys()].some((name) => name.startsWith('pg_control.tar')))
    damaged(tarKey(label, 'pg_control.tar.*'), 'the partition with pg_control is missing, without which nothing starts');
  for (const [name, bytes] of tars) if (bytes === 0) damaged(tarKey(label, name), 'a partition is empty');
  const numbers = [...tars.keys()].flatMap((name) => /^part_([0-9]+)\.tar/.exec(name)?.[1] ?? []).map(Number);
  const highest = numbers.reduce((high, number) => Math.max(high, number), 0);
  if (highest === 0) damaged(tarKey(label, 'part_*.tar.*'), 'it has no partition');
  return whole;
}

/** files_metadata.json lists what each partition holds, and so every partition. */
async function checkMetadata(
  context: ReaderContext,
  label: string,
  { tars, metadataBytes }: ListedParts,
  sentinel: Sentinel,
): Promise<boolean> {
  const key = `${BACKUPS}${label}/files_metadata.json`;
  if (sentinel.lacksFileList || metadataBytes === null) {
    context.book.leaveOut('backups', 'no list of partitions was kept: a missing one cannot be told');
    return true;
  }
  if (metadataBytes > METADATA_LIMIT_BYTES) {
    context.book.leaveOut('backups', 'files_metadata.json above 64 MB is not read: a missing partition cannot be told');
    return true;
  }
  let sets: object;
  try {
    const json = JSON.parse(Buffer.from((await context.store.get(key)) ?? []).toString('utf8')) as { readonly TarFileSets?: object } | null;
    sets = json?.TarFileSets ?? {};
  } catch (error) {
    backupFinding(context, { severity: 'high', key, label, what: `the list of partitions cannot be read: ${messageOf(error)}` });
    return false;
  }
  const missing = Object.keys(sets).filter((name) => !tars.has(name));
  for (const name of missing)
    backupFinding(context, { severity: 'high', key: tarKey(label, name), label, what: 'a partition of the backup is missing' });
  return missing.length === 0;
}
