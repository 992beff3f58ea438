/** Which member of etcd leads, by the members' own word over its JSON gateway (API v3, since 3.4). Reads only; a store of another kind does not answer it. */
import { GamedayError, messageOf } from '../../core/errors';
import type { TargetDcsMember } from '../../model/target';

const ANSWER_MS = 2_000;

interface Status {
  readonly header?: { readonly member_id?: string };
  readonly leader?: string;
}

/** Name of the member that calls itself the leader. Throws `controller_unreachable` when none does: the store has no leader, or is no etcd. */
export async function findEtcdLeader(members: readonly TargetDcsMember[]): Promise<string> {
  const said = await Promise.all(members.map(askMember));
  const leader = said.find(({ leads }) => leads);
  if (leader !== undefined) return leader.name;
  throw new GamedayError(
    'controller_unreachable',
    `no member of the store says that it leads: ${said.map(({ name, why }) => `${name}: ${why}`).join('; ')}`,
    'only etcd (3.4 or later, without TLS) is asked; elsewhere name the member.',
  );
}

async function askMember({
  name,
  host,
  port,
}: TargetDcsMember): Promise<{ readonly name: string; readonly leads: boolean; readonly why: string }> {
  try {
    const answer = await fetch(`http://${host}:${port}/v3/maintenance/status`, {
      method: 'POST',
      body: '{}',
      signal: AbortSignal.timeout(ANSWER_MS),
    });
    if (!answer.ok) return { name, leads: false, why: `HTTP ${answer.status}` };
    const { header, leader } = (await answer.json()) as Status;
    const leads = leader !== undefined && leader !== '0' && header?.member_id === leader;
    return { name, leads, why: leads ? 'leads' : 'follows' };
  } catch (error) {
    return { name, leads: false, why: messageOf(error) };
  }
}
