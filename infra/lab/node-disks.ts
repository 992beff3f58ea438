/**
 * Small disks of their own for a lab's nodes: ext4 images, loop-mounted where each node lives, so that one node's disk can be filled without harm to
 * anybody else. Root only. An image that holds data is never made anew; what is mounted here is unmounted by `lab down`.
 */
import { existsSync, mkdirSync, renameSync, rmSync, statfsSync, truncateSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { until } from '../../core/clock';
import { GamedayError, messageOf } from '../../core/errors';
import { run } from '../../core/process';
import { formatBytes } from '../../core/units';
import { mountsBelow } from './residue';

const TIMEOUT_MS = 30_000;
/** A node's data and WAL, and a second copy of it while it is rebuilt. */
const LEAST_BYTES = 256 * 1024 ** 2;
/** What `disk-full` refuses to fill. */
const MOST_BYTES = 4 * 1024 ** 3;
const UNMOUNTED_WITHIN_MS = 5_000;

/** Throws `setting_invalid` unless disks of this size can be made here, and `disk_full` when there is no room for `count` of them. */
export function checkNodeDisks(lab: string, bytes: number, count: number): void {
  if (process.getuid?.() !== 0)
    throw new GamedayError(
      'setting_invalid',
      'disks of their own for nodes need root',
      'run `gameday lab up` as root, or without --node-disk.',
    );
  if (!(bytes >= LEAST_BYTES && bytes <= MOST_BYTES))
    throw new GamedayError(
      'setting_invalid',
      `a node’s disk of ${formatBytes(bytes)} is not possible`,
      `choose between ${formatBytes(LEAST_BYTES)} and ${formatBytes(MOST_BYTES)}, e.g. 2GB.`,
    );
  // Images take what is written to them, up to their size: the disk that holds them must never be filled by them.
  const stats = statfsSync(lab);
  const free = stats.bavail * stats.bsize;
  if (free < count * bytes)
    throw new GamedayError(
      'disk_full',
      `${lab}: ${formatBytes(free)} free, ${count} disks of ${formatBytes(bytes)} need ${formatBytes(count * bytes)}`,
    );
}

const imageOf = (dir: string): string => `${dir}.img`;

async function mustRun(argv: readonly string[]): Promise<void> {
  const env = { ...process.env, PATH: `${process.env['PATH'] ?? ''}:/usr/sbin:/sbin` };
  let text: string;
  try {
    const result = await run(argv, { timeoutMs: TIMEOUT_MS, env });
    if (result.code === 0) return;
    text = result.stderr.trim();
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
    throw new GamedayError('tool_missing', `${argv[0] ?? ''} was not found`, 'install e2fsprogs and mount, or leave --node-disk out.');
  }
  throw new GamedayError(
    'lab_failed',
    `${argv.join(' ')} failed: ${text}`,
    'this machine must allow loop devices; or leave --node-disk out.',
  );
}

/** Mounts the disk of a node at `dir`; makes it first where there is none. Idempotent. */
export async function mountNodeDisk(dir: string, bytes: number): Promise<void> {
  if (mountsBelow([dir]).includes(dir)) return;
  const image = imageOf(dir);
  mkdirSync(dirname(dir), { recursive: true });
  if (!existsSync(image)) {
    const fresh = `${image}.new`;
    rmSync(fresh, { force: true });
    writeFileSync(fresh, '', { mode: 0o600 });
    truncateSync(fresh, bytes);
    await mustRun(['mkfs.ext4', '-q', '-F', '-m', '1', fresh]);
    renameSync(fresh, image);
  }
  mkdirSync(dir, { recursive: true });
  await mustRun(['mount', '-o', 'loop', image, dir]);
}

/** Unmounts what was mounted at `dir`; nothing to do where nothing is. Nobody may work in it any more. */
export async function unmountNodeDisk(dir: string): Promise<void> {
  if (!mountsBelow([dir]).includes(dir)) return;
  // The kernel may hold a file of a process that has just ended a moment longer.
  await until(async () => (await mustRun(['umount', dir]), true as const), {
    timeoutMs: UNMOUNTED_WITHIN_MS,
    everyMs: 100,
    onTimeout: (last) =>
      new GamedayError('lab_failed', `${dir} cannot be unmounted: ${messageOf(last)}`, 'end what works in it, then try again.'),
  });
}
