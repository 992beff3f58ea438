/**
 * Takes a node's container off one of its networks or off all: whatever it had open hangs, nobody reaches it and it reaches nobody, while everything in it
 * runs on. Undo puts it back at the same seats: the networks, the addresses that its owner fixed, the names that others know it by.
 *
 *     network: left out     ──✂ node ✂──
 *     network: back         ──▶ node ✂──     its other networks go on
 */
import { z } from 'zod';
import { GamedayError } from '../core/errors';
import type { FaultProof } from '../model/fault';
import type { CheckResult } from '../model/record';
import type { Target } from '../model/target';
import type { LiveTarget, NetworkSeat } from '../targets/ports';
import type { Fault } from './contract';
import { askWhere, checkContainer, containerOf, findUndone, leaveMark, takeSeats, takeSeatsByHand, unmarkByHand } from './node-container';
import { describeNode } from './node-process';
import { markOf } from './packet-filter';
import { resolveNode } from './resolve-node';

const schema = z.strictObject({
  node: z.string().min(1).max(63).describe('primary, any-standby, sync-standby or the name of a node that runs in a container'),
  network: z.string().min(1).max(128).optional().describe('one of its networks, as the engine calls it; all of them where it is left out'),
});
type Settings = z.infer<typeof schema>;
type Resolved = {
  readonly node: string;
  readonly seats: readonly NetworkSeat[];
  /** Where its server is asked for a sign of life: at its own address, or where one network alone is taken, at the one that it has there. */
  readonly at: string | null;
  readonly mark: string;
};
type Taken = Pick<Resolved, 'seats' | 'at'>;

/** Throws `fault_refused` where it sits in no such network. */
async function chooseSeats(live: LiveTarget, node: string, network: string | undefined): Promise<Taken> {
  const all = await containerOf(live, node).seats();
  const seats = network === undefined ? all : all.filter((seat) => seat.network === network);
  if (seats.length === 0)
    throw new GamedayError(
      'fault_refused',
      `the container of ${node} sits in ${network === undefined ? 'no network of its own' : `no network "${network}"`}`,
      all.length === 0
        ? 'one that shares the machine’s network cannot be taken off it.'
        : `its networks are ${all.map((seat) => seat.network).join(', ')}.`,
    );
  return { seats, at: seats.length === all.length ? null : (seats[0]?.current ?? null) };
}

/** Addresses that the target file leads to; the engine may give the container another one than it had. */
function isNamed({ nodes, links, entry, paths }: Target, address: string | null): boolean {
  const named = [
    ...nodes.map(({ host }) => host),
    ...(links?.list ?? []).map(({ upstreamHost }) => upstreamHost),
    entry.host,
    ...paths.flatMap(({ hosts }) => hosts.map(({ host }) => host)),
  ];
  return address !== null && named.includes(address);
}

export async function checkWayBack(live: LiveTarget, node: string, { seats }: Pick<Taken, 'seats'>): Promise<CheckResult> {
  const loose = seats.filter(({ address, current }) => address === null && isNamed(live.target, current));
  const fixedPorts = await containerOf(live, node).hasFixedPorts();
  const problems = [
    ...loose.map(({ network, current }) => `the target names ${current ?? ''}, which the engine chose in ${network}`),
    ...(fixedPorts ? [] : ['it publishes a port whose number the engine chose']),
  ];
  return {
    name: `${node} would come back at the same address`,
    ok: problems.length === 0,
    found: problems.join('; ') || seats.map(({ network, address }) => `${network}${address === null ? '' : ` at ${address}`}`).join(', '),
    expected: 'addresses and published ports that its owner chose',
    hint: problems.length === 0 ? null : 'give the container fixed ones (`ipv4_address`, `ports: ["5432:5432"]` in a compose file).',
  };
}

async function confirm({ node, seats, at }: Resolved, { live }: { readonly live: LiveTarget }): Promise<FaultProof> {
  const now = await containerOf(live, node).seats();
  const still = seats.filter(({ network }) => now.some((seat) => seat.network === network)).map(({ network }) => network);
  const postmaster = await live.host(node).postmaster();
  const answer = await askWhere(live, node, at);
  return {
    holds: still.length === 0 && postmaster !== null && !answer.answered,
    by: `the container of ${node} ${still.length === 0 ? 'is off' : 'still sits in'} ${(still.length === 0 ? seats.map(({ network }) => network) : still).join(', ')}; a new connection gets ${answer.found}, while its postmaster ${postmaster === null ? 'is gone as well, so silence proves nothing' : `${postmaster.pid} runs`}`,
    facts: { node, answer: answer.found },
  };
}

/** Also of what nothing is left but its mark. */
export async function putBack({ node, seats, mark }: Resolved, live: LiveTarget): Promise<void> {
  const container = containerOf(live, node);
  await takeSeats(container, seats);
  await container.unmark(mark);
}

export const containerDisconnect: Fault<Settings, Resolved> = {
  name: 'container-disconnect',
  summary: 'takes a node’s container off its networks, while everything in it runs on',
  schema,
  // What a primary had acknowledged and not sent on yet, once another is promoted.
  mayLoseWrites: () => true,
  takesNodeAway: ({ network }) => network === undefined,
  async resolve({ node: word, network }, { live, label }) {
    const node = await resolveNode(live, word);
    return { node, ...(await chooseSeats(live, node, network)), mark: markOf(live, node, label) };
  },
  preview: ({ node, seats }) => `take the container of ${node} off ${seats.map(({ network }) => network).join(', ')}`,
  reach: ({ node }) => ({ nodes: [node] }),
  holdsDown: ({ node }) => [node],
  manualUndo: ({ node: name, seats, mark }, target) => {
    const node = describeNode(target, name);
    return [...takeSeatsByHand(node, seats), unmarkByHand(node, mark)];
  },
  async ready({ node: word, network }, { live }) {
    const node = await resolveNode(live, word);
    const container = await checkContainer(live, node);
    if (live.host(node).container === undefined) return [container];
    const taken = await chooseSeats(live, node, network);
    const answer = await askWhere(live, node, taken.at);
    return [
      container,
      await checkWayBack(live, node, taken),
      {
        name: `${node} answers over what is taken from it`,
        ok: answer.answered,
        found: answer.found,
        expected: 'an answer',
        hint: answer.answered
          ? null
          : 'without traffic nothing shows that the fault bites: leave `network` out, or name one that this machine reaches.',
      },
    ];
  },
  async inject(resolved, { live, label }) {
    const container = containerOf(live, resolved.node);
    await leaveMark(container, { mark: resolved.mark, label, note: { fault: 'container-disconnect', resolved } });
    for (const { network } of resolved.seats) await container.disconnect(network);
    return { node: resolved.node, networks: resolved.seats.map(({ network }) => network) };
  },
  confirm,
  undo: (resolved, { live }) => putBack(resolved, live),
  async confirmGone({ node, seats, mark, at }, { live }) {
    const left = await findUndone(containerOf(live, node), mark, seats);
    if (left !== null) return { holds: false, by: `container of ${node}: ${left}`, facts: { node } };
    const postmaster = await live.host(node).postmaster();
    const answer = await askWhere(live, node, at);
    return {
      holds: postmaster === null || answer.answered,
      by: `it sits where it sat; ${postmaster === null ? `${node} is down, so no bytes could be sent` : `a connection to ${node} gets ${answer.found}`}`,
      facts: { node, answer: answer.found },
    };
  },
};
