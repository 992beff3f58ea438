/**
 * Packets to and from a node, dropped on its host by iptables: nothing is answered, nothing is refused. Every rule carries the fault's label as its
 * comment, and is found and removed by it alone; no rule of anybody else is read for more than its comment, and none is changed.
 */
import { GamedayError } from '../core/errors';
import type { Target } from '../model/target';
import type { CheckResult } from '../model/record';
import type { Host, LiveTarget } from '../targets/ports';
import { OUR_LABEL, type Stray } from './contract';
import { describeNode } from './node-process';
import { runScript } from './node-script';

/** `in`: what comes to the node is dropped; `out`: what it sends. */
export type Cut = 'both' | 'in' | 'out';
/** Words of one iptables rule, without the command before it and the comment and target behind it. */
type Rule = readonly string[];

/**
 * The node's own address, and its ways out: a server that connects to somebody else does so from whatever address its host picks, so its declared links
 * are cut where they begin.
 */
export function rulesOf(target: Target, name: string, cut: Cut): readonly Rule[] {
  const { host } = describeNode(target, name);
  const ways = target.links?.list.filter(({ from }) => from === name) ?? [];
  const inward: Rule[] = [
    ['INPUT', '-d', host],
    ...ways.map((l) => ['INPUT', '-p', 'tcp', '-s', l.listenHost, '--sport', String(l.listenPort)]),
  ];
  const outward: Rule[] = [
    ['OUTPUT', '-s', host],
    ...ways.map((l) => ['OUTPUT', '-p', 'tcp', '-d', l.listenHost, '--dport', String(l.listenPort)]),
  ];
  return [...(cut === 'out' ? [] : inward), ...(cut === 'in' ? [] : outward)];
}

/** Adds what is missing of `$2…`, one rule each; `$1` is the label. Idempotent. */
const ADD = `
label=$1; shift
for rule; do
  iptables -w 5 -C $rule -m comment --comment "$label" -j DROP 2>/dev/null || iptables -w 5 -I $rule -m comment --comment "$label" -j DROP || exit 1
done`;
/** Removes every rule whose comment is \`$label\`. Rules that come meanwhile are not lost: each is removed by itself. */
const CLEAR = `
for chain in INPUT OUTPUT; do
  iptables -w 5 -S $chain | grep -- "--comment \\"\\?$label\\"\\? " | sed 's/^-A //' | while read -r rule; do
    eval "iptables -w 5 -D $rule" || exit 1
  done || exit 1
done`;
const REMOVE = `label=$1${CLEAR}`;
/** Waits \`$1\` seconds and removes what \`$2\` labelled: lives by itself, whatever happens to those who started it. */
const TIMER = `sleep "$1"; label=$2${CLEAR}`;
/** The bracket keeps the search from finding itself. */
const STOP_TIMER = `pids=$(pgrep -f "[g]ameday-timer [0-9]+ $1\\$") || exit 0; for pid in $pids; do kill -KILL -- "-$pid" 2>/dev/null; done; exit 0`;

export async function dropPackets(host: Host, label: string, rules: readonly Rule[]): Promise<void> {
  await runScript(host, 'adding packet filter rules', ADD, [label, ...rules.map((rule) => rule.join(' '))]);
}

export async function passPackets(host: Host, label: string): Promise<void> {
  await runScript(host, 'removing packet filter rules', REMOVE, [label]);
}

/** Leaves a process on the host that removes the rules after `maxMs`, in a session of its own. Replaces one that waits already. */
export async function armTimer(host: Host, label: string, maxMs: number): Promise<void> {
  await stopTimer(host, label);
  const seconds = String(Math.max(1, Math.ceil(maxMs / 1_000)));
  const start = `setsid sh -c "$1" gameday-timer "$2" "$3" </dev/null >/dev/null 2>&1 &`;
  await runScript(host, 'arming the timer on the host', start, [TIMER, seconds, label]);
}

export async function stopTimer(host: Host, label: string): Promise<void> {
  await runScript(host, 'stopping the timer on the host', STOP_TIMER, [label]);
}

/** Labels of rules on this host that are ours. An iptables that is not there has no rules. */
async function labelsOn(host: Host): Promise<readonly string[]> {
  const list = 'command -v iptables >/dev/null || exit 0; iptables -w 5 -S';
  const lines = (await runScript(host, 'reading packet filter rules', list, [])).split('\n');
  const labels = lines.map((line) => /--comment "?([^" ]+)"?/.exec(line)?.[1] ?? '');
  return [...new Set(labels.filter((label) => OUR_LABEL.test(label)))];
}

export async function hasRules(host: Host, label: string): Promise<boolean> {
  return (await labelsOn(host)).includes(label);
}

/** Rules with our label on the nodes' hosts, each once. Nobody but root can have made one, and nobody else can read them. */
export async function findRules(live: LiveTarget): Promise<readonly Stray[]> {
  const found = new Map<string, Stray>();
  for (const { name } of live.target.nodes) {
    const host = live.host(name);
    if (!(await mayFilter(host)).ok) continue;
    for (const label of await labelsOn(host))
      found.set(label, {
        what: `packet filter rules ${label}`,
        labels: [label],
        remove: async () => {
          await passPackets(host, label);
          await stopTimer(host, label);
        },
      });
  }
  return [...found.values()];
}

export const manualPass = (label: string): readonly string[] => [
  `iptables-save | grep -v -- '--comment "\\?${label}"\\? ' | iptables-restore`,
  `pkill -f 'gameday-timer [0-9]+ ${label}$'`,
];

async function mayFilter(host: Host): Promise<{ readonly ok: boolean; readonly found: string }> {
  const result = await host.exec(
    ['sh', '-c', 'command -v iptables >/dev/null || { echo "no iptables" >&2; exit 1; }; iptables -w 5 -S INPUT'],
    {
      asNode: false,
      timeoutMs: 10_000,
    },
  );
  return result.code === 0
    ? { ok: true, found: 'iptables answers' }
    : { ok: false, found: result.stderr.trim().split('\n')[0] ?? 'no iptables' };
}

export async function checkFilter(host: Host, node: string): Promise<CheckResult> {
  const { ok, found } = await mayFilter(host);
  return {
    name: `packets of ${node} can be dropped`,
    ok,
    found,
    expected: 'iptables, as root, on its host',
    hint: ok ? null : 'apt-get install iptables and run gameday as root; or use link-cut where links go through Toxiproxy.',
  };
}

/** For resolve: throws `fault_refused` with the reason. */
export async function requireFilter(host: Host, node: string): Promise<void> {
  const { ok, found, hint } = await checkFilter(host, node);
  if (!ok) throw new GamedayError('fault_refused', `packets of ${node} can’t be dropped: ${found}`, hint);
}
