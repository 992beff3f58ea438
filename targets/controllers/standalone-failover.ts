/**
 * The failover runbook of a target without a failover manager: fence the old primary, choose the most advanced standby, write the epoch, promote,
 * steer, re-follow. Each step can be repeated; the epoch file remembers the choice per token. It promotes nobody before the epoch is on disk.
 */
import { present } from '../../core/assert';
import { nowUtc, until } from '../../core/clock';
import { GamedayError, messageOf } from '../../core/errors';
import { parseLsn } from '../../core/lsn';
import type { Controller, FailoverResult, LiveTarget } from '../ports';
import { confirmersOf, requireNode, upstreamOf, writeRole } from './standalone-config';
import { epochDir, currentEntry, requireEpoch, writeNextEpoch, writeNodeEpoch, type EpochFile } from './standalone-epoch';
import { askServer, streamingStandbys, type ServerStatus } from './node-status';
import { promoteServer, readControlData, stopServer, waitPromoted } from './standalone-server';
import { fenceOnDisk, notePromotion } from './standalone-start';

type Request = Parameters<Controller['failover']>[0];
type Instant = Parameters<Request['on']>[0];

/** WAL that the dead primary had sent may still be in flight inside a slowed link: a receiver that stays connected counts as settled after this long without news. */
const QUIET_MS = 1_000;
const SETTLE_TIMEOUT_MS = 5_000;
const FENCE_TIMEOUT_MS = 3_000;

async function around<T>(request: Request, name: Instant, work: () => Promise<T>): Promise<T> {
  request.signal.throwIfAborted();
  await request.on(name, 'about-to');
  const value = await work();
  await request.on(name, 'done');
  return value;
}

const isCandidate = (status: ServerStatus): boolean => status.up && status.inRecovery === true && !status.fenced && status.lsn !== null;

async function askStandbys(live: LiveTarget, primary: string): Promise<readonly ServerStatus[]> {
  const names = live.target.nodes.map((node) => node.name).filter((name) => name !== primary);
  return Promise.all(names.map((name) => askServer(live, name)));
}

/** Highest timeline, then highest position, then the target's own order. */
export function mostAdvanced(statuses: readonly Pick<ServerStatus, 'node' | 'timeline' | 'lsn'>[]): string | null {
  const ahead = (a: (typeof statuses)[number], b: (typeof statuses)[number]): boolean =>
    (a.timeline ?? 0) !== (b.timeline ?? 0) ? (a.timeline ?? 0) > (b.timeline ?? 0) : parseLsn(a.lsn ?? '0/0') > parseLsn(b.lsn ?? '0/0');
  return (
    statuses.reduce<(typeof statuses)[number] | null>((best, each) => (best === null || ahead(each, best) ? each : best), null)?.node ??
    null
  );
}

/** The old primary can't write any more: on disk first, so that no restart undoes it, then its processes. */
async function fence(live: LiveTarget, name: string): Promise<void> {
  const node = requireNode(live.target, name);
  const host = live.host(name);
  await fenceOnDisk(host, node);
  if ((await host.postmaster()) === null) return;
  // A repeated failover meets the old primary as a standby already: stopping it would cost redundancy and fence nothing.
  if ((await readControlData(host, node)).state === 'in archive recovery') return;
  await stopServer(host, node, 'immediate', FENCE_TIMEOUT_MS);
}

/** Waits until no standby can receive more from the old primary: its receiver has ended, or nothing came for QUIET_MS. */
async function settle(live: LiveTarget, primary: string, signal: AbortSignal): Promise<readonly ServerStatus[]> {
  let seen = '';
  let since = performance.now();
  return until(
    async () => {
      const statuses = await askStandbys(live, primary);
      const candidates = statuses.filter(isCandidate);
      const now = candidates.map((each) => `${each.node} ${each.lsn}`).join();
      if (now !== seen) [seen, since] = [now, performance.now()];
      if (candidates.length === 0) return null;
      // What one standby sends on to another is no news from the primary.
      const isAtRest = (each: ServerStatus): boolean => !each.receiving || candidates.some(({ node }) => node === each.streamingFrom);
      return candidates.every(isAtRest) || performance.now() - since >= QUIET_MS ? statuses : null;
    },
    {
      timeoutMs: SETTLE_TIMEOUT_MS,
      everyMs: 10,
      signal,
      onTimeout: () =>
        new GamedayError(
          'no_candidate',
          `no standby of ${live.target.name} could be read for ${SETTLE_TIMEOUT_MS} ms after ${primary} was fenced`,
        ),
    },
  );
}

/** Outside labs a choice that may lose acknowledged writes needs the owner's word. */
function refuseLoss(live: LiveTarget, reason: string): void {
  if (live.target.kind === 'lab' || live.target.policy.acceptDataLoss) return;
  throw new GamedayError(
    'failover_failed',
    `${reason}; acknowledged writes could be lost`,
    'wait for the missing standby, or allow it with `acceptDataLoss: true` in the target’s policy.',
  );
}

/** The standbys that could be promoted, the wanted one among them; throws `no_candidate`, or `failover_failed` where too few answer. */
function requireCandidates(
  live: LiveTarget,
  from: string,
  statuses: readonly ServerStatus[],
  wanted: string | null,
): readonly ServerStatus[] {
  const eligible = statuses.filter(isCandidate);
  const why = (each: ServerStatus): string => `${each.node} (${each.error ?? (each.fenced ? 'fenced' : 'not in recovery')})`;
  if (eligible.length === 0) throw new GamedayError('no_candidate', `none of ${statuses.map(why).join(', ')} can be promoted`);
  if (wanted !== null && !eligible.some((each) => each.node === wanted)) {
    throw new GamedayError(
      'no_candidate',
      `the candidate ${wanted} cannot be promoted: ${
        statuses
          .filter((each) => each.node === wanted)
          .map(why)
          .join() || 'it is no standby'
      }`,
    );
  }
  const { syncStandbys } = live.target.controller;
  // ANY n of m: only m − n + 1 answers are sure to include one standby that has every acknowledged commit. Who streams from a standby confirms nothing.
  const confirmers = confirmersOf(live.target, from);
  const needed = confirmers.length - syncStandbys + 1;
  const answered = eligible.filter(({ node }) => confirmers.includes(node)).length;
  if (syncStandbys > 0 && answered < needed)
    refuseLoss(live, `only ${answered} of the ${needed} standbys needed to find every acknowledged commit can be read`);
  return eligible;
}

function choose(live: LiveTarget, from: string, statuses: readonly ServerStatus[], wanted: string | null): string {
  const eligible = requireCandidates(live, from, statuses, wanted);
  const best = present(mostAdvanced(eligible), 'the most advanced of the candidates');
  if (wanted === null || wanted === best) return best;
  const [lead, chosen] = [best, wanted].map((name) => eligible.find((each) => each.node === name));
  if (lead?.lsn !== chosen?.lsn || lead?.timeline !== chosen?.timeline)
    refuseLoss(live, `${best} is ahead of the candidate ${wanted} (${lead?.lsn ?? '?'} against ${chosen?.lsn ?? '?'})`);
  return wanted;
}

async function decide(live: LiveTarget, request: Request, before: EpochFile): Promise<EpochFile> {
  const from = before.primary;
  const statuses = await settle(live, from, request.signal);
  const primary = choose(live, from, statuses, request.candidate);
  const candidates = statuses.map((each) => ({ node: each.node, lsn: each.lsn, reachable: each.up }));
  return writeNextEpoch(epochDir(live.target), before, {
    primary,
    at: nowUtc(),
    token: request.token,
    from,
    candidates,
    timeline: null,
    forkLsn: null,
  });
}

async function promote(live: LiveTarget, request: Request, epoch: EpochFile): Promise<EpochFile> {
  const node = requireNode(live.target, epoch.primary);
  const host = live.host(epoch.primary);
  const status = await askServer(live, epoch.primary);
  const known = currentEntry(epoch).timeline;
  if (known === null || status.inRecovery !== false) {
    await promoteServer(live, epoch.primary, node);
    // Chosen as a standby, it leaves recovery by a promotion only: if it has done so already, a crash hid that from us.
    const above = status.inRecovery === true ? (status.timeline ?? 0) : 0;
    const timeline = await waitPromoted(live, epoch.primary, above, { timeoutMs: request.timeoutMs, signal: request.signal });
    await writeNodeEpoch(host, node, epoch.epoch);
    await writeRole(host, live.target, node, { kind: 'primary' });
    return notePromotion(live, epoch, timeline);
  }
  await writeNodeEpoch(host, node, epoch.epoch);
  return epoch;
}

/** Points the reachable standbys at the new primary and waits until as many stream as commits wait for. */
async function follow(live: LiveTarget, request: Request, epoch: EpochFile): Promise<void> {
  const others = (await askStandbys(live, epoch.primary)).filter(isCandidate).map((each) => each.node);
  for (const name of others) {
    const upstream = upstreamOf(live.target, name, epoch.primary, (node) => others.includes(node));
    await writeRole(live.host(name), live.target, requireNode(live.target, name), { kind: 'follow', upstream });
    await live.sql(name, 'operate', (sql) => sql.query('SELECT pg_reload_conf()'));
  }
  const needed = live.target.controller.syncStandbys;
  if (needed === 0 && others.length === 0) return;
  await until(
    async () =>
      Object.keys(await streamingStandbys(live, epoch.primary)).length >= Math.max(needed, Math.min(1, others.length)) ? true : null,
    {
      timeoutMs: request.timeoutMs,
      everyMs: 20,
      signal: request.signal,
      onTimeout: () => waitingCommits(live, epoch.primary, others),
    },
  );
}

function waitingCommits(live: LiveTarget, primary: string, others: readonly string[]): GamedayError {
  return new GamedayError(
    'failover_failed',
    `${primary} is primary, but fewer than ${live.target.controller.syncStandbys} of ${others.length === 0 ? 'no reachable standbys' : others.join(', ')} stream from it: commits wait`,
    'check the links from the standbys to it and the logs of the standbys; rejoin the lost node.',
  );
}

async function carryOut(live: LiveTarget, request: Request): Promise<FailoverResult> {
  const stateDir = epochDir(live.target);
  let epoch = requireEpoch(stateDir);
  const earlier = epoch.history.findLast((entry) => entry.token === request.token);
  if (earlier !== undefined && earlier.epoch !== epoch.epoch) {
    throw new GamedayError(
      'failover_failed',
      `this failover made epoch ${earlier.epoch} (${earlier.primary}), and epoch ${epoch.epoch} (${epoch.primary}) has followed it`,
      'nothing is left to do for it.',
    );
  }
  const from = earlier === undefined ? epoch.primary : earlier.from;
  await around(request, 'detect', async () => {
    // Looked for before the old primary is fenced: without a candidate fencing would only make the outage.
    if (earlier === undefined) requireCandidates(live, epoch.primary, await askStandbys(live, epoch.primary), request.candidate);
    if (from !== null && from !== epoch.primary) await fence(live, from);
    if (earlier === undefined) await fence(live, epoch.primary);
  });
  epoch = await around(request, 'decide', async () => (earlier === undefined ? decide(live, request, epoch) : epoch));
  epoch = await around(request, 'promote', () => promote(live, request, epoch));
  await around(request, 'route', () => live.router.steer([epoch.primary]));
  await around(request, 'follow', () => follow(live, request, epoch));
  const entry = currentEntry(epoch);
  return { from: entry.from, to: entry.primary, epoch: epoch.epoch, timeline: entry.timeline ?? 0, candidates: entry.candidates };
}

/** See Controller.failover. Call under the epoch lock. Throws `no_candidate`, `failover_failed`, `router_unreachable`, or the caller's abort reason. */
export async function failover(live: LiveTarget, request: Request): Promise<FailoverResult> {
  const deadline = AbortSignal.timeout(request.timeoutMs);
  try {
    return await carryOut(live, { ...request, signal: AbortSignal.any([request.signal, deadline]) });
  } catch (error) {
    if (deadline.aborted && !request.signal.aborted && !(error instanceof GamedayError)) {
      throw new GamedayError('failover_failed', `the failover did not end within ${request.timeoutMs} ms: ${messageOf(error)}`, null, {
        cause: error,
      });
    }
    throw error;
  }
}
