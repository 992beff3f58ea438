/** What is left to do of a kill that was cut off: `killTree` stops everybody before it kills, and whoever kills may end between. */
import type { ProcessId } from '../../core/process';
import type { Host } from '../ports';

/** Ends a tree whose root stands stopped; what runs, or is gone, is left alone. */
export async function killIfStopped(host: Pick<Host, 'processState' | 'killTree'>, root: ProcessId): Promise<void> {
  if ((await host.processState(root)) === 'T') await host.killTree(root);
}
