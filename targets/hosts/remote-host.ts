/**
 * A host that is reached by running commands there: what `ssh` and `docker` have in common. Every look and every signal is one POSIX script at the far end,
 * so that nothing depends on several round trips, and what must happen at once goes on to its end when the connection is lost in its midst.
 * Processes are named by pid, start and boot of that host.
 */
import { dirname } from 'node:path';
import { GamedayError } from '../../core/errors';
import type { ProcessId, RunResult } from '../../core/process';
import type { TargetNode } from '../../model/target';
import type { Host, ServerProcess } from '../ports';

/** As whom a command runs there: the node's operating system user, or root. */
export type Identity = 'node' | 'root';

export interface ShellOptions {
  readonly as: Identity;
  readonly timeoutMs: number;
  readonly input?: string;
  readonly signal?: AbortSignal;
}

/** Runs argv at the far end, without a shell of its own around it. Rejects with `host_unreachable` when it cannot be told how it ended. */
export type Shell = (argv: readonly string[], options: ShellOptions) => Promise<RunResult>;

const LOOK_MS = 10_000;
const WRITE_MS = 30_000;
const KILL_MS = 20_000;

/** `field PID N`: word N behind the command's name in /proc/PID/stat: 1 state, 2 parent, 20 start. Builtins only: a fork for each process would take seconds. */
const FIELDS = `field() { { read -r line <"/proc/$1/stat"; } 2>/dev/null || return 1; n=$2; set -- \${line##*) }; shift $((n - 1)); echo "$1"; }
boot() { read -r b </proc/sys/kernel/random/boot_id; echo "$b"; }
same() { [ "$(boot)" = "$3" ] && [ "$(field "$1" 20)" = "$2" ]; }`;

const POSTMASTER = `${FIELDS}
read -r pid <"$1/postmaster.pid" 2>/dev/null || exit 0
[ "$(readlink "/proc/$pid/cwd")" = "$(readlink -f "$1")" ] || exit 0
case $(field "$pid" 1) in Z | X | '') exit 0 ;; esac
echo "$pid $(field "$pid" 20) $(boot)"`;

const IDENTIFY = `${FIELDS}
case $(field "$1" 1) in Z | X | '') exit 0 ;; esac
echo "$1 $(field "$1" 20) $(boot)"`;

const SERVERS = `${FIELDS}
dir=$(readlink -f "$1")
for at in /proc/[0-9]*; do
  pid=\${at#/proc/}
  [ "$(readlink "$at/cwd" 2>/dev/null)" = "$dir" ] || continue
  exe=$(readlink "$at/exe" 2>/dev/null) || continue
  exe=\${exe% (deleted)}
  [ "\${exe##*/}" = postgres ] || continue
  state=$(field "$pid" 1) || continue
  case $state in Z | X) continue ;; esac
  echo "$pid $(field "$pid" 20) $(boot) $state"
done`;

/** Deaf to whoever hangs up: once the root is stopped nobody may be left stopped and alive. Says what it killed only after the deed. */
const KILL_TREE = `${FIELDS}
trap '' HUP PIPE INT TERM
same "$1" "$2" "$3" || exit 0
kill -STOP "$1" 2>/dev/null || exit 0
known=" $1 "
round=0
while [ "$round" -lt 100 ]; do
  fresh=
  for at in /proc/[0-9]*; do
    pid=\${at#/proc/}
    case $known in *" $pid "*) continue ;; esac
    parent=$(field "$pid" 2) || continue
    case $known in *" $parent "*) kill -STOP "$pid" 2>/dev/null; fresh="$fresh$pid " ;; esac
  done
  [ -n "$fresh" ] || break
  known="$known$fresh"
  round=$((round + 1))
done
killed=
for pid in $known; do killed="$killed$pid $(field "$pid" 20) $3
"; done
kill -KILL $known 2>/dev/null
tries=0
for pid in $known; do
  while :; do
    case $(field "$pid" 1) in Z | X | '') break ;; esac
    tries=$((tries + 1))
    [ "$tries" -lt 1000 ] || exit 9
    sleep 0.01
  done
done
printf %s "$killed"`;

const SIGNAL = `${FIELDS}
same "$1" "$2" "$3" || exit 4
case $(field "$1" 1) in Z | X | '') exit 4 ;; esac
kill "-$4" "$1"`;

const STATE = `${FIELDS}
same "$1" "$2" "$3" && field "$1" 1`;

const WRITE = `set -e
mkdir -p "$(dirname "$1")"
umask 077
cat >"$1.$$.tmp"
sync "$1.$$.tmp"
mv -T "$1.$$.tmp" "$1"
sync "$(dirname "$1")"`;

/** \`pid start boot …\` of each line. */
function parseProcesses(text: string): readonly (ProcessId & { readonly rest: string })[] {
  return text
    .split('\n')
    .map((line) => line.split(' '))
    .filter(([pid]) => /^[0-9]+$/.test(pid ?? ''))
    .map(([pid, startTicks = '', bootId = '', rest = '']) => ({ pid: Number(pid), startTicks, bootId, rest }));
}

const toId = ({ pid, startTicks, bootId }: ProcessId): ProcessId => ({ pid, startTicks, bootId });

/** The host of one node behind a shell. Opening touches nothing. */
export function openRemoteHost(kind: string, node: TargetNode, shell: Shell): Host {
  const script = (text: string, args: readonly string[], options: ShellOptions): Promise<RunResult> =>
    shell(['sh', '-c', text, node.name, ...args], options);
  /** Output of a script that must succeed. */
  async function ask(what: string, text: string, args: readonly string[], options: ShellOptions): Promise<string> {
    const result = await script(text, args, options);
    if (result.code !== 0)
      throw new GamedayError('step_failed', `${node.name}: ${what} ended with ${result.code}: ${result.stderr.trim().slice(0, 300)}`);
    return result.stdout;
  }
  const look = (what: string, text: string, args: readonly string[]): Promise<string> =>
    ask(what, text, args, { as: 'node', timeoutMs: LOOK_MS });
  const wordsOf = ({ pid, startTicks, bootId }: ProcessId): readonly string[] => [String(pid), startTicks, bootId];
  const one = (text: string): ProcessId | null => {
    const [first] = parseProcesses(text);
    return first === undefined ? null : toId(first);
  };

  return {
    kind,
    exec(argv, { asNode, timeoutMs, input, signal }) {
      return shell(argv, {
        as: asNode ? 'node' : 'root',
        timeoutMs,
        ...(input === undefined ? {} : { input }),
        ...(signal === undefined ? {} : { signal }),
      });
    },
    async readFile(path) {
      const result = await script('[ -e "$1" ] || exit 4; cat "$1"', [path], { as: 'node', timeoutMs: LOOK_MS });
      if (result.code === 4) return null;
      if (result.code !== 0) throw new GamedayError('step_failed', `${node.name}: ${path} cannot be read: ${result.stderr.trim()}`);
      return result.stdout;
    },
    async writeFile(path, text) {
      await ask(`writing ${path}`, WRITE, [path], { as: 'node', timeoutMs: WRITE_MS, input: text });
    },
    async remove(path) {
      await ask(`removing ${path}`, 'rm -rf -- "$1"', [path], { as: 'node', timeoutMs: WRITE_MS });
    },
    async rename(from, to) {
      await ask(`renaming ${from}`, 'mv -T -- "$1" "$2" && sync "$3"', [from, to, dirname(to)], { as: 'node', timeoutMs: WRITE_MS });
    },
    async exists(path) {
      return (await script('[ -e "$1" ]', [path], { as: 'node', timeoutMs: LOOK_MS })).code === 0;
    },
    async freeBytes(path) {
      const [blocks = NaN, size = NaN] = (await look(`free space of ${path}`, 'stat -f -c "%a %S" -- "$1"', [path]))
        .trim()
        .split(' ')
        .map(Number);
      if (!Number.isFinite(blocks * size)) throw new GamedayError('step_failed', `${node.name}: the free space of ${path} was not told`);
      return blocks * size;
    },
    async postmaster() {
      return one(await look('looking for the postmaster', POSTMASTER, [node.dataDir]));
    },
    async agent() {
      if (node.agent === null) return null;
      const found = await shell(node.agent.find, { as: 'root', timeoutMs: LOOK_MS });
      const pid = Number(found.stdout.trim());
      if (!Number.isSafeInteger(pid) || pid <= 1) return null;
      return one(await look('looking at the agent', IDENTIFY, [String(pid)]));
    },
    async killTree(root) {
      return parseProcesses(await ask(`killing process ${root.pid}`, KILL_TREE, wordsOf(root), { as: 'root', timeoutMs: KILL_MS })).map(
        toId,
      );
    },
    async serverProcesses() {
      return parseProcesses(await look('listing server processes', SERVERS, [node.dataDir])).map(({ rest, ...id }): ServerProcess => ({
        ...id,
        stopped: rest === 'T',
      }));
    },
    async processState(id) {
      return (await script(STATE, wordsOf(id), { as: 'node', timeoutMs: LOOK_MS })).stdout.trim() || null;
    },
    async signal(id, name) {
      const result = await script(SIGNAL, [...wordsOf(id), name.replace(/^SIG/, '')], { as: 'root', timeoutMs: LOOK_MS });
      if (result.code === 4) return false;
      if (result.code !== 0) throw new GamedayError('step_failed', `${node.name}: ${name} to ${id.pid} failed: ${result.stderr.trim()}`);
      return true;
    },
  };
}
