/**
 * Who may write: one fsynced epoch file per standalone target, and a copy of the epoch in the data directory of every node that was promoted under it.
 * A node starts read-write only when both agree. Changed only under the lock, and always on disk before anything that relies on it happens.
 */
import { spawn } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { ERRORS, GamedayError, messageOf } from '../../core/errors';
import { writeFileDurably } from '../../core/files';
import type { Target, TargetNode } from '../../model/target';
import type { FailoverResult, Host } from '../ports';

export interface EpochEntry {
  readonly epoch: number;
  readonly primary: string;
  /** RFC 3339 UTC. */
  readonly at: string;
  /** The failover request that made this epoch; null for the first. */
  readonly token: string | null;
  readonly from: string | null;
  readonly candidates: FailoverResult['candidates'];
  /** Known once the promotion is seen; null in between, also after a crash there. */
  readonly timeline: number | null;
  readonly forkLsn: string | null;
}

export interface EpochFile {
  readonly formatVersion: 1;
  readonly epoch: number;
  readonly primary: string;
  /** Oldest first; the last one is the current epoch. */
  readonly history: readonly EpochEntry[];
}

export type EpochState = { readonly file: EpochFile; readonly problem: null } | { readonly file: null; readonly problem: string };

/** Directory of the epoch file; only a standalone target has one. */
export function epochDir({ name, controller }: Target): string {
  if (controller.kind === 'standalone') return controller.stateDir;
  throw new GamedayError('internal', `target ${name} is steered by ${controller.kind} and has no epoch file`);
}

export const epochPath = (stateDir: string): string => join(stateDir, 'epoch.json');
const nodeEpochPath = (node: TargetNode): string => join(node.dataDir, 'gameday.epoch');

function isEpochFile(value: unknown): value is EpochFile {
  const file = value as Partial<EpochFile> | null;
  if (file === null || typeof file !== 'object' || !Array.isArray(file.history)) return false;
  const last = file.history.at(-1) as EpochEntry | undefined;
  return (
    file.formatVersion === 1 &&
    Number.isSafeInteger(file.epoch) &&
    Number(file.epoch) > 0 &&
    typeof file.primary === 'string' &&
    last !== undefined &&
    last.epoch === file.epoch &&
    last.primary === file.primary
  );
}

/** The epoch file, or why there is none to trust. */
export function readEpoch(stateDir: string): EpochState {
  const path = epochPath(stateDir);
  if (!existsSync(path)) return { file: null, problem: `${path} does not exist` };
  try {
    const value: unknown = JSON.parse(readFileSync(path, 'utf8'));
    return isEpochFile(value) ? { file: value, problem: null } : { file: null, problem: `${path} is not an epoch file` };
  } catch (error) {
    return { file: null, problem: `${path} cannot be read: ${messageOf(error)}` };
  }
}

export function epochError(stateDir: string, problem: string): GamedayError {
  return new GamedayError(
    'epoch_unreadable',
    `nobody may write: ${problem}`,
    `the file gameday.epoch with the highest epoch in the nodes' data directories names the last primary; restore ${epochPath(stateDir)} from a backup, or write it anew for that node, then start again.`,
  );
}

/** The epoch file; throws `epoch_unreadable`. */
export function requireEpoch(stateDir: string): EpochFile {
  const { file, problem } = readEpoch(stateDir);
  if (file === null) throw epochError(stateDir, problem);
  return file;
}

/** The current epoch's entry. */
export function currentEntry(file: EpochFile): EpochEntry {
  const last = file.history.at(-1);
  if (last === undefined) throw new GamedayError('internal', 'an epoch file without history passed the reader');
  return last;
}

/** Appends an epoch and returns the file as it is on disk afterwards. */
export function writeNextEpoch(stateDir: string, before: EpochFile | null, entry: Omit<EpochEntry, 'epoch'>): EpochFile {
  const epoch = (before?.epoch ?? 0) + 1;
  const file: EpochFile = { formatVersion: 1, epoch, primary: entry.primary, history: [...(before?.history ?? []), { ...entry, epoch }] };
  writeFileDurably(epochPath(stateDir), `${JSON.stringify(file, null, 2)}\n`);
  return file;
}

/** Records timeline and fork of the current epoch, once its promotion has been seen. */
export function recordPromotion(stateDir: string, file: EpochFile, timeline: number, forkLsn: string | null): EpochFile {
  const history = [...file.history.slice(0, -1), { ...currentEntry(file), timeline, forkLsn }];
  const next: EpochFile = { ...file, history };
  writeFileDurably(epochPath(stateDir), `${JSON.stringify(next, null, 2)}\n`);
  return next;
}

/** The epoch under which this data directory was last writable; null if it never was, or the file belongs to another node (a base backup's copy). */
export async function readNodeEpoch(host: Host, node: TargetNode): Promise<number | null> {
  const text = await host.readFile(nodeEpochPath(node));
  if (text === null) return null;
  try {
    const value = JSON.parse(text) as { readonly epoch?: unknown; readonly node?: unknown };
    return value.node === node.name && typeof value.epoch === 'number' ? value.epoch : null;
  } catch {
    return null;
  }
}

export async function writeNodeEpoch(host: Host, node: TargetNode, epoch: number, dataDir = node.dataDir): Promise<void> {
  await host.writeFile(join(dataDir, 'gameday.epoch'), `${JSON.stringify({ epoch, node: node.name })}\n`);
}

/** What a lock that was not to be had is to whoever waited: by itself nothing has happened yet, and another try can help. */
type BusyCode = 'lock_busy' | 'failover_failed' | 'step_failed';

/** Runs `work` while no other process changes epochs or starts nodes. Throws `busy` after `waitMs`. */
export async function withEpochLock<T>(stateDir: string, waitMs: number, work: () => Promise<T>, busy: BusyCode = 'lock_busy'): Promise<T> {
  return withLock(join(stateDir, 'epoch.lock'), waitMs, work, busy);
}

/** The lock is the kernel's (flock), held by a child that ends with its stdin: it cannot outlive us, whatever kills us. Throws `busy` after `waitMs`. */
export async function withLock<T>(path: string, waitMs: number, work: () => Promise<T>, busy: BusyCode = 'lock_busy'): Promise<T> {
  mkdirSync(dirname(path), { recursive: true });
  const holder = spawn('flock', ['--exclusive', '--wait', String(waitMs / 1_000), path, 'sh', '-c', 'echo held; exec cat >/dev/null'], {
    stdio: ['pipe', 'pipe', 'ignore'],
    cwd: '/',
  });
  holder.stdin.on('error', () => undefined);
  const ended = new Promise<void>((resolve) => holder.once('close', () => resolve()));
  await new Promise<void>((resolve, reject) => {
    holder.stdout.once('data', () => resolve());
    holder.once('error', (error) => reject(new GamedayError('tool_missing', `flock cannot be run: ${messageOf(error)}`)));
    holder.once('close', () =>
      reject(new GamedayError(busy, `${path} was held by another process for ${waitMs} ms`, ERRORS.lock_busy.hint)),
    );
  });
  try {
    return await work();
  } finally {
    holder.stdin.end();
    await ended;
  }
}
