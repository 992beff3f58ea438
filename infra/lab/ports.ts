/** Which addresses are taken, and by whom: read from /proc, so that a refusal can name the process. Listens nowhere, changes nothing. */
import { readFileSync, readdirSync, readlinkSync } from 'node:fs';
import { until } from '../../core/clock';
import { GamedayError } from '../../core/errors';

const LISTEN = '0A';
const SETTLES_WITHIN_MS = 2_000;

export interface Address {
  readonly host: string;
  readonly port: number;
  /** What the lab wants it for. */
  readonly use: string;
}

export interface Listener {
  /** As the kernel has it: `0.0.0.0`, `127.0.1.11`, `::`. */
  readonly host: string;
  readonly port: number;
  readonly inode: string;
}

/** `127.0.1.11` from `0B01007F`; IPv6 is told apart only as "any" (`::`), mapped IPv4, or other. Kernel: net/ipv4/tcp_ipv4.c, words in host byte order. */
export function parseHexAddress(hex: string): string {
  const ipv4 = (word: string): string =>
    (word.match(/../g) ?? [])
      .reverse()
      .map((byte) => parseInt(byte, 16))
      .join('.');
  if (hex.length === 8) return ipv4(hex);
  if (/^0+$/.test(hex)) return '::';
  if (/^0{16}FFFF0000/i.test(hex)) return ipv4(hex.slice(24));
  return `[${hex}]`;
}

/** Listening sockets in the text of /proc/net/tcp or tcp6. */
export function parseListeners(text: string): readonly Listener[] {
  return text
    .split('\n')
    .slice(1)
    .map((line) => line.trim().split(/\s+/))
    .filter((fields) => fields[3] === LISTEN)
    .map((fields) => {
      const [host = '', port = ''] = (fields[1] ?? '').split(':');
      return { host: parseHexAddress(host), port: parseInt(port, 16), inode: fields[9] ?? '' };
    });
}

function readListeners(): readonly Listener[] {
  return ['/proc/net/tcp', '/proc/net/tcp6'].flatMap((path) => {
    try {
      return parseListeners(readFileSync(path, 'utf8'));
    } catch {
      return [];
    }
  });
}

const takes = (listener: Listener, address: Address): boolean =>
  listener.port === address.port && (listener.host === address.host || listener.host === '0.0.0.0' || listener.host === '::');

/** Process that holds each of these socket inodes, as far as we may see it. */
function ownersOf(inodes: ReadonlySet<string>): Map<string, number> {
  const owners = new Map<string, number>();
  for (const pid of readdirSync('/proc').filter((name) => /^[0-9]+$/.test(name))) {
    let fds: string[];
    try {
      fds = readdirSync(`/proc/${pid}/fd`);
    } catch {
      continue;
    }
    for (const fd of fds) {
      let inode: string | undefined;
      try {
        inode = /^socket:\[([0-9]+)\]$/.exec(readlinkSync(`/proc/${pid}/fd/${fd}`))?.[1];
      } catch {
        continue;
      }
      if (inode !== undefined && inodes.has(inode) && !owners.has(inode)) owners.set(inode, Number(pid));
    }
  }
  return owners;
}

function commandOf(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ').trim().slice(0, 200) || 'a kernel process';
  } catch {
    return 'a process that has just ended';
  }
}

export interface TakenAddress extends Address {
  /** Null when the owner belongs to another user and cannot be seen. */
  readonly pid: number | null;
}

/** Those of the addresses on which somebody listens. */
export function findTaken(addresses: readonly Address[]): readonly TakenAddress[] {
  const listeners = readListeners();
  const taken = addresses.flatMap((address) => {
    const listener = listeners.find((each) => takes(each, address));
    return listener === undefined ? [] : [{ address, inode: listener.inode }];
  });
  if (taken.length === 0) return [];
  const owners = ownersOf(new Set(taken.map((each) => each.inode)));
  return taken.map(({ address, inode }) => ({ ...address, pid: owners.get(inode) ?? null }));
}

const nameOf = ({ host, port, use, pid }: TakenAddress): string =>
  `${host}:${port} (${use}) is held by ${pid === null ? 'a process of another user' : `process ${pid}: ${commandOf(pid)}`}`;

/**
 * Throws `port_in_use`, naming address, pid and command, if anybody but the processes that `own` lists listens on one of the addresses, and goes on to do so: a
 * server of ours that starts or ends meanwhile is in one look and not in the other.
 */
export async function checkPorts(addresses: readonly Address[], own: () => ReadonlySet<number>): Promise<void> {
  let foreign: readonly TakenAddress[] = [];
  await until(
    () => {
      const taken = findTaken(addresses);
      const ours = own();
      foreign = taken.filter(({ pid }) => pid === null || !ours.has(pid));
      return foreign.length === 0 ? true : null;
    },
    {
      timeoutMs: SETTLES_WITHIN_MS,
      everyMs: 200,
      onTimeout: () =>
        new GamedayError(
          'port_in_use',
          foreign.slice(0, 5).map(nameOf).join('; ') + (foreign.length > 5 ? `; and ${foreign.length - 5} more` : ''),
        ),
    },
  );
}
