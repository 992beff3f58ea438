/**
 * What of a lab is in the process and mount tables: supervised processes by their mark, PostgreSQL servers by their working directory.
 * A shell or an editor somebody opened in the lab's directory is never counted.
 */
import { readFileSync, readdirSync, readlinkSync } from 'node:fs';
import { basename } from 'node:path';
import { bootId } from '../../core/clock';
import { identify, isAlive, type ProcessId } from '../../core/process';
import { markedProcesses } from '../supervisor/children';

const link = (path: string): string => {
  try {
    return readlinkSync(path);
  } catch {
    return '';
  }
};

const within = (path: string, dir: string): boolean => path === dir || path.startsWith(`${dir}/`);

/** PostgreSQL processes that work below `lab` (real path): nodes and sandboxes, postmasters and their backends. */
export function postgresProcesses(lab: string): readonly ProcessId[] {
  const boot = bootId();
  return readdirSync('/proc')
    .filter(
      (name) =>
        /^[0-9]+$/.test(name) &&
        within(link(`/proc/${name}/cwd`).replace(/ \(deleted\)$/, ''), lab) &&
        basename(link(`/proc/${name}/exe`).replace(/ \(deleted\)$/, '')) === 'postgres',
    )
    .map((name) => identify(Number(name)))
    .filter((id): id is ProcessId => id !== null && isAlive(id) && id.bootId === boot);
}

/** Everything that runs for this lab, except the caller. The supervisor itself carries no mark; ask its socket. */
export function labProcesses(runDir: string, lab: string | null): readonly ProcessId[] {
  const marked = markedProcesses(runDir).map(({ pid, startTicks, bootId: boot }) => ({ pid, startTicks, bootId: boot }));
  const all = [...marked, ...(lab === null ? [] : postgresProcesses(lab))];
  return all.filter((id, index) => all.findIndex((each) => each.pid === id.pid) === index);
}

export const labPids = (runDir: string, lab: string | null): ReadonlySet<number> =>
  new Set(labProcesses(runDir, lab).map(({ pid }) => pid));

/** Mount points below one of the directories. */
export function mountsBelow(dirs: readonly string[]): readonly string[] {
  return readFileSync('/proc/self/mounts', 'utf8')
    .split('\n')
    .map((line) => (line.split(' ')[1] ?? '').replaceAll('\\040', ' '))
    .filter((path) => dirs.some((dir) => within(path, dir)));
}

export function describeProcess(id: ProcessId): string {
  try {
    return `${id.pid} (${readFileSync(`/proc/${id.pid}/cmdline`, 'utf8').replaceAll('\0', ' ').trim().slice(0, 120)})`;
  } catch {
    return String(id.pid);
  }
}
