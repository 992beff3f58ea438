/**
 * A control group of our own for one node's process tree: made beside or below the one that its postmaster lives in, entered by the whole tree, and
 * left again by every process to where it came from. It works on the node's host, as root, and never touches a group that it did not make.
 *
 *     v1   …/<origin>/gd-<drill>-<step>.<system>.<node>              one hierarchy for each controller; the node's own limits go on above ours
 *     v2   …/<slice>/gd-<drill>-<step>.<system>.<node>@<origin>      beside it, for a group that holds processes has no children with limits
 *
 * The name says whose it is, so that another lab's group on the same machine is never taken for a stray of ours.
 */
import { basename, dirname, join } from 'node:path';
import { until } from '../core/clock';
import { GamedayError, messageOf } from '../core/errors';
import type { JsonObject } from '../model/json';
import type { CheckResult } from '../model/record';
import type { Target } from '../model/target';
import { quoteWord } from '../targets/hosts/shell-words';
import type { Host, LiveTarget } from '../targets/ports';
import { onHost } from './by-hand';
import { OUR_LABEL, type FaultContext } from './contract';
import { describeNode, requireRunning, type ProcessHandle } from './node-process';
import { runScript } from './node-script';

const LEFT_WITHIN_MS = 15_000;

/** v1's names; `blkio` is v2's `io`. */
export type CgroupController = 'cpu' | 'memory' | 'blkio';

export type NodeCgroup = {
  readonly node: string;
  readonly controller: CgroupController;
  readonly version: 1 | 2;
  /** Where the hierarchy is mounted: processes whose group has vanished go to its root. */
  readonly mount: string;
  /** Directory of the group that the postmaster came from. */
  readonly origin: string;
  /** Directory of ours. */
  readonly dir: string;
  readonly postmaster: ProcessHandle;
};

/** A file of the group and what is written into it. */
export type CgroupLimit = { readonly file: string; readonly value: string };

const TREE = `tree() { echo "$1"; for child in $(cat /proc/"$1"/task/*/children 2>/dev/null); do tree "$child"; done; }`;
const INSIDE = `inside() { printf ' %s ' "$(tr '\\n' ' ' <"$1/cgroup.procs" 2>/dev/null)"; }`;

// A process forks while the others move: rounds, until one finds nobody outside. Children of whoever is inside are born inside.
const ENTER = `${TREE}
${INSIDE}
dir=$1 root=$2 round=0
while [ $round -lt 50 ]; do
  round=$((round + 1)) moved=0 known=$(inside "$dir")
  for pid in $(tree "$root"); do
    case "$known" in *" $pid "*) continue ;; esac
    { echo "$pid" >"$dir/cgroup.procs"; } 2>/dev/null && moved=$((moved + 1))
  done
  [ $moved -eq 0 ] && break
done
grep -qx "$root" "$dir/cgroup.procs"`;

// Whoever waits for memory is woken first, and could not be moved before.
const LEAVE = `dir=$1 origin=$2 mount=$3
[ -d "$dir" ] || exit 0
[ ! -e "$dir/memory.limit_in_bytes" ] || echo -1 >"$dir/memory.limit_in_bytes"
[ ! -e "$dir/memory.high" ] || echo max >"$dir/memory.high"
[ -d "$origin" ] || origin=$mount
shift 3
while [ $# -ge 2 ]; do
  grep -qx "$1" "$dir/cgroup.procs" && { echo "$1" >"$2/cgroup.procs"; } 2>/dev/null
  shift 2
done
for pid in $(cat "$dir/cgroup.procs"); do { echo "$pid" >"$origin/cgroup.procs"; } 2>/dev/null; done
rmdir "$dir"`;

const WHERE = `${TREE}
for pid in $(tree "$1"); do sed "s|^|$pid |" /proc/"$pid"/cgroup 2>/dev/null; done; true`;

interface Hierarchy {
  readonly version: 1 | 2;
  readonly mount: string;
  /** What of the hierarchy is mounted there: `/`, or a container's own part of it. */
  readonly root: string;
}

const V2_NAMES: Readonly<Record<CgroupController, string>> = { cpu: 'cpu', memory: 'memory', blkio: 'io' };

/** The hierarchy that has this controller, from /proc/self/mountinfo: v1's if it is mounted with it, else the unified one. Null: none. */
export function findHierarchy(mountinfo: string, controller: CgroupController): Hierarchy | null {
  let unified: Hierarchy | null = null;
  for (const line of mountinfo.split('\n')) {
    const [left = '', right = ''] = line.split(' - ');
    const [, , , root = '/', mount = ''] = left.split(' ');
    const [type = '', , options = ''] = right.split(' ');
    if (type === 'cgroup' && options.split(',').includes(controller)) return { version: 1, mount, root };
    if (type === 'cgroup2') unified ??= { version: 2, mount, root };
  }
  return unified;
}

/** Directory of the group that /proc/PID/cgroup names for this hierarchy; null if it names none that is mounted. */
export function groupDirectory(text: string, hierarchy: Hierarchy, controller: CgroupController): string | null {
  for (const line of text.split('\n')) {
    const [id = '', names = '', ...rest] = line.split(':');
    const matches = hierarchy.version === 2 ? id === '0' && names === '' : names.split(',').includes(controller);
    if (!matches) continue;
    const path = rest.join(':');
    if (hierarchy.root === '/') return join(hierarchy.mount, path);
    return path === hierarchy.root || path.startsWith(`${hierarchy.root}/`)
      ? join(hierarchy.mount, path.slice(hierarchy.root.length))
      : null;
  }
  return null;
}

/** Directory of our group for a process that lives in `origin`. */
export function ourDirectory(hierarchy: Hierarchy, origin: string, name: string): string {
  if (hierarchy.version === 1) return join(origin, name);
  const parent = origin === hierarchy.mount ? origin : dirname(origin);
  return join(parent, `${name}@${origin === hierarchy.mount ? '' : basename(origin)}`);
}

/** Where processes of our group came from, by its path alone: for those whose handle is lost. */
export function originOf(dir: string): string {
  const at = basename(dir).indexOf('@');
  if (at === -1) return dirname(dir);
  return join(dirname(dir), basename(dir).slice(at + 1));
}

/** End of the name of every group made for this node. */
export const groupSuffix = (live: LiveTarget, node: string): string => `.${live.target.systemIdentifier}.${node}`;

const refused = (what: string, hint: string): GamedayError => new GamedayError('fault_refused', what, hint);

/** Finds where the node's group would stand. Touches nothing. Throws `fault_refused` with the reason where this cannot be done. */
export async function resolveCgroup(controller: CgroupController, node: string, context: FaultContext): Promise<NodeCgroup> {
  const { live } = context;
  const host = live.host(node);
  const postmaster = await requireRunning(live, node);
  const hierarchy = findHierarchy((await host.readFile('/proc/self/mountinfo')) ?? '', controller);
  const name = hierarchy?.version === 2 ? V2_NAMES[controller] : controller;
  if (hierarchy === null)
    throw refused(`the host of ${node} has no control groups mounted`, 'mount them below /sys/fs/cgroup, or leave this fault out.');
  const origin = groupDirectory((await host.readFile(`/proc/${postmaster.pid}/cgroup`)) ?? '', hierarchy, controller);
  if (origin === null || !(await host.exists(join(origin, 'cgroup.procs'))))
    throw refused(
      `the control group of postmaster ${postmaster.pid} of ${node} cannot be seen below ${hierarchy.mount}`,
      'run the guardian where the host’s control groups are mounted.',
    );
  if (OUR_LABEL.test(basename(origin)))
    throw refused(`${node} is under a fault of this kind already: it lives in ${origin}`, 'end that one first; `gameday status` shows it.');
  const dir = ourDirectory(hierarchy, origin, `${context.label}${groupSuffix(live, node)}`);
  const enabled = hierarchy.version === 1 ? name : await host.readFile(join(dirname(dir), 'cgroup.subtree_control'));
  if (!(enabled ?? '').split(/\s+/).includes(name))
    throw refused(
      `controller ${name} is not enabled for the groups below ${dirname(dir)}`,
      `enable it on that host: echo +${name} >${join(dirname(dir), 'cgroup.subtree_control')}`,
    );
  return { node, controller, version: hierarchy.version, mount: hierarchy.mount, origin, dir, postmaster };
}

/** Could the group be made with these limits, and removed? Tries both with an empty group, which no process of the target enters. */
export async function checkCgroup(
  controller: CgroupController,
  node: string,
  limits: (group: NodeCgroup) => Promise<readonly CgroupLimit[]> | readonly CgroupLimit[],
  context: FaultContext,
): Promise<readonly CheckResult[]> {
  const name = `${node} can be put into a control group with ${controller} limits`;
  const expected = 'a group can be made, limited and removed';
  try {
    const group = await resolveCgroup(controller, node, context);
    const trial = `${group.dir}.try`;
    await runScript(
      context.live.host(node),
      `a trial group ${trial}`,
      'dir=$1; shift; mkdir "$dir" && while [ $# -ge 2 ]; do echo "$2" >"$dir/$1" || bad=1; shift 2; done; rmdir "$dir" && [ -z "$bad" ]',
      [trial, ...(await limits(group)).flatMap(({ file, value }) => [file, value])],
    );
    return [{ name, ok: true, found: `cgroup v${group.version} at ${dirname(group.dir)}`, expected, hint: null }];
  } catch (error) {
    const hint =
      error instanceof GamedayError && error.code === 'fault_refused' ? error.hint : 'the guardian must run as root on the node’s host.';
    return [{ name, ok: false, found: messageOf(error), expected, hint }];
  }
}

/** Processes of the tree that live elsewhere than their postmaster, as `pid, directory` pairs. */
async function readElsewhere(live: LiveTarget, group: NodeCgroup): Promise<JsonObject> {
  const host = live.host(group.node);
  const hierarchy = findHierarchy((await host.readFile('/proc/self/mountinfo')) ?? '', group.controller);
  const text = await runScript(host, `looking where ${group.node} runs`, WHERE, [String(group.postmaster.pid)]);
  const elsewhere: Record<string, string> = {};
  for (const line of text.split('\n')) {
    const [pid = '', ...rest] = line.split(' ');
    const dir = hierarchy === null ? null : groupDirectory(rest.join(' '), hierarchy, group.controller);
    if (dir !== null && dir !== group.origin && dir !== group.dir) elsewhere[pid] = dir;
  }
  return elsewhere;
}

/** Makes the group with its limits and moves the node's whole tree into it. May be repeated. */
export async function enterCgroup(group: NodeCgroup, limits: readonly CgroupLimit[], context: FaultContext): Promise<void> {
  const { live, memory } = context;
  const host = live.host(group.node);
  const now = await host.postmaster();
  if (now?.pid !== group.postmaster.pid || now.startTicks !== group.postmaster.startTicks)
    throw new GamedayError(
      'step_failed',
      `postmaster ${group.postmaster.pid} of ${group.node} was replaced by ${now?.pid ?? 'none'} meanwhile`,
    );
  if (memory.read() === null) memory.write({ elsewhere: await readElsewhere(live, group) });
  await runScript(
    host,
    `making control group ${group.dir}`,
    'dir=$1; shift; mkdir -p "$dir" && while [ $# -ge 2 ]; do echo "$2" >"$dir/$1" || exit 1; shift 2; done',
    [group.dir, ...limits.flatMap(({ file, value }) => [file, value])],
  );
  await runScript(host, `moving ${group.node} into ${group.dir}`, ENTER, [group.dir, String(group.postmaster.pid)]);
}

/** Moves everybody in the group back to where they came from and removes it; nothing to do where it is not. `dir` and where to are all it needs. */
export async function emptyCgroup(
  host: Host,
  dir: string,
  origin: string,
  mount: string,
  elsewhere: readonly string[] = [],
): Promise<void> {
  // A process that is just dying leaves by itself and cannot be moved.
  await until(
    async () => (await runScript(host, `leaving control group ${dir}`, LEAVE, [dir, origin, mount, ...elsewhere]), true as const),
    {
      timeoutMs: LEFT_WITHIN_MS,
      everyMs: 50,
      onTimeout: (last) => new GamedayError('undo_failed', `control group ${dir} still stands: ${messageOf(last)}`),
    },
  );
}

export async function leaveCgroup(group: NodeCgroup, { live, memory }: FaultContext): Promise<void> {
  const elsewhere = Object.entries((memory.read()?.['elsewhere'] ?? {}) as Record<string, string>).flat();
  await emptyCgroup(live.host(group.node), group.dir, group.origin, group.mount, elsewhere);
}

/** How many of the node's processes are in the group and how many are not, by the kernel's account of each process. */
export async function countMembers(group: NodeCgroup, live: LiveTarget): Promise<{ readonly inside: number; readonly outside: number }> {
  const host = live.host(group.node);
  const postmaster = await host.postmaster();
  const hierarchy = findHierarchy((await host.readFile('/proc/self/mountinfo')) ?? '', group.controller);
  if (postmaster === null || hierarchy === null) return { inside: 0, outside: 0 };
  const text = await runScript(host, `looking where ${group.node} runs`, WHERE, [String(postmaster.pid)]);
  const dirs = text
    .split('\n')
    .map((line) => groupDirectory(line.slice(line.indexOf(' ') + 1), hierarchy, group.controller))
    .filter((dir) => dir !== null);
  const inside = dirs.filter((dir) => dir === group.dir).length;
  return { inside, outside: dirs.length - inside };
}

/** The number after `key` in one of the group's flat files, or the file's only number; 0 where there is none. */
export async function readCounter(group: NodeCgroup, live: LiveTarget, file: string, key: string | null): Promise<number> {
  const text = (await live.host(group.node).readFile(join(group.dir, file))) ?? '';
  if (key === null) return Number(text.trim() || 0);
  const line = text.split('\n').find((each) => each.startsWith(`${key} `));
  return Number(line?.split(' ')[1] ?? 0);
}

/** What a person types to empty and remove the group: its limit lifted first, for whoever waits for memory cannot leave; again until nobody new is born in it. */
export function manualCgroupRemoval({ node, controller, version, mount, dir, origin }: NodeCgroup, target: Target): readonly string[] {
  const lift = version === 1 ? `echo -1 >${quoteWord(`${dir}/memory.limit_in_bytes`)}` : `echo max >${quoteWord(`${dir}/memory.high`)}`;
  const move = `to=${quoteWord(origin)}; [ -d "$to" ] || to=${quoteWord(mount)}; for pid in $(cat ${quoteWord(`${dir}/cgroup.procs`)}); do echo "$pid" >"$to/cgroup.procs"; done`;
  const rounds = `for round in 1 2 3 4 5 6 7 8 9; do (${move}) 2>/dev/null; rmdir ${quoteWord(dir)} 2>/dev/null && break; sleep 1; done; [ ! -d ${quoteWord(dir)} ]`;
  return [
    onHost(describeNode(target, node), `if [ -d ${quoteWord(dir)} ]; then ${controller === 'memory' ? `${lift}; ` : ''}${rounds}; fi`),
  ];
}

/** Gone: no process of the node is in the group, and there is no such group. */
export async function proveCgroupGone(
  group: NodeCgroup,
  live: LiveTarget,
): Promise<{ readonly holds: boolean; readonly by: string; readonly facts: JsonObject }> {
  const there = await live.host(group.node).exists(group.dir);
  const { inside, outside } = await countMembers(group, live);
  return {
    holds: !there && inside === 0,
    by: `${inside} of the ${inside + outside} processes of ${group.node} are in ${group.dir}, which ${there ? 'still stands' : 'does not exist'}`,
    facts: { node: group.node, inside, outside, group: group.dir },
  };
}
