/**
 * Packets to and from a node, dropped on its host: nothing is answered, nothing is refused. By iptables, where every rule carries as its comment the
 * fault's label with the target and node that it was made for; where there is no iptables by nftables, in a table of its own that is called so. They are
 * found and removed by that mark alone; of anybody else's rules and tables nothing but comments and names is read, and none is changed. Whoever shares
 * the node's address keeps it.
 */
import { isIPv6 } from 'node:net';
import { GamedayError } from '../core/errors';
import { nativeArchiveOf, type Target } from '../model/target';
import type { CheckResult } from '../model/record';
import type { Host, LiveTarget } from '../targets/ports';
import { onHost } from './by-hand';
import { OUR_LABEL, type Stray } from './contract';
import { groupSuffix } from './node-cgroup';
import { describeNode } from './node-process';
import { runScript } from './node-script';

/** `in`: what comes to the node is dropped; `out`: what it sends. */
export type Cut = 'both' | 'in' | 'out';
/** What drops them on a host: iptables where it works, for there its rules stand already. */
export type Filter = 'iptables' | 'nft';
/** Words of one iptables rule, without the command before it and the comment and target behind it. */
type Rule = readonly string[];

/** What rules and timer are known by. Labels of two labs on one machine may be the same. */
export const markOf = (live: LiveTarget, node: string, label: string): string => `${label}${groupSuffix(live, node)}`;

/** Everything of the target that is reached at an address, but the node itself and where its own links begin. */
function endpointsOfOthers(target: Target, name: string): readonly { readonly host: string; readonly port: number }[] {
  const links = target.links?.list ?? [];
  return [
    ...target.nodes.filter((node) => node.name !== name),
    ...links.filter(({ from }) => from !== name).map((link) => ({ host: link.listenHost, port: link.listenPort })),
    ...links.map((link) => ({ host: link.upstreamHost, port: link.upstreamPort })),
    target.entry,
    ...target.paths.flatMap(({ hosts }) => hosts),
    ...[target.links?.api, nativeArchiveOf(target)?.endpoint].flatMap((url) => (url === undefined ? [] : [urlEndpoint(url)])),
  ];
}

const urlEndpoint = (text: string): { readonly host: string; readonly port: number } => {
  const url = new URL(text);
  return { host: url.hostname, port: Number(url.port) };
};

/** False where others are reached at the node's address too, gameday's own processes among them: all of it must never be cut. */
export function ownsAddress(target: Target, name: string): boolean {
  const { host, port } = describeNode(target, name);
  if (host === 'localhost' || host === '127.0.0.1') return false;
  return !endpointsOfOthers(target, name).some((other) => other.host === host && other.port !== port);
}

/**
 * The node's address (where others share it: its server's port there), and its ways out: a server that connects to somebody else does so from whatever
 * address its host picks, so its declared links are cut where they begin.
 */
export function rulesOf(target: Target, name: string, cut: Cut): readonly Rule[] {
  const { host, port } = describeNode(target, name);
  const ways = target.links?.list.filter(({ from }) => from === name) ?? [];
  const whole = ownsAddress(target, name);
  const inward: Rule[] = [
    whole ? ['INPUT', '-d', host] : ['INPUT', '-p', 'tcp', '-d', host, '--dport', String(port)],
    ...ways.map((l) => ['INPUT', '-p', 'tcp', '-s', l.listenHost, '--sport', String(l.listenPort)]),
  ];
  const outward: Rule[] = [
    whole ? ['OUTPUT', '-s', host] : ['OUTPUT', '-p', 'tcp', '-s', host, '--sport', String(port)],
    ...ways.map((l) => ['OUTPUT', '-p', 'tcp', '-d', l.listenHost, '--dport', String(l.listenPort)]),
  ];
  return [...(cut === 'out' ? [] : inward), ...(cut === 'in' ? [] : outward)];
}

const NFT_WORDS: Readonly<Record<string, string>> = {
  '-s': 'ip saddr',
  '-d': 'ip daddr',
  '--sport': 'tcp sport',
  '--dport': 'tcp dport',
};

/** The same in the language of nft, as one transaction: the table `mark`, made or emptied first. Its chains come before everybody else's. */
export function nftRuleset(mark: string, rules: readonly Rule[]): string {
  const sentence = ([chain = '', ...words]: Rule): string => {
    const matches = words.flatMap((word, at) => (NFT_WORDS[word] === undefined ? [] : [`${NFT_WORDS[word]} ${words[at + 1] ?? ''}`]));
    return `add rule inet ${mark} ${chain.toLowerCase()} ${matches.join(' ')} drop comment "${mark}"`;
  };
  const chains = ['input', 'output'].map(
    (chain) => `add chain inet ${mark} ${chain} { type filter hook ${chain} priority -300; policy accept; }`,
  );
  return [`add table inet ${mark}`, ...chains, `flush table inet ${mark}`, ...rules.map(sentence), ''].join('\n');
}

/** Adds what is missing of `$2…`, one rule each; `$1` is the mark. Idempotent. */
const ADD = `
mark=$1; shift
for rule; do
  iptables -w 5 -C $rule -m comment --comment "$mark" -j DROP 2>/dev/null || iptables -w 5 -I $rule -m comment --comment "$mark" -j DROP || exit 1
done`;
/**
 * Removes the table `$mark`, and every rule whose comment is `$mark`, each by itself. Undo and the timer may do so at the same moment: what is gone by the
 * time is as good as removed, which -C tells by exit 1 from a table that could not be read.
 */
const CLEAR = `
if command -v nft >/dev/null && nft list table inet "$mark" >/dev/null 2>&1; then
  nft delete table inet "$mark" 2>/dev/null || ! nft list table inet "$mark" >/dev/null 2>&1 || exit 1
fi
command -v iptables >/dev/null || exit 0
for chain in INPUT OUTPUT; do
  rules=$(iptables -w 5 -S $chain) || exit 1
  printf '%s\\n' "$rules" | grep -F -e "--comment $mark " -e "--comment \\"$mark\\" " | sed 's/^-A //' | while read -r rule; do
    eval "iptables -w 5 -D $rule" || { eval "iptables -w 5 -C $rule" 2>/dev/null; [ $? -eq 1 ]; } || exit 1
  done || exit 1
done`;
const REMOVE = `mark=$1${CLEAR}`;
/** Waits `$1` seconds and removes what `$2` marks: lives by itself, whatever happens to those who started it, and is the last who could. */
const TIMER = `sleep "$1"; mark=$2; tries=0
until (${CLEAR}
); do tries=$((tries + 1)); [ $tries -lt 600 ] || exit 1; sleep 1; done`;
/** Returns when it waits: no rule before that. The bracket keeps searches from finding themselves. */
const START_TIMER = `
setsid sh -c "$1" gameday-timer "$2" "$3" </dev/null >/dev/null 2>&1 &
for try in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
  pgrep -f "[g]ameday-timer $2 $3\\$" >/dev/null && exit 0
  sleep 0.1
done
echo 'it did not start' >&2; exit 1`;
/** With its whole session. `-s`: dash takes no `--` behind `-KILL`. One that has ended meanwhile is as good as killed, one that stays is an error. */
const STOP_TIMER = `
for try in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
  pids=$(pgrep -f "[g]ameday-timer [0-9]+ $1\\$") || exit 0
  for pid in $pids; do kill -s KILL -- "-$pid" 2>/dev/null; done
  sleep 0.1
done
echo "it still runs: $pids" >&2; exit 1`;

export async function dropPackets(host: Host, filter: Filter, mark: string, rules: readonly Rule[]): Promise<void> {
  if (filter === 'nft') await runScript(host, 'adding a packet filter table', `printf %s "$1" | nft -f -`, [nftRuleset(mark, rules)]);
  else await runScript(host, 'adding packet filter rules', ADD, [mark, ...rules.map((rule) => rule.join(' '))]);
}

export async function passPackets(host: Host, mark: string): Promise<void> {
  await runScript(host, 'removing packet filter rules', REMOVE, [mark]);
}

/** Leaves a process on the host that removes the rules after `maxMs`, in a session of its own. Replaces one that waits already. */
export async function armTimer(host: Host, mark: string, maxMs: number): Promise<void> {
  await stopTimer(host, mark);
  const seconds = String(Math.max(1, Math.ceil(maxMs / 1_000)));
  await runScript(host, 'arming the timer on the host', START_TIMER, [TIMER, seconds, mark]);
}

export async function stopTimer(host: Host, mark: string): Promise<void> {
  await runScript(host, 'stopping the timer on the host', STOP_TIMER, [mark]);
}

/** Marks of rules and tables on this host that are ours. A program that is not there has none. */
async function marksOfRules(host: Host): Promise<readonly string[]> {
  const list = '! command -v nft >/dev/null || nft list tables; ! command -v iptables >/dev/null || iptables -w 5 -S';
  const lines = (await runScript(host, 'reading packet filter rules', list, [])).split('\n');
  return lines
    .map((line) => /^table inet (\S+)|--comment "?([^" ]+)"?/.exec(line))
    .flatMap((found) => found?.[1] ?? found?.[2] ?? [])
    .filter((mark) => OUR_LABEL.test(mark));
}

/** Marks of timers that wait on this host. */
async function marksOfTimers(host: Host): Promise<readonly string[]> {
  const list = 'pgrep -af "[g]ameday-timer [0-9]+ " || exit 0';
  const lines = (await runScript(host, 'looking for timers on the host', list, [])).split('\n');
  return lines.map((line) => /gameday-timer [0-9]+ (\S+)$/.exec(line)?.[1] ?? '').filter((mark) => OUR_LABEL.test(mark));
}

/** What of this mark is on the host, in words; null: nothing. */
export async function findLeft(host: Host, mark: string): Promise<string | null> {
  if ((await marksOfRules(host)).includes(mark)) return `packet filter rules ${mark} still stand`;
  return (await marksOfTimers(host)).includes(mark) ? `timer ${mark} still waits` : null;
}

/** What stands on the hosts of this target's nodes for them. Nobody but root can have made a rule, and nobody else can read them. */
export async function findRules(live: LiveTarget): Promise<readonly Stray[]> {
  const found: Stray[] = [];
  for (const { name: node } of live.target.nodes) {
    const host = live.host(node);
    if ((await findFilter(host)).filter === null) continue;
    const suffix = markOf(live, node, '');
    const marks = new Set([...(await marksOfRules(host)), ...(await marksOfTimers(host))]);
    for (const mark of [...marks].filter((each) => each.endsWith(suffix)))
      found.push({
        what: `packet filter rules or timer ${mark}`,
        labels: [mark.slice(0, -suffix.length)],
        remove: async () => {
          await passPackets(host, mark);
          await stopTimer(host, mark);
        },
      });
  }
  return found;
}

/** What a person types: no rule of anybody else's is touched. Where the way to the host is cut as well, its own console is the place, or its timer does it. */
export function manualPass(target: Target, node: string, mark: string, filter: Filter): readonly string[] {
  const pass = {
    iptables: `iptables -w 5 -S | grep -F -e '--comment ${mark} ' -e '--comment "${mark}" ' | sed 's/^-A /iptables -w 5 -D /' | sh -e`,
    nft: `! nft list table inet ${mark} >/dev/null 2>&1 || nft delete table inet ${mark}`,
  }[filter];
  const stop = `pkill -f 'gameday-timer [0-9]+ ${mark}$' || [ $? -eq 1 ]`;
  const place = describeNode(target, node);
  const console = place.runsOn.kind === 'local' ? [] : [`# where the way to ${node} is cut too, on its own console: ${pass}`];
  return [onHost(place, pass), ...console, onHost(place, stop)];
}

/** Why each of the two cannot be used is told when neither can. */
const FIND = `
said=$(iptables -w 5 -S INPUT 2>&1 >/dev/null) && { echo iptables; exit 0; }
also=$(nft list tables 2>&1 >/dev/null) && { echo nft; exit 0; }
printf '%s; %s\\n' "$(printf %s "$said" | head -n 1)" "$(printf %s "$also" | head -n 1)" >&2; exit 1`;

async function findFilter(host: Host): Promise<{ readonly filter: Filter | null; readonly found: string }> {
  const { code, stdout, stderr } = await host.exec(['sh', '-c', FIND], { asNode: false, timeoutMs: 10_000 });
  const filter = code === 0 ? (stdout.trim() as Filter) : null;
  return { filter, found: filter === null ? stderr.trim() : `${filter} answers` };
}

export async function checkFilter(live: LiveTarget, node: string): Promise<CheckResult> {
  const { host: address } = describeNode(live.target, node);
  const name = `packets of ${node} can be dropped`;
  if (isIPv6(address))
    return {
      name,
      ok: false,
      found: address,
      expected: 'an IPv4 address',
      hint: 'packets of IPv4 alone are filtered; name the node by its IPv4 address.',
    };
  const { filter, found } = await findFilter(live.host(node));
  return {
    name,
    ok: filter !== null,
    found,
    expected: 'iptables or nft, as root, on its host',
    hint:
      filter !== null
        ? null
        : 'apt-get install iptables (or nftables) and run gameday as root; or use link-cut where links go through Toxiproxy.',
  };
}

/** For resolve: what drops them there. Throws `fault_refused` with the reason where nothing can. */
export async function requireFilter(live: LiveTarget, node: string): Promise<Filter> {
  const { ok, found, hint } = await checkFilter(live, node);
  const { filter } = ok ? await findFilter(live.host(node)) : { filter: null };
  if (filter === null) throw new GamedayError('fault_refused', `packets of ${node} can’t be dropped: ${found}`, hint);
  return filter;
}
