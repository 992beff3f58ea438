/**
 * Leaves a node a small share of one processor core: its whole process tree enters a control group of ours with a quota of processor time.
 *
 *     100 ms period   |▓▓░░░░░░░░░░░░░░░░░░|▓▓░░░░░░░░░░░░░░░░░░|   share: 10 — after 10 ms everybody in the tree waits for the next period
 *
 * Everything still works, late. It must never take time from anybody but the node.
 */
import { z } from 'zod';
import { monotonicNs } from '../core/clock';
import { formatMs } from '../core/units';
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

const PERIOD_US = 100_000;
/** Counted by one session for each percent of share: about ten quotas' worth of work, so that ten periods are seen. */
const ROWS_PER_PERCENT = 100_000;
const CALM_TRIES = 3;

const schema = z.strictObject({
  node: z.string().min(1).max(63).describe('primary, any-standby or a node’s name'),
  // Below 2 % not even a connection comes about in time; above 50 % a machine's own noise is larger than the fault.
  share: z.int().min(2).max(50).describe('percent of one processor core that the whole node may use'),
});
type Settings = z.infer<typeof schema>;
type Resolved = { readonly group: NodeCgroup; readonly share: number };

function limits(version: 1 | 2, share: number): CgroupLimit[] {
  const quotaUs = (PERIOD_US * share) / 100;
  if (version === 2) return [{ file: 'cpu.max', value: `${quotaUs} ${PERIOD_US}` }];
  return [
    { file: 'cpu.cfs_period_us', value: String(PERIOD_US) },
    { file: 'cpu.cfs_quota_us', value: String(quotaUs) },
  ];
}

/** How long a session on the node takes to count; throws when it does not end within its deadline. */
async function countingMs(live: LiveTarget, { group, share }: Resolved): Promise<number> {
  return live.sql(group.node, 'observe', async (sql) => {
    const began = monotonicNs();
    await sql.query(`SELECT count(*) FROM generate_series(1, ${share * ROWS_PER_PERCENT})`);
    return Number(monotonicNs() - began) / 1e6;
  });
}

async function quickestCountMs(live: LiveTarget, resolved: Resolved): Promise<number> {
  let quickest = Infinity;
  for (let n = 0; n < CALM_TRIES; n += 1) quickest = Math.min(quickest, await countingMs(live, resolved));
  return quickest;
}

/** Throttling alone would make it 100/share times as long; half of that is more than noise. */
const expectedMs = (calmMs: number, share: number): number => calmMs * (1 + (100 / share - 1) / 2);

async function confirm(resolved: Resolved, { live, memory }: FaultContext): Promise<FaultProof> {
  const { group, share } = resolved;
  const { inside, outside } = await countMembers(group, live);
  const calmMs = memory.read()?.['calmMs'];
  if (inside === 0 || typeof calmMs !== 'number')
    return { holds: false, by: `no process of ${group.node} is in ${group.dir}`, facts: { node: group.node, inside, outside } };
  const before = await readCounter(group, live, 'cpu.stat', 'nr_throttled');
  const tookMs = await countingMs(live, resolved).catch(() => null);
  const throttled = (await readCounter(group, live, 'cpu.stat', 'nr_throttled')) - before;
  return {
    holds: outside === 0 && throttled > 0 && (tookMs === null || tookMs >= expectedMs(calmMs, share)),
    by: `a session on ${group.node} ${tookMs === null ? 'did not end its count in time' : `took ${formatMs(tookMs)} to count`} (${formatMs(calmMs)} before); its ${inside} processes were held back in ${throttled} periods meanwhile${outside > 0 ? `, but ${outside} are outside` : ''}`,
    facts: { node: group.node, share, inside, outside, throttledPeriods: throttled, calmMs, tookMs },
  };
}

export const cpuStarved: Fault<Settings, Resolved> = {
  name: 'cpu-starved',
  summary: 'leaves a node a small share of one processor core',
  schema,
  mayLoseWrites: () => false,
  async resolve(settings, context) {
    const node = await resolveNode(context.live, settings.node);
    return { group: await resolveCgroup('cpu', node, context), share: settings.share };
  },
  preview: ({ group, share }) => `leave ${group.node} ${share} % of one processor core`,
  reach: ({ group }) => ({ nodes: [group.node] }),
  manualUndo: ({ group }, target) => manualCgroupRemoval(group, target),
  async ready(settings, context) {
    const node = await resolveNode(context.live, settings.node);
    return checkCgroup('cpu', node, ({ version }) => limits(version, settings.share), context);
  },
  async inject(resolved, context) {
    const { group, share } = resolved;
    const calmMs = context.memory.read() === null ? await quickestCountMs(context.live, resolved) : null;
    await enterCgroup(group, limits(group.version, share), context, { calmMs });
    return { node: group.node, share };
  },
  confirm,
  undo: ({ group }, context) => leaveCgroup(group, context),
  confirmGone: ({ group }, { live }) => proveCgroupGone(group, live),
};
