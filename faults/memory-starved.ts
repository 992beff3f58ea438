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
import { monotonicNs, until } from '../core/clock';
import { GamedayError, messageOf } from '../core/errors';
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
/** For the group to be held back: the server goes on filling when the session is cut off, after 5 s. A proof has 30 s. */
const HELD_BACK_WITHIN_MS = 20_000;

const schema = z.strictObject({
  node: z.string().min(1).max(63).describe('primary, any-standby or a node’s name'),
  // Below 32 MB not even a connection comes about; what is larger than 256 MB no proof could fill in time on a slow disk.
  limit: sizeBetween('32MB', '256MB').describe('what the node may take besides what it holds, e.g. 64MB'),
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

/** A session's temporary file of twice the limit: page cache, so it finds the limit without waiting for ever. In words, how it went. Never rejects. */
async function fillCache(live: LiveTarget, { group, limitBytes }: Resolved): Promise<{ readonly whole: boolean; readonly text: string }> {
  const rows = Math.ceil((2 * limitBytes) / ROW_BYTES);
  const began = monotonicNs();
  const error = await live
    .sql(group.node, 'observe', (sql) =>
      sql.query(
        `WITH filler AS MATERIALIZED (SELECT repeat('x', ${ROW_BYTES}) AS text FROM generate_series(1, ${rows})) SELECT count(*) FROM filler a WHERE EXISTS (SELECT FROM filler)`,
      ),
    )
    .then(() => null, messageOf);
  const took = formatMs(Number(monotonicNs() - began) / 1e6);
  return { whole: error === null, text: error === null ? `took ${took}` : `failed (${error}) after ${took}` };
}

/** Fills until the kernel has held the group back, or the whole file is written, or there is no time left. */
async function fillUntilHeldBack(live: LiveTarget, resolved: Resolved): Promise<{ readonly heldBack: number; readonly went: string }> {
  const before = await timesHeldBack(resolved.group, live);
  let whole = false;
  const filling = fillCache(live, resolved).then((went) => {
    whole = went.whole;
    return went.text;
  });
  const heldBack = await until(
    async () => {
      const last = whole;
      const times = (await timesHeldBack(resolved.group, live)) - before;
      return times > 0 || last ? times : null;
    },
    { timeoutMs: HELD_BACK_WITHIN_MS, onTimeout: () => new GamedayError('step_failed', 'nobody was held back') },
  ).catch(() => 0);
  return { heldBack, went: await filling };
}

async function confirm(resolved: Resolved, { live }: FaultContext): Promise<FaultProof> {
  const { group, limitBytes } = resolved;
  const { inside, outside } = await countMembers(group, live);
  const facts = { node: group.node, limitBytes, inside, outside };
  if (inside === 0) return { holds: false, by: `no process of ${group.node} is in ${group.dir}`, facts };
  const { heldBack, went } = await fillUntilHeldBack(live, resolved);
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
