/**
 * Makes a node a streaming standby of the current primary again: as it is, by following, or rebuilt by a base backup through its link.
 * The old data directory is moved aside before its successor takes its name; it is never deleted first.
 */
import { dirname, join } from 'node:path';
import { until } from '../../core/clock';
import { GamedayError } from '../../core/errors';
import type { TargetNode } from '../../model/target';
import type { Controller, Host, LiveTarget } from '../ports';
import { clearDirectory, syncDirectory } from './fresh-directory';
import { passFilePath, requireNode, upstreamConninfo, writeConfig, writeRole } from './standalone-config';
import { epochDir, requireEpoch, type EpochFile } from './standalone-epoch';
import { findDivergence, salvageTail } from './standalone-salvage';
import { askServer, streamingStandbys } from './node-status';
import { startServer, stopServer } from './standalone-server';
import { chooseUpstream, startNode } from './standalone-start';
import { finishSwap, freshOf, swapIn, swapNoteOf } from './standalone-swap';

type Options = Parameters<Controller['rejoin']>[1];
type RebuildOptions = Parameters<NonNullable<Controller['rebuild']>>[1];
type Rejoined = Awaited<ReturnType<Controller['rejoin']>>;

/** A standby that may follow does so within its retry interval; longer means that the primary no longer has the WAL it asks for. */
export const FOLLOW_TIMEOUT_MS = 15_000;

async function streams(live: LiveTarget, name: string, primary: string): Promise<boolean> {
  return name in (await streamingStandbys(live, primary)) && (await askServer(live, name)).streamingFrom === primary;
}

export async function waitStreaming(
  live: LiveTarget,
  name: string,
  primary: string,
  options: Pick<Options, 'timeoutMs'> & Partial<Options> & Partial<Pick<RebuildOptions, 'onLook'>>,
): Promise<void> {
  const look = async (): Promise<true | null> => {
    await options.onLook?.('begins');
    try {
      return (await streams(live, name, primary)) ? true : null;
    } catch (error) {
      await options.onLook?.('unanswered');
      throw error;
    }
  };
  await until(look, {
    timeoutMs: options.timeoutMs,
    ...(options.signal === undefined ? {} : { signal: options.signal }),
    onTimeout: () =>
      new GamedayError(
        'step_failed',
        `node ${name} does not stream from ${primary} after ${options.timeoutMs} ms`,
        `read ${requireNode(live.target, name).logFile}, and check the link ${name}-${primary}.`,
      ),
  });
}

/** Takes a base backup of `primary` into `directory` and configures it as `node`'s data directory, without starting it. */
export async function cloneInto(live: LiveTarget, node: TargetNode, primary: string, directory: string, options: Options): Promise<void> {
  const host = live.host(node.name);
  await clearDirectory(host, directory);
  await writeRolePassword(host, live, node);
  const conninfo = upstreamConninfo(live.target, node, primary);
  const argv = [join(node.binDir, 'pg_basebackup'), '-D', directory, '-d', conninfo, '-X', 'stream', '-c', 'fast', '--no-password'];
  const backup = await host.exec(argv, { asNode: true, timeoutMs: options.timeoutMs, signal: options.signal });
  if (backup.code !== 0)
    throw new GamedayError(
      'step_failed',
      `the base backup of ${primary} for ${node.name} failed: ${backup.stderr.trim().slice(-500)}`,
      `check the link ${node.name}-${primary}.`,
    );
  // The copy carries the primary's proof that it may write; it is no one else's. Nor is what it says of its own making.
  for (const own of [join(directory, 'gameday.epoch'), swapNoteOf(directory)]) await host.remove(own);
  await writeConfig(host, live.target, node, directory);
  await writeRole(host, live.target, node, { kind: 'follow', upstream: primary }, directory);
  await host.writeFile(join(directory, 'standby.signal'), '');
  // Whoever swaps it in, or finishes that behind a power cut, takes it for whole.
  await syncDirectory(host, directory);
}

async function writeRolePassword(host: Host, live: LiveTarget, node: TargetNode): Promise<void> {
  if (!(await host.exists(dirname(node.dataDir))) || !(await host.exists(passFilePath(node))))
    await writeConfig(host, live.target, node, `${node.dataDir}.config`);
  await host.remove(`${node.dataDir}.config`);
}

async function rebuild(live: LiveTarget, node: TargetNode, epoch: EpochFile, options: Options): Promise<Rejoined> {
  const host = live.host(node.name);
  const fresh = freshOf(node);
  const upstream = await chooseUpstream(live, node.name, epoch.primary);
  try {
    await cloneInto(live, node, upstream, fresh, options);
  } catch (error) {
    await clearDirectory(host, fresh);
    throw error;
  }
  await stopServer(host, node, 'fast');
  if (await host.exists(join(node.dataDir, 'PG_VERSION'))) {
    const divergence = await findDivergence(live, node.name, epoch);
    if (divergence !== null) await salvageTail(live, node.name, epoch, divergence);
  }
  const movedAside = await swapIn(host, node, { epoch, token: 'rejoin', isLab: live.target.kind === 'lab' });
  await startServer(host, node);
  await waitStreaming(live, node.name, upstream, options);
  return { method: 'rebuild', movedAside };
}

/** See Controller.rejoin. Call under the epoch lock. Throws `step_failed`, `epoch_unreadable`, `fork_salvage_failed`. */
export async function rejoin(live: LiveTarget, name: string, options: Options): Promise<Rejoined> {
  const epoch = requireEpoch(epochDir(live.target));
  const node = requireNode(live.target, name);
  const host = live.host(name);
  if (name === epoch.primary)
    throw new GamedayError('setting_invalid', `node ${name} is the primary of epoch ${epoch.epoch}; a primary cannot rejoin itself`);
  await finishSwap(host, node);
  await clearDirectory(host, freshOf(node));
  const anew = (): Promise<Rejoined> => rebuild(live, node, epoch, options);
  if (!(await host.exists(join(node.dataDir, 'PG_VERSION')))) return anew();
  if ((await host.postmaster()) !== null && (await streams(live, name, await chooseUpstream(live, name, epoch.primary))))
    return { method: 'streaming', movedAside: null };
  const { role } = await startNode(live, name);
  if (role !== 'standby') return anew();
  try {
    await waitStreaming(live, name, await chooseUpstream(live, name, epoch.primary), {
      timeoutMs: Math.min(FOLLOW_TIMEOUT_MS, options.timeoutMs),
      signal: options.signal,
    });
    return { method: 'follow', movedAside: null };
  } catch (error) {
    options.signal.throwIfAborted();
    if (!(error instanceof GamedayError)) throw error;
    return anew();
  }
}
