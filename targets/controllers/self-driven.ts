/**
 * What controllers have in common that fail over by themselves, with an agent beside every server (Patroni, pg_auto_failover): gameday orders, waits, watches
 * and puts back. It never starts, promotes or rewinds a server behind their backs: a node comes up by its agent, in the role that the controller's book
 * leaves for it.
 */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { until } from '../../core/clock';
import { GamedayError, messageOf } from '../../core/errors';
import { readJsonFile, sha256Hex, writeFileDurably } from '../../core/files';
import { parseLsn } from '../../core/lsn';
import type { Controller, FailoverResult, LiveTarget, NodeStatus, SalvageResult, Topology } from '../ports';
import { askAll, everyStreamingStandby, readSettings, readSlots, streamingStandbys, type StandbyNames } from './node-status';
import { awaitRoute, candidatesOf, isReplaced, POLL_MS, unwatched, type FailoverRequest } from './promoted-by-others';
import type { EpochFile } from './standalone-epoch';
import { findDivergence, quarantineDir, salvageTail } from './standalone-salvage';

const UP_WITHIN_MS = 90_000;
/** A standby that may follow does so within a loop or two, after the rewind that it may need; longer means that it cannot. */
const FOLLOW_TIMEOUT_MS = 60_000;

/** One such controller, as far as they differ. */
export interface SelfDriven {
  readonly live: LiveTarget;
  /** As its documentation writes it. */
  readonly title: string;
  /** Where a person reads why nothing happens. */
  readonly whereToLook: string;
  /** Who may write, by the controller's own book; null: nobody. Throws `controller_unreachable`. */
  leader(): Promise<string | null>;
  /** True where somebody told it to leave failovers to people. */
  isPaused(): Promise<boolean>;
  /** Under which names standbys stream, where these are not the nodes'. */
  standbyNames(): Promise<StandbyNames>;
  /** Nodes that it never makes primary, as it was told. Throws `controller_unreachable`. */
  neverLead(): Promise<readonly string[]>;
  /** Asks it to hand over; what it refuses because the leader has gone meanwhile is left to its automation. Throws `failover_failed`. */
  order(from: string | null, candidates: FailoverResult['candidates'], wanted: string | null): Promise<void>;
  /** Makes a node that cannot follow anew, by the controller's own means; null where it has none. */
  readonly rebuild: ((node: string) => Promise<void>) | null;
}

export const isWritable = (nodes: readonly NodeStatus[], name: string | null): boolean =>
  nodes.some((node) => node.node === name && node.up && node.inRecovery === false);

/** Roles move between nodes, and with them these settings and slots: what must be equal afterwards is what the controller's book says. */
const FOLLOWS_THE_ROLE = ['synchronous_standby_names'];

/** `book`: the controller's own settings, compared before and after. `isOwnSlot`: a slot that a member has on whoever is primary; every other is somebody's. */
export async function topologyOf(
  driven: SelfDriven,
  title: string,
  book: { readonly [name: string]: string },
  isOwnSlot: (slot: string) => boolean,
): Promise<Topology> {
  const { live } = driven;
  const nodes = await askAll(live);
  const up = nodes.filter((node) => node.up).map((node) => node.node);
  const writable = nodes.filter((node) => node.inRecovery === false).map((node) => node.node);
  const leader = await driven.leader().catch(() => null);
  const primary = writable.find((name) => name === leader) ?? writable[0] ?? null;
  const settings = await Promise.all(
    up.map(async (name) => {
      const all = Object.entries(await readSettings(live, name));
      return [name, Object.fromEntries(all.filter(([key]) => !FOLLOWS_THE_ROLE.includes(key)))] as const;
    }),
  );
  const slots = await Promise.all(
    up.map(async (name) => [name, (await readSlots(live, name)).filter((slot) => !isOwnSlot(slot))] as const),
  );
  return {
    primary,
    nodes,
    replication: primary === null ? {} : await everyStreamingStandby(live, primary, nodes, await driven.standbyNames().catch(() => ({}))),
    settings: { ...Object.fromEntries(settings), [title]: book },
    slots: Object.fromEntries(slots),
    routed: await live.router.routed(),
    epoch: null,
  };
}

/** Where a failover began, on disk before anything is asked for: a second call by the same token goes on from there. */
interface Beginning {
  readonly from: string | null;
  readonly ordered: boolean;
  /** Automation had promoted another before the step began. */
  readonly replaced?: boolean;
}

async function beginning(driven: SelfDriven, request: FailoverRequest): Promise<Beginning> {
  const { live } = driven;
  const path = join(live.target.runDir, `failover-${sha256Hex(request.token).slice(0, 16)}.json`);
  const earlier = readJsonFile<Beginning>(path);
  if (earlier !== null) return earlier;
  const [leader, paused, nodes] = [await driven.leader().catch(() => null), await driven.isPaused().catch(() => false), await askAll(live)];
  const from = leader ?? nodes.find(({ inRecovery }) => inRecovery === false)?.node ?? null;
  // A primary that still serves is asked to hand over; one that does not is the controller's to replace, and may have been replaced already.
  const begun: Beginning = isReplaced(nodes, from, request)
    ? { from: request.since ?? null, ordered: false, replaced: true }
    : { from, ordered: isWritable(nodes, from) || paused };
  writeFileDurably(path, `${JSON.stringify(begun)}\n`);
  return begun;
}

export function mostAdvanced(candidates: FailoverResult['candidates']): string | null {
  const reachable = candidates.filter((each) => each.reachable && each.lsn !== null);
  const at = (lsn: string | null): bigint => parseLsn(lsn ?? '0/0');
  return (
    reachable.reduce<(typeof reachable)[number] | null>((best, each) => (best === null || at(each.lsn) > at(best.lsn) ? each : best), null)
      ?.node ?? null
  );
}

/** See Controller.failover. */
export async function carryOut(driven: SelfDriven, request: FailoverRequest): Promise<FailoverResult> {
  const { live, title } = driven;
  const begun = await beginning(driven, request);
  const never = await driven.neverLead().catch((): readonly string[] => []);
  if (request.candidate !== null && never.includes(request.candidate))
    throw new GamedayError('no_candidate', `"${request.candidate}" is never made primary: ${title} was told so`, driven.whereToLook);
  const candidates = candidatesOf(await askAll(live), begun.from).filter(({ node }) => !never.includes(node));
  if (request.candidate !== null && !candidates.some(({ node }) => node === request.candidate))
    throw new GamedayError('no_candidate', `"${request.candidate}" is not a standby of ${live.target.name}`);
  if (begun.ordered && (await driven.leader()) === begun.from) await driven.order(begun.from, candidates, request.candidate);
  let last = 'it names nobody as primary';
  const to = await until(
    async () => {
      request.signal.throwIfAborted();
      const [leader, nodes] = [await driven.leader(), await askAll(live)];
      last =
        leader === null
          ? 'it names nobody as primary'
          : `it names ${leader}, which ${isWritable(nodes, leader) ? 'takes writes' : 'does not take writes'}`;
      if (leader === null || !isWritable(nodes, leader)) return null;
      // The same one again: it was restarted where it stood, unless it has yet to hand over.
      return leader === begun.from && begun.ordered ? null : leader;
    },
    {
      timeoutMs: request.timeoutMs,
      everyMs: POLL_MS,
      signal: request.signal,
      onTimeout: (error) =>
        new GamedayError(
          'failover_failed',
          `${title} has no new primary after ${request.timeoutMs} ms: ${error === null ? last : messageOf(error)}`,
          driven.whereToLook,
        ),
    },
  );
  await awaitRoute(live, begun.replaced === true ? unwatched(request) : request, to);
  await awaitFollowers(driven, request, to);
  const status = (await askAll(live)).find(({ node }) => node === to);
  const timeline = status?.timeline ?? 0;
  return { from: begun.from, to, epoch: timeline, timeline, candidates };
}

/** Standbys that stream, from `primary` or from another standby. */
async function streaming(driven: SelfDriven, primary: string): Promise<{ readonly [node: string]: string }> {
  return everyStreamingStandby(driven.live, primary, await askAll(driven.live), await driven.standbyNames());
}

/** Waits for as many as confirm commits: those that stream from `to` itself. */
async function awaitFollowers(driven: SelfDriven, request: FailoverRequest, to: string): Promise<void> {
  const { live } = driven;
  const behind = new Set(live.target.nodes.filter(({ upstream = to }) => upstream !== to).map(({ name }) => name));
  const others = (await askAll(live)).filter(({ node, up }) => node !== to && up && !behind.has(node)).length;
  const needed = Math.min(others, Math.max(1, live.target.controller.syncStandbys));
  const names = await driven.standbyNames();
  await request.on('follow', 'about-to');
  await until(async () => (Object.keys(await streamingStandbys(live, to, names)).length >= needed ? true : null), {
    timeoutMs: request.timeoutMs,
    everyMs: POLL_MS,
    signal: request.signal,
    onTimeout: () => new GamedayError('failover_failed', `${to} is primary, but fewer than ${needed} standbys stream from it`),
  });
  await request.on('follow', 'done');
}

/** What salvage needs to know of the current history: whose it is. A timeline numbers the directory, as an epoch does elsewhere. */
const historyOf = (primary: string, timeline: number): EpochFile => ({ formatVersion: 1, epoch: timeline, primary, history: [] });

/** Before the agent rewinds it away. Null where nothing diverged, or nobody leads who could say what is common. */
async function salvage(driven: SelfDriven, name: string): Promise<SalvageResult | null> {
  const { live } = driven;
  const host = live.host(name);
  const node = live.target.nodes.find((each) => each.name === name);
  const leader = await driven.leader();
  if (node === undefined || leader === null || leader === name || (await host.postmaster()) !== null) return null;
  if (!(await host.exists(join(node.dataDir, 'PG_VERSION')))) return null;
  const current = (await askAll(live)).find((each) => each.node === leader);
  if (current?.up !== true || current.timeline === null) return null;
  const epoch = historyOf(leader, current.timeline);
  const divergence = await findDivergence(live, name, epoch);
  return divergence === null ? null : salvageTail(live, name, epoch, divergence);
}

/**
 * Switches on a machine that is off, whose first process leads to the agent; false where there is nothing to switch on. The agent rewinds at once what such a
 * node alone holds, and nobody can save it before: that is taken in a lab only; elsewhere a person saves it and starts the machine.
 */
async function wake({ live }: SelfDriven, name: string): Promise<boolean> {
  return live.target.kind === 'lab' && ((await live.host(name).wake?.()) ?? false);
}

/** See Controller.startNode. */
export async function startByAgent(driven: SelfDriven, name: string): Promise<Awaited<ReturnType<Controller['startNode']>>> {
  const { live, title } = driven;
  const host = live.host(name);
  const { agent } = live.target.nodes.find((each) => each.name === name) ?? {};
  let saved: SalvageResult | null = null;
  if ((await host.agent()) === null && !(await wake(driven, name))) {
    if (agent === null || agent === undefined)
      throw new GamedayError(
        'step_failed',
        `${name} is down, and the target does not say how its ${title} is started`,
        'add `agent: { find: […], start: […] }` to the node in the target file.',
      );
    saved = await salvage(driven, name);
    const started = await host.exec(agent.start, { asNode: false, timeoutMs: UP_WITHIN_MS });
    if (started.code !== 0)
      throw new GamedayError(
        'step_failed',
        `\`${agent.start.join(' ')}\` for ${name} ended with ${started.code}: ${started.stderr.trim().slice(0, 300)}`,
      );
  }
  const status = await until(
    async () => {
      const found = (await askAll(live)).find((each) => each.node === name);
      return found?.up === true ? found : null;
    },
    {
      timeoutMs: UP_WITHIN_MS,
      everyMs: POLL_MS,
      onTimeout: () =>
        new GamedayError('step_failed', `${name} is not up ${UP_WITHIN_MS} ms after its ${title} was started`, driven.whereToLook),
    },
  );
  return { role: status.inRecovery === false ? 'primary' : 'standby', salvage: saved };
}

/** See Controller.rejoin. Rewinding is the agent's; whoever cannot follow even so is made anew in labs alone. */
export async function rejoinByAgent(
  driven: SelfDriven,
  name: string,
  options: Parameters<Controller['rejoin']>[1],
): Promise<Awaited<ReturnType<Controller['rejoin']>>> {
  const { live, title, rebuild } = driven;
  const streams = async (): Promise<boolean> => {
    const leader = await driven.leader();
    return leader !== null && name in (await streaming(driven, leader));
  };
  if (await streams()) return { method: 'streaming', movedAside: null };
  await startByAgent(driven, name);
  const wait = (timeoutMs: number): Promise<true | null> =>
    until(async () => ((await streams()) ? true : null), {
      timeoutMs,
      everyMs: POLL_MS,
      signal: options.signal,
      onTimeout: () => new GamedayError('step_failed', `${name} does not stream after ${timeoutMs} ms`, driven.whereToLook),
    });
  try {
    await wait(Math.min(FOLLOW_TIMEOUT_MS, options.timeoutMs));
    return { method: 'follow', movedAside: null };
  } catch (error) {
    options.signal.throwIfAborted();
    if (rebuild === null || live.target.kind !== 'lab')
      throw new GamedayError(
        'step_failed',
        `${name} does not follow: ${messageOf(error)}`,
        `making it anew deletes its old data directory, so a person decides. ${title}: ${driven.whereToLook}`,
      );
  }
  await rebuild(name);
  await wait(options.timeoutMs);
  return { method: 'rebuild', movedAside: null };
}

/** What was saved on the way to the current history, by the manifests in the quarantine; the agents may have rewound the nodes since. */
export async function standingSalvages(live: LiveTarget, above: number): Promise<readonly SalvageResult[]> {
  const directory = quarantineDir(live.target);
  const timeline = Math.max(0, ...(await askAll(live)).map((node) => (node.inRecovery === false ? (node.timeline ?? 0) : 0)));
  if (timeline <= above || !existsSync(directory)) return [];
  return live.target.nodes
    .map(({ name }) => readJsonFile<SalvageResult>(join(directory, `${name}-${timeline}.json`)))
    .filter((saved): saved is SalvageResult => saved !== null);
}

/** An agent starts its server in its own environment; throws `fault_refused` for a fault that would start it in another. */
export function refuseEnvironment(title: string, node: string, environment: Parameters<Controller['startNode']>[1]): void {
  if (environment !== undefined && Object.keys(environment).length > 0)
    throw new GamedayError(
      'fault_refused',
      `${title} starts ${node} itself, in its own environment`,
      'this fault needs a standalone target.',
    );
}
