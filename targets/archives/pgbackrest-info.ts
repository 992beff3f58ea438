/**
 * What pgBackRest says of its repository (`info --output=json`, `repo-ls --output=json`), as gameday's own types. Pure. What it cannot read it says with
 * exit code 0, and the reason may hold raw bytes: only its first printable line is ever passed on.
 */
import { GamedayError } from '../../core/errors';
import type { BackupView } from '../ports';
import type { ArchivedWal } from './tool-archive';
import { firstLine } from './tool-output';

interface Info {
  readonly name: string;
  readonly status: { readonly code: number; readonly message: string };
  readonly repo?: readonly {
    readonly key: number;
    readonly cipher?: string;
    readonly status: { readonly code: number; readonly message: string };
  }[];
  readonly db: readonly { readonly id: number; readonly 'system-id': number; readonly version: string }[];
  readonly archive: readonly { readonly id: string; readonly min: string | null; readonly max: string | null }[];
  readonly backup: readonly Backup[];
}

interface Backup {
  readonly label: string;
  readonly error?: boolean;
  readonly archive: { readonly start: string | null; readonly stop: string | null };
  readonly lsn?: { readonly start: string; readonly stop: string };
  readonly timestamp: { readonly stop: number };
  readonly info: { readonly size: number };
}

export interface PgbackrestInfo {
  /** Of the cluster that archives now, e.g. `15-1`: the directory of its WAL. */
  readonly archiveId: string;
  /** Oldest first; those with page errors left out. */
  readonly backups: readonly BackupView[];
  /** Of repo1, which is the one that a key of the target's opens. */
  readonly isEncrypted: boolean;
  /** Labels of backups in which pgBackRest found pages with a wrong checksum. */
  readonly withErrors: readonly string[];
}

const KEY_HINT =
  'compare repo1-cipher-type and repo1-cipher-pass with those of the servers that push; a secret that was rotated or lost shows here first.';

/** Throws `backup_missing` for a stanza that is not there, `archive_key_wrong`, `store_unreachable`. */
export function readInfo(text: string, stanza: string): PgbackrestInfo {
  const info = parse<readonly Info[]>(text, 'info').find(({ name }) => name === stanza);
  if (info === undefined) throw new GamedayError('backup_missing', `pgBackRest knows no stanza "${stanza}"`, missingHint(stanza));
  refuse(info, stanza);
  const current = info.db.at(-1)?.id;
  const archiveId = info.archive.find(({ id }) => id.endsWith(`-${current ?? ''}`))?.id ?? info.archive.at(-1)?.id;
  if (archiveId === undefined)
    throw new GamedayError('backup_missing', `stanza "${stanza}" holds no WAL`, 'does archive_command push to it?');
  return {
    archiveId,
    isEncrypted: (info.repo?.find(({ key }) => key === 1)?.cipher ?? 'none') !== 'none',
    backups: info.backup.flatMap((backup) => viewOf(backup)),
    withErrors: info.backup.filter(({ error }) => error === true).map(({ label }) => label),
  };
}

function refuse({ status, repo = [] }: Info, stanza: string): void {
  if (status.code === 0 || status.code === 2) return;
  // The stanza's own word is `other`; the reason stands with its repository.
  const said = repo.map((one) => one.status).find(({ code }) => code === 99) ?? status;
  const message = firstLine(said.message);
  if (status.code === 1 || status.code === 3)
    throw new GamedayError('backup_missing', `stanza "${stanza}": ${message}`, missingHint(stanza));
  if (/CryptoError|key\/value found outside of section|cipher header/.test(said.message))
    throw new GamedayError('archive_key_wrong', `stanza "${stanza}" cannot be decrypted: ${message}`, KEY_HINT);
  throw new GamedayError('store_unreachable', `stanza "${stanza}": ${message}`, 'run `pgbackrest info` by hand as the sandbox’s user.');
}

const missingHint = (stanza: string): string =>
  `compare archive.stanza and repo1-path with the servers’ pgbackrest.conf; \`pgbackrest --stanza=${stanza} info\` shows what is there.`;

function viewOf({ label, error, archive, lsn, timestamp, info }: Backup): BackupView[] {
  if (error === true || lsn === undefined || archive.start === null) return [];
  return [
    {
      name: label,
      timeline: Number.parseInt(archive.start.slice(0, 8), 16),
      startLsn: lsn.start,
      stopLsn: lsn.stop,
      startWal: archive.start,
      finishedAt: new Date(timestamp.stop * 1_000).toISOString(),
      bytes: info.size,
    },
  ];
}

/** Whole segments of one directory of the repository: not partial ones, not labels of backups. */
export function readSegments(text: string): ArchivedWal[] {
  const listed = parse<{ readonly [name: string]: { readonly type: string; readonly time?: number } }>(text, 'repo-ls');
  return Object.entries(listed).flatMap(([file, { time = 0 }]) => {
    const name = /^([0-9A-F]{24})-[0-9a-f]{40}(\.[a-z0-9]+)?$/.exec(file)?.[1];
    return name === undefined ? [] : [{ name, modifiedAt: new Date(time * 1_000).toISOString() }];
  });
}

function parse<T>(text: string, command: string): T {
  try {
    // 2.45 puts the bytes that it could not decrypt into its JSON as they are.
    // eslint-disable-next-line no-control-regex
    return JSON.parse(text.replace(/[\u0000-\u001f]+/g, ' ')) as T;
  } catch (error) {
    throw new GamedayError('store_unreachable', `pgbackrest ${command} printed no JSON`, null, { cause: error });
  }
}
