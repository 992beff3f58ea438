/** Containers that a dead guardian may have left paused or off their networks: a mark on their engine says so, and how it is undone. Reads only. */
import type { JsonObject } from '../model/json';
import type { LiveTarget } from '../targets/ports';
import { putBack } from './container-disconnect';
import { undoPause } from './container-pause';
import { OUR_LABEL, type Stray } from './contract';

const UNDO: Readonly<Record<string, (resolved: never, live: LiveTarget) => Promise<void>>> = {
  'container-pause': undoPause,
  'container-disconnect': putBack,
};

export async function findContainers(live: LiveTarget): Promise<readonly Stray[]> {
  const found: Stray[] = [];
  for (const { name: node } of live.target.nodes) {
    for (const { label, note } of (await live.host(node).container?.marks()) ?? []) {
      const { fault, resolved } = note as { readonly fault?: string; readonly resolved?: JsonObject };
      const undo = UNDO[fault ?? ''];
      if (undo === undefined || !OUR_LABEL.test(label)) continue;
      found.push({ what: `${fault ?? ''} of ${node} by ${label}`, labels: [label], remove: () => undo(resolved as never, live) });
    }
  }
  return found;
}
