/**
 * The file system and the block device under a node's directories, as the node's own host sees them. Looks only.
 * Files that faults write there are named so that base backups, pg_rewind and checksum checks leave them out, as PostgreSQL's own temporary files.
 */
import { dirname, join } from 'node:path';
import { GamedayError } from '../core/errors';
import type { Host } from '../targets/ports';
import { runScript } from './node-script';

/** PG_TEMP_FILE_PREFIX: basebackup.c and pg_rewind's file_map.c skip what begins with it. */
const TEMPORARY = 'pgsql_tmp.';

export const labelledFile = (dir: string, label: string): string => join(dir, `${TEMPORARY}${label}`);

/** Label of a file that `labelledFile` named; null for anybody else's. */
export function labelOfFile(name: string): string | null {
  return name.startsWith(TEMPORARY) ? name.slice(TEMPORARY.length) : null;
}

/** `major:minor` of stat's device number (Linux, gnu_dev_major and gnu_dev_minor). */
export function deviceName(device: bigint): string {
  const major = ((device >> 8n) & 0xfffn) | ((device >> 32n) & ~0xfffn);
  const minor = (device & 0xffn) | ((device >> 12n) & ~0xffn);
  return `${major}:${minor}`;
}

/** Device number of the file system that holds each path; a path that is not there is left out. */
export async function readDevices(host: Host, paths: readonly string[]): Promise<ReadonlyMap<string, string>> {
  const text = await runScript(
    host,
    'asking for file systems',
    'for path; do device=$(stat -L -c %d "$path" 2>/dev/null) && echo "$device $path"; done; true',
    paths,
  );
  return new Map(
    text
      .split('\n')
      .filter((line) => line !== '')
      .map((line) => [line.slice(line.indexOf(' ') + 1), deviceName(BigInt(line.slice(0, line.indexOf(' '))))] as const),
  );
}

/** `major:minor` of the whole disk under a directory; limits are set on disks, not on partitions. Throws `fault_refused` where there is none. */
export async function findDisk(host: Host, dir: string): Promise<string> {
  const device = (await readDevices(host, [dir])).get(dir);
  const sys = device === undefined ? null : `/sys/dev/block/${device}`;
  if (device === undefined || sys === null || !(await host.exists(sys)))
    throw new GamedayError(
      'fault_refused',
      `the file system of ${dir} (device ${device ?? 'unknown'}) has no block device of its own`,
      'tmpfs, overlay, network and copy-on-write file systems cannot be slowed; put the data directory on a disk.',
    );
  if (!(await host.exists(`${sys}/partition`))) return device;
  return ((await host.readFile(`${sys}/../dev`)) ?? device).trim();
}

/** Size of the file system that holds `dir`, in bytes. */
export async function fileSystemBytes(host: Host, dir: string): Promise<number> {
  const text = await runScript(host, `asking for the size of ${dir}`, 'stat -f -c "%S %b" "$1"', [dir]);
  const [block = 0, count = 0] = text.trim().split(' ').map(Number);
  return block * count;
}

/** Directories of the machine that must not lie on a file system which a fault fills: the system’s, and what gameday itself needs. */
export const systemDirectories = (runDir: string): readonly string[] => [
  '/',
  '/tmp',
  '/var',
  '/usr',
  '/home',
  '/root',
  '/etc',
  '/run',
  '/dev/shm',
  runDir,
  dirname(runDir),
];
