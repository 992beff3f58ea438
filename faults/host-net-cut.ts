/**
 * Cuts a node's host off by packet filter rules on it: for clusters whose connections do not go through Toxiproxy, and for silence in one direction.
 *
 *     in     ──✂ node ──▶      nothing reaches the node
 *     out    ──▶ node ✂──      nothing that it sends arrives
 *     both   ──✂ node ✂──
 *
 * It may cut gameday off as well, so before the first rule a timer is left on the host that takes them off when the lease's hard maximum is over.
 * On one machine for all nodes, where addresses are of the loopback: what the node opens itself is cut where its declared links begin, no further.
 * Where somebody else of the target is reached at the node's address, or it is 127.0.0.1, its server's port alone is cut.
 */
import { z } from 'zod';
import type { FaultProof } from '../model/fault';
import type { LiveTarget } from '../targets/ports';
import type { Fault } from './contract';
import { askNode, type RoundTrip } from './link-traffic';
import { describeNode } from './node-process';
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
  type Cut,
  type Filter,
} from './packet-filter';
import { resolveNode } from './resolve-node';

const SILENCE_MS = 1_500;

const schema = z.strictObject({
  node: z.string().min(1).max(63).describe('primary, any-standby, sync-standby or a node’s name'),
  direction: z.enum(['both', 'in', 'out']).default('both'),
});
type Settings = z.infer<typeof schema>;
type Resolved = {
  readonly node: string;
  readonly direction: Cut;
  readonly mark: string;
  /** The whole address is cut, not the server's port alone. */
  readonly whole: boolean;
  readonly filter: Filter;
};

const ask = (live: LiveTarget, node: string): Promise<RoundTrip> => askNode(describeNode(live.target, node), SILENCE_MS);
const said = (trip: RoundTrip): string => (trip.answered ? `an answer after ${trip.ms.toFixed(1)} ms` : trip.reason);

async function confirm({ node }: Resolved, { live }: { readonly live: LiveTarget }): Promise<FaultProof> {
  const postmaster = await live.host(node).postmaster();
  const trip = await ask(live, node);
  return {
    holds: postmaster !== null && !trip.answered && trip.silent,
    by: `a new connection to ${node} gets ${said(trip)}, while its postmaster ${postmaster === null ? 'is gone as well, so silence proves nothing' : `${postmaster.pid} runs`}`,
    facts: { node, answer: said(trip) },
  };
}

export const hostNetCut: Fault<Settings, Resolved> = {
  name: 'host-net-cut',
  summary: 'cuts a node’s host off the network by packet filter rules',
  schema,
  mayLoseWrites: () => false,
  async resolve(settings, { live, label }) {
    const node = await resolveNode(live, settings.node);
    const filter = await requireFilter(live, node);
    return { node, direction: settings.direction, mark: markOf(live, node, label), whole: ownsAddress(live.target, node), filter };
  },
  preview: ({ node, direction, whole, filter }) =>
    `drop every packet ${direction === 'both' ? 'to and from' : direction === 'in' ? 'to' : 'from'} ${whole ? node : `PostgreSQL’s port of ${node}`} by ${filter} on its host`,
  reach: ({ node }) => ({ nodes: [node] }),
  holdsDown: ({ node }) => [node],
  manualUndo: ({ node, mark, filter }, target) => manualPass(target, node, mark, filter),
  async ready(settings, { live }) {
    const node = await resolveNode(live, settings.node);
    const trip = await ask(live, node);
    return [
      await checkFilter(live, node),
      {
        name: `${node} answers`,
        ok: trip.answered,
        found: said(trip),
        expected: 'an answer',
        hint: trip.answered ? null : 'without traffic nothing shows that the fault bites; bring the node up first.',
      },
    ];
  },
  armOnHost: ({ node, mark }, { live }, maxMs) => armTimer(live.host(node), mark, maxMs),
  async inject({ node, direction, mark, filter }, { live }) {
    const rules = rulesOf(live.target, node, direction);
    await dropPackets(live.host(node), filter, mark, rules);
    return { node, direction, rules: rules.length };
  },
  confirm,
  async undo({ node, mark }, { live }) {
    await passPackets(live.host(node), mark);
    await stopTimer(live.host(node), mark);
  },
  async confirmGone({ node, mark }, { live }) {
    const host = live.host(node);
    const left = await findLeft(host, mark);
    if (left !== null) return { holds: false, by: left, facts: { node } };
    const postmaster = await host.postmaster();
    const trip = await ask(live, node);
    return {
      holds: postmaster === null || trip.answered,
      by:
        postmaster === null
          ? `the rules are off; ${node} is down, so no bytes could be sent`
          : `the rules are off; a connection to ${node} gets ${said(trip)}`,
      facts: { node, answer: said(trip) },
    };
  },
};
