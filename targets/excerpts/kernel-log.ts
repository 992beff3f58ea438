/**
 * Lines of a host's kernel log that explain a database's death or slowness: the out-of-memory killer, input/output errors, file systems that gave up. Nothing
 * else of that log is kept, because it tells of everything that runs on the machine. Pure.
 */
import type { RedactedLog } from './log-lines';

const LINES: readonly RegExp[] = [
  /^Out of memory: Killed process [0-9]+ \((?:postgres|postmaster|patroni|pg_autoctl|repmgrd|etcd)\)/,
  /^Memory cgroup out of memory: Killed process [0-9]+ \((?:postgres|postmaster|patroni|pg_autoctl|repmgrd|etcd)\)/,
  /^oom_reaper: reaped process [0-9]+ \((?:postgres|postmaster|patroni|pg_autoctl|repmgrd|etcd)\)/,
  /^(?:blk_update_request: )?I\/O error, dev [a-z0-9]{1,20}, sector [0-9]+/,
  /^Buffer I\/O error on dev(?:ice)? [a-z0-9-]{1,20}, logical block [0-9]+/,
  /^(?:EXT4-fs|XFS|BTRFS)(?: error| warning)? \((?:device )?[a-z0-9-]{1,20}\): [A-Za-z0-9_ ]{1,60}/,
  /^INFO: task (?:postgres|postmaster|patroni):[0-9]+ blocked for more than [0-9]+ seconds/,
];

/** Of `dmesg --time-format iso`, from `since` (RFC 3339 UTC, to the second). Each line as far as it is known. */
export function readKernelLog(text: string, since: string): RedactedLog {
  const lines: string[] = [];
  let dropped = 0;
  for (const row of text.split('\n')) {
    const [, when, message] = /^([0-9-]{10}T[0-9:]{8})[,.][0-9]+[+-][0-9:]{5} (.*)$/.exec(row) ?? [];
    if (when === undefined || message === undefined || Date.parse(row.slice(0, row.indexOf(' ')).replace(',', '.')) < Date.parse(since))
      continue;
    const kept = LINES.map((pattern) => pattern.exec(message)?.[0]).find((found) => found !== undefined);
    if (kept === undefined) dropped += 1;
    else lines.push(`${when} ${kept}`);
  }
  return { lines, withheld: 0, dropped };
}
