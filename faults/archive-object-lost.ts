/**
 * Loses one object of the archive, as a lifecycle rule or a careless hand does: a delete marker hides it, its bytes stay where they are.
 * It never removes a version that it did not make, and works on a versioned bucket alone.
 */
import type { FaultProof } from '../model/fault';
import {
  announce,
  checkObject,
  manualUncover,
  objectSchema,
  proveUncovered,
  requireDoor,
  resolveObject,
  uncover,
  type ArchiveObject,
  type ObjectSettings,
} from './archive-objects';
import type { Fault, FaultContext } from './contract';

async function confirm({ key }: ArchiveObject, { live }: FaultContext): Promise<FaultProof> {
  const data = await requireDoor(live).getVersion(key, null);
  return {
    holds: data === null,
    by: `GET ${key} in the archive: ${data === null ? 'no such object' : `${data.length} bytes`}`,
    facts: { key },
  };
}

export const archiveObjectLost: Fault<ObjectSettings, ArchiveObject> = {
  name: 'archive-object-lost',
  summary: 'hides one object of the archive behind a delete marker',
  schema: objectSchema,
  // What only the archive held cannot be restored while it stands.
  mayLoseWrites: () => true,
  resolve: resolveObject,
  preview: ({ key }) => `delete ${key} from the archive (its version stays): while it stands, a restore that needs it fails`,
  reach: () => ({ nodes: [] }),
  manualUndo: (object, target) => manualUncover('marker', object, target),
  ready: checkObject,
  async inject(object, context) {
    const door = requireDoor(context.live);
    await announce(object, context);
    if ((await door.versions(object.key))[0]?.marker !== true) await door.hide(object.key);
    return { key: object.key, versionId: object.versionId };
  },
  confirm,
  undo: (object, { live, memory }) => uncover(object, live, memory.read() !== null),
  confirmGone: proveUncovered,
};
