/**
 * What controllers share under which something else promotes: a runbook's commands, repmgr. Who may write is asked of the nodes themselves, each look at a
 * change is stamped, and what a node alone holds is saved before anybody rewinds it. Nothing here promotes or rewinds by itself.
 */
import { join } from 'node:path';
import { until } from '../../core/clock';
import { GamedayError, messageOf } from '../../core/errors';
import type { Controller, FailoverResult, LiveTarget, NodeStatus, SalvageResult, Topology } from '../ports';
import { askAll, readSettings, readSlots, streamingStandbys } from './node-status';
import { requireNode } from './standalone-config';
import type { EpochFile } from './standalone-epoch';
import { findDivergence, salvageTail } from './standalone-salvage';
import { fenceOnDisk } from './standalone-start';

export const POLL_MS = 200;
const UP_WITHIN_MS = 90_000;

export type FailoverRequest = Parameters<Controller['failover']>[0];
export type StartedNode = Awaited<ReturnType<Controller['startNode']>>;

export const writers = (nodes: readonly NodeStatus[]): readonly NodeStatus[] =>
  nodes.filter(({ up, inRecovery }) => up && inRecovery === false);

/**
 * Who may write, by the nodes' own word: the one out of recovery. Where all that answer are in recovery and one alone is silent, it is that one: nobody
 * else can be. Null where two are out of recovery, or it cannot be told.
 */
export function onlyWriter(nodes: readonly NodeStatus[]): string | null {
  const [first, second] = writers(nodes);
  if (first !== undefined) return second === undefined ? first.node : null;
  const silent = nodes.filter(({ up }) => !up);
  return silent.length === 1 ? (silent[0]?.node ?? null) : null;
}

/** Has automation put this leader, who takes writes, in the place of the one before the fault? If a candidate is asked for, it must be that one. */
export const isReplaced = (nodes: readonly NodeStatus[], leader: string | null, { since = null, candidate }: FailoverRequest): boolean =>
  since !== null && leader !== since && writers(nodes).some(({ node }) => node === leader) && (candidate === null || candidate === leader);

/** Nobody looked before it happened: the end of each instant is stamped, and its beginning is not, so that it lies anywhere since the outage began. */
export const unwatched = (request: FailoverRequest): FailoverRequest => ({
  ...request,
  on: async (name, phase) => (phase === 'done' ? request.on(name, phase) : undefined),
});

export const candidatesOf = (nodes: readonly NodeStatus[], from: string | null): FailoverResult['candidates'] =>
  nodes.filter(({ node }) => node !== from).map(({ node, lsn, up }) => ({ node, lsn, reachable: up }));

/** Roles move between nodes, and this setting with them. */
const FOLLOWS_THE_ROLE = ['synchronous_standby_names'];

/** `named`: whom the controller's own book calls primary; `isOwnSlot`: slots that the controller makes and removes as roles move. */
export async function observedTopology(live: LiveTarget, named: string | null, isOwnSlot: (slot: string) => boolean): Promise<Topology> {
  const nodes = await askAll(live);
  const writing = writers(nodes).map(({ node }) => node);
  const primary = writing.find((node) => node === named) ?? (writing.length === 1 ? (writing[0] ?? null) : null);
  const up = nodes.filter((node) => node.up).map(({ node }) => node);
  const settings = await Promise.all(
    up.map(async (node) => {
      const all = Object.entries(await readSettings(live, node));
      return [node, Object.fromEntries(all.filter(([key]) => !FOLLOWS_THE_ROLE.includes(key)))] as const;
    }),
  );
  const slots = await Promise.all(
    up.map(async (node) => [node, (await readSlots(live, node)).filter((slot) => !isOwnSlot(slot))] as const),
  );
  return {
    primary,
    nodes,
    replication: primary === null ? {} : await streamingStandbys(live, primary),
    settings: Object.fromEntries(settings),
    slots: Object.fromEntries(slots),
    routed: await live.router.routed(),
    epoch: null,
  };
}

/** Waits until another node than `from` takes writes; where two do, the higher timeline is the newer. Each look is stamped as `promote`. */
export async function awaitPromotion(live: LiveTarget, request: FailoverRequest, from: string | null): Promise<NodeStatus> {
  const found = await until(
    async () => {
      await request.on('promote', 'looking');
      const others = writers(await askAll(live)).filter(({ node }) => node !== from);
      return others.reduce<NodeStatus | null>((best, each) => ((each.timeline ?? 0) > (best?.timeline ?? -1) ? each : best), null);
    },
    {
      timeoutMs: request.timeoutMs,
      everyMs: POLL_MS,
      signal: request.signal,
      onTimeout: (error) =>
        new GamedayError(
          'failover_failed',
          `no other node than ${from ?? 'the old primary'} takes writes after ${request.timeoutMs} ms${error === null ? '' : `: ${messageOf(error)}`}`,
          'the standbys’ logs, and those of whatever promotes them, say why.',
        ),
    },
  );
  await request.on('promote', 'done');
  return found;
}

/** As with every instant that is watched for: it lies between the last look that did not see it and the first that did. */
export async function awaitRoute(live: LiveTarget, request: FailoverRequest, to: string): Promise<void> {
  if (live.router.kind === 'none') return;
  await until(
    async () => {
      await request.on('route', 'looking');
      const routed = await live.router.routed();
      return routed.length === 1 && routed[0] === to ? true : null;
    },
    {
      timeoutMs: request.timeoutMs,
      everyMs: POLL_MS,
      signal: request.signal,
      onTimeout: () =>
        new GamedayError('failover_failed', `${to} is primary, and the router has not led clients there within ${request.timeoutMs} ms`),
    },
  );
  await request.on('route', 'done');
}

/** Until commits are confirmed by as many standbys as the target says; with asynchronous replication nobody waits for anybody. */
export async function awaitFollowers(live: LiveTarget, request: FailoverRequest, to: string): Promise<void> {
  const needed = live.target.controller.syncStandbys;
  if (needed === 0) return;
  await request.on('follow', 'about-to');
  await until(async () => (Object.keys(await streamingStandbys(live, to)).length >= needed ? true : null), {
    timeoutMs: request.timeoutMs,
    everyMs: POLL_MS,
    signal: request.signal,
    onTimeout: () =>
      new GamedayError(
        'failover_failed',
        `${to} is primary, but fewer than ${needed} standbys stream from it: commits wait`,
        'does the runbook lead the other standbys to the new primary, each under its node’s name?',
      ),
  });
  await request.on('follow', 'done');
}

/**
 * Does the node stream, and on the primary's own timeline? One that was brought back streams the rest of the old one for a moment, and ends there.
 */
export async function streamsFrom(live: LiveTarget, name: string, primary: string): Promise<boolean> {
  if (!(name in (await streamingStandbys(live, primary)))) return false;
  const nodes = await askAll(live);
  const [own, above] = [name, primary].map((each) => nodes.find(({ node, up }) => node === each && up)?.timeline ?? null);
  return own !== null && own === above;
}

/** What salvage needs to know of the current history: whose it is. A timeline numbers the directory, as an epoch does elsewhere. */
const historyOf = (primary: NodeStatus): EpochFile => ({
  formatVersion: 1,
  epoch: primary.timeline ?? 0,
  primary: primary.node,
  history: [],
});

/** The node's own tail, saved before anybody rewinds it. Null where nothing diverged, or no single other primary says what is common. */
export async function salvageNode(live: LiveTarget, name: string): Promise<SalvageResult | null> {
  const node = requireNode(live.target, name);
  const nodes = await askAll(live);
  const [primary, second] = writers(nodes);
  if (primary === undefined || second !== undefined || primary.node === name || primary.timeline === null) return null;
  if (nodes.some((each) => each.node === name && each.streamingFrom !== null)) return null;
  if (!(await live.host(name).exists(join(node.dataDir, 'PG_VERSION')))) return null;
  const epoch = historyOf(primary);
  const divergence = await findDivergence(live, name, epoch);
  return divergence === null ? null : salvageTail(live, name, epoch, divergence);
}

/**
 * Starts a node by its own agent. Beside a primary it comes up in recovery, whatever it was: `standby.signal` is written first, so that nobody's start
 * command makes a second one that writes. What it alone holds is saved before.
 */
export async function startByAgent(live: LiveTarget, name: string): Promise<StartedNode> {
  const host = live.host(name);
  const node = requireNode(live.target, name);
  const ask = async (): Promise<NodeStatus | null> => (await askAll(live)).find((each) => each.node === name && each.up) ?? null;
  const running = await ask();
  if (running === null || ((await host.agent()) === null && node.agent !== null)) {
    if (node.agent === null)
      throw new GamedayError(
        'step_failed',
        `${name} is down, and the target does not say how PostgreSQL is started there`,
        'add `agent: { find: […], start: […] }` to the node in the target file, or start it by hand.',
      );
    if (writers(await askAll(live)).some((each) => each.node !== name)) await fenceDown(live, name);
  }
  const salvage = running?.inRecovery === false ? null : await salvageNode(live, name);
  await runAgent(live, name);
  return { role: await awaitUp(live, name), salvage };
}

/** Waits until the node answers, and says as what. */
export async function awaitUp(live: LiveTarget, name: string): Promise<StartedNode['role']> {
  const status = await until(async () => (await askAll(live)).find((each) => each.node === name && each.up) ?? null, {
    timeoutMs: UP_WITHIN_MS,
    everyMs: POLL_MS,
    onTimeout: () =>
      new GamedayError(
        'step_failed',
        `${name} is not up ${UP_WITHIN_MS} ms after it was started`,
        `read ${requireNode(live.target, name).logFile}.`,
      ),
  });
  return status.inRecovery === false ? 'primary' : status.streamingFrom === null ? 'fenced' : 'standby';
}

/** A server that runs is left alone: it is up already, or on its way. */
async function fenceDown(live: LiveTarget, name: string): Promise<void> {
  const host = live.host(name);
  if ((await host.postmaster()) === null) await fenceOnDisk(host, requireNode(live.target, name));
}

/** Nothing where it runs, or the target names none. */
export async function runAgent(live: LiveTarget, name: string): Promise<void> {
  const { agent } = requireNode(live.target, name);
  if (agent === null || (await live.host(name).agent()) !== null) return;
  const started = await live.host(name).exec(agent.start, { asNode: false, timeoutMs: UP_WITHIN_MS });
  if (started.code !== 0)
    throw new GamedayError(
      'step_failed',
      `\`${agent.start.join(' ')}\` for ${name} ended with ${started.code}: ${started.stderr.trim().slice(-300)}`,
    );
}
