/**
 * Control groups of ours that a dead guardian may have left on the hosts of a target's nodes. Reads only; a group carries the target and node that it
 * was made for in its name, so another lab on the same machine keeps its own.
 */
import { basename } from 'node:path';
import type { LiveTarget } from '../targets/ports';
import { OUR_LABEL, type Stray } from './contract';
import { emptyCgroup, groupSuffix, originOf } from './node-cgroup';

const FIND_TIMEOUT_MS = 10_000;

export async function findCgroups(live: LiveTarget): Promise<readonly Stray[]> {
  const found: Stray[] = [];
  for (const { name: node } of live.target.nodes) {
    const host = live.host(node);
    const suffix = groupSuffix(live, node);
    const argv = [
      'find',
      '/sys/fs/cgroup',
      '-type',
      'd',
      '-name',
      `gd-drill-*${suffix}`,
      '-o',
      '-type',
      'd',
      '-name',
      `gd-drill-*${suffix}@*`,
    ];
    const result = await host.exec(argv, { asNode: false, timeoutMs: FIND_TIMEOUT_MS });
    for (const dir of result.stdout.split('\n').filter((line) => OUR_LABEL.test(basename(line)))) {
      const origin = originOf(dir);
      found.push({
        what: `control group ${dir}`,
        labels: [basename(dir).slice(0, basename(dir).lastIndexOf(suffix))],
        // Should the origin have vanished, the group above takes its processes.
        remove: () => emptyCgroup(host, dir, origin, origin),
      });
    }
  }
  return found;
}
