/**
 * Spoils one object of the archive, as bit rot does that nobody notices until the restore: a new version with sixteen bytes inverted lies on the good one.
 * It never changes a version that it did not make, and works on a versioned bucket alone.
 */
import { GamedayError } from '../core/errors';
import { sha256Hex } from '../core/files';
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

const LENGTH = 16;

/** The middle of it: past every header, before every trailer. */
function spoil(data: Uint8Array): Buffer {
  const bad = Buffer.from(data);
  const from = Math.max(0, (bad.length >> 1) - LENGTH / 2);
  for (let at = from; at < Math.min(bad.length, from + LENGTH); at += 1) bad.writeUInt8(bad.readUInt8(at) ^ 0xff, at);
  return bad;
}

async function inject(object: ArchiveObject, context: FaultContext): Promise<{ readonly key: string; readonly versionId: string }> {
  const { key, versionId, label, sha256 } = object;
  const door = requireDoor(context.live);
  const [newest] = await door.versions(key);
  if (newest !== undefined && !newest.marker && (await door.labelOf(key, newest.id)) === label) return { key, versionId };
  const good = await door.getVersion(key, versionId);
  if (good === null || sha256Hex(good) !== sha256)
    throw new GamedayError('object_missing', `version ${versionId} of ${key} is not what it was when the step was resolved`);
  await announce(object, context);
  await door.putLabelled(key, spoil(good), label);
  return { key, versionId };
}

async function confirm({ key, sha256, bytes }: ArchiveObject, { live }: FaultContext): Promise<FaultProof> {
  const data = await requireDoor(live).getVersion(key, null);
  const found = data === null ? null : sha256Hex(data);
  return {
    // Of the same length: whoever looks at sizes alone sees nothing.
    holds: data !== null && data.length === bytes && found !== sha256,
    by: `GET ${key} in the archive: ${data === null ? 'no such object' : `${data.length} bytes with SHA-256 ${found?.slice(0, 12)}…`}, before ${bytes} bytes with ${sha256.slice(0, 12)}…`,
    facts: { key, sha256: found },
  };
}

export const archiveObjectCorrupt: Fault<ObjectSettings, ArchiveObject> = {
  name: 'archive-object-corrupt',
  summary: 'covers one object of the archive with a spoiled version of itself',
  schema: objectSchema,
  // What only the archive held cannot be restored while it stands.
  mayLoseWrites: () => true,
  resolve: resolveObject,
  preview: ({ key }) =>
    `invert ${LENGTH} bytes of ${key} in the archive (its good version stays): while it stands, a restore that needs it fails`,
  reach: () => ({ nodes: [] }),
  manualUndo: (object, target) => manualUncover('version', object, target),
  ready: checkObject,
  inject,
  confirm,
  undo: (object, { live, memory }) => uncover(object, live, memory.read() !== null),
  confirmGone: proveUncovered,
};
