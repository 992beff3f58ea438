/**
 * Making room for a new data directory. A killed gameday leaves its pg_basebackup or initdb running, which goes on writing into the directory that the next
 * attempt removes and fills: such a tool is ended first. And a directory that is whole is one when its disk says so.
 */
import { GamedayError } from '../../core/errors';
import type { Host } from '../ports';

const TIMEOUT_MS = 15_000;

/**
 * The directory comes by standard input: as an argument this very script would be found. Nobody else is given it as a whole argument but what writes to it, and
 * the servers that initdb starts, which outlive it for as long as a checkpoint takes, are given it by no argument: they stand in it.
 */
const END_WRITERS = `
IFS= read -r directory
pids=$(printf '%s\\n' "$directory" | grep -lzxFf - /proc/[0-9]*/cmdline 2>/dev/null | tr -dc '0-9\\n')
for pid in $(find -L /proc/[0-9]*/cwd -maxdepth 0 -samefile "$directory" 2>/dev/null | tr -dc '0-9\\n'); do
  case $(cat /proc/$pid/comm 2>/dev/null) in postgres) pids="$pids $pid" ;; esac
done
for pid in $pids; do kill -KILL "$pid" 2>/dev/null; done
for pid in $pids; do
  tries=0
  while [ -n "$(tr -d '\\0' 2>/dev/null </proc/$pid/cmdline)" ]; do
    tries=$((tries + 1))
    [ "$tries" -lt 100 ] || { echo "process $pid still writes to it" >&2; exit 1; }
    sleep 0.05
  done
done
`;

/** Ends the tools that still write into `directory`, and removes it. Idempotent. Throws `step_failed`. */
export async function clearDirectory(host: Host, directory: string): Promise<void> {
  const ended = await host.exec(['sh', '-c', END_WRITERS], { asNode: true, timeoutMs: TIMEOUT_MS, input: `${directory}\n` });
  if (ended.code !== 0) throw new GamedayError('step_failed', `${directory} cannot be made anew: ${ended.stderr.trim().slice(-300)}`);
  await host.remove(directory);
}

const SYNC_TIMEOUT_MS = 60_000;

/** Its file system onto its disk; every one where `sync` has no `-f` (coreutils before 8.24). Throws `step_failed`. */
export async function syncDirectory(host: Host, directory: string): Promise<void> {
  const sync = (...words: string[]): ReturnType<Host['exec']> =>
    host.exec(['env', 'LC_ALL=C', 'sync', ...words], { asNode: true, timeoutMs: SYNC_TIMEOUT_MS });
  let synced = await sync('-f', directory);
  if (synced.code !== 0 && /(invalid|unrecognized|unknown) option/.test(synced.stderr)) synced = await sync();
  if (synced.code !== 0)
    throw new GamedayError('step_failed', `${directory} could not be written to its disk: ${synced.stderr.trim().slice(-300)}`);
}
