/**
 * Late words for what is no node: `dcs-leader`, `dcs-quorum`, `dcs`, `monitor`, `router`, `pooler` become services of the target when the step runs, because
 * the store may have chosen another leader meanwhile. Reads only.
 */
import { GamedayError } from '../core/errors';
import { bookKeepers, type TargetService } from '../model/target';
import { findEtcdLeader } from '../targets/controllers/etcd-leader';
import type { LiveTarget } from '../targets/ports';

const KINDS: readonly string[] = ['dcs', 'monitor', 'router', 'pooler'];
export const SERVICE_WORDS = 'dcs-leader, dcs-quorum, dcs, monitor, router, pooler or a service’s name';

/** Services that a word stands for now, each once. Throws `fault_refused` if it stands for none. */
export async function resolveServices(live: LiveTarget, word: string): Promise<readonly TargetService[]> {
  const { services = [], name: target } = live.target;
  if (services.length === 0)
    throw new GamedayError(
      'fault_refused',
      `target ${target} names no services`,
      'say under `services` in the target file how each is found and started; docs/HOSTS.md shows how.',
    );
  const named = services.filter(({ name }) => name === word);
  if (named.length > 0) return named;
  if (word === 'dcs-leader') return (await membersByRank(live)).slice(0, 1);
  if (word === 'dcs-quorum') return quorum(live);
  const found = KINDS.includes(word) ? services.filter(({ kind }) => kind === word) : [];
  if (found.length === 0)
    throw new GamedayError(
      'fault_refused',
      `"${word}" names no service of target ${target}`,
      `it has ${services.map(({ name, kind }) => `${name} (${kind})`).join(', ')}.`,
    );
  return found;
}

/** Members of the DCS that are services, the leader first. */
async function membersByRank({ target }: LiveTarget): Promise<readonly TargetService[]> {
  const { controller, services = [] } = target;
  if (controller.kind !== 'patroni' || controller.dcs.length === 0)
    throw new GamedayError('fault_refused', `target ${target.name} names no members of a DCS`, 'name them in `controller.dcs`.');
  const leader = await findEtcdLeader(controller.dcs);
  const members = services.filter(({ kind }) => kind === 'dcs');
  if (!members.some(({ name }) => name === leader))
    throw new GamedayError(
      'fault_refused',
      `${leader} leads the store and is no service of target ${target.name}`,
      'add it to `services`.',
    );
  return [...members].sort((a, b) => Number(b.name === leader) - Number(a.name === leader));
}

/** As few as leave no majority: two of three, three of five. */
async function quorum(live: LiveTarget): Promise<readonly TargetService[]> {
  const needed = Math.ceil(bookKeepers(live.target.controller).length / 2);
  const members = (await membersByRank(live)).slice(0, needed);
  if (members.length < needed)
    throw new GamedayError(
      'fault_refused',
      `${needed} members must die for the store to lose its majority, the target names ${members.length} of them as services`,
      'add the others to `services`.',
    );
  return members;
}
