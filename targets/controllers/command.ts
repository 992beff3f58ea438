/**
 * A runbook of the target's own as the controller: commands, run on this machine, that fail over and bring a node back; for home-grown scripts and for
 * databases that somebody else manages. What has come of them is asked of the nodes over SQL and of the router: that a command ended well proves nothing.
 * A failover's command is never run twice under one token.
 */
import { join } from 'node:path';
import { until } from '../../core/clock';
import { GamedayError, messageOf } from '../../core/errors';
import { readJsonFile, sha256Hex, writeFileDurably } from '../../core/files';
import type { PredictedFailover } from '../../model/measurement';
import type { TargetController } from '../../model/target';
import type { Controller, FailoverResult, LiveTarget, NodeStatus } from '../ports';
import { asksFor, fillWords, runCommand } from './command-run';
import { askAll } from './node-status';
import {
  awaitFollowers,
  awaitPromotion,
  awaitRoute,
  candidatesOf,
  isReplaced,
  observedTopology,
  onlyWriter,
  POLL_MS,
  salvageNode,
  startByAgent,
  streamsFrom,
  unwatched,
  type FailoverRequest,
} from './promoted-by-others';
import { mostAdvanced } from './standalone-failover';

export type CommandController = Extract<TargetController, { kind: 'command' }>;

const STATUS_MS = 10_000;

interface Context {
  readonly live: LiveTarget;
  readonly controller: CommandController;
}

/** Whom the runbook's own status command names; null where it has none. Throws `step_failed` for a word that is not a node's name. */
async function namedPrimary({ live, controller }: Context): Promise<string | null> {
  if (controller.status === null) return null;
  const said = (await runCommand(controller.status, { timeoutMs: STATUS_MS, code: 'step_failed' })).trim();
  if (said === '' || live.target.nodes.some(({ name }) => name === said)) return said === '' ? null : said;
  throw new GamedayError(
    'step_failed',
    `\`${controller.status.join(' ')}\` printed "${said.slice(0, 80)}", which is not a node of ${live.target.name}`,
    'it is to print the primary’s name as the target file writes it, or nothing while there is none.',
  );
}

/** Where a failover began, on disk before its command runs. `failure`: the command has ended, and not well. */
interface Beginning {
  readonly from: string | null;
  readonly candidate: string | null;
  readonly candidates: FailoverResult['candidates'];
  readonly argv: readonly string[];
  readonly failure: string | null;
  /** Automation has promoted another since the fault: the command is not run. */
  readonly replaced?: boolean;
}

function chooseCandidate(argv: readonly string[], nodes: readonly NodeStatus[], from: string | null, wanted: string | null): string | null {
  if (!asksFor(argv, 'candidate')) {
    if (wanted === null) return null;
    throw new GamedayError(
      'no_candidate',
      `the runbook chooses by itself, so "${wanted}" cannot be asked for`,
      'put {candidate} into controller.failover, or name no candidate.',
    );
  }
  const standbys = nodes.filter(({ node, up, inRecovery }) => node !== from && up && inRecovery === true);
  const chosen = wanted ?? mostAdvanced(standbys);
  if (chosen === null || !standbys.some(({ node }) => node === chosen))
    throw new GamedayError('no_candidate', chosen === null ? 'no standby answers' : `"${chosen}" is not a standby that answers`);
  return chosen;
}

async function begin(context: Context, request: FailoverRequest): Promise<Beginning> {
  const { live, controller } = context;
  const nodes = await askAll(live);
  // A status command that fails with its primary does not keep the runbook from being run.
  const from = (await namedPrimary(context).catch(() => null)) ?? onlyWriter(nodes);
  if (isReplaced(nodes, from, request)) {
    const { since = null } = request;
    return { from: since, candidate: null, candidates: candidatesOf(nodes, since), argv: [], failure: null, replaced: true };
  }
  const candidate = chooseCandidate(controller.failover, nodes, from, request.candidate);
  const argv = fillWords(controller.failover, { candidate, primary: from });
  return { from, candidate, candidates: candidatesOf(nodes, from), argv, failure: null };
}

/** Both at once: the first that fails ends the other, and its error counts. */
async function together<T>(signal: AbortSignal, works: readonly ((signal: AbortSignal) => Promise<T>)[]): Promise<readonly T[]> {
  const stop = new AbortController();
  const either = AbortSignal.any([signal, stop.signal]);
  let first: { readonly error: unknown } | null = null;
  const done = works.map(async (work) => {
    try {
      return await work(either);
    } catch (error) {
      first ??= { error };
      stop.abort(error);
      throw error;
    }
  });
  await Promise.allSettled(done);
  if (first !== null) throw (first as { readonly error: unknown }).error;
  return Promise.all(done);
}

async function carryOut(context: Context, request: FailoverRequest): Promise<FailoverResult> {
  const { live } = context;
  const path = join(live.target.runDir, `failover-${sha256Hex(request.token).slice(0, 16)}.json`);
  const earlier = readJsonFile<Beginning>(path);
  if (earlier !== null && earlier.failure !== null) throw alreadyFailed(earlier.failure);
  const begun = earlier ?? (await begin(context, request));
  const save = (state: Beginning): void => writeFileDurably(path, `${JSON.stringify(state)}\n`);
  if (earlier === null) save(begun);
  const decided = onceOnly(() => request.on('decide', 'done'));
  const orders = earlier === null && begun.replaced !== true;

  async function runbook(signal: AbortSignal): Promise<null> {
    // Begun before, by a worker that is gone: it may run yet, or have ended. What it does is watched, and it is not begun again.
    if (!orders) return null;
    await request.on('detect', 'about-to');
    await request.on('decide', 'about-to');
    const running = runCommand(begun.argv, { timeoutMs: request.timeoutMs, signal, code: 'failover_failed' });
    const ended = running.then(
      () => null,
      (error: unknown) => {
        if (!signal.aborted) save({ ...begun, failure: messageOf(error) });
        throw error;
      },
    );
    // Nobody noticed anything by himself: the order is the detection.
    await Promise.all([request.on('detect', 'done'), ended]);
    await decided();
    return null;
  }
  async function outcome(signal: AbortSignal): Promise<NodeStatus> {
    const watching = { ...(begun.replaced === true ? unwatched(request) : request), signal };
    const primary = await awaitPromotion(live, watching, begun.from);
    if (orders) await decided();
    await awaitRoute(live, watching, primary.node);
    return primary;
  }
  const [, primary] = await together<NodeStatus | null>(request.signal, [runbook, outcome]);
  if (primary === null || primary === undefined) throw new GamedayError('internal', 'a failover ended without a primary');
  await awaitBook(context, request, primary.node);
  await awaitFollowers(live, request, primary.node);
  const timeline = primary.timeline ?? 0;
  return { from: begun.from, to: primary.node, epoch: timeline, timeline, candidates: begun.candidates };
}

const alreadyFailed = (failure: string): GamedayError =>
  new GamedayError(
    'failover_failed',
    `the runbook was run once and failed; it is not run again: ${failure}`,
    'bring the cluster up by hand.',
  );

function onceOnly(work: () => Promise<void>): () => Promise<void> {
  let made: Promise<void> | null = null;
  return () => (made ??= work());
}

/** A runbook that says who is primary must say so of the one that writes; otherwise its next run would begin from an error. */
async function awaitBook(context: Context, request: FailoverRequest, to: string): Promise<void> {
  if (context.controller.status === null) return;
  let said: string | null = null;
  await until(
    async () => {
      said = await namedPrimary(context);
      return said === to ? true : null;
    },
    {
      timeoutMs: request.timeoutMs,
      everyMs: POLL_MS,
      signal: request.signal,
      onTimeout: (error) =>
        new GamedayError(
          'failover_failed',
          `${to} takes writes, and the runbook’s status says ${said ?? 'nobody'}${error === null ? '' : `: ${messageOf(error)}`}`,
        ),
    },
  );
}

async function rejoin(
  context: Context,
  name: string,
  options: Parameters<Controller['rejoin']>[1],
): Promise<Awaited<ReturnType<Controller['rejoin']>>> {
  const { live, controller } = context;
  const primary = (await namedPrimary(context)) ?? onlyWriter(await askAll(live));
  const streams = async (): Promise<boolean> => primary !== null && (await streamsFrom(live, name, primary));
  if (await streams()) return { method: 'streaming', movedAside: null };
  if (controller.rejoin !== null) {
    // A runbook's rewind leaves nothing of it; one that still writes cannot be saved whole, and the runbook must stop it.
    await salvageNode(live, name);
    const argv = fillWords(controller.rejoin, { node: name, primary });
    await runCommand(argv, { timeoutMs: options.timeoutMs, signal: options.signal, code: 'step_failed' });
  }
  await until(async () => ((await streams()) ? true : null), {
    timeoutMs: options.timeoutMs,
    everyMs: POLL_MS,
    signal: options.signal,
    onTimeout: () =>
      new GamedayError(
        'step_failed',
        `${name} does not stream from ${primary ?? 'any primary'} after ${options.timeoutMs} ms`,
        controller.rejoin === null ? 'name `controller.rejoin`, the command that brings a node back.' : 'read the node’s log.',
      ),
  });
  return { method: 'follow', movedAside: null };
}

/** The target's own word, as one band: what a command does inside is not known. */
export function commandBand(expectedMs: number | null): PredictedFailover | null {
  if (expectedMs === null) return null;
  return { lowMs: 0, highMs: expectedMs, formula: `at most ${expectedMs} ms, as controller.expectedMs says`, segments: [] };
}

/** The controller of a target with commands of its own. Opening touches nothing. */
export function openCommandController(live: LiveTarget, controller: CommandController): Controller {
  const context: Context = { live, controller };
  const members = live.target.nodes.map(({ name }) => name.replaceAll('-', '_'));
  return {
    kind: 'command',
    status: () => askAll(live),
    topology: async () => observedTopology(live, await namedPrimary(context).catch(() => null), (slot) => members.includes(slot)),
    predictedFailover: async () => commandBand(controller.expectedMs),
    failover: (request) => carryOut(context, request),
    async startNode(node, environment) {
      if (environment !== undefined && Object.keys(environment).length > 0)
        throw new GamedayError(
          'fault_refused',
          `${node} is started by its own agent, in an environment of its own`,
          'this fault needs a standalone target.',
        );
      return startByAgent(live, node);
    },
    mayWrite: async (node) =>
      controller.status === null ? onlyWriter(await askAll(live)) === node : (await namedPrimary(context)) === node,
    rejoin: (node, options) => rejoin(context, node, options),
  };
}
