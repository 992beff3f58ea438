/**
 * What keeps a restored copy to itself: a network namespace without any way out and control groups of its own, where the host lets us have them. What is
 * possible is tried, not assumed, and what was achieved is read back from /proc: never a claim of whoever started the server.
 */
import { existsSync, mkdirSync, readFileSync, readlinkSync, rmdirSync, writeFileSync } from 'node:fs';
import { totalmem } from 'node:os';
import { basename, join } from 'node:path';
import { messageOf } from '../../core/errors';
import { sha256Hex } from '../../core/files';
import { identify, run, type ProcessId } from '../../core/process';

const ROOT = '/sys/fs/cgroup';
const TRY_MS = 5_000;
/** A server with its backends and helpers needs a few dozen. */
const MAX_PROCESSES = 512;

export interface IsolationWish {
  readonly dir: string;
  readonly owner: { readonly uid: number; readonly gid: number } | null;
  /** False while recovery fetches WAL over the network by itself. */
  readonly withoutNetwork: boolean;
  /** Null: half of this machine's memory. */
  readonly memoryBytes: number | null;
}

/** Directories of the copy's own groups, one per hierarchy; named after its whole path, so that a later process finds them again, and no other copy's. */
function groupsOf(dir: string): readonly { readonly dir: string; readonly limits: readonly (readonly [string, string])[] }[] {
  const name = `gameday-sandbox-${basename(dir)}-${sha256Hex(dir).slice(0, 8)}`;
  if (existsSync(join(ROOT, 'cgroup.controllers'))) {
    return [
      {
        dir: join(ROOT, name),
        limits: [
          ['memory.max', ''],
          ['pids.max', String(MAX_PROCESSES)],
          ['cpu.weight', '50'],
        ],
      },
    ];
  }
  return [
    { dir: join(ROOT, 'memory', name), limits: [['memory.limit_in_bytes', '']] },
    { dir: join(ROOT, 'pids', name), limits: [['pids.max', String(MAX_PROCESSES)]] },
    { dir: join(ROOT, 'cpu', name), limits: [['cpu.shares', '512']] },
  ];
}

/** Makes the groups with their limits; those that this host refuses are left out. Returns their directories. */
function makeGroups({ dir, memoryBytes }: IsolationWish): readonly string[] {
  if (process.getuid?.() !== 0) return [];
  const memory = String(memoryBytes ?? Math.floor(totalmem() / 2));
  return groupsOf(dir).flatMap((group) => {
    try {
      mkdirSync(group.dir, { recursive: true });
      for (const [file, value] of group.limits)
        if (existsSync(join(group.dir, file))) writeFileSync(join(group.dir, file), value === '' ? memory : value);
      return existsSync(join(group.dir, 'cgroup.procs')) ? [group.dir] : [];
    } catch {
      return [];
    }
  });
}

/** Whoever lives in the copy's groups: the server, and what its commands left running, wherever that works. */
export function membersOf(dir: string): ProcessId[] {
  const pids = groupsOf(dir).flatMap((group) => {
    try {
      return readFileSync(join(group.dir, 'cgroup.procs'), 'utf8').split('\n').filter(Boolean);
    } catch {
      return [];
    }
  });
  return [...new Set(pids)].flatMap((pid) => identify(Number(pid)) ?? []);
}

/** Removes the copy's groups, once nobody lives in them. Returns those that stay. */
export function removeGroups(dir: string): readonly string[] {
  return groupsOf(dir)
    .map((group) => group.dir)
    .filter((group) => {
      try {
        if (existsSync(group)) rmdirSync(group);
      } catch {
        // Whoever dies may still be counted there for a moment.
      }
      return existsSync(group);
    });
}

const ENTER = `until [ "$1" = -- ]; do echo $$ >"$1/cgroup.procs" || exit 97; shift; done; shift; exec "$@"`;

/** Words that go before a command, so that it and its children run isolated, as the copy's owner. Asks the host once what it lets us do. */
export async function isolating(wish: IsolationWish): Promise<readonly string[]> {
  const asRoot = process.getuid?.() === 0;
  const namespace = asRoot ? ['unshare', '--net', '--'] : ['unshare', '--user', '--map-current-user', '--net', '--'];
  const possible = wish.withoutNetwork && (await works([...namespace, 'true']));
  const become =
    wish.owner === null || !asRoot ? [] : ['setpriv', `--reuid=${wish.owner.uid}`, `--regid=${wish.owner.gid}`, '--clear-groups', '--'];
  const groups = makeGroups(wish);
  const enter = groups.length === 0 ? [] : ['sh', '-c', ENTER, 'sh', ...groups, '--'];
  return [...enter, ...(possible ? namespace : []), ...become];
}

async function works(argv: readonly string[]): Promise<boolean> {
  try {
    return (await run(argv, { timeoutMs: TRY_MS })).code === 0;
  } catch {
    return false;
  }
}

export interface IsolationFound {
  /** Null: it has a network of its own, which leads nowhere; else why not. */
  readonly networkShared: string | null;
  /** Limits in force, in words; empty: none. */
  readonly limits: readonly string[];
}

/** As the kernel has it now. */
export function readIsolation(server: ProcessId, dir: string): IsolationFound {
  let networkShared: string | null;
  try {
    const same = readlinkSync(`/proc/${server.pid}/ns/net`) === readlinkSync('/proc/self/ns/net');
    networkShared = same
      ? 'it shares the host’s network: this host lets us make no network namespace, or recovery fetches WAL by itself'
      : null;
  } catch (error) {
    networkShared = `its network namespace cannot be read: ${messageOf(error)}`;
  }
  const limits = groupsOf(dir).flatMap((group) => {
    const inside = existsSync(group.dir) && readFileSync(join(group.dir, 'cgroup.procs'), 'utf8').split('\n').includes(String(server.pid));
    if (!inside) return [];
    return group.limits.flatMap(([file]) =>
      existsSync(join(group.dir, file)) ? [`${file} ${readFileSync(join(group.dir, file), 'utf8').trim()}`] : [],
    );
  });
  return { networkShared, limits };
}
