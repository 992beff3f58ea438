/**
 * Kills the standbys that commits wait for, one, some or all of them, one right after the other. Behind `ANY 1 (n2, n3)` losing one is harmless and losing both
 * stops every commit: which of the two a cluster is really set up for is what this shows.
 */
import { z } from 'zod';
import { until } from '../core/clock';
import { GamedayError, messageOf } from '../core/errors';
import type { FaultProof } from '../model/fault';
import type { LiveTarget, Topology } from '../targets/ports';
import type { Fault } from './contract';
import { bringUp } from './node-power';
import { endHalfKilled, findAgent, isSameServer, killNode, requireRunning, type ProcessHandle } from './node-process';
import { howToEndHalfKilled, howToStart, proveNodeBack } from './node-role';
import { findPrimary, findSyncStandbys, syncStandbysOf } from './resolve-node';

const STREAMS_WITHIN_MS = 20_000;
/** The primary counts a standby until its sender has noticed. */
const UNCOUNTED_WITHIN_MS = 5_000;

const schema = z.strictObject({
  count: z
    .union([z.int().min(1).max(16), z.literal('all')])
    .default('all')
    .describe('how many of them'),
});
type Settings = z.infer<typeof schema>;
type Resolved = {
  readonly nodes: readonly { readonly node: string; readonly postmaster: ProcessHandle; readonly agent: ProcessHandle | null }[];
  readonly of: number;
  /** For which they confirm commits. */
  readonly primary: string;
};

async function chosen(
  live: LiveTarget,
  { count }: Settings,
): Promise<{ readonly all: readonly string[]; readonly names: readonly string[] }> {
  const all = await findSyncStandbys(live);
  const wanted = count === 'all' ? all.length : count;
  if (all.length === 0 || wanted > all.length)
    throw new GamedayError(
      'fault_refused',
      `${all.length} standbys confirm commits (${all.join(', ') || 'none'}), ${count} are to be lost`,
      'synchronous_standby_names of the primary decides which do; `gameday lab up --sync-standbys 1` gives a lab two to choose from.',
    );
  return { all, names: all.slice(0, wanted) };
}

/** Null while no primary answers: what it counts then is not known. */
async function counted(live: LiveTarget): Promise<readonly string[] | null> {
  const topology = await live.controller.topology();
  return topology.primary === null ? null : syncStandbysOf(live, topology);
}

async function confirm(resolved: Resolved, { live }: { readonly live: LiveTarget }): Promise<FaultProof> {
  const lost = resolved.nodes.map(({ node }) => node);
  const running: string[] = [];
  for (const { node, postmaster } of resolved.nodes) if (isSameServer(await live.host(node).postmaster(), postmaster)) running.push(node);
  let left = null as readonly string[] | null;
  const areLost = (): boolean => left !== null && !left.some((name) => lost.includes(name));
  const look = async (): Promise<true | null> => {
    left = await counted(live);
    return areLost() || null;
  };
  await until(look, {
    timeoutMs: running.length === 0 ? UNCOUNTED_WITHIN_MS : 0,
    everyMs: 200,
    onTimeout: (last) => new GamedayError('fault_unconfirmed', last === null ? 'they are counted' : messageOf(last)),
  }).catch(() => undefined);
  const counts =
    left === null
      ? 'no primary answers'
      : `the primary counts ${left.length} of ${resolved.of} synchronous standbys (${left.join(', ') || 'none'})`;
  return {
    holds: running.length === 0 && areLost(),
    by: `${lost.join(', ')}: ${running.length === 0 ? 'no postmaster runs' : `${running.join(', ')} still runs`}; ${counts}`,
    facts: { lost, left },
  };
}

/** A standby that somebody promoted meanwhile is ahead of the primary's timeline: it is fenced, and streams only when it has rejoined. */
function hasDiverged({ nodes }: Topology, name: string, primary: string): boolean {
  const timelineOf = (each: string): number => nodes.find(({ node }) => node === each)?.timeline ?? 0;
  return timelineOf(name) > timelineOf(primary);
}

/**
 * All of them up and streaming, and those that stream confirm commits, as many as did or fewer where others have left since: what streams a moment later is
 * not yet counted by the primary, and a controller may have named others meanwhile. One that has diverged, or that another primary follows, is back when it
 * is up: the rest is settled when redundancy is restored.
 */
async function proveBack(live: LiveTarget, { nodes, of, primary }: Resolved): Promise<FaultProof> {
  const names = nodes.map(({ node }) => node);
  const back: FaultProof[] = [];
  for (const name of names) {
    const proof = await proveNodeBack(live, name);
    if (!proof.holds) return proof;
    back.push(proof);
  }
  const now = await findPrimary(live);
  if (now !== primary) {
    const by = `${back.map((proof) => proof.by).join('; ')}; ${now} is primary now, so who confirms commits is settled when redundancy is restored`;
    return { holds: true, by, facts: { primary: now, nodes: names } };
  }
  const { confirming, diverged } = await until(
    async () => {
      const topology = await live.controller.topology();
      const left = names.filter((name) => hasDiverged(topology, name, primary));
      const streaming = Object.keys(topology.replication);
      const found = syncStandbysOf(live, topology);
      const all = names.every((name) => streaming.includes(name) || left.includes(name));
      return all && found.length >= Math.min(of, streaming.length) ? { confirming: found, diverged: left } : null;
    },
    {
      timeoutMs: STREAMS_WITHIN_MS,
      onTimeout: () =>
        new GamedayError(
          'step_failed',
          `${names.join(', ')} do not stream, or fewer standbys confirm commits than do, after ${STREAMS_WITHIN_MS} ms`,
        ),
    },
  );
  const rejoins = diverged.length === 0 ? '' : `; ${diverged.join(', ')} diverged meanwhile and waits to be rejoined`;
  return {
    holds: true,
    by: `${names.join(', ')} are up; ${confirming.join(', ') || 'no standby'} confirm commits${rejoins}`,
    facts: { confirming, diverged },
  };
}

export const syncStandbyLoss: Fault<Settings, Resolved> = {
  name: 'sync-standby-loss',
  summary: 'kills the standbys that commits wait for',
  schema,
  mayLoseWrites: () => false,
  async resolve(settings, { live }) {
    const { all, names } = await chosen(live, settings);
    return {
      nodes: await Promise.all(
        names.map(async (node) => ({ node, postmaster: await requireRunning(live, node), agent: await findAgent(live, node) })),
      ),
      of: all.length,
      primary: await findPrimary(live),
    };
  },
  preview: ({ nodes, of }) =>
    `SIGKILL PostgreSQL of ${nodes.map(({ node }) => node).join(', ')}: ${nodes.length} of ${of} standbys that commits wait for`,
  reach: ({ nodes }) => ({ nodes: nodes.map(({ node }) => node) }),
  holdsDown: ({ nodes }) => nodes.map(({ node }) => node),
  manualUndo: ({ nodes }, target) =>
    nodes.flatMap(({ node, ...killed }) => [...howToEndHalfKilled(target, node, killed), ...howToStart(target, node)]),
  async ready(settings, { live }) {
    const { names } = await chosen(live, settings);
    return [{ name: 'synchronous standbys can be lost', ok: true, found: names.join(', '), expected: 'as many as asked for', hint: null }];
  },
  async inject({ nodes }, { live }) {
    let killed = 0;
    for (const { node, postmaster, agent } of nodes) killed += await killNode(live, node, { postmaster, agent });
    return { nodes: nodes.map(({ node }) => node), killed };
  },
  confirm,
  async undo({ nodes }, { live }) {
    for (const { node, postmaster, agent } of nodes) {
      await endHalfKilled(live, node, { postmaster, agent });
      await bringUp(live, node);
    }
  },
  confirmGone: (resolved, { live }) => proveBack(live, resolved),
};
