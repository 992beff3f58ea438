/** Servers that a dead guardian may have left running under a false clock: their environment says which fault started them. Reads only. */
import type { LiveTarget } from '../targets/ports';
import { restoreClock, startedBy } from './clock-skew';
import { OUR_LABEL, type Stray } from './contract';

export async function findSkewedClocks(live: LiveTarget): Promise<readonly Stray[]> {
  const found: Stray[] = [];
  for (const { name: node } of live.target.nodes) {
    const label = await startedBy(live, node);
    if (label === null || !OUR_LABEL.test(label)) continue;
    found.push({ what: `clock of ${node}, set by ${label}`, labels: [label], remove: () => restoreClock(live, node, label) });
  }
  return found;
}
