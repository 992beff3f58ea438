/**
 * The step `rebuild`: a standby made anew from a base backup of its upstream, and its undo. The epoch's lock is held where roles, directories and servers are
 * looked at or changed, never while the copy is made or the standby catches up: whoever undoes a fault of another node waits for neither.
 */
import { join } from 'node:path';
import { GamedayError, messageOf } from '../../core/errors';
import { formatBytes } from '../../core/units';
import type { TargetNode } from '../../model/target';
import type { Controller, LiveTarget, SalvageResult } from '../ports';
import { clearDirectory } from './fresh-directory';
import { requireNode } from './standalone-config';
import { epochDir, requireEpoch, withEpochLock, withLock, type EpochFile } from './standalone-epoch';
import { cloneInto, FOLLOW_TIMEOUT_MS, waitStreaming } from './standalone-rejoin';
import { findDivergence } from './standalone-salvage';
import { startServer, stopServer } from './standalone-server';
import { chooseUpstream, startNode } from './standalone-start';
import { finishSwap, freshOf, readSwapNote, swapIn } from './standalone-swap';
import { noteUndone, refuseUndone } from './standalone-undone';

type Rebuild = NonNullable<Controller['rebuild']>;
type UndoRebuild = NonNullable<Controller['undoRebuild']>;
type RebuildOptions = Parameters<Rebuild>[1];

const LOCK_WAIT_MS = 60_000;
/** An undo that cannot have the lock is tried again by whoever asked. */
const UNDO_LOCK_WAIT_MS = 30_000;

/** What a try finds: whom the node will follow, and what an earlier try of the same request did. */
interface Begun {
  readonly epoch: EpochFile;
  readonly upstream: string;
  /** Undefined: the directories were not swapped yet. */
  readonly movedAside: string | null | undefined;
}

/** See Controller.rebuild. Throws `step_failed`, `epoch_unreadable`, `setting_invalid`, and `lock_busy` where nothing was begun. */
export async function rebuildStandby(live: LiveTarget, name: string, options: RebuildOptions): ReturnType<Rebuild> {
  const node = requireNode(live.target, name);
  // Of one node only one at a time, which the epoch's lock does not see to while the copy is made.
  return withLock(join(epochDir(live.target), `rebuild-${name}.lock`), LOCK_WAIT_MS, async () => {
    const begun = await locked(live, LOCK_WAIT_MS, () => begin(live, node, options));
    const movedAside = begun.movedAside === undefined ? await makeAnew(live, node, begun, options) : begun.movedAside;
    await waitStreaming(live, name, begun.upstream, options);
    return { movedAside };
  });
}

function locked<T>(live: LiveTarget, waitMs: number, work: () => Promise<T>, busy?: 'step_failed'): Promise<T> {
  return withEpochLock(epochDir(live.target), waitMs, work, busy);
}

/** What it alone holds was saved when it was started. */
function fencedText(name: string, primary: string, salvage: SalvageResult | null): string {
  const saved = salvage === null ? '' : ` (${formatBytes(salvage.divergedBytes)}, saved in ${salvage.directory})`;
  return `node ${name} holds WAL that ${primary} lacks${saved}, and stands fenced`;
}

async function begin(live: LiveTarget, node: TargetNode, { token, signal }: RebuildOptions): Promise<Begun> {
  signal.throwIfAborted();
  const { name } = node;
  refuseUndone(epochDir(live.target), token, name);
  const epoch = requireEpoch(epochDir(live.target));
  if (name === epoch.primary)
    throw new GamedayError('setting_invalid', `node ${name} is the primary of epoch ${epoch.epoch}; only a standby is made anew`);
  const host = live.host(name);
  await finishSwap(host, node);
  const upstream = await chooseUpstream(live, name, epoch.primary);
  const note = await readSwapNote(host, node);
  if (note?.token !== token) return { epoch, upstream, movedAside: undefined };
  // Whoever died may have left it down, and the primary may be another one since.
  const { role, salvage } = await startNode(live, name);
  if (role !== 'standby') throw new GamedayError('step_failed', fencedText(name, epoch.primary, salvage));
  return { epoch, upstream, movedAside: note.movedAside };
}

async function makeAnew(live: LiveTarget, node: TargetNode, begun: Begun, options: RebuildOptions): Promise<string | null> {
  const host = live.host(node.name);
  try {
    await cloneInto(live, node, begun.upstream, freshOf(node), options);
    // Another try would copy everything once more.
    return await locked(live, LOCK_WAIT_MS, () => takePlace(live, node, begun, options), 'step_failed');
  } catch (error) {
    // What stays for want of the lock is the undo's to clear.
    await locked(live, UNDO_LOCK_WAIT_MS, async () => {
      await finishSwap(host, node);
      await clearDirectory(host, freshOf(node));
    }).catch(() => undefined);
    throw error;
  }
}

/** What was true when the copy began need not be now. */
async function takePlace(live: LiveTarget, node: TargetNode, { epoch }: Begun, options: RebuildOptions): Promise<string | null> {
  const { name } = node;
  const host = live.host(name);
  options.signal.throwIfAborted();
  refuseUndone(epochDir(live.target), options.token, name);
  const now = requireEpoch(epochDir(live.target));
  if (now.epoch !== epoch.epoch)
    throw new GamedayError('step_failed', `${now.primary} became the primary while ${name} was copied from what ${epoch.primary} held`);
  for (const file of ['PG_VERSION', 'standby.signal'])
    if (!(await host.exists(join(freshOf(node), file))))
      throw new GamedayError(
        'step_failed',
        `the copy for ${name} was removed while it was made: the node was rejoined, or its drill healed`,
      );
  await stopServer(host, node, 'fast');
  if ((await host.exists(join(node.dataDir, 'PG_VERSION'))) && (await findDivergence(live, name, epoch)) !== null)
    throw new GamedayError(
      'step_failed',
      `node ${name} holds WAL that ${epoch.primary} lacks; the end of the drill saves it, and rejoins the node`,
    );
  const movedAside = await swapIn(host, node, { epoch, token: options.token, isLab: live.target.kind === 'lab' });
  await options.onLook('begins');
  await startServer(host, node);
  return movedAside;
}

/** See Controller.undoRebuild. Throws `lock_busy` while another process holds the epoch's lock, and what else another try may get over. */
export async function undoRebuild(
  live: LiveTarget,
  name: string,
  { token, start, signal }: Parameters<UndoRebuild>[1],
): ReturnType<UndoRebuild> {
  const node = requireNode(live.target, name);
  const host = live.host(name);
  const { movedAside, upstream, problem } = await locked(live, UNDO_LOCK_WAIT_MS, async () => {
    // First: whoever still copies, and was not heard of, takes no place from here on.
    noteUndone(epochDir(live.target), token);
    await finishSwap(host, node);
    await clearDirectory(host, freshOf(node));
    const note = await readSwapNote(host, node);
    const kept = { movedAside: note?.token === token ? note.movedAside : null };
    if (!start) return { ...kept, upstream: null, problem: `node ${name} was not to be started` };
    try {
      return { ...kept, ...(await bringBack(live, node)) };
    } catch (error) {
      throwIfRetryable(error, kept);
      return { ...kept, upstream: null, problem: messageOf(error) };
    }
  });
  if (upstream === null) return { movedAside, problem };
  try {
    await waitStreaming(live, name, upstream, { timeoutMs: FOLLOW_TIMEOUT_MS, signal });
    return { movedAside, problem: null };
  } catch (error) {
    signal.throwIfAborted();
    return { movedAside, problem: messageOf(error) };
  }
}

/** The last try's error is all that is heard of the node: it names the old data as well. */
function throwIfRetryable(error: unknown, { movedAside }: Pick<Begun, 'movedAside'>): void {
  if (!(error instanceof GamedayError) || !error.retryable) return;
  const aside = typeof movedAside === 'string' ? `; its old data directory was moved aside to ${movedAside}` : '';
  // Without a cause: a drill tells the innermost message.
  throw new GamedayError(error.code, `${error.message}${aside}`, error.hint);
}

/** `upstream`: whom it must be seen to follow now; null: nobody. */
async function bringBack(
  live: LiveTarget,
  node: TargetNode,
): Promise<{ readonly upstream: string | null; readonly problem: string | null }> {
  const { name, dataDir } = node;
  const { primary } = requireEpoch(epochDir(live.target));
  if (name === primary) return { upstream: null, problem: null };
  if (!(await live.host(name).exists(join(dataDir, 'PG_VERSION'))))
    return { upstream: null, problem: `node ${name} has no data directory in ${dataDir}` };
  const { role, salvage } = await startNode(live, name);
  if (role !== 'standby') return { upstream: null, problem: fencedText(name, primary, salvage) };
  return { upstream: await chooseUpstream(live, name, primary), problem: null };
}
