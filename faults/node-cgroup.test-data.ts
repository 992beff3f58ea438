/** The paper target with a host whose control groups are on paper as well, v1 or v2. */
import type { Host } from '../targets/ports';
import { type FaultContext } from './contract';
import { paperContext } from './paper-target.test-data';

const MOUNTINFO = {
  1: [
    '30 20 0:25 / /cg rw - tmpfs tmpfs rw',
    '31 30 0:26 / /cg/cpu rw,relatime - cgroup cgroup rw,cpu',
    '32 30 0:27 / /cg/memory rw,relatime - cgroup cgroup rw,memory',
    '33 30 0:28 / /cg/blkio rw,relatime - cgroup cgroup rw,blkio',
    '34 30 0:29 / /cg/unified rw,relatime - cgroup2 cgroup2 rw',
  ].join('\n'),
  2: '30 20 0:25 / /cg rw,relatime - cgroup2 cgroup2 rw',
};
const GROUPS = { 1: '9:memory:/pg\n8:blkio:/pg\n4:cpu,cpuacct:/pg\n0::/\n', 2: '0::/system.slice/postgresql.service\n' };

/** `files`: what else the host holds, by path. */
export function groupContext(step: string, version: 1 | 2, files: Readonly<Record<string, string>> = {}): FaultContext {
  const context = paperContext(step);
  const texts: Readonly<Record<string, string>> = {
    '/proc/self/mountinfo': MOUNTINFO[version],
    '/proc/4242/cgroup': GROUPS[version],
    '/cg/system.slice/cgroup.subtree_control': 'cpu io memory\n',
    ...files,
  };
  const host = {
    postmaster: async () => ({ pid: 4242, startTicks: '1', bootId: 'b' }),
    readFile: async (path: string) => texts[path] ?? null,
    exists: async (path: string) => path.endsWith('cgroup.procs'),
  } as unknown as Host;
  const live = { ...context.live, target: { ...context.live.target, systemIdentifier: '77' }, host: () => host };
  return { ...context, live };
}
