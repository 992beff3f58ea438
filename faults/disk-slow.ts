/**
 * Slows a node's disk for that node alone: its whole process tree enters a control group of ours that may write only so many bytes, or do only so many
 * writes, a second on the device of its data directory.
 *
 *     commit ── WAL ──▶ fsync ──▶ kernel: the group's turn? ──▶ disk       reads, and everybody else's writes, pass as ever
 *
 * What it throttles is what a process of the node sends to the device itself, above all the fsync of WAL. On v1 what the kernel writes back by itself
 * later passes unslowed. It must never slow anybody but the node.
 */
import { join } from 'node:path';
import { z } from 'zod';
import { monotonicNs } from '../core/clock';
import { messageOf } from '../core/errors';
import { formatBytes, formatMs } from '../core/units';
import type { FaultProof } from '../model/fault';
import type { CheckResult } from '../model/record';
import { commandLine } from '../targets/hosts/shell-words';
import type { Host, LiveTarget } from '../targets/ports';
import { onHost } from './by-hand';
import type { Fault, FaultContext } from './contract';
import {
  checkCgroup,
  countMembers,
  enterCgroup,
  leaveCgroup,
  manualCgroupRemoval,
  proveCgroupGone,
  resolveCgroup,
  type CgroupLimit,
  type NodeCgroup,
} from './node-cgroup';
import { findDisk, labelledFile } from './node-disk';
import { describeNode } from './node-process';
import { runScript } from './node-script';
import { resolveNode } from './resolve-node';
import { sizeBetween, sizeBytes } from './size-setting';

/** The proof writes about this long's worth of the limit. */
const PROOF_S = 1;
const PROOF_TIMEOUT_MS = 12_000;
const BLOCK_BYTES = 8_192;
/** Ten reads at twenty a second: half a second where the device obeys. */
const TRIAL_READS = 10;
const TRIAL_READS_PER_S = 20;
const TRIAL_EXTRA_MS = 200;

const schema = z
  .strictObject({
    node: z.string().min(1).max(63).describe('primary, any-standby or a node’s name'),
    writeBps: sizeBetween('8kB', '16MB').optional().describe('bytes a second, e.g. 256kB'),
    iops: z.int().min(2).max(500).optional().describe('writes a second'),
  })
  .refine((s) => s.writeBps !== undefined || s.iops !== undefined, { message: 'writeBps or iops says how slow', path: ['writeBps'] });
type Settings = z.infer<typeof schema>;
type Limit = { readonly writeBps: number | null; readonly iops: number | null };
type Resolved = Limit & { readonly group: NodeCgroup; readonly disk: string; readonly file: string };

const limitOf = (settings: Settings): Limit => ({
  writeBps: settings.writeBps === undefined ? null : sizeBytes(settings.writeBps),
  iops: settings.iops ?? null,
});

function limits(version: 1 | 2, disk: string, { writeBps, iops }: Limit): CgroupLimit[] {
  if (version === 2) {
    const words = [...(writeBps === null ? [] : [`wbps=${writeBps}`]), ...(iops === null ? [] : [`wiops=${iops}`])];
    return [{ file: 'io.max', value: `${disk} ${words.join(' ')}` }];
  }
  return [
    ...(writeBps === null ? [] : [{ file: 'blkio.throttle.write_bps_device', value: `${disk} ${writeBps}` }]),
    ...(iops === null ? [] : [{ file: 'blkio.throttle.write_iops_device', value: `${disk} ${iops}` }]),
  ];
}

const say = ({ writeBps, iops }: Limit): string =>
  [...(writeBps === null ? [] : [`${formatBytes(writeBps)}/s`]), ...(iops === null ? [] : [`${iops} writes/s`])].join(' and ');

// What joins a group writes its own number there; without a group it stays where the guardian is.
const JOIN = '[ -z "$1" ] || echo $$ >"$1/cgroup.procs" || exit 1';

async function timeMs(work: () => Promise<unknown>): Promise<number> {
  const began = monotonicNs();
  await work();
  return Number(monotonicNs() - began) / 1e6;
}

/** How long `count` fsynced writes take to a process in the group (or, with an empty group, outside of it). Leaves no file. */
async function writingMs(host: Host, group: string, file: string, count: number): Promise<number> {
  const script = `${JOIN}; exec dd if=/dev/zero of="$2" bs=${BLOCK_BYTES} count="$3" oflag=dsync status=none`;
  try {
    return await timeMs(() => runScript(host, `writing ${file}`, script, [group, file, String(count)], PROOF_TIMEOUT_MS));
  } finally {
    await host.remove(file);
  }
}

async function confirm(resolved: Resolved, { live }: FaultContext): Promise<FaultProof> {
  const { group, file, writeBps, iops } = resolved;
  const host = live.host(group.node);
  const { inside, outside } = await countMembers(group, live);
  const facts = { node: group.node, disk: resolved.disk, inside, outside };
  if (inside === 0) return { holds: false, by: `no process of ${group.node} is in ${group.dir}`, facts };
  const count = Math.ceil(Math.min((writeBps ?? Infinity) / BLOCK_BYTES, iops ?? Infinity) * PROOF_S);
  const expectedMs = 1_000 * Math.max((count * BLOCK_BYTES) / (writeBps ?? Infinity), count / (iops ?? Infinity));
  const outsideMs = await writingMs(host, '', file, count);
  const insideMs = await writingMs(host, group.dir, file, count);
  return {
    holds: outside === 0 && insideMs >= expectedMs / 2 && insideMs >= 2 * outsideMs,
    by: `${count} fsynced writes took ${formatMs(insideMs)} to a process in the group of ${group.node}, ${formatMs(outsideMs)} to one outside; ${inside} processes of the node are in it, ${outside} are not`,
    facts: { ...facts, writes: count, insideMs, outsideMs },
  };
}

/** Does the device obey limits at all? Reads a file of the node, past the cache, from an empty group of our own; writes nothing. */
async function checkObeys(live: LiveTarget, group: NodeCgroup, disk: string): Promise<CheckResult> {
  const host = live.host(group.node);
  const source = join(describeNode(live.target, group.node).dataDir, 'global', 'pg_control');
  const trial = `${group.dir}.try`;
  const [file, value] =
    group.version === 2
      ? ['io.max', `${disk} riops=${TRIAL_READS_PER_S}`]
      : ['blkio.throttle.read_iops_device', `${disk} ${TRIAL_READS_PER_S}`];
  const read = (dir: string): Promise<number> =>
    timeMs(() =>
      runScript(
        host,
        `reading ${source}`,
        `${JOIN}; for n in $(seq "$3"); do dd if="$2" of=/dev/null bs=4096 count=1 iflag=direct status=none || exit 1; done`,
        [dir, source, String(TRIAL_READS)],
      ),
    );
  const name = `disk ${disk} of ${group.node} obeys limits`;
  const expected = `reads take longer in a group with ${TRIAL_READS_PER_S} a second`;
  try {
    await runScript(host, 'making a trial group', 'mkdir -p "$1" && echo "$3" >"$1/$2"', [trial, file, value]);
    const freeMs = await read('');
    const slowMs = await read(trial);
    const ok = slowMs >= freeMs + TRIAL_EXTRA_MS;
    const hint = ok ? null : 'this kind of disk or kernel does not throttle by control group; leave this fault out.';
    return { name, ok, found: `${TRIAL_READS} reads took ${formatMs(slowMs)}, ${formatMs(freeMs)} without a limit`, expected, hint };
  } catch (error) {
    return {
      name,
      ok: false,
      found: messageOf(error),
      expected,
      hint: 'the file system must take direct reads, and the guardian must run as root.',
    };
  } finally {
    await host.exec(['rmdir', trial], { asNode: false, timeoutMs: 5_000 });
  }
}

async function ready(settings: Settings, context: FaultContext): Promise<readonly CheckResult[]> {
  const { live } = context;
  const node = await resolveNode(live, settings.node);
  const { dataDir } = describeNode(live.target, node);
  let disk: string;
  try {
    disk = await findDisk(live.host(node), dataDir);
  } catch (error) {
    return [
      {
        name: `${node} has a disk that can be slowed`,
        ok: false,
        found: messageOf(error),
        expected: 'a block device',
        hint: 'put the data directory on a disk.',
      },
    ];
  }
  const checks = await checkCgroup('blkio', node, ({ version }) => limits(version, disk, limitOf(settings)), context);
  if (checks.some((check) => !check.ok)) return checks;
  return [...checks, await checkObeys(live, await resolveCgroup('blkio', node, context), disk)];
}

export const diskSlow: Fault<Settings, Resolved> = {
  name: 'disk-slow',
  summary: 'slows what a node writes to its disk',
  schema,
  mayLoseWrites: () => false,
  async resolve(settings, context) {
    const { live } = context;
    const node = await resolveNode(live, settings.node);
    const { dataDir } = describeNode(live.target, node);
    const disk = await findDisk(live.host(node), dataDir);
    return { group: await resolveCgroup('blkio', node, context), disk, file: labelledFile(dataDir, context.label), ...limitOf(settings) };
  },
  preview: (resolved) => `slow what ${resolved.group.node} writes to disk ${resolved.disk} to ${say(resolved)}`,
  reach: ({ group }) => ({ nodes: [group.node] }),
  manualUndo: ({ group, file }, target) => [
    ...manualCgroupRemoval(group, target),
    onHost(describeNode(target, group.node), commandLine(['rm', '-f', file])),
  ],
  ready,
  async inject({ group, disk, writeBps, iops }, context) {
    await enterCgroup(group, limits(group.version, disk, { writeBps, iops }), context);
    return { node: group.node, disk, writeBps, iops };
  },
  confirm,
  async undo({ group, file }, context) {
    await leaveCgroup(group, context);
    await context.live.host(group.node).remove(file);
  },
  confirmGone: ({ group }, { live }) => proveCgroupGone(group, live),
};
