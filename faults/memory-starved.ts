/**
 * Leaves a node little memory: its whole process tree enters a control group of ours with a limit on what it takes from now on, private memory and page
 * cache alike. What it held before (shared buffers it has touched) stays where it was counted.
 *
 *     page cache beyond the limit    is thrown out again: reads and writes go to the disk
 *     private memory beyond it       waits until the fault ends (v1), or is slowed ever more (v2)
 *
 * It must never let the kernel kill anybody for want of memory: that is another fault, and would hit whom the kernel chooses.
 */
import { z } from 'zod';
import { formatBytes, formatMs } from '../core/units';
import { monotonicNs } from '../core/clock';
import { messageOf } from '../core/errors';
import type { FaultProof } from '../model/fault';
import type { LiveTarget } from '../targets/ports';
import type { Fault, FaultContext } from './contract';
import {
  checkCgroup,
  countMembers,
  enterCgroup,
  leaveCgroup,
  manualCgroupRemoval,
  proveCgroupGone,
  readCounter,
  resolveCgroup,
  type CgroupLimit,
  type NodeCgroup,
} from './node-cgroup';
import { resolveNode } from './resolve-node';
import { sizeBetween, sizeBytes } from './size-setting';

const ROW_BYTES = 8_000;

const schema = z.strictObject({
  node: z.string().min(1).max(63).describe('primary, any-standby or a node’s name'),
  // Below 32 MB not even a connection comes about; what is larger than 512 MB no proof could fill in time.
  limit: sizeBetween('32MB', '512MB').describe('what the node may take besides what it holds, e.g. 64MB'),
});
type Settings = z.infer<typeof schema>;
type Resolved = { readonly group: NodeCgroup; readonly limitBytes: number };

function limits(version: 1 | 2, limitBytes: number): CgroupLimit[] {
  if (version === 2) return [{ file: 'memory.high', value: String(limitBytes) }];
  return [
    // First, so that there is no moment at which the limit kills.
    { file: 'memory.oom_control', value: '1' },
    { file: 'memory.limit_in_bytes', value: String(limitBytes) },
  ];
}

/** How often the kernel had to hold the group back. */
const timesHeldBack = (group: NodeCgroup, live: LiveTarget): Promise<number> =>
  group.version === 2 ? readCounter(group, live, 'memory.events', 'high') : readCounter(group, live, 'memory.failcnt', null);

/** A session's temporary file of twice the limit: page cache, so it finds the limit without waiting for ever. In words, how it went. */
async function fillCache(live: LiveTarget, { group, limitBytes }: Resolved): Promise<string> {
  const rows = Math.ceil((2 * limitBytes) / ROW_BYTES);
  const began = monotonicNs();
  const ended = await live
    .sql(group.node, 'observe', (sql) =>
      sql.query(
        `WITH filler AS MATERIALIZED (SELECT repeat('x', ${ROW_BYTES}) AS text FROM generate_series(1, ${rows})) SELECT count(*) FROM filler a WHERE EXISTS (SELECT FROM filler)`,
      ),
    )
    .then(
      () => 'took',
      (error: unknown) => `failed (${messageOf(error)}) after`,
    );
  return `${ended} ${formatMs(Number(monotonicNs() - began) / 1e6)}`;
}

async function confirm(resolved: Resolved, { live }: FaultContext): Promise<FaultProof> {
  const { group, limitBytes } = resolved;
  const { inside, outside } = await countMembers(group, live);
  const facts = { node: group.node, limitBytes, inside, outside };
  if (inside === 0) return { holds: false, by: `no process of ${group.node} is in ${group.dir}`, facts };
  const before = await timesHeldBack(group, live);
  const went = await fillCache(live, resolved);
  const heldBack = (await timesHeldBack(group, live)) - before;
  return {
    holds: outside === 0 && heldBack > 0,
    by: `a session on ${group.node} that wrote a temporary file of ${formatBytes(2 * limitBytes)} ${went}; the kernel held the node’s ${inside} processes back ${heldBack} times meanwhile${outside > 0 ? `, but ${outside} are outside` : ''}`,
    facts: { ...facts, heldBack },
  };
}

export const memoryStarved: Fault<Settings, Resolved> = {
  name: 'memory-starved',
  summary: 'leaves a node little memory, without anybody being killed for it',
  schema,
  mayLoseWrites: () => false,
  async resolve(settings, context) {
    const node = await resolveNode(context.live, settings.node);
    return { group: await resolveCgroup('memory', node, context), limitBytes: sizeBytes(settings.limit) };
  },
  preview: ({ group, limitBytes }) => `leave ${group.node} ${formatBytes(limitBytes)} of memory besides what it holds`,
  reach: ({ group }) => ({ nodes: [group.node] }),
  manualUndo: ({ group }, target) => manualCgroupRemoval(group, target),
  async ready(settings, context) {
    const node = await resolveNode(context.live, settings.node);
    return checkCgroup('memory', node, ({ version }) => limits(version, sizeBytes(settings.limit)), context);
  },
  async inject({ group, limitBytes }, context) {
    await enterCgroup(group, limits(group.version, limitBytes), context);
    return { node: group.node, limitBytes };
  },
  confirm,
  undo: ({ group }, context) => leaveCgroup(group, context),
  confirmGone: ({ group }, { live }) => proveCgroupGone(group, live),
};
