/** Containers that a dead guardian may have left paused or off their networks: a mark on their engine says so, and how it is undone. Reads only. */
import { messageOf } from '../core/errors';
import type { JsonObject } from '../model/json';
import type { LiveTarget } from '../targets/ports';
import { putBack } from './container-disconnect';
import { undoPause } from './container-pause';
import { OUR_LABEL, type Stray } from './contract';

const UNDO: Readonly<Record<string, (resolved: never, live: LiveTarget) => Promise<void>>> = {
  'container-pause': undoPause,
  'container-disconnect': putBack,
};

/** Engines are asked side by side; one that does not answer hides no other one's marks, and is told like a stray that stays. */
export async function findContainers(live: LiveTarget): Promise<readonly Stray[]> {
  const found = live.target.nodes.map(({ name }) =>
    findOn(live, name).catch((error: unknown): readonly Stray[] => [
      {
        what: `marks beside ${name}`,
        labels: [],
        remove: () => Promise.reject(error instanceof Error ? error : new Error(messageOf(error))),
      },
    ]),
  );
  return (await Promise.all(found)).flat();
}

async function findOn(live: LiveTarget, node: string): Promise<readonly Stray[]> {
  const marks = (await live.host(node).container?.marks()) ?? [];
  return marks.flatMap(({ label, note }): readonly Stray[] => {
    const { fault, resolved } = note as { readonly fault?: string; readonly resolved?: JsonObject };
    const undo = UNDO[fault ?? ''];
    if (undo === undefined || !OUR_LABEL.test(label)) return [];
    return [{ what: `${fault ?? ''} of ${node} by ${label}`, labels: [label], remove: () => undo(resolved as never, live) }];
  });
}
