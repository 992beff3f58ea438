/**
 * A node's machine is gone from one moment to the next: its server's whole process tree is killed and its addresses fall silent, so that nobody is even
 * told that the connection is over. A killed process alone is refused at once, which clients notice far sooner.
 *
 * It does not power anything off: on its host other services go on, and where they share the node's address only its server's port falls silent. Undo
 * gives the network back first, then has the controller start the node in the role that is left for it.
 */
import { z } from 'zod';
import type { FaultProof } from '../model/fault';
import type { LiveTarget } from '../targets/ports';
import type { Fault } from './contract';
import { askNode } from './link-traffic';
import { bringUp } from './node-power';
import { describeNode, endHalfKilled, findAgent, isSameServer, killNode, requireRunning, type ProcessHandle } from './node-process';
import { howToEndHalfKilled, howToStart, proveNodeBack } from './node-role';
import {
  armTimer,
  checkFilter,
  dropPackets,
  findLeft,
  manualPass,
  markOf,
  ownsAddress,
  passPackets,
  requireFilter,
  rulesOf,
  stopTimer,
  type Filter,
} from './packet-filter';
import { resolveNode } from './resolve-node';

const SILENCE_MS = 1_500;

const schema = z.strictObject({ node: z.string().min(1).max(63).describe('primary, any-standby, sync-standby or a node’s name') });
type Settings = z.infer<typeof schema>;
type Resolved = {
  readonly node: string;
  readonly mark: string;
  /** The whole address falls silent, not the server's port alone. */
  readonly whole: boolean;
  readonly filter: Filter;
  readonly postmaster: ProcessHandle;
  readonly agent: ProcessHandle | null;
};

async function confirm({ node, postmaster }: Resolved, { live }: { readonly live: LiveTarget }): Promise<FaultProof> {
  const runs = isSameServer(await live.host(node).postmaster(), postmaster);
  const trip = await askNode(describeNode(live.target, node), SILENCE_MS);
  const answer = trip.answered ? `an answer after ${trip.ms.toFixed(1)} ms` : trip.reason;
  return {
    // A refusal would be an answer of the host.
    holds: !runs && !trip.answered && trip.silent,
    by: `postmaster ${postmaster.pid} of ${node} ${runs ? 'still runs' : 'is gone'}; a connection gets ${answer}`,
    facts: { node, runs, answer },
  };
}

export const hostStop: Fault<Settings, Resolved> = {
  name: 'host-stop',
  summary: 'a node’s machine is gone: its server killed, its addresses silent',
  schema,
  mayLoseWrites: () => true,
  takesNodeAway: () => true,
  async resolve(settings, { live, label }) {
    const node = await resolveNode(live, settings.node);
    const filter = await requireFilter(live, node);
    return {
      node,
      filter,
      mark: markOf(live, node, label),
      whole: ownsAddress(live.target, node),
      postmaster: await requireRunning(live, node),
      agent: await findAgent(live, node),
    };
  },
  preview: ({ node, postmaster, whole }) =>
    `SIGKILL the whole PostgreSQL process tree of ${node} (postmaster ${postmaster.pid}) and drop every packet to and from ${whole ? 'it' : 'its PostgreSQL port'}`,
  reach: ({ node }) => ({ nodes: [node] }),
  holdsDown: ({ node }) => [node],
  manualUndo: ({ node, mark, filter, ...killed }, target) => [
    ...manualPass(target, node, mark, filter),
    ...howToEndHalfKilled(target, node, killed),
    ...howToStart(target, node),
  ],
  async ready(settings, { live }) {
    const node = await resolveNode(live, settings.node);
    const postmaster = await live.host(node).postmaster();
    return [
      await checkFilter(live, node),
      {
        name: `${node} can be stopped`,
        ok: postmaster !== null,
        found: postmaster === null ? 'no postmaster' : `postmaster ${postmaster.pid}`,
        expected: 'a running postmaster',
        hint: postmaster === null ? 'start the node first.' : null,
      },
    ];
  },
  armOnHost: ({ node, mark }, { live }, maxMs) => armTimer(live.host(node), mark, maxMs),
  async inject({ node, mark, filter, postmaster, agent }, { live }) {
    const host = live.host(node);
    // Silence first: of the dying connections nobody may hear.
    await dropPackets(host, filter, mark, rulesOf(live.target, node, 'both'));
    return { node, killed: await killNode(live, node, { postmaster, agent }) };
  },
  confirm,
  async undo({ node, mark, postmaster, agent }, { live }) {
    await passPackets(live.host(node), mark);
    await stopTimer(live.host(node), mark);
    await endHalfKilled(live, node, { postmaster, agent });
    await bringUp(live, node);
  },
  async confirmGone({ node, mark }, { live }) {
    const left = await findLeft(live.host(node), mark);
    if (left !== null) return { holds: false, by: left, facts: { node } };
    return proveNodeBack(live, node);
  },
};
