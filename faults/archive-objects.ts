/**
 * An object of the archive, spoiled by putting something on top of it in a versioned bucket, and laid bare again by removing exactly that.
 *
 *     GET ──▶ ours: delete marker, or a labelled version with other bytes
 *             the good version, whose id the handle holds: never touched
 *
 * What we put is known by its label; a delete marker can carry none, so a note in the store says beforehand that one is ours.
 */
import { z } from 'zod';
import { GamedayError } from '../core/errors';
import { sha256Hex } from '../core/files';
import { formatBytes } from '../core/units';
import type { FaultProof } from '../model/fault';
import type { CheckResult } from '../model/record';
import { nativeArchiveOf, type NativeTargetArchive, type Target } from '../model/target';
import { quoteWord } from '../targets/hosts/shell-words';
import type { ArchiveDoor, LiveTarget, ObjectVersion, ObjectWord } from '../targets/ports';
import { secretWord } from './by-hand';
import type { FaultContext, Stray } from './contract';
import { OUR_LABEL } from './contract';

/** Where an object's own metadata holds the label (`objects/s3-versions.ts`). */
const LABEL_KEY = 'gameday-label';
/** It is held in memory to be digested. */
const LARGEST_BYTES = 256 * 1024 ** 2;
const WORDS: readonly string[] = ['newest-wal', 'random-wal', 'backup'] satisfies ObjectWord[];

export const objectSchema = z.strictObject({
  object: z
    .string()
    .min(1)
    .max(900)
    .default('newest-wal')
    .describe('newest-wal, random-wal, backup (a part of the newest), or a key of the archive'),
});
export type ObjectSettings = z.infer<typeof objectSchema>;

/** `versionId`: the good version. */
export type ArchiveObject = {
  readonly key: string;
  readonly versionId: string;
  readonly sha256: string;
  readonly bytes: number;
  readonly label: string;
};

/** The archive's way to its store; throws `fault_refused` where the target has no archive. */
export function requireDoor(live: LiveTarget): ArchiveDoor {
  if (live.archive === null)
    throw new GamedayError('fault_refused', `target ${live.target.name} has no archive`, 'name one under archive of the target file.');
  if (live.archive.door === undefined)
    throw new GamedayError(
      'fault_refused',
      `faults on objects need gameday’s own archive; that of ${live.target.name} is ${live.archive.kind}`,
    );
  return live.archive.door;
}

/** The object that the word stands for now, and what it holds. Throws `fault_refused`. */
export async function resolveObject({ object }: ObjectSettings, { live, label }: FaultContext): Promise<ArchiveObject> {
  const door = requireDoor(live);
  if (!(await door.isVersioned()))
    throw new GamedayError(
      'fault_refused',
      `the bucket of target ${live.target.name}'s archive keeps no versions, so nothing spoiled there could be put back`,
      'enable versioning on the bucket.',
    );
  const key = WORDS.includes(object) ? await door.find(object as ObjectWord, label) : object;
  const bytes = await door.sizeOf(key);
  if (bytes === null || bytes > LARGEST_BYTES)
    throw new GamedayError(
      'fault_refused',
      bytes === null
        ? `the archive has no object ${key}`
        : `${key} has ${formatBytes(bytes)}; at most ${formatBytes(LARGEST_BYTES)} are spoiled`,
      'use newest-wal, random-wal, backup or the key of another object.',
    );
  const [newest] = await door.versions(key);
  const data = newest === undefined ? null : await door.getVersion(key, newest.id);
  if (newest === undefined || data === null) throw new GamedayError('fault_refused', `the archive’s object ${key} changes at this moment`);
  return { key, versionId: newest.id, sha256: sha256Hex(data), bytes, label };
}

/** Says in the store, and in the fault's memory, that what will lie on top is ours. Before the act. */
export async function announce({ key, versionId, label }: ArchiveObject, { live, memory }: FaultContext): Promise<void> {
  if (memory.read() === null) memory.write({ announced: true });
  await requireDoor(live).note(label, JSON.stringify({ key, versionId }));
}

type Covered = Pick<ArchiveObject, 'key' | 'versionId' | 'label'>;

/** What of ours lies on the good version. Delete markers count as ours when `announced`. */
async function findOurs(door: ArchiveDoor, { key, versionId, label }: Covered, announced: boolean): Promise<readonly ObjectVersion[]> {
  const versions = await door.versions(key);
  const good = versions.findIndex((each) => each.id === versionId);
  const newer = good < 0 ? versions : versions.slice(0, good);
  const ours: ObjectVersion[] = [];
  for (const each of newer) if (each.marker ? announced : (await door.labelOf(key, each.id)) === label) ours.push(each);
  return ours;
}

/** Removes what of ours lies on top, then the note. Idempotent. */
export async function uncover(object: Covered, live: LiveTarget, announced: boolean): Promise<void> {
  const door = requireDoor(live);
  for (const { id } of await findOurs(door, object, announced)) await door.removeVersion(object.key, id);
  await door.removeNote(object.label);
}

/** The very bytes of before come back, and nothing of ours lies on top. */
export async function proveUncovered(object: ArchiveObject, { live, memory }: FaultContext): Promise<FaultProof> {
  const { key, versionId, sha256 } = object;
  const door = requireDoor(live);
  const ours = await findOurs(door, object, memory.read() !== null);
  const data = await door.getVersion(key, null);
  const [newest] = await door.versions(key);
  const same = data !== null && sha256Hex(data) === sha256;
  const gone = ours.length === 0 && same;
  return {
    holds: gone,
    // The archiver may have stored the same segment again meanwhile: other version, same bytes.
    by: `GET ${key}: ${data === null ? 'no such object' : same ? 'the bytes of before, by SHA-256' : 'other bytes'}, version ${newest?.id ?? 'none'}${newest?.id === versionId ? ' as before' : ''}; ${ours.length} versions of ours`,
    facts: { key, versionId: newest?.id ?? null },
  };
}

export async function checkObject(settings: ObjectSettings, context: FaultContext): Promise<readonly CheckResult[]> {
  const { live } = context;
  const versioned = (await live.archive?.door?.isVersioned()) ?? false;
  const check: CheckResult = {
    name: 'the archive’s bucket keeps versions',
    ok: versioned,
    found:
      live.archive === null
        ? 'no archive'
        : live.archive.door === undefined
          ? `an archive of ${live.archive.kind}, whose objects gameday leaves alone`
          : versioned
            ? 'enabled'
            : 'not enabled',
    expected: 'enabled',
    hint: versioned ? null : 'without versions nothing spoiled could be put back; enable versioning on the bucket.',
  };
  if (!versioned) return [check];
  const found = await resolveObject(settings, context).then(
    (object) => ({ ok: true, text: `${object.key}, ${formatBytes(object.bytes)}` }),
    (error: unknown) => {
      if (error instanceof GamedayError) return { ok: false, text: error.message };
      throw error;
    },
  );
  return [
    check,
    {
      name: `the archive has an object "${settings.object}"`,
      ok: found.ok,
      found: found.text,
      expected: 'an object',
      hint: found.ok ? null : 'use newest-wal, random-wal, backup or the key of an object.',
    },
  ];
}

/** As a shell of its own, with the store's credentials. */
function withCredentials({ accessKey, secretKey, region }: NativeTargetArchive, script: string): string {
  const settings = `export AWS_ACCESS_KEY_ID=${secretWord(accessKey)} AWS_SECRET_ACCESS_KEY=${secretWord(secretKey)} AWS_DEFAULT_REGION=${quoteWord(region)}`;
  return `(${settings}; ${script})`;
}

/** `each` is done with every id that is asked for by `query`. */
function withIds(archive: NativeTargetArchive, at: string, key: string, query: string, each: string): string {
  const list = `aws s3api list-object-versions ${at} --prefix ${quoteWord(key)} --query ${quoteWord(query)} --output text`;
  return withCredentials(archive, `ids=$(${list}) && for id in $ids; do [ "$id" = None ] || { ${each}; } || exit 1; done`);
}

const placeOf = ({ endpoint, bucket }: NativeTargetArchive): string =>
  `--endpoint-url ${quoteWord(endpoint)} --bucket ${quoteWord(bucket)}`;
const keyIn = ({ prefix }: NativeTargetArchive, name: string): string => (prefix === '' ? name : `${prefix}/${name}`);

function removeNoteByHand(archive: NativeTargetArchive, label: string): string {
  const at = placeOf(archive);
  const note = keyIn(archive, `faults/${label}`);
  const query = `[Versions[?Key=='${note}'].VersionId, DeleteMarkers[?Key=='${note}'].VersionId][]`;
  return withIds(archive, at, note, query, `aws s3api delete-object ${at} --key ${quoteWord(note)} --version-id "$id"`);
}

/** What a person types: `what` of ours that lies on the good version goes, by its id, and then the note that says it is ours. */
export function manualUncover(what: 'marker' | 'version', { key, versionId, label }: ArchiveObject, target: Target): readonly string[] {
  const archive = nativeArchiveOf(target);
  if (archive === null) return [];
  const at = placeOf(archive);
  const object = keyIn(archive, key);
  const remove = `aws s3api delete-object ${at} --key ${quoteWord(object)} --version-id "$id"`;
  const labelled = `aws s3api head-object ${at} --key ${quoteWord(object)} --version-id "$id" --query 'Metadata."${LABEL_KEY}"' --output text`;
  const lines = {
    marker: withIds(archive, at, object, `DeleteMarkers[?Key=='${object}' && IsLatest].VersionId`, remove),
    version: withIds(
      archive,
      at,
      object,
      `Versions[?Key=='${object}' && VersionId!='${versionId}'].VersionId`,
      `{ said=$(${labelled}) && [ "$said" != ${quoteWord(label)} ]; } || ${remove}`,
    ),
  };
  const ours = { marker: 'the delete marker on top', version: `the versions with metadata ${LABEL_KEY}=${label}` }[what];
  return [
    lines[what],
    removeNoteByHand(archive, label),
    `# without aws (pip install awscli): in the store’s own console, in bucket ${archive.bucket}, remove ${ours} of ${object}, never version ${versionId}, and then ${keyIn(archive, `faults/${label}`)}`,
  ];
}

/** What one command line may remove at once: an argument holds 128 kB. */
const REMOVED_AT_ONCE = 400;
const MOST_ROUNDS = 60;

/** What a person types: every delete marker since the note goes, by its id, a few hundred at a time, and then the note. */
export function manualUncoverAll(label: string, target: Target): readonly string[] {
  const archive = nativeArchiveOf(target);
  if (archive === null) return [];
  const at = placeOf(archive);
  const [note, notes, all] = [keyIn(archive, `faults/${label}`), keyIn(archive, 'faults/'), keyIn(archive, '')];
  const list = (prefix: string, query: string): string =>
    `aws s3api list-object-versions ${at} --prefix ${quoteWord(prefix)} --query ${query}`;
  const since = `since=$(${list(note, quoteWord(`Versions[?Key=='${note}' && IsLatest].LastModified`))} --output text)`;
  // In whole seconds, which every store tells.
  const ours = `"{Objects: DeleteMarkers[?IsLatest && LastModified>='\${since%%[.Z+]*}' && !starts_with(Key, '${notes}')] | [0:${REMOVED_AT_ONCE}].{Key: Key, VersionId: VersionId}}"`;
  const round = `found=$(${list(all, ours)} --output json) || exit 1; case $found in *VersionId*) ;; *) break;; esac; aws s3api delete-objects ${at} --delete "$found" || exit 1`;
  const rounds = `for round in $(seq ${MOST_ROUNDS}); do ${round}; done`;
  return [
    withCredentials(archive, `${since} && if [ "\${since:-None}" != None ]; then ${rounds}; fi`),
    removeNoteByHand(archive, label),
    `# without aws (pip install awscli): in the store’s own console, in bucket ${archive.bucket}, remove every delete marker below ${all} that is not older than ${note}, and then ${note}`,
  ];
}

/** Notes that dead guardians left in the store, with what lies on top of the objects they name. Reads only. */
export async function findCovered(live: LiveTarget): Promise<readonly Stray[]> {
  const door = live.archive?.door;
  if (door === undefined) return [];
  const found: Stray[] = [];
  for (const { label, text } of await door.notes()) {
    if (!OUR_LABEL.test(label)) continue;
    if (text === EMPTIED) {
      found.push({ what: `what ${label} hid of the whole archive`, labels: [label], remove: () => uncoverAll(label, live) });
      continue;
    }
    const said = readNote(text);
    found.push({
      what: said === null ? `object faults/${label} in the archive` : `what ${label} put on ${said.key} in the archive`,
      labels: [label],
      remove: () => (said === null ? door.removeNote(label) : uncover({ ...said, label }, live, true)),
    });
  }
  return found;
}

/** What the note says that every object of the archive was hidden by its fault. */
export const EMPTIED = '{"emptied":true}';

/** Lays bare what was hidden since the note was written, then removes the note. Older markers are somebody else's. Idempotent. */
export async function uncoverAll(label: string, live: LiveTarget): Promise<void> {
  const door = requireDoor(live);
  for (const { key, id } of await door.hiddenSince(label)) await door.removeVersion(key, id);
  await door.removeNote(label);
}

/** Null for what is no note: an object that was put to try the store. */
function readNote(text: string): { readonly key: string; readonly versionId: string } | null {
  try {
    const { key, versionId } = JSON.parse(text) as { key?: unknown; versionId?: unknown };
    return typeof key === 'string' && typeof versionId === 'string' ? { key, versionId } : null;
  } catch {
    return null;
  }
}
