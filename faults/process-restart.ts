/**
 * Restarts a node's PostgreSQL in place, as a careless operator or a package upgrade does: `fast` ends its sessions in good order, `immediate` ends them as
 * a crash does and has recovery run. It is over by itself; undo only makes sure that the node serves again, in the role that its controller gives it.
 */
import { z } from 'zod';
import type { JsonObject } from '../model/json';
import type { Fault, FaultContext } from './contract';
import { bringUp, isUp, stopInOrder } from './node-power';
import { isSameServer, requireRunning, type ProcessHandle } from './node-process';
import { howToStart, proveNodeBack } from './node-role';
import { resolveNode } from './resolve-node';

const schema = z.strictObject({
  node: z.string().min(1).max(63).describe('primary, any-standby, sync-standby or a node’s name'),
  mode: z.enum(['fast', 'immediate']).default('fast'),
});
type Settings = z.infer<typeof schema>;
type Resolved = { readonly node: string; readonly mode: 'fast' | 'immediate'; readonly postmaster: ProcessHandle };

async function inject({ node, mode, postmaster }: Resolved, { live }: FaultContext): Promise<JsonObject> {
  const restarts = isSameServer(await live.host(node).postmaster(), postmaster);
  if (restarts) await stopInOrder(live, node, mode);
  await bringUp(live, node);
  return { node, mode, restarted: restarts };
}

export const processRestart: Fault<Settings, Resolved> = {
  name: 'process-restart',
  summary: 'restarts a node’s PostgreSQL in place',
  schema,
  // Whatever is promoted meanwhile may lack what it had acknowledged.
  mayLoseWrites: () => true,
  momentary: true,
  async resolve(settings, { live }) {
    const node = await resolveNode(live, settings.node);
    return { node, mode: settings.mode, postmaster: await requireRunning(live, node) };
  },
  preview: ({ node, mode, postmaster }) => `restart PostgreSQL of ${node} (${mode} shutdown, postmaster ${postmaster.pid})`,
  reach: ({ node }) => ({ nodes: [node] }),
  holdsDown: ({ node }) => [node],
  manualUndo: ({ node }, target) => howToStart(target, node),
  async ready(settings, { live }) {
    const node = await resolveNode(live, settings.node);
    const ok = await isUp(live, node);
    return [
      {
        name: `${node} can be restarted`,
        ok,
        found: ok ? 'it answers' : 'it does not answer',
        expected: 'a server that answers',
        hint: ok ? null : 'start the node first.',
      },
    ];
  },
  inject,
  async confirm({ node, postmaster }, { live }) {
    const now = await live.host(node).postmaster();
    const another = now !== null && !isSameServer(now, postmaster);
    return {
      holds: another,
      by: `${node} runs under postmaster ${now?.pid ?? 'none'}${another ? `, no longer under ${postmaster.pid}` : ''}`,
      facts: { node, before: postmaster.pid, now: now?.pid ?? null },
    };
  },
  undo: ({ node }, { live }) => bringUp(live, node),
  confirmGone: ({ node }, { live }) => proveNodeBack(live, node),
};
