/**
 * A node that is a container as a whole: its engine, the mark that stays there while a fault stands, and what a person types to the same end. A container
 * takes no label once it is made, so the mark stands beside it and holds all that undoing needs.
 */
import { GamedayError } from '../core/errors';
import type { JsonObject } from '../model/json';
import type { CheckResult } from '../model/record';
import type { TargetHost, TargetNode } from '../model/target';
import { commandLine, quoteWord } from '../targets/hosts/shell-words';
import type { ContainerPower, LiveTarget, NetworkSeat } from '../targets/ports';
import { dockerWords } from './by-hand';
import { askNode } from './link-traffic';
import { describeNode } from './node-process';

const SILENCE_MS = 1_500;

/** Throws `fault_refused` where the node runs elsewhere. */
export function containerOf(live: LiveTarget, node: string): ContainerPower {
  const { container, kind } = live.host(node);
  if (container === undefined)
    throw new GamedayError('fault_refused', `node ${node} is no container: its host is of the kind ${kind}`, ELSEWHERE);
  return container;
}

const ELSEWHERE = 'process-freeze, host-stop and host-net-cut do the same by other means on every kind of host.';

/** Pre-flight that others build on: a container that runs, whose server answers. */
export async function checkContainer(live: LiveTarget, node: string): Promise<CheckResult> {
  const { container, kind } = live.host(node);
  const name = `${node} is a container that runs and answers`;
  const expected = 'a container of an engine on this machine, running, and an answer';
  if (container === undefined) return { name, ok: false, found: `a host of the kind ${kind}`, expected, hint: ELSEWHERE };
  const state = await container.state();
  const answer = await askWhere(live, node, null);
  const ok = state === 'running' && answer.answered;
  return { name, ok, found: `${state}; ${answer.found}`, expected, hint: ok ? null : 'bring the node up first.' };
}

/** Does its server answer a new connection, at another address if one is given? In words too. */
export async function askWhere(
  live: LiveTarget,
  node: string,
  host: string | null,
): Promise<{ readonly answered: boolean; readonly found: string }> {
  const { port, host: own } = describeNode(live.target, node);
  const trip = await askNode({ host: host ?? own, port }, SILENCE_MS);
  return { answered: trip.answered, found: trip.answered ? `an answer after ${trip.ms.toFixed(1)} ms` : trip.reason };
}

export interface Marked {
  readonly mark: string;
  readonly label: string;
  readonly note: JsonObject;
}

/** Before anything is done to the container: whoever finds the mark can undo it, with nothing else left of the fault. */
export const leaveMark = (container: ContainerPower, { mark, label, note }: Marked): Promise<void> =>
  container.mark({ name: mark, label, note });

/** Puts it back wherever it sat and does not sit now. */
export async function takeSeats(container: ContainerPower, seats: readonly NetworkSeat[]): Promise<void> {
  for (const seat of seats) await container.connect(seat);
}

/** What of a fault is still to be seen on the engine; null: nothing. */
export async function findUndone(container: ContainerPower, mark: string, seats: readonly NetworkSeat[]): Promise<string | null> {
  if ((await container.state()) === 'paused') return 'it is still paused';
  const now = await container.seats();
  const empty = seats.filter(({ network, address }) => !now.some((seat) => seat.network === network && seat.address === address));
  if (empty.length > 0) return `it does not sit in ${empty.map(({ network }) => network).join(', ')} as before`;
  return (await container.marks()).some(({ name }) => name === mark) ? `mark ${mark} is still there` : null;
}

/** Throws `fault_refused`: only handles of nodes in containers are made. */
function dockerOf({ name, runsOn }: TargetNode): Extract<TargetHost, { readonly kind: 'docker' }> {
  if (runsOn.kind !== 'docker') throw new GamedayError('fault_refused', `node ${name} is no container`, ELSEWHERE);
  return runsOn;
}

const engine = (node: TargetNode, ...words: readonly string[]): string => commandLine(dockerWords(dockerOf(node).socket, ...words));
const isPaused = (node: TargetNode): string =>
  `${engine(node, 'inspect', '--format', '{{.State.Paused}}', dockerOf(node).container)} | grep -qx true`;
const sits = (node: TargetNode, network: string): string =>
  `${engine(node, 'inspect', '--format', '{{range $name, $seat := .NetworkSettings.Networks}}{{println $name}}{{end}}', dockerOf(node).container)} | grep -Fqx -- ${quoteWord(network)}`;

export const unpauseByHand = (node: TargetNode): string =>
  `if ${isPaused(node)}; then ${engine(node, 'unpause', dockerOf(node).container)}; fi`;

/** Its networks first: the kernel may wake it for a moment before it dies. */
export function killPausedByHand(node: TargetNode, seats: readonly NetworkSeat[]): string {
  const { container } = dockerOf(node);
  const off = seats.map(
    ({ network }) => `if ${sits(node, network)}; then ${engine(node, 'network', 'disconnect', network, container)}; fi`,
  );
  return `if ${isPaused(node)}; then ${[...off, engine(node, 'kill', container)].join('; ')}; fi`;
}

export function takeSeatsByHand(node: TargetNode, seats: readonly NetworkSeat[]): readonly string[] {
  const { container } = dockerOf(node);
  return seats.map(({ network, aliases, address, address6 }) => {
    const fixed = [...(address === null ? [] : ['--ip', address]), ...(address6 === null ? [] : ['--ip6', address6])];
    const connect = engine(node, 'network', 'connect', ...fixed, ...aliases.flatMap((alias) => ['--alias', alias]), network, container);
    return `${sits(node, network)} || ${connect}`;
  });
}

export const unmarkByHand = (node: TargetNode, mark: string): string => engine(node, 'volume', 'rm', '--force', mark);
