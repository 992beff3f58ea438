/**
 * Leaves a node a small share of one processor core: its whole process tree enters a control group of ours with a quota of processor time.
 *
 *     100 ms period   |▓▓░░░░░░░░░░░░░░░░░░|▓▓░░░░░░░░░░░░░░░░░░|   share: 10 — after 10 ms everybody in the tree waits for the next period
 *
 * Everything still works, late. It must never take time from anybody but the node.
 */
import { z } from 'zod';
import { bootTimeMs, monotonicNs } from '../core/clock';
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
/** Of a machine under load: the group is held back only while the processor would have been its own. */
const COUNT_TRIES = 3;
/** After that nothing is counted again: a proof has 30 s. */
const AGAIN_WITHIN_MS = 12_000;
/** What PostgreSQL does by itself may fill a quota now and then, too. */
const LEAST_PERIODS = 5;

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

interface Count {
  /** Null: it did not end within its deadline. */
  readonly tookMs: number | null;
  /** The kernel's own account of the group meanwhile: periods in which anybody in it ran, and those in which it was held back. */
  readonly periods: number;
  readonly throttled: number;
}

async function watchCount(live: LiveTarget, resolved: Resolved): Promise<Count> {
  const read = (key: string): Promise<number> => readCounter(resolved.group, live, 'cpu.stat', key);
  const periodsBefore = await read('nr_periods');
  const throttledBefore = await read('nr_throttled');
  const tookMs = await countingMs(live, resolved).catch(() => null);
  const throttled = (await read('nr_throttled')) - throttledBefore;
  return { tookMs, throttled, periods: (await read('nr_periods')) - periodsBefore };
}

const bites = ({ periods, throttled }: Count): boolean => throttled >= LEAST_PERIODS && throttled >= periods / 2;

async function confirm(resolved: Resolved, { live }: FaultContext): Promise<FaultProof> {
  const { group, share } = resolved;
  const { inside, outside } = await countMembers(group, live);
  if (inside === 0)
    return { holds: false, by: `no process of ${group.node} is in ${group.dir}`, facts: { node: group.node, inside, outside } };
  const untilMs = bootTimeMs() + AGAIN_WITHIN_MS;
  let count = await watchCount(live, resolved);
  for (let n = 1; n < COUNT_TRIES && !bites(count) && bootTimeMs() < untilMs; n += 1) count = await watchCount(live, resolved);
  const { tookMs, periods, throttled } = count;
  return {
    holds: outside === 0 && bites(count),
    by: `a session on ${group.node} ${tookMs === null ? 'did not end its count in time' : `took ${formatMs(tookMs)} to count`}; its ${inside} processes were held back in ${throttled} of ${periods} periods meanwhile${outside > 0 ? `, but ${outside} are outside` : ''}`,
    facts: { node: group.node, share, inside, outside, periods, throttledPeriods: throttled, tookMs },
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
  async inject({ group, share }, context) {
    await enterCgroup(group, limits(group.version, share), context);
    return { node: group.node, share };
  },
  confirm,
  undo: ({ group }, context) => leaveCgroup(group, context),
  confirmGone: ({ group }, { live }) => proveCgroupGone(group, live),
};
