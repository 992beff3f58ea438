/**
 * Kills a node's PostgreSQL by SIGKILL: the whole tree at once, the postmaster alone, or one backend (after which PostgreSQL restarts by itself).
 * A process is pid + start time + boot id, so that a server started since is never hit. Undo means present, not writable: the controller starts the node
 * in the role its epoch allows.
 */
import { z } from 'zod';
import { connect } from 'node:net';
import { until } from '../core/clock';
import { GamedayError } from '../core/errors';
import type { JsonObject } from '../model/json';
import type { CheckResult } from '../model/record';
import type { FaultProof } from '../model/fault';
import { killIfStopped } from '../targets/hosts/kill-if-stopped';
import type { LiveTarget } from '../targets/ports';
import type { Fault, FaultContext } from './contract';
import {
  describeNode,
  endHalfKilled,
  findAgent,
  isSameServer,
  killNode,
  requireAgent,
  requireRunning,
  type ProcessHandle,
} from './node-process';
import { howToEndHalfKilled, howToStart, proveNodeBack } from './node-role';
import { resolveNode } from './resolve-node';

const DIES_WITHIN_MS = 10_000;
/** A crash restart replays what came since the last checkpoint; nearly all that a proof has. */
const RESTARTS_WITHIN_MS = 25_000;
const CONNECT_TIMEOUT_MS = 1_000;

const VICTIM = {
  tree: 'the whole PostgreSQL process tree',
  postmaster: 'the postmaster',
  backend: 'one backend',
  agent: 'the controller’s agent',
} as const;

const schema = z.strictObject({
  node: z.string().min(1).max(63).describe('primary, any-standby or a node’s name'),
  scope: z
    .enum(['tree', 'postmaster', 'backend', 'agent'])
    .default('tree')
    .describe('tree: the controller’s agent and the whole server at once; agent: the controller’s agent alone, the server goes on'),
});
type Settings = z.infer<typeof schema>;
type Resolved = {
  readonly node: string;
  readonly scope: Settings['scope'];
  readonly postmaster: ProcessHandle;
  /** The controller's agent beside it (Patroni, pg_autoctl); null where there is none. */
  readonly agent: ProcessHandle | null;
  /** Start of the checkpointer when resolved: a later one means that the server has restarted its processes. */
  readonly checkpointerSince: string | null;
};

async function isRunning(live: LiveTarget, resolved: Resolved): Promise<boolean> {
  return isSameServer(await live.host(resolved.node).postmaster(), resolved.postmaster);
}

async function checkpointerSince(live: LiveTarget, node: string): Promise<string | null> {
  const rows = await live.sql(node, 'observe', (sql) =>
    sql.query(`SELECT backend_start::text AS since FROM pg_stat_activity WHERE backend_type = 'checkpointer'`),
  );
  return rows[0]?.['since'] ?? null;
}

async function kill(live: LiveTarget, node: string, pid: string): Promise<void> {
  const result = await live.host(node).exec(['kill', '-KILL', pid], { asNode: true, timeoutMs: 5_000 });
  if (result.code !== 0) throw new GamedayError('step_failed', `SIGKILL to process ${pid} of ${node} failed: ${result.stderr.trim()}`);
}

async function killBackend(live: LiveTarget, resolved: Resolved): Promise<JsonObject> {
  if ((await checkpointerSince(live, resolved.node).catch(() => null)) !== resolved.checkpointerSince) return { killed: 0 };
  // The probe's own sessions come first: their clients are the ones that are measured.
  const rows = await live.sql(resolved.node, 'observe', (sql) =>
    sql.query(
      `SELECT pid::text AS pid FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid() ORDER BY (usename = $1) DESC, backend_start LIMIT 1`,
      [live.target.roles.probe.user],
    ),
  );
  const pid = rows[0]?.['pid'] ?? null;
  if (pid === null)
    throw new GamedayError(
      'step_failed',
      `${resolved.node} has no client session to kill`,
      'the prober’s writers must run; or choose scope: postmaster.',
    );
  await kill(live, resolved.node, pid);
  return { killed: 1, backend: Number(pid) };
}

async function inject(resolved: Resolved, { live }: FaultContext): Promise<JsonObject> {
  if (resolved.scope === 'backend') return killBackend(live, resolved);
  const host = live.host(resolved.node);
  const { agent } = resolved;
  if (resolved.scope === 'agent') return { node: resolved.node, killed: agent === null ? 0 : (await host.killTree(agent)).length };
  if (resolved.scope === 'tree') return { node: resolved.node, killed: await killNode(live, resolved.node, resolved) };
  if (!(await isRunning(live, resolved))) return { node: resolved.node, killed: 0 };
  await kill(live, resolved.node, String(resolved.postmaster.pid));
  await until(async () => ((await isRunning(live, resolved)) ? null : true), {
    timeoutMs: DIES_WITHIN_MS,
    everyMs: 20,
    onTimeout: () => new GamedayError('step_failed', `postmaster ${resolved.postmaster.pid} outlived SIGKILL`),
  });
  return { node: resolved.node, killed: 1 };
}

/** `accepts`, or why not. */
function tryConnect(host: string, port: number): Promise<string> {
  return new Promise((resolve) => {
    const socket = connect({ host, port });
    const end = (text: string): void => {
      socket.destroy();
      resolve(text);
    };
    socket.once('connect', () => end('accepts'));
    socket.once('error', (error: NodeJS.ErrnoException) => end(error.code ?? error.message));
    socket.setTimeout(CONNECT_TIMEOUT_MS, () => end('no answer'));
  });
}

async function confirm(resolved: Resolved, { live }: FaultContext): Promise<FaultProof> {
  const node = describeNode(live.target, resolved.node);
  if (resolved.scope === 'backend') {
    const since = await until(
      async () => {
        const now = await checkpointerSince(live, resolved.node).catch(() => null);
        return now === null || now === resolved.checkpointerSince ? null : now;
      },
      {
        timeoutMs: RESTARTS_WITHIN_MS,
        onTimeout: () => new GamedayError('fault_unconfirmed', `${resolved.node} has not restarted its processes`),
      },
    );
    return {
      holds: true,
      by: `${resolved.node} restarted all its processes: its checkpointer runs since ${since}, before that since ${resolved.checkpointerSince ?? 'unknown'}`,
      facts: { since },
    };
  }
  if (resolved.scope === 'agent') return agentProof(live, resolved, await isRunning(live, resolved));
  const answer = await tryConnect(node.host, node.port);
  // Looked at last: whoever accepts has written down its process before.
  const now = await live.host(resolved.node).postmaster();
  const running = isSameServer(now, resolved.postmaster);
  // An agent that was left alone starts another at once; where there is none, whoever accepts again was started by the undo.
  const another = resolved.scope === 'postmaster' && resolved.agent !== null && now !== null && !running ? now.pid : null;
  return {
    holds: !running && (answer !== 'accepts' || another !== null),
    by: `postmaster ${resolved.postmaster.pid} of ${resolved.node} ${running ? 'still runs' : 'is gone'}${another === null ? '' : `, ${another} runs in its place`}; ${node.host}:${node.port} says ${answer}`,
    facts: { node: resolved.node, pid: resolved.postmaster.pid, running, connect: answer },
  };
}

async function agentRuns(live: LiveTarget, { node, agent }: Resolved): Promise<boolean> {
  return agent !== null && isSameServer(await live.host(node).agent(), agent);
}

async function agentCheck(live: LiveTarget, node: string): Promise<CheckResult> {
  const agent = await live.host(node).agent();
  return {
    name: `${node} has an agent that can be killed`,
    ok: agent !== null,
    found: agent === null ? 'none runs' : `process ${agent.pid}`,
    expected: 'a running agent of the controller',
    hint: agent === null ? 'the target’s nodes name it by `agent`; a standalone target has none.' : null,
  };
}

async function agentProof(live: LiveTarget, resolved: Resolved, serverRuns: boolean): Promise<FaultProof> {
  const runs = await agentRuns(live, resolved);
  return {
    holds: !runs,
    by: `agent ${resolved.agent?.pid ?? 0} of ${resolved.node} ${runs ? 'still runs' : 'is gone'}; its server ${serverRuns ? 'goes on' : 'is gone too'}`,
    facts: { node: resolved.node, agent: resolved.agent?.pid ?? null, runs, serverRuns },
  };
}

export const processKill: Fault<Settings, Resolved> = {
  name: 'process-kill',
  summary: 'kills a node’s PostgreSQL: its whole process tree, its postmaster, or one backend',
  schema,
  // Under synchronous replication nothing acknowledged is lost, but that is what the drill shows, not what it may take for granted.
  mayLoseWrites: (settings) => settings.scope !== 'backend',
  takesNodeAway: (settings) => settings.scope === 'tree',
  async resolve(settings, { live }) {
    const node = await resolveNode(live, settings.node);
    const postmaster = await requireRunning(live, node);
    const since = settings.scope === 'backend' ? await checkpointerSince(live, node) : null;
    const agent = settings.scope === 'agent' ? await requireAgent(live, node) : await findAgent(live, node);
    return {
      node,
      scope: settings.scope,
      postmaster,
      agent,
      checkpointerSince: since,
    };
  },
  preview: (r) =>
    `SIGKILL ${VICTIM[r.scope]} of ${r.node} (postmaster ${r.postmaster.pid}${r.agent === null ? '' : `, agent ${r.agent.pid}`})`,
  reach: ({ node }) => ({ nodes: [node] }),
  holdsDown: ({ node, scope }) => (scope === 'backend' ? [] : [node]),
  manualUndo: (r, target) =>
    r.scope === 'backend'
      ? ['true  # PostgreSQL restarts by itself']
      : [...howToEndHalfKilled(target, r.node, r), ...howToStart(target, r.node)],
  async ready(settings, { live }) {
    const node = await resolveNode(live, settings.node);
    const postmaster = await live.host(node).postmaster();
    return [
      {
        name: `${node} can be killed`,
        ok: postmaster !== null,
        found: postmaster === null ? 'no postmaster' : `postmaster ${postmaster.pid}`,
        expected: 'a running postmaster',
        hint: postmaster === null ? 'start the node first.' : null,
      },
      ...(settings.scope === 'agent' ? [await agentCheck(live, node)] : []),
    ];
  },
  inject,
  confirm,
  async undo(resolved, { live }) {
    if (resolved.scope === 'tree') await endHalfKilled(live, resolved.node, resolved);
    if (resolved.scope === 'agent' && resolved.agent !== null) await killIfStopped(live.host(resolved.node), resolved.agent);
    if (await isUpAsItWas(live, resolved)) return;
    await live.controller.startNode(resolved.node);
  },
  confirmGone: ({ node }, { live }) => proveNodeBack(live, node),
};

/** Nothing to start: the very processes that were to be killed still run, because inject never happened or only a backend was killed. */
async function isUpAsItWas(live: LiveTarget, resolved: Resolved): Promise<boolean> {
  if (!(await isRunning(live, resolved)) || (resolved.agent !== null && !(await agentRuns(live, resolved)))) return false;
  const nodes = await live.controller.status();
  return nodes.some((each) => each.node === resolved.node && each.up);
}
