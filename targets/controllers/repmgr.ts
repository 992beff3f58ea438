/**
 * repmgr as the controller. Where repmgrd fails over by itself gameday waits and watches; where nobody acts on a lost primary gameday has repmgr promote the
 * most advanced standby; a healthy one hands over in the steps that repmgr documents, each run on the node it is about, so that no ssh between nodes is
 * needed. What a node alone holds is saved before any rewind, and no data directory is deleted.
 */
import { join } from 'node:path';
import { until } from '../../core/clock';
import { GamedayError, messageOf } from '../../core/errors';
import { readJsonFile, sha256Hex, writeFileDurably } from '../../core/files';
import type { PredictedFailover } from '../../model/measurement';
import type { Controller, FailoverResult, LiveTarget, NodeStatus, Topology } from '../ports';
import { askAll } from './node-status';
import {
  awaitFollowers,
  awaitPromotion,
  awaitRoute,
  awaitUp,
  candidatesOf,
  isReplaced,
  observedTopology,
  POLL_MS,
  runAgent,
  salvageNode,
  streamsFrom,
  unwatched,
  writers,
  type FailoverRequest,
  type StartedNode,
} from './promoted-by-others';
import { automationOf, settleOwed } from './repmgr-automation';
import { openRepmgrBook, primaryOf, type RepmgrBook, type RepmgrController } from './repmgr-book';
import { ASK_MS, daemonsSeenBy, order, ownConfigFiles, readConf, service, type Repmgr } from './repmgr-commands';
import { isAutomatic, repmgrBand } from './repmgr-conf';
import { openLogWatch } from './repmgr-log';
import { handOver } from './repmgr-switchover';
import { refuseEnvironment } from './self-driven';
import { requireNode } from './standalone-config';
import { mostAdvanced } from './standalone-failover';
import { fenceOnDisk } from './standalone-start';

const FOLLOW_MS = 60_000;
const FOLLOWS_BY_ITSELF_MS = 7_000;

/**
 * Who may write: the one node out of recovery, if its own copy of the book names it. While nobody is, the one that a standby's copy names and that is
 * silent. Null where two are out of recovery, or book and servers disagree.
 */
async function leaderOf({ live, book }: Repmgr): Promise<string | null> {
  const nodes = await askAll(live);
  const [writer, second] = writers(nodes);
  if (second !== undefined) return null;
  if (writer !== undefined) return primaryOf(await book.members(writer.node)) === writer.node ? writer.node : null;
  const standby = mostAdvanced(nodes.filter(({ up }) => up));
  const named = standby === null ? null : primaryOf(await book.members(standby));
  return nodes.some(({ node, up }) => node === named && !up) ? named : null;
}

/** Does a repmgrd act on its own beside these standbys? A paused one, or one with `failover=manual`, watches and does nothing. */
async function hasAutomation(repmgr: Repmgr, standbys: readonly NodeStatus[]): Promise<boolean> {
  const [first] = standbys;
  if (first === undefined) return false;
  const acting = (await daemonsSeenBy(repmgr, first.node))
    .filter(({ running, paused }) => running && paused === false)
    .map(({ node }) => node);
  const confs = await Promise.all(standbys.filter(({ node }) => acting.includes(node)).map(({ node }) => readConf(repmgr, node)));
  return confs.some(isAutomatic);
}

type Way = 'switchover' | 'repmgrd' | 'promote';

/** On disk before anything is asked for: a second call by the same token goes on from there. */
interface Beginning {
  readonly from: string | null;
  readonly way: Way;
  /** Null: repmgrd chooses. */
  readonly candidate: string | null;
  readonly candidates: FailoverResult['candidates'];
  readonly hasDaemons: boolean;
  /** Nodes whose repmgrd somebody had paused before. */
  readonly pausedBefore: readonly string[];
  /** repmgrd had promoted another before the step began. */
  readonly replaced?: boolean;
}

async function begin(repmgr: Repmgr, request: FailoverRequest): Promise<Beginning> {
  const { live } = repmgr;
  const { candidate: wanted, since = null } = request;
  const nodes = await askAll(live);
  const from = await leaderOf(repmgr);
  if (isReplaced(nodes, from, request)) {
    const candidates = candidatesOf(nodes, since);
    return { from: since, way: 'repmgrd', candidate: null, candidates, hasDaemons: true, pausedBefore: [], replaced: true };
  }
  const standbys = nodes.filter(({ node, up, inRecovery }) => node !== from && up && inRecovery === true);
  const chosen = wanted ?? mostAdvanced(standbys);
  if (chosen === null || !standbys.some(({ node }) => node === chosen))
    throw new GamedayError('no_candidate', chosen === null ? 'no standby answers' : `"${chosen}" is not a standby that answers`);
  const serves = nodes.some(({ node, inRecovery }) => node === from && inRecovery === false);
  const way: Way = serves ? 'switchover' : (await hasAutomation(repmgr, standbys)) ? 'repmgrd' : 'promote';
  if (way === 'repmgrd' && wanted !== null)
    throw new GamedayError(
      'no_candidate',
      `repmgrd chooses by itself, so "${wanted}" cannot be asked for`,
      'name no candidate; or `repmgr service pause` first.',
    );
  const daemons = way === 'switchover' ? await daemonsSeenBy(repmgr, chosen) : [];
  return {
    from,
    way,
    candidate: way === 'repmgrd' ? null : chosen,
    candidates: candidatesOf(nodes, from),
    hasDaemons: daemons.some(({ running }) => running),
    pausedBefore: daemons.filter(({ paused }) => paused === true).map(({ node }) => node),
  };
}

/** Nothing where another node writes already: a repeated call finds what the first one did. */
async function promote(repmgr: Repmgr, request: FailoverRequest, { from, candidate }: Beginning): Promise<void> {
  if (candidate === null || writers(await askAll(repmgr.live)).some(({ node }) => node !== from)) return;
  await request.on('decide', 'about-to');
  await request.on('decide', 'done');
  await order(repmgr, candidate, ['standby', 'promote'], {
    timeoutMs: request.timeoutMs,
    signal: request.signal,
    code: 'failover_failed',
  });
}

/** Nobody is ordered: what the standbys' repmgrd log, and what comes of it, are watched beside each other. */
async function watchFailover(repmgr: Repmgr, request: FailoverRequest, from: string | null): Promise<NodeStatus> {
  const { live } = repmgr;
  const promoted = new AbortController();
  const watch = await openLogWatch(
    repmgr,
    live.target.nodes.map(({ name }) => name).filter((name) => name !== from),
  );
  const followed = watch.follow(request, AbortSignal.any([request.signal, promoted.signal]));
  try {
    return await awaitPromotion(live, request, from);
  } finally {
    promoted.abort();
    await followed;
  }
}

/** repmgrd does so by itself, and after a promotion by hand nobody has told the others. */
async function leadOthers(repmgr: Repmgr, request: FailoverRequest, to: string): Promise<void> {
  const { timeoutMs, signal } = request;
  for (const { node, up, inRecovery } of await askAll(repmgr.live)) {
    if (node === to || !up || inRecovery !== true || (await streamsFrom(repmgr.live, node, to))) continue;
    await order(repmgr, node, ['standby', 'follow'], { timeoutMs, signal, code: 'failover_failed' });
  }
}

/** The promotion is in the book a moment after it is on the server. */
async function awaitBook(repmgr: Repmgr, request: FailoverRequest, to: string): Promise<void> {
  await until(async () => ((await leaderOf(repmgr)) === to ? true : null), {
    timeoutMs: request.timeoutMs,
    everyMs: POLL_MS,
    signal: request.signal,
    onTimeout: (error) =>
      new GamedayError(
        'failover_failed',
        `${to} takes writes, and repmgr's metadata does not name it as the primary${error === null ? '' : `: ${messageOf(error)}`}`,
        '`repmgr cluster show` says what it has.',
      ),
  });
}

async function carryOut(repmgr: Repmgr, asked: FailoverRequest): Promise<FailoverResult> {
  const { live } = repmgr;
  const path = join(live.target.runDir, `failover-${sha256Hex(asked.token).slice(0, 16)}.json`);
  const earlier = readJsonFile<Beginning>(path);
  const begun = earlier ?? (await begin(repmgr, asked));
  const request = begun.replaced === true ? unwatched(asked) : asked;
  if (earlier === null) writeFileDurably(path, `${JSON.stringify(begun)}\n`);
  const { from, candidate } = begun;
  if (begun.way === 'switchover' && from !== null && candidate !== null)
    await handOver(repmgr, request, { from, to: candidate, hasDaemons: begun.hasDaemons, pausedBefore: begun.pausedBefore }, async () => {
      await leadOthers(repmgr, request, candidate);
      await rejoin(repmgr, from, request);
    });
  if (begun.way === 'promote') await promote(repmgr, request, begun);
  const primary =
    begun.way === 'repmgrd' && begun.replaced !== true
      ? await watchFailover(repmgr, request, from)
      : await awaitPromotion(live, request, from);
  await awaitRoute(live, request, primary.node);
  await awaitBook(repmgr, request, primary.node);
  if (begun.way === 'promote') await leadOthers(repmgr, request, primary.node);
  await awaitFollowers(live, request, primary.node);
  const timeline = primary.timeline ?? 0;
  return { from, to: primary.node, epoch: timeline, timeline, candidates: begun.candidates };
}

async function startDaemon(repmgr: Repmgr, name: string): Promise<void> {
  await runAgent(repmgr.live, name);
  await settleOwed(repmgr, name);
}

/** PostgreSQL by repmgr's own service command, in recovery beside a primary; then its repmgrd, unless it would refuse. */
async function startNode(repmgr: Repmgr, name: string): Promise<StartedNode> {
  const { live } = repmgr;
  const host = live.host(name);
  const node = requireNode(live.target, name);
  const isDown = (await host.postmaster()) === null;
  const beside = writers(await askAll(live)).some((each) => each.node !== name);
  if (isDown && beside) await fenceOnDisk(host, node);
  const salvage = isDown && beside ? await salvageNode(live, name) : null;
  if (isDown) {
    // A killed server may stand in the process table yet, and its lock file in the way.
    await host.remove(join(node.dataDir, 'postmaster.pid'));
    await service(repmgr, name, 'start');
  }
  const role = await awaitUp(live, name);
  await resume(repmgr, name);
  return { role, salvage };
}

const otherWriter = (nodes: readonly NodeStatus[], name: string): string | null =>
  writers(nodes).find(({ node }) => node !== name)?.node ?? null;

/** By the copy of the book on the node that takes writes; a node's own may be of the past. */
const isStandbyInBook = async ({ book }: Repmgr, name: string, primary: string): Promise<boolean> =>
  (await book.members(primary)).some(({ node, role, active }) => node === name && role === 'standby' && active);

/** An old primary that was a standby once follows by itself, if it lost nothing: at its second attempt, five seconds after the first, at the latest. */
const comesToStream = ({ live }: Repmgr, name: string, primary: string): Promise<boolean> =>
  until(async () => ((await streamsFrom(live, name, primary)) ? true : null), {
    timeoutMs: FOLLOWS_BY_ITSELF_MS,
    everyMs: POLL_MS,
    onTimeout: () => new GamedayError('step_failed', `${name} does not stream by itself`),
  }).catch(() => false);

/** repmgrd ends at once beside a node that the book holds for lost, or for what it no longer is: one that does not follow yet is left for its rejoin. */
async function resume(repmgr: Repmgr, name: string): Promise<void> {
  const primary = otherWriter(await askAll(repmgr.live), name);
  if (primary === null) return startDaemon(repmgr, name);
  if (!(await isStandbyInBook(repmgr, name, primary)) && !(await comesToStream(repmgr, name, primary))) return;
  await enroll(repmgr, name, primary);
}

/** A standby that streams stands in repmgr's book as one, and its repmgrd runs. */
async function enroll(repmgr: Repmgr, name: string, primary: string): Promise<void> {
  if (!(await isStandbyInBook(repmgr, name, primary)))
    await order(repmgr, name, ['standby', 'register', '--force'], { timeoutMs: ASK_MS, code: 'step_failed' });
  await startDaemon(repmgr, name);
}

/** Of two that take writes the one on the older timeline is brought back under the other; no rewind takes away what came later. */
async function refuseNewer({ live }: Repmgr, name: string, primary: string): Promise<void> {
  const nodes = writers(await askAll(live));
  const timelineOf = (wanted: string): number => nodes.find(({ node }) => node === wanted)?.timeline ?? 0;
  if (timelineOf(name) > 0 && timelineOf(name) >= timelineOf(primary))
    throw new GamedayError(
      'step_failed',
      `${name} and ${primary} both take writes, and ${name} is not on the older timeline`,
      'a person decides which of them is right; gameday rewinds neither.',
    );
}

async function rejoin(
  repmgr: Repmgr,
  name: string,
  { timeoutMs, signal }: Parameters<Controller['rejoin']>[1],
): Promise<Awaited<ReturnType<Controller['rejoin']>>> {
  const { live, book } = repmgr;
  const host = live.host(name);
  const primary = otherWriter(await askAll(live), name);
  if (primary === null || (await leaderOf(repmgr).catch(() => primary)) === name)
    throw new GamedayError('step_failed', `${name} has nobody to follow: no other node takes writes`);
  await refuseNewer(repmgr, name, primary);
  if (await streamsFrom(live, name, primary)) {
    await enroll(repmgr, name, primary);
    return { method: 'streaming', movedAside: null };
  }
  // Stopped first: what it wrote while it was being saved would be lost.
  if ((await host.postmaster()) !== null) await service(repmgr, name, 'stop', { signal });
  await salvageNode(live, name);
  await book.checkpoint(primary);
  const { conninfo = '' } = await readConf(repmgr, primary);
  const keep = await ownConfigFiles(repmgr, name);
  await order(
    repmgr,
    name,
    ['node', 'rejoin', '-d', conninfo, '--force-rewind', ...(keep.length === 0 ? [] : [`--config-files=${keep.join(',')}`])],
    { timeoutMs, signal, code: 'step_failed' },
  );
  await until(async () => ((await streamsFrom(live, name, primary)) ? true : null), {
    timeoutMs: Math.min(FOLLOW_MS, timeoutMs),
    everyMs: POLL_MS,
    signal,
    onTimeout: () =>
      new GamedayError(
        'step_failed',
        `${name} does not stream from ${primary} after it was rejoined`,
        'making it anew (`repmgr standby clone --force`) overwrites its data directory, so a person decides.',
      ),
  });
  await enroll(repmgr, name, primary);
  return { method: 'follow', movedAside: null };
}

/** By the settings of the standbys, which act; null where nobody acts by himself, or theirs differ, so that it depends on who is first. */
async function predict(repmgr: Repmgr): Promise<PredictedFailover | null> {
  const standbys = (await askAll(repmgr.live)).filter(({ inRecovery }) => inRecovery === true);
  if (!(await hasAutomation(repmgr, standbys))) return null;
  const confs = await Promise.all(standbys.map(({ node }) => readConf(repmgr, node)));
  const bands = confs.map((conf) => repmgrBand(conf, repmgr.live.router.kind !== 'none'));
  const [first] = bands;
  return first !== undefined && first !== null && bands.every((each) => each?.formula === first.formula) ? first : null;
}

/** What must be equal before and after, besides roles: who belongs to the cluster, with which priority, and whose repmgrd is paused. */
async function topologyOf(repmgr: Repmgr): Promise<Topology> {
  const { live, book } = repmgr;
  const leader = await leaderOf(repmgr).catch(() => null);
  // Slots of repmgr's are made and dropped as roles move.
  const observed = await observedTopology(live, leader, (slot) => /^repmgr_slot_[0-9]+$/.test(slot));
  const { primary } = observed;
  const members = primary === null ? [] : await book.members(primary).catch(() => []);
  const daemons = primary === null ? [] : await daemonsSeenBy(repmgr, primary);
  const lines = members.map(({ node, active, priority, location }): [string, string] => [
    node,
    `${active ? 'active' : 'not active'}, priority ${priority}, location ${location}`,
  ]);
  const named = (which: (daemon: (typeof daemons)[number]) => boolean): string =>
    daemons
      .filter(which)
      .map(({ node }) => node)
      .join(', ');
  const repmgrSettings = {
    ...Object.fromEntries(lines),
    repmgrd: named(({ running }) => running),
    paused: named(({ paused }) => paused === true),
  };
  return { ...observed, settings: { ...observed.settings, repmgr: repmgrSettings } };
}

/** The controller of a repmgr target. Opening touches nothing. */
export function openRepmgrController(
  live: LiveTarget,
  controller: RepmgrController,
  book: RepmgrBook = openRepmgrBook(live.target, controller),
): Controller {
  const repmgr: Repmgr = { live, controller, book };
  return {
    kind: 'repmgr',
    automation: automationOf(repmgr),
    status: () => askAll(live),
    topology: () => topologyOf(repmgr),
    predictedFailover: async (primary) => (primary === 'lost' ? predict(repmgr) : null),
    failover: (request) => carryOut(repmgr, request),
    async startNode(node, environment) {
      refuseEnvironment('repmgr', node, environment);
      return startNode(repmgr, node);
    },
    mayWrite: async (node) => (await leaderOf(repmgr)) === node,
    rejoin: (node, options) => rejoin(repmgr, node, options),
  };
}
