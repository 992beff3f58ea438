/**
 * Freezes a node's PostgreSQL by SIGSTOP, all processes at once or the postmaster alone: connections stay open, nothing answers, no error is seen.
 *
 *     tree         every backend hangs in the middle of what it did; new connections hang too
 *     postmaster   sessions that exist go on; new connections hang
 *
 * When it thaws the world has gone on: a node that lost its role meanwhile must never act on what it had begun. It is then killed where it stands,
 * and the controller starts it in the role that is left for it. With `thaw: true`, in labs alone, it wakes up as a paused machine does, with agent and all
 * that it had begun, and it is its agent's business to step down: whether it does is what the drill wants to know.
 */
import { z } from 'zod';
import { until } from '../core/clock';
import { GamedayError } from '../core/errors';
import type { FaultProof } from '../model/fault';
import type { LiveTarget, ServerProcess } from '../targets/ports';
import { signalByHand } from './by-hand';
import type { Fault } from './contract';
import { askNode } from './link-traffic';
import { bringBack } from './node-power';
import { describeNode, findAgent, isSameServer, requireAgent, requireRunning, type ProcessHandle } from './node-process';
import { howToStart, proveNodeBack } from './node-role';
import { checkThaw, refuseThaw, THAW } from './node-thaw';
import { resolveNode } from './resolve-node';

const SILENCE_MS = 1_500;
/** On a far host, and in a container, every signal is a command of its own. */
const STOPS_WITHIN_MS = 10_000;

const schema = z
  .strictObject({
    node: z.string().min(1).max(63).describe('primary, any-standby or a node’s name'),
    scope: z
      .enum(['tree', 'postmaster', 'agent'])
      .default('tree')
      .describe('tree: the controller’s agent and the whole server; agent: the controller’s agent alone, the server goes on'),
    thaw: z.boolean().default(false).describe(THAW),
  })
  .refine(({ scope, thaw }) => scope === 'tree' || !thaw, { path: ['thaw'], error: 'thaw: true goes with scope: tree alone' });
type Settings = z.infer<typeof schema>;
type Resolved = {
  readonly node: string;
  readonly scope: Settings['scope'];
  /** Wakes up whatever has become of its role. */
  readonly thaw: boolean;
  readonly postmaster: ProcessHandle;
  readonly primary: boolean;
  /** The controller's agent beside it, held with the whole tree; null where there is none. */
  readonly agent: ProcessHandle | null;
};

async function toFreeze(live: LiveTarget, { node, scope, postmaster }: Resolved): Promise<readonly ServerProcess[]> {
  const all = await live.host(node).serverProcesses();
  // Another server runs there since: this handle is not about it.
  if (!all.some((each) => isSameServer(each, postmaster))) return [];
  return scope === 'tree' ? all : all.filter((each) => isSameServer(each, postmaster));
}

/** The postmaster first, so that nobody new is born; again until nobody is found running. */
async function freeze(live: LiveTarget, resolved: Resolved): Promise<number> {
  const host = live.host(resolved.node);
  if (resolved.agent !== null) await host.signal(resolved.agent, 'SIGSTOP');
  if (resolved.scope === 'agent') return 1;
  await host.signal(resolved.postmaster, 'SIGSTOP');
  return until(
    async () => {
      const processes = await toFreeze(live, resolved);
      const running = processes.filter((each) => !each.stopped);
      await Promise.all(running.map((each) => host.signal(each, 'SIGSTOP')));
      return running.length === 0 ? processes.length : null;
    },
    {
      timeoutMs: STOPS_WITHIN_MS,
      everyMs: 5,
      onTimeout: () => new GamedayError('step_failed', `processes of ${resolved.node} go on after SIGSTOP for ${STOPS_WITHIN_MS} ms`),
    },
  );
}

/** Its REST API is the agent's own way to answer; a stopped process still accepts, and says nothing. */
async function confirmAgent({ node, agent }: Resolved, live: LiveTarget): Promise<FaultProof> {
  const now = await live.host(node).agent();
  const state = await live.host(node).processState(agent ?? { pid: 0, startTicks: '', bootId: '' });
  return {
    holds: now !== null && agent !== null && isSameServer(now, agent) && state === 'T',
    by: `the agent of ${node} (process ${agent?.pid ?? 0}) is ${state === 'T' ? 'stopped' : (state ?? 'gone')}`,
    facts: { node, agent: agent?.pid ?? null, state },
  };
}

async function confirm(resolved: Resolved, { live }: { readonly live: LiveTarget }): Promise<FaultProof> {
  if (resolved.scope === 'agent') return confirmAgent(resolved, live);
  const processes = await toFreeze(live, resolved);
  const stopped = processes.filter((each) => each.stopped).length;
  const answer = await askNode(describeNode(live.target, resolved.node), SILENCE_MS);
  return {
    holds: stopped > 0 && stopped === processes.length && !answer.answered,
    by: `${stopped} of ${processes.length} processes of ${resolved.node} are stopped; a new connection ${answer.answered ? `is answered after ${answer.ms.toFixed(1)} ms` : `gets ${answer.reason}`}`,
    facts: { node: resolved.node, processes: processes.length, stopped },
  };
}

async function undo(resolved: Resolved, { live }: { readonly live: LiveTarget }): Promise<void> {
  const host = live.host(resolved.node);
  if (resolved.scope === 'agent') {
    if (resolved.agent !== null) await host.signal(resolved.agent, 'SIGCONT');
    await live.controller.startNode(resolved.node);
    return;
  }
  if (resolved.thaw) await thaw(live, resolved, await host.serverProcesses());
  else await wakeByRole(live, resolved);
  await bringBack(live, resolved.node);
}

async function wakeByRole(live: LiveTarget, resolved: Resolved): Promise<void> {
  const host = live.host(resolved.node);
  const processes = await host.serverProcesses();
  // What was primary and is no longer must not wake up as one: not for a moment, and not for a commit that it had begun.
  const dethroned = resolved.primary && !(await live.controller.mayWrite(resolved.node));
  const orphaned = (await host.postmaster()) === null;
  if (!dethroned && !orphaned) return thaw(live, resolved, processes);
  if (dethroned && processes.some((each) => isSameServer(each, resolved.postmaster))) await host.killTree(resolved.postmaster);
  else for (const each of processes.filter(({ stopped }) => stopped)) await host.signal(each, 'SIGKILL');
  // An agent that wakes up to a dead server would start it by what it last knew; a new one asks first.
  if (resolved.agent !== null) await host.killTree(resolved.agent);
}

/**
 * Wakes all of them, whatever state they are seen in: one that was told to stop a moment ago may look awake still, and SIGCONT takes back a stop that is
 * yet to come. The agent first, which has the most to catch up with; the postmaster last: what it finds awake it need not ask about.
 */
async function thaw(live: LiveTarget, resolved: Resolved, processes: readonly ServerProcess[]): Promise<void> {
  const host = live.host(resolved.node);
  if (resolved.agent !== null) await host.signal(resolved.agent, 'SIGCONT');
  const isPostmaster = (each: ServerProcess): boolean => isSameServer(each, resolved.postmaster);
  await Promise.all(processes.filter((each) => !isPostmaster(each)).map((each) => host.signal(each, 'SIGCONT')));
  for (const each of processes.filter(isPostmaster)) await host.signal(each, 'SIGCONT');
  await until(async () => ((await host.serverProcesses()).some((each) => each.stopped) ? null : true), {
    timeoutMs: STOPS_WITHIN_MS,
    everyMs: 5,
    onTimeout: () => new GamedayError('undo_failed', `processes of ${resolved.node} stay stopped after SIGCONT for ${STOPS_WITHIN_MS} ms`),
  });
}

export const processFreeze: Fault<Settings, Resolved> = {
  name: 'process-freeze',
  summary: 'stops a node’s PostgreSQL in mid-motion: nothing answers, nothing fails',
  schema,
  // As with a killed primary: what it had acknowledged to nobody else may be lost once another is promoted.
  mayLoseWrites: () => true,
  takesNodeAway: (settings) => settings.scope === 'tree',
  async resolve(settings, { live }) {
    const node = await resolveNode(live, settings.node);
    const postmaster = await requireRunning(live, node);
    const agent = await { tree: findAgent, agent: requireAgent, postmaster: async () => null }[settings.scope](live, node);
    if (settings.thaw) refuseThaw(live, node, agent);
    return { node, scope: settings.scope, thaw: settings.thaw, postmaster, primary: await live.controller.mayWrite(node), agent };
  },
  preview: (r) =>
    r.scope === 'agent'
      ? `SIGSTOP the controller’s agent of ${r.node} (process ${r.agent?.pid ?? 0})`
      : `SIGSTOP ${r.scope === 'tree' ? 'every PostgreSQL process' : 'the postmaster'} of ${r.node} (postmaster ${r.postmaster.pid})${r.thaw ? ', and SIGCONT whatever has become of its role' : ''}`,
  reach: ({ node }) => ({ nodes: [node] }),
  holdsDown: ({ node }) => [node],
  manualUndo: (r, target) => {
    const node = describeNode(target, r.node);
    const send = (name: 'CONT' | 'KILL'): readonly string[] => [
      ...(r.agent === null ? [] : [signalByHand(node, r.agent, name)]),
      ...(r.scope === 'agent' ? [] : [signalByHand(node, r.postmaster, name, { children: true })]),
    ];
    if (r.scope === 'agent' || r.thaw || !r.primary) return [...send('CONT'), ...howToStart(target, r.node)];
    // What undo.sh runs without a thought must never wake a primary that was replaced meanwhile.
    return [
      `# while ${r.node} still holds its role, this alone is enough: ${send('CONT').join('; ')}`,
      ...send('KILL'),
      ...howToStart(target, r.node),
    ];
  },
  async ready(settings, { live }) {
    const node = await resolveNode(live, settings.node);
    const postmaster = await live.host(node).postmaster();
    const answer = await askNode(describeNode(live.target, node), SILENCE_MS);
    return [
      ...(settings.thaw ? [checkThaw(live, node, await findAgent(live, node))] : []),
      {
        name: `${node} can be frozen`,
        ok: postmaster !== null && answer.answered,
        found: postmaster === null ? 'no postmaster' : answer.answered ? `postmaster ${postmaster.pid} answers` : answer.reason,
        expected: 'a postmaster that answers',
        hint: postmaster === null || !answer.answered ? 'start the node first.' : null,
      },
    ];
  },
  async inject(resolved, { live }) {
    return { node: resolved.node, stopped: await freeze(live, resolved) };
  },
  confirm,
  undo,
  async confirmGone(resolved, { live }) {
    if (resolved.agent !== null && (await live.host(resolved.node).processState(resolved.agent)) === 'T')
      return { holds: false, by: `the agent of ${resolved.node} is still stopped`, facts: { agent: resolved.agent.pid } };
    const stopped = (await live.host(resolved.node).serverProcesses()).filter((each) => each.stopped).length;
    if (stopped > 0) return { holds: false, by: `${stopped} processes of ${resolved.node} are still stopped`, facts: { stopped } };
    return proveNodeBack(live, resolved.node);
  },
};
