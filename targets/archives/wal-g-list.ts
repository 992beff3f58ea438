/**
 * What WAL-G says of its archive (`backup-list --detail --json`, `st ls`, sentinels, lists of files), as gameday's own types. Pure. A delta's backup is nothing
 * without those it builds on: one whose chain is broken is no backup here.
 */
import { GamedayError } from '../../core/errors';
import { formatLsn } from '../../core/lsn';
import type { BackupView } from '../ports';
import type { ArchivedWal } from './tool-archive';

interface Listed {
  readonly backup_name: string;
  readonly wal_file_name?: string;
  readonly finish_time?: string;
  readonly start_lsn?: number;
  readonly finish_lsn?: number;
  readonly uncompressed_size?: number;
}

export interface WalGList {
  /** Oldest first; those that can be restored. `bytes`: what the whole chain unpacks to, which is the most that a restore writes. */
  readonly backups: readonly BackupView[];
  /** The others, each with the reason. */
  readonly unusable: readonly string[];
}

const NAME = /^base_([0-9A-F]{24})(?:_D_([0-9A-F]{24}))?(?:_[0-9A-F]+)?$/;
/** WAL-G's own default is 6 deltas; nobody builds a hundred on one another. */
const CHAIN_LIMIT = 1_000;

/** Throws `store_unreachable` for what is no such list. */
export function readWalGBackups(text: string): WalGList {
  const listed = parse<readonly Listed[] | null>(text, 'backup-list') ?? [];
  if (!Array.isArray(listed)) throw new GamedayError('store_unreachable', 'wal-g backup-list printed no list of backups');
  const backups: BackupView[] = [];
  const unusable: string[] = [];
  for (const one of listed as readonly Listed[]) {
    const found = viewOf(one, listed as readonly Listed[]);
    if (typeof found === 'string') unusable.push(`${one.backup_name} ${found}`);
    else backups.push(found);
  }
  return { backups: backups.sort((a, b) => a.finishedAt.localeCompare(b.finishedAt)), unusable: unusable.sort() };
}

/** In words what keeps it from being restored. */
function viewOf(one: Listed, all: readonly Listed[]): BackupView | string {
  const { backup_name: name, start_lsn: start, finish_lsn: stop, finish_time: finished } = one;
  const [, startWal] = NAME.exec(name) ?? [];
  if (startWal === undefined) return 'has no name of a backup of PostgreSQL';
  if (typeof start !== 'number' || typeof stop !== 'number' || stop === 0) return 'states no position';
  if (finished === undefined || Number.isNaN(Date.parse(finished))) return 'states no time';
  const chain = chainOf(one, all);
  if (typeof chain === 'string') return chain;
  return {
    name,
    timeline: Number.parseInt(startWal.slice(0, 8), 16),
    startLsn: formatLsn(BigInt(start)),
    stopLsn: formatLsn(BigInt(stop)),
    startWal,
    finishedAt: new Date(finished).toISOString(),
    bytes: chain.reduce((sum, each) => sum + (each.uncompressed_size ?? 0), 0),
  };
}

/** The backup and those that it builds on. A delta names the segment at which the one before it starts. */
function chainOf(one: Listed, all: readonly Listed[]): readonly Listed[] | string {
  const chain = [one];
  for (let last = one; chain.length <= CHAIN_LIMIT;) {
    const base = NAME.exec(last.backup_name)?.[2];
    if (base === undefined) return chain;
    const before = all.find(({ backup_name: name }) => NAME.exec(name)?.[1] === base && !chain.some((each) => each.backup_name === name));
    if (before === undefined) return `builds on the backup that starts at ${base}, which is not there`;
    chain.push(before);
    last = before;
  }
  return 'builds on more backups than can be';
}

/** A line of `st ls`: size, time, zone, name; where the bucket keeps versions, each version's id too, and which of them counts. */
const OBJECT = /^obj +\d+ +(\d{4}-\d\d-\d\d) (\d\d:\d\d:\d\d(?:\.\d+)?) ([+-]\d{4}) \S+ +(\S+)(?: +\S+ LATEST)? *$/;

/** Objects of a directory, as `st ls` prints them. Earlier versions and what was deleted are not there. */
export function readListing(text: string): readonly ArchivedWal[] {
  return text.split('\n').flatMap((line) => {
    const [, date, time, offset, name] = OBJECT.exec(line) ?? [];
    if (name === undefined || offset === undefined) return [];
    return [{ name, modifiedAt: new Date(`${date}T${time}${offset.slice(0, 3)}:${offset.slice(3)}`).toISOString() }];
  });
}

/** Whole segments and history files of `st ls wal_005`, by name: not partial ones, not labels of backups, not WAL-G's own deltas. */
export function readWalListing(text: string): readonly ArchivedWal[] {
  const found = new Map<string, string>();
  for (const object of readListing(text)) {
    const [, name] = /^([0-9A-F]{24}|[0-9A-F]{8}\.history)(?:\.[a-z0-9]+)?$/.exec(object.name) ?? [];
    if (name !== undefined) found.set(name, object.modifiedAt);
  }
  return [...found].map(([name, modifiedAt]) => ({ name, modifiedAt })).sort((a, b) => a.name.localeCompare(b.name));
}

/** OIDs of the tablespaces that a backup's sentinel names. */
export function readTablespaces(sentinel: string): readonly string[] {
  const { Spec: spec } = parse<{ readonly Spec?: { readonly tablespaces?: readonly string[] } | null }>(sentinel, 'st cat');
  return spec?.tablespaces ?? [];
}

/** Paths below the data directory that a backup consists of (`files_metadata.json`); empty where no list was kept. */
export function readFileList(text: string): readonly string[] {
  const { Files: files } = parse<{ readonly Files?: object | null }>(text, 'st cat');
  return Object.keys(files ?? {}).map((path) => path.replace(/^\/+/, ''));
}

function parse<T>(text: string, command: string): T {
  try {
    return JSON.parse(text) as T;
  } catch (error) {
    throw new GamedayError('store_unreachable', `wal-g ${command} printed no JSON`, null, { cause: error });
  }
}
