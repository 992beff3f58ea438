/**
 * Patroni as the controller: it fails over by itself, and gameday orders, waits, watches and puts back. gameday never starts, promotes or rewinds a server
 * behind its back: a node comes up by its agent, in the role that the store's key leaves for it.
 */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { until } from '../../core/clock';
import { canonicalJson } from '../../core/canonical-json';
import { GamedayError, messageOf } from '../../core/errors';
import { readJsonFile, sha256Hex, writeFileDurably } from '../../core/files';
import { parseLsn } from '../../core/lsn';
import type { Controller, FailoverResult, LiveTarget, NodeStatus, SalvageResult, Topology } from '../ports';
import { askAll, readSettings, readSlots, streamingStandbys } from './node-status';
import { patroniBand } from './patroni-band';
import { openPatroniRest, type PatroniController, type PatroniRest } from './patroni-rest';
import type { EpochFile } from './standalone-epoch';
import { findDivergence, quarantineDir, salvageTail } from './standalone-salvage';

const POLL_MS = 200;
const UP_WITHIN_MS = 90_000;
/** A standby that may follow does so within a loop or two, after the rewind that it may need; longer means that it cannot. */
const FOLLOW_TIMEOUT_MS = 60_000;

type Request = Parameters<Controller['failover']>[0];

interface Context {
  readonly live: LiveTarget;
  readonly rest: PatroniRest;
}

const isWritable = (nodes: readonly NodeStatus[], name: string | null): boolean =>
  nodes.some((node) => node.node === name && node.up && node.inRecovery === false);

/** Roles move between nodes, and with them these settings and slots: what must be equal afterwards is what the store says. */
const FOLLOWS_THE_ROLE = ['synchronous_standby_names'];

async function topology({ live, rest }: Context): Promise<Topology> {
  const nodes = await askAll(live);
  const up = nodes.filter((node) => node.up).map((node) => node.node);
  const writable = nodes.filter((node) => node.inRecovery === false).map((node) => node.node);
  const cluster = await rest.cluster().catch(() => null);
  const primary = writable.find((name) => name === cluster?.leader) ?? writable[0] ?? null;
  const config = await rest.config().catch(() => null);
  const members = live.target.nodes.map(({ name }) => name.replaceAll(/[^a-z0-9_]/g, '_'));
  const settings = await Promise.all(
    up.map(async (name) => {
      const all = Object.entries(await readSettings(live, name));
      return [name, Object.fromEntries(all.filter(([key]) => !FOLLOWS_THE_ROLE.includes(key)))] as const;
    }),
  );
  // A member's slot stands on whoever is primary; every other slot is somebody's, and must be where it was.
  const slots = await Promise.all(
    up.map(async (name) => [name, (await readSlots(live, name)).filter((slot) => !members.includes(slot))] as const),
  );
  return {
    primary,
    nodes,
    replication: primary === null ? {} : await streamingStandbys(live, primary),
    settings: {
      ...Object.fromEntries(settings),
      Patroni: {
        config: config === null ? 'not to be read' : canonicalJson(config),
        paused: cluster === null ? 'unknown' : String(cluster.paused),
      },
    },
    slots: Object.fromEntries(slots),
    routed: await live.router.routed(),
    epoch: null,
  };
}

/** Where a failover began, on disk before anything is asked for: a second call by the same token goes on from there. */
interface Beginning {
  readonly from: string | null;
  readonly timeline: number;
  readonly ordered: boolean;
}

async function beginning({ live, rest }: Context, request: Request): Promise<Beginning> {
  const path = join(live.target.runDir, `failover-${sha256Hex(request.token).slice(0, 16)}.json`);
  const earlier = readJsonFile<Beginning>(path);
  if (earlier !== null) return earlier;
  const [cluster, nodes] = [await rest.cluster().catch(() => null), await askAll(live)];
  const from = cluster?.leader ?? nodes.find(({ inRecovery }) => inRecovery === false)?.node ?? null;
  const timeline = Math.max(0, ...(cluster?.members ?? []).map((each) => each.timeline ?? 0), ...nodes.map((each) => each.timeline ?? 0));
  // A primary that still serves is asked to hand over; one that does not is Patroni's to replace.
  const begun: Beginning = { from, timeline, ordered: isWritable(nodes, from) || cluster?.paused === true };
  writeFileDurably(path, `${JSON.stringify(begun)}\n`);
  return begun;
}

function candidatesOf(nodes: readonly NodeStatus[], from: string | null): FailoverResult['candidates'] {
  return nodes.filter(({ node }) => node !== from).map(({ node, lsn, up }) => ({ node, lsn, reachable: up }));
}

function mostAdvanced(candidates: FailoverResult['candidates']): string | null {
  const reachable = candidates.filter((each) => each.reachable && each.lsn !== null);
  const at = (lsn: string | null): bigint => parseLsn(lsn ?? '0/0');
  return (
    reachable.reduce<(typeof reachable)[number] | null>((best, each) => (best === null || at(each.lsn) > at(best.lsn) ? each : best), null)
      ?.node ?? null
  );
}

/** Asks Patroni to hand over; what it refuses, because the leader has gone meanwhile, is left to its automation. */
async function giveOrder(
  { rest }: Context,
  { from }: Beginning,
  candidates: FailoverResult['candidates'],
  wanted: string | null,
): Promise<void> {
  const cluster = await rest.cluster();
  if (cluster.leader !== from) return;
  const target = wanted ?? mostAdvanced(candidates);
  const answer =
    from !== null && cluster.members.some((each) => each.name === from && /running|streaming/.test(each.state))
      ? await rest.switchover(from, wanted)
      : target === null
        ? null
        : await rest.failover(target);
  if (answer !== null && !answer.ok && cluster.paused)
    throw new GamedayError(
      'failover_failed',
      `Patroni is paused and refuses: HTTP ${answer.status}: ${answer.text}`,
      'resume it (`patronictl resume`), or see why with `patronictl list`.',
    );
}

async function carryOut(context: Context, request: Request): Promise<FailoverResult> {
  const { live, rest } = context;
  const begun = await beginning(context, request);
  const candidates = candidatesOf(await askAll(live), begun.from);
  if (request.candidate !== null && !candidates.some(({ node }) => node === request.candidate))
    throw new GamedayError('no_candidate', `"${request.candidate}" is not a standby of ${live.target.name}`);
  if (begun.ordered) await giveOrder(context, begun, candidates, request.candidate);
  let last = 'nobody holds the key';
  const to = await until(
    async () => {
      request.signal.throwIfAborted();
      const [cluster, nodes] = [await rest.cluster(), await askAll(live)];
      const { leader } = cluster;
      last =
        leader === null
          ? 'nobody holds the key'
          : `${leader} holds the key and ${isWritable(nodes, leader) ? 'takes writes' : 'does not take writes'}`;
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
          `Patroni has no new primary after ${request.timeoutMs} ms: ${error === null ? last : messageOf(error)}`,
          '`patronictl list` and the members’ logs say why nobody was promoted.',
        ),
    },
  );
  await awaitRoute(context, request, to);
  await awaitFollowers(context, request, to);
  const status = (await askAll(live)).find(({ node }) => node === to);
  const timeline = status?.timeline ?? 0;
  return { from: begun.from, to, epoch: timeline, timeline, candidates };
}

/** Health checks lead clients over; each look is stamped, so that the instant lies between the last that did not see it and the first that did. */
async function awaitRoute({ live }: Context, request: Request, to: string): Promise<void> {
  if (live.router.kind === 'none') return;
  await until(
    async () => {
      await request.on('route', 'about-to');
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

async function awaitFollowers({ live }: Context, request: Request, to: string): Promise<void> {
  const others = (await askAll(live)).filter(({ node, up }) => node !== to && up).length;
  const needed = Math.min(others, Math.max(1, live.target.controller.syncStandbys));
  await request.on('follow', 'about-to');
  await until(async () => (Object.keys(await streamingStandbys(live, to)).length >= needed ? true : null), {
    timeoutMs: request.timeoutMs,
    everyMs: POLL_MS,
    signal: request.signal,
    onTimeout: () => new GamedayError('failover_failed', `${to} is primary, but fewer than ${needed} standbys stream from it`),
  });
  await request.on('follow', 'done');
}

/** What salvage needs to know of the current history: whose it is. A timeline numbers the directory, as an epoch does elsewhere. */
const historyOf = (primary: string, timeline: number): EpochFile => ({ formatVersion: 1, epoch: timeline, primary, history: [] });

/** Before Patroni rewinds it away. Null where nothing diverged, or nobody leads who could say what is common. */
async function salvage({ live, rest }: Context, name: string): Promise<SalvageResult | null> {
  const host = live.host(name);
  const node = live.target.nodes.find((each) => each.name === name);
  const { leader } = await rest.cluster();
  if (node === undefined || leader === null || leader === name || (await host.postmaster()) !== null) return null;
  if (!(await host.exists(join(node.dataDir, 'PG_VERSION')))) return null;
  const current = (await askAll(live)).find((each) => each.node === leader);
  if (current?.up !== true || current.timeline === null) return null;
  const epoch = historyOf(leader, current.timeline);
  const divergence = await findDivergence(live, name, epoch);
  return divergence === null ? null : salvageTail(live, name, epoch, divergence);
}

/**
 * Switches on a machine that is off, whose first process leads to the agent; false where there is nothing to switch on. Patroni rewinds at once what such a
 * node alone holds, and nobody can save it before: that is taken in a lab only; elsewhere a person saves it and starts the machine.
 */
async function wake({ live }: Context, name: string): Promise<boolean> {
  return live.target.kind === 'lab' && ((await live.host(name).wake?.()) ?? false);
}

async function startNode(context: Context, name: string): Promise<Awaited<ReturnType<Controller['startNode']>>> {
  const { live } = context;
  const host = live.host(name);
  const { agent } = live.target.nodes.find((each) => each.name === name) ?? {};
  let saved: SalvageResult | null = null;
  if ((await host.agent()) === null && !(await wake(context, name))) {
    if (agent === null || agent === undefined)
      throw new GamedayError(
        'step_failed',
        `${name} is down, and the target does not say how its Patroni is started`,
        'add `agent: { find: […], start: […] }` to the node in the target file.',
      );
    saved = await salvage(context, name);
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
        new GamedayError('step_failed', `${name} is not up ${UP_WITHIN_MS} ms after its Patroni was started`, 'read the member’s log.'),
    },
  );
  return { role: status.inRecovery === false ? 'primary' : 'standby', salvage: saved };
}

async function rejoin(
  context: Context,
  name: string,
  options: Parameters<Controller['rejoin']>[1],
): Promise<Awaited<ReturnType<Controller['rejoin']>>> {
  const { live, rest } = context;
  const streams = async (): Promise<boolean> => {
    const { leader } = await rest.cluster();
    return leader !== null && name in (await streamingStandbys(live, leader));
  };
  if (await streams()) return { method: 'streaming', movedAside: null };
  await startNode(context, name);
  const wait = (timeoutMs: number): Promise<true | null> =>
    until(async () => ((await streams()) ? true : null), {
      timeoutMs,
      everyMs: POLL_MS,
      signal: options.signal,
      onTimeout: () => new GamedayError('step_failed', `${name} does not stream from the leader after ${timeoutMs} ms`),
    });
  try {
    await wait(Math.min(FOLLOW_TIMEOUT_MS, options.timeoutMs));
    return { method: 'follow', movedAside: null };
  } catch (error) {
    options.signal.throwIfAborted();
    if (live.target.kind !== 'lab')
      throw new GamedayError(
        'step_failed',
        `${name} does not follow: ${messageOf(error)}`,
        'Patroni’s reinitialize deletes the old data directory, so a person decides: `patronictl reinit`.',
      );
  }
  const answer = await rest.reinitialize(name);
  if (!answer.ok) throw new GamedayError('step_failed', `Patroni does not reinitialize ${name}: HTTP ${answer.status}: ${answer.text}`);
  await wait(options.timeoutMs);
  return { method: 'rebuild', movedAside: null };
}

/** The controller of a Patroni target. Opening touches nothing. */
export function openPatroniController(live: LiveTarget, controller: PatroniController): Controller {
  const context: Context = { live, rest: openPatroniRest(controller) };
  return {
    kind: 'patroni',
    status: () => askAll(live),
    topology: () => topology(context),
    predictedFailover: async (primary) =>
      primary === 'lost' ? patroniBand(await context.rest.config(), live.router.kind !== 'none') : null,
    failover: (request) => carryOut(context, request),
    async startNode(node, environment) {
      if (environment !== undefined && Object.keys(environment).length > 0)
        throw new GamedayError(
          'fault_refused',
          `Patroni starts ${node} itself, in its own environment`,
          'this fault needs a standalone target.',
        );
      return startNode(context, node);
    },
    mayWrite: async (node) => (await context.rest.cluster()).leader === node,
    rejoin: (node, options) => rejoin(context, node, options),
    salvages: (above) => standingSalvages(context, above),
  };
}

/** What was saved on the way to the current history, by the manifests in the quarantine; Patroni may have rewound the nodes since. */
async function standingSalvages({ live }: Context, above: number): Promise<readonly SalvageResult[]> {
  const directory = quarantineDir(live.target);
  const timeline = Math.max(0, ...(await askAll(live)).map((node) => (node.inRecovery === false ? (node.timeline ?? 0) : 0)));
  if (timeline <= above || !existsSync(directory)) return [];
  return live.target.nodes
    .map(({ name }) => readJsonFile<SalvageResult>(join(directory, `${name}-${timeline}.json`)))
    .filter((saved): saved is SalvageResult => saved !== null);
}
