/**
 * Pauses a node's whole container: every process in it stands still at once, server, agent and whatever else runs there, as a virtual machine that is
 * paused. The kernel still accepts connections for it; nothing answers, nothing fails. No command runs in it meanwhile.
 *
 * When it wakes up the world has gone on. What was primary and is no longer is killed where it stands, off its networks, so that nothing it had begun
 * reaches anybody; the controller then starts it in the role that is left for it. `thaw: true` is that of process-freeze.
 */
import { z } from 'zod';
import { GamedayError } from '../core/errors';
import type { FaultProof } from '../model/fault';
import type { Target } from '../model/target';
import type { ContainerPower, LiveTarget, NetworkSeat } from '../targets/ports';
import { checkWayBack } from './container-disconnect';
import type { Fault } from './contract';
import {
  askWhere,
  checkContainer,
  containerOf,
  findUndone,
  killPausedByHand,
  leaveMark,
  takeSeats,
  takeSeatsByHand,
  unmarkByHand,
  unpauseByHand,
} from './node-container';
import { bringBack } from './node-power';
import { describeNode, findAgent, requireRunning } from './node-process';
import { howToStart, proveNodeBack } from './node-role';
import { checkThaw, refuseThaw, THAW } from './node-thaw';
import { markOf } from './packet-filter';
import { resolveNode } from './resolve-node';

const schema = z.strictObject({
  node: z.string().min(1).max(63).describe('primary, any-standby, sync-standby or the name of a node that runs in a container'),
  thaw: z.boolean().default(false).describe(THAW),
});
type Settings = z.infer<typeof schema>;
type Resolved = {
  readonly node: string;
  /** Wakes up whatever has become of its role. */
  readonly thaw: boolean;
  readonly primary: boolean;
  readonly seats: readonly NetworkSeat[];
  readonly mark: string;
};

async function confirm({ node }: Resolved, { live }: { readonly live: LiveTarget }): Promise<FaultProof> {
  const state = await containerOf(live, node).state();
  const answer = await askWhere(live, node, null);
  return {
    holds: state === 'paused' && !answer.answered,
    by: `the container of ${node} is ${state}; a new connection gets ${answer.found}`,
    facts: { node, state, answer: answer.found },
  };
}

/** Some controllers ask the node itself, which cannot answer: whoever nobody vouches for does not wake up writable. */
async function mayStillWrite(live: LiveTarget, node: string): Promise<boolean> {
  try {
    return await live.controller.mayWrite(node);
  } catch (error) {
    if (error instanceof GamedayError && error.code === 'host_unreachable') return false;
    throw error;
  }
}

/** A kernel of control groups v1 wakes it before it dies: of what it then does nothing must leave it. */
async function endPaused(container: ContainerPower, seats: readonly NetworkSeat[]): Promise<void> {
  for (const { network } of seats) await container.disconnect(network);
  await container.kill();
}

export async function wakeContainer({ node, seats, thaw, primary }: Resolved, live: LiveTarget): Promise<void> {
  const container = containerOf(live, node);
  if ((await container.state()) === 'paused') {
    if (thaw || !primary || (await mayStillWrite(live, node))) await container.unpause();
    else await endPaused(container, seats);
  }
  await takeSeats(container, seats);
}

/** Also of what nothing is left but its mark, which therefore goes last. */
export async function undoPause(resolved: Resolved, live: LiveTarget): Promise<void> {
  const { node, mark } = resolved;
  await wakeContainer(resolved, live);
  await bringBack(live, node);
  await containerOf(live, node).unmark(mark);
}

/** A primary that was replaced is killed where it stands; only in a lab whose agents fail over by themselves does gameday start its machine again. */
function primaryProblem({ target }: LiveTarget, node: string): string | null {
  if (target.kind === 'lab' && ['patroni', 'pg-auto-failover'].includes(target.controller.kind)) return null;
  return `${node} is the primary of ${target.name}: once replaced it would be killed, and nobody would start its container again`;
}

const NOT_PAUSED = 'pause a standby, or take the primary away by host-stop or container-disconnect.';

function manualUndo({ node: name, thaw, primary, seats, mark }: Resolved, target: Target): readonly string[] {
  const node = describeNode(target, name);
  const rest = [...takeSeatsByHand(node, seats), ...howToStart(target, name), unmarkByHand(node, mark)];
  if (thaw || !primary) return [unpauseByHand(node), ...rest];
  // What undo.sh runs without a thought must never wake a primary that was replaced meanwhile.
  return [`# while ${name} still holds its role, this alone is enough: ${unpauseByHand(node)}`, killPausedByHand(node, seats), ...rest];
}

export const containerPause: Fault<Settings, Resolved> = {
  name: 'container-pause',
  summary: 'pauses a node’s whole container, agent included: nothing answers, nothing fails',
  schema,
  // As with a killed primary: what it had acknowledged to nobody else may be lost once another is promoted.
  mayLoseWrites: () => true,
  takesNodeAway: () => true,
  async resolve({ node: word, thaw }, { live, label }) {
    const node = await resolveNode(live, word);
    const container = containerOf(live, node);
    await requireRunning(live, node);
    if (thaw) refuseThaw(live, node, await findAgent(live, node));
    const primary = await live.controller.mayWrite(node);
    const problem = primary && !thaw ? primaryProblem(live, node) : null;
    if (problem !== null) throw new GamedayError('fault_refused', problem, NOT_PAUSED);
    return { node, thaw, primary, seats: await container.seats(), mark: markOf(live, node, label) };
  },
  preview: ({ node, thaw }) => `pause the container of ${node}${thaw ? ', and wake it whatever has become of its role' : ''}`,
  reach: ({ node }) => ({ nodes: [node] }),
  holdsDown: ({ node }) => [node],
  manualUndo,
  async ready({ node: word, thaw }, { live }) {
    const node = await resolveNode(live, word);
    const container = await checkContainer(live, node);
    if (!container.ok) return [container];
    if (thaw) return [container, checkThaw(live, node, await findAgent(live, node))];
    if (!(await live.controller.mayWrite(node))) return [container];
    const problem = primaryProblem(live, node);
    const expected = 'a standby, or a lab whose agents fail over by themselves';
    return [
      container,
      { name: `${node} would be started again`, ok: problem === null, found: problem ?? expected, expected, hint: problem && NOT_PAUSED },
      await checkWayBack(live, node, { seats: await containerOf(live, node).seats() }),
    ];
  },
  async inject(resolved, { live, label }) {
    const container = containerOf(live, resolved.node);
    await leaveMark(container, { mark: resolved.mark, label, note: { fault: 'container-pause', resolved } });
    await container.pause();
    return { node: resolved.node };
  },
  confirm,
  undo: (resolved, { live }) => undoPause(resolved, live),
  async confirmGone({ node, mark, seats }, { live }) {
    const left = await findUndone(containerOf(live, node), mark, seats);
    if (left !== null) return { holds: false, by: `container of ${node}: ${left}`, facts: { node } };
    return proveNodeBack(live, node);
  },
};
