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
import { bootTimeMs } from '../core/clock';
import { GamedayError, messageOf } from '../core/errors';
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
const COPY_TIMEOUT_MS = 12_000;
const BLOCK_BYTES = 8_192;
const PAGE_BYTES = 4_096;
/** Where bytes are limited: each write costs a flush of its own, which is no part of the limit. */
const FEW_WRITES = 8;
const OUTSIDE_TRIES = 3;
/** After that nothing is measured again: a proof has 30 s. */
const AGAIN_WITHIN_MS = 15_000;
/** Five reads at two a second: two seconds or more where the device obeys. */
const TRIAL_READS = 5;
const TRIAL_READS_PER_S = 2;
const TRIAL_EXTRA_MS = 1_000;

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

/** As coreutils and busybox say it at the end. */
const COPIED = / copied, ([0-9.e-]+) s/;

/**
 * How long dd copied in the group (or, with an empty group, outside of it), by its own account: that a process takes seconds to start on a machine under
 * load is not in it.
 */
async function copyingMs(host: Host, group: string, words: readonly string[]): Promise<number> {
  const script = `${JOIN}; shift; said=$(LC_ALL=C dd "$@" 2>&1) || { echo "$said" >&2; exit 1; }; echo "$said"`;
  const said = await runScript(host, `dd ${words.join(' ')}`, script, [group, ...words], COPY_TIMEOUT_MS);
  const seconds = COPIED.exec(said)?.[1];
  if (seconds === undefined) throw new GamedayError('step_failed', `dd did not say how long it took: ${said.trim()}`);
  return Number(seconds) * 1_000;
}

interface Compared {
  readonly insideMs: number;
  readonly outsideMs: number;
}

/**
 * Twice: a copy inside, and behind it one outside, again while only a calm moment there is lacking. What tells least counts, so that a stall is taken for the
 * limit only where it comes over both copies inside and leaves the one between them alone.
 */
async function compare(copy: (group: string) => Promise<number>, group: string, leastMs: number): Promise<Compared> {
  const untilMs = bootTimeMs() + AGAIN_WITHIN_MS;
  const once = async (): Promise<Compared> => {
    const insideMs = await copy(group);
    let outsideMs = await copy('');
    for (let n = 1; n < OUTSIDE_TRIES && insideMs >= leastMs && insideMs - outsideMs < leastMs && bootTimeMs() < untilMs; n += 1)
      outsideMs = Math.min(outsideMs, await copy(''));
    return { insideMs, outsideMs };
  };
  const extra = ({ insideMs, outsideMs }: Compared): number => insideMs - outsideMs;
  const first = await once();
  if (extra(first) < leastMs) return first;
  const second = await once();
  return extra(second) < extra(first) ? second : first;
}

/** What the proof writes, and how long the limit alone makes that take. */
function proofWrites({ writeBps, iops }: Limit): { readonly block: number; readonly count: number; readonly expectedMs: number } {
  const bytes = (writeBps ?? Infinity) * PROOF_S;
  const writes = (iops ?? Infinity) * PROOF_S;
  const many = writes < bytes / BLOCK_BYTES;
  const block = many ? BLOCK_BYTES : Math.ceil(bytes / FEW_WRITES / PAGE_BYTES) * PAGE_BYTES;
  const count = many ? writes : Math.ceil(bytes / block);
  return { block, count, expectedMs: 1_000 * Math.max((count * block) / (writeBps ?? Infinity), count / (iops ?? Infinity)) };
}

async function confirm(resolved: Resolved, { live }: FaultContext): Promise<FaultProof> {
  const { group, file } = resolved;
  const host = live.host(group.node);
  const { inside, outside } = await countMembers(group, live);
  const facts = { node: group.node, disk: resolved.disk, inside, outside };
  if (inside === 0) return { holds: false, by: `no process of ${group.node} is in ${group.dir}`, facts };
  const { block, count, expectedMs } = proofWrites(resolved);
  const words = ['if=/dev/zero', `of=${file}`, `bs=${block}`, `count=${count}`, 'oflag=dsync'];
  const { insideMs, outsideMs } = await compare((dir) => copyingMs(host, dir, words), group.dir, expectedMs / 2).finally(() =>
    host.remove(file),
  );
  return {
    holds: outside === 0 && insideMs - outsideMs >= expectedMs / 2,
    by: `${count} fsynced writes of ${formatBytes(block)} took ${formatMs(insideMs)} to a process in the group of ${group.node}, ${formatMs(outsideMs)} to one outside; ${inside} processes of the node are in it, ${outside} are not`,
    facts: { ...facts, writes: count, blockBytes: block, insideMs, outsideMs },
  };
}

// Below `base`, for it must be larger than what is read: each file of a table is, once it has a few pages. Others come and go.
const FIND_SOURCE = `find "$1" -name 'pgsql_tmp*' -prune -o -type f -size +${(TRIAL_READS * PAGE_BYTES) / 1_024}k -print | head -n 1`;

/** Does the device obey limits at all? Reads a file of the node, past the cache, from an empty group of our own; writes nothing. */
async function checkObeys(live: LiveTarget, group: NodeCgroup, disk: string): Promise<CheckResult> {
  const host = live.host(group.node);
  const base = join(describeNode(live.target, group.node).dataDir, 'base');
  const trial = `${group.dir}.try`;
  const [file, value] =
    group.version === 2
      ? ['io.max', `${disk} riops=${TRIAL_READS_PER_S}`]
      : ['blkio.throttle.read_iops_device', `${disk} ${TRIAL_READS_PER_S}`];
  const name = `disk ${disk} of ${group.node} obeys limits`;
  const expected = `reads take longer in a group with ${TRIAL_READS_PER_S} a second`;
  try {
    await runScript(host, 'making a trial group', 'mkdir -p "$1" && echo "$3" >"$1/$2"', [trial, file, value]);
    const source = (await runScript(host, `looking for a file below ${base}`, FIND_SOURCE, [base])).trim();
    // One process reads them all: between the starts of several the limit would have time to forget them.
    const words = [`if=${source}`, 'of=/dev/null', `bs=${PAGE_BYTES}`, `count=${TRIAL_READS}`, 'iflag=direct'];
    const { insideMs, outsideMs } = await compare((dir) => copyingMs(host, dir, words), trial, TRIAL_EXTRA_MS);
    const ok = insideMs - outsideMs >= TRIAL_EXTRA_MS;
    const hint = ok ? null : 'this kind of disk or kernel does not throttle by control group; leave this fault out.';
    return { name, ok, found: `${TRIAL_READS} reads took ${formatMs(insideMs)}, ${formatMs(outsideMs)} without a limit`, expected, hint };
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
