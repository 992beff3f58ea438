/**
 * Promotes a standby behind its controller's back, as a wrong command at night does: two servers take writes, and whoever reaches the second one is told
 * that all is well. What the controller, the router and the clients make of it is what this shows.
 *
 * Undo ends the intruder's writing and starts it fenced, its history saved; it becomes a standby again when redundancy is restored.
 */
import { z } from 'zod';
import { askUntil } from '../core/clock';
import type { FaultProof } from '../model/fault';
import type { LiveTarget, NodeStatus } from '../targets/ports';
import type { Fault, FaultContext } from './contract';
import { bringUp } from './node-power';
import { howToEndStopped, howToStart, howToStop, proveNodeBack } from './node-role';
import { isWritable, resolveNode } from './resolve-node';

const PROMOTES_WITHIN_S = 15;
/** A server that is late once is no server that is down. */
const ANSWER_WITHIN_MS = 10_000;
const ASK_EVERY_MS = 200;

const schema = z.strictObject({
  node: z.string().min(1).max(63).default('any-standby').describe('any-standby, sync-standby or a standby’s name'),
});
type Settings = z.infer<typeof schema>;
type Resolved = { readonly node: string };

/** Null when it does not answer. */
async function inRecovery(live: LiveTarget, node: string): Promise<boolean | null> {
  const rows = await live.sql(node, 'observe', (sql) => sql.query('SELECT pg_is_in_recovery()::text AS recovery')).catch(() => []);
  const found = rows[0]?.['recovery'] ?? null;
  return found === null ? null : found === 'true';
}

/** Does the intruder take writes, and somebody else? Null where it is silence that leaves it open. */
function twoWrite(nodes: readonly NodeStatus[], intruder: string): boolean | null {
  const anyOf = (some: readonly NodeStatus[]): boolean | null => some.some(isWritable) || (some.some(({ up }) => !up) ? null : false);
  const [it, other] = [anyOf(nodes.filter((each) => each.node === intruder)), anyOf(nodes.filter((each) => each.node !== intruder))];
  if (it === false || other === false) return false;
  return it === null || other === null ? null : true;
}

/** Both are to be writable at once, so all are asked at once; again only while it is silence that lacks, never where the answers say that it is not so. */
async function confirm({ node }: Resolved, { live }: { readonly live: LiveTarget }): Promise<FaultProof> {
  const answered = (found: readonly NodeStatus[]): boolean => twoWrite(found, node) !== null;
  const nodes = await askUntil(() => live.controller.status(), answered, { timeoutMs: ANSWER_WITHIN_MS, everyMs: ASK_EVERY_MS });
  const writable = nodes.filter(isWritable).map((each) => each.node);
  return {
    holds: twoWrite(nodes, node) === true,
    by: `writable, asked directly: ${writable.join(', ') || 'none'}`,
    facts: { node, writable },
  };
}

/** What was told to become writable is not trusted to be in recovery: the promotion may only be about to come. */
async function undo({ node }: Resolved, { live, memory }: FaultContext): Promise<void> {
  const told = memory.read()?.['told'] === true;
  const mayWrite = await live.controller.mayWrite(node);
  const host = live.host(node);
  const postmaster = await host.postmaster();
  // Stopped: an undo before this one was ended before it had killed them.
  const stopped = postmaster !== null && (await host.processState(postmaster)) === 'T';
  if (!mayWrite && postmaster !== null && (told || stopped || (await inRecovery(live, node)) === false)) {
    await host.killTree(postmaster);
    memory.write({ told: false });
  }
  await bringUp(live, node);
}

export const promoteBehindBack: Fault<Settings, Resolved> = {
  name: 'promote-behind-back',
  summary: 'promotes a standby behind the controller’s back: two nodes take writes',
  schema,
  // Whatever clients write on the intruder is thrown away.
  mayLoseWrites: () => true,
  async resolve(settings, { live }) {
    return { node: await resolveNode(live, settings.node) };
  },
  preview: ({ node }) => `pg_promote() on ${node}, without telling its controller`,
  reach: ({ node }) => ({ nodes: [node] }),
  holdsDown: ({ node }) => [node],
  manualUndo: ({ node }, target) => [
    `# ends the intruder ${node}; then it is started fenced, never writable:`,
    ...howToEndStopped(target, node),
    howToStop(target, node, 'immediate'),
    ...howToStart(target, node),
  ],
  async ready(settings, { live }) {
    const node = await resolveNode(live, settings.node);
    const standby = (await inRecovery(live, node)) === true;
    return [
      {
        name: `${node} is a standby`,
        ok: standby,
        found: standby ? 'in recovery' : 'not in recovery, or down',
        expected: 'in recovery',
        hint: standby ? null : 'only a standby can be promoted behind its controller’s back.',
      },
    ];
  },
  async inject({ node }, { live, memory }) {
    memory.write({ told: true });
    if ((await inRecovery(live, node)) === true)
      await live.sql(node, 'operate', (sql) => sql.query(`SELECT pg_promote(true, ${PROMOTES_WITHIN_S})`));
    return { node };
  },
  confirm,
  undo,
  confirmGone: ({ node }, { live }) => proveNodeBack(live, node),
};
