/** Files of ours in the data directories of a target's nodes, which a dead guardian may have left: fillers of disks and trial writes. Reads only. */
import { basename, join } from 'node:path';
import type { LiveTarget } from '../targets/ports';
import { OUR_LABEL, type Stray } from './contract';
import { labelledFile, labelOfFile } from './node-disk';

const FIND_TIMEOUT_MS = 10_000;

export async function findFiles(live: LiveTarget): Promise<readonly Stray[]> {
  const found: Stray[] = [];
  for (const { name: node, dataDir } of live.target.nodes) {
    const host = live.host(node);
    const where = [`${dataDir}/`, `${join(dataDir, 'pg_wal')}/`];
    const argv = ['find', ...where, '-maxdepth', '1', '-type', 'f', '-name', basename(labelledFile('/', 'gd-drill-*'))];
    const result = await host.exec(argv, { asNode: false, timeoutMs: FIND_TIMEOUT_MS });
    for (const path of result.stdout.split('\n')) {
      const label = labelOfFile(basename(path));
      if (label === null || !OUR_LABEL.test(label)) continue;
      found.push({ what: `file ${path}`, labels: [label], remove: () => host.remove(path) });
    }
  }
  return found;
}
