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
const WORDS: readonly string[] = ['newest-wal', 'random-wal', 'backup', 'newest-history'] satisfies ObjectWord[];

export const objectSchema = z.strictObject({
  object: z
    .string()
    .min(1)
    .max(900)
    .default('newest-wal')
    .describe('newest-wal, random-wal, backup (a part of the newest), newest-history (of the newest timeline), or a key of the archive'),
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
      'use newest-wal, random-wal, backup, newest-history or the key of another object.',
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
      // The drill's own failover makes one.
      if (settings.object === 'newest-history' && error instanceof GamedayError && error.code === 'object_missing')
        return { ok: true, text: 'none yet: a failover makes one' };
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
      hint: found.ok ? null : 'use newest-wal, random-wal, backup, newest-history or the key of an object.',
    },
  ];
}

const credentialWords = ({ accessKey, secretKey, region }: NativeTargetArchive): string =>
  `export AWS_ACCESS_KEY_ID=${secretWord(accessKey)} AWS_SECRET_ACCESS_KEY=${secretWord(secretKey)} AWS_DEFAULT_REGION=${quoteWord(region)}`;

const storeWords = ({ endpoint, bucket }: NativeTargetArchive): string =>
  `--endpoint-url ${quoteWord(endpoint)} --bucket ${quoteWord(bucket)}`;

const keyIn = ({ prefix }: NativeTargetArchive, name: string): string => (prefix === '' ? name : `${prefix}/${name}`);

/** Lines of one shell of its own: credentials set, ids asked for by `query`, and `each` done with every id. */
function withIds(archive: NativeTargetArchive, key: string, query: string, each: string): string {
  const list = `aws s3api list-object-versions ${storeWords(archive)} --prefix ${quoteWord(key)} --query ${quoteWord(query)} --output text`;
  return `(${credentialWords(archive)}; ids=$(${list}) && for id in $ids; do [ "$id" = None ] || { ${each}; } || exit 1; done)`;
}

/** The note goes last, with whatever lies on it. */
function removeNoteByHand(archive: NativeTargetArchive, note: string): string {
  const remove = `aws s3api delete-object ${storeWords(archive)} --key ${quoteWord(note)} --version-id "$id"`;
  return withIds(archive, note, `[Versions[?Key=='${note}'].VersionId, DeleteMarkers[?Key=='${note}'].VersionId][]`, remove);
}

/** What a person types: `what` of ours that lies on the good version goes, by its id, and then the note that says it is ours. */
export function manualUncover(what: 'marker' | 'version', { key, versionId, label }: ArchiveObject, target: Target): readonly string[] {
  const archive = nativeArchiveOf(target);
  if (archive === null) return [];
  const { bucket } = archive;
  const at = storeWords(archive);
  const [object, note] = [key, `faults/${label}`].map((name) => keyIn(archive, name)) as [string, string];
  const remove = `aws s3api delete-object ${at} --key ${quoteWord(object)} --version-id "$id"`;
  const labelled = `aws s3api head-object ${at} --key ${quoteWord(object)} --version-id "$id" --query 'Metadata."${LABEL_KEY}"' --output text`;
  const lines = {
    marker: withIds(archive, object, `DeleteMarkers[?Key=='${object}' && IsLatest].VersionId`, remove),
    version: withIds(
      archive,
      object,
      `Versions[?Key=='${object}' && VersionId!='${versionId}'].VersionId`,
      `{ said=$(${labelled}) && [ "$said" != ${quoteWord(label)} ]; } || ${remove}`,
    ),
  };
  const ours = { marker: 'the delete marker on top', version: `the versions with metadata ${LABEL_KEY}=${label}` }[what];
  return [
    lines[what],
    removeNoteByHand(archive, note),
    `# without aws (pip install awscli): in the store’s own console, in bucket ${bucket}, remove ${ours} of ${object}, never version ${versionId}, and then ${note}`,
  ];
}

/** What a person types where the whole archive was hidden: the marker goes from every object that the note lists, by its id, and then the note. */
export function manualUncoverAll(label: string, target: Target): readonly string[] {
  const archive = nativeArchiveOf(target);
  if (archive === null) return [];
  const at = storeWords(archive);
  const note = keyIn(archive, `faults/${label}`);
  const all = keyIn(archive, '');
  // Without a note nothing was hidden. What is said of the object after its bytes does no harm: keys are looked for in quotes.
  const listed = `aws s3api get-object ${at} --key ${quoteWord(note)} /dev/stdout 2>/dev/null`;
  const markers = `aws s3api list-object-versions ${at} --prefix ${quoteWord(all)} --query 'DeleteMarkers[?IsLatest].[Key,VersionId]' --output text`;
  const remove = `aws s3api delete-object ${at} --key "$key" --version-id "$id"`;
  const mine = `case "$listed" in *"\\"\${key#${all}}\\""*) ${remove} || exit 1;; esac`;
  const each = `while IFS="$(printf '\\t')" read -r key id; do ${mine}; done`;
  return [
    `(${credentialWords(archive)}; listed=$(${listed}) || listed=; ${markers} | ${each})`,
    removeNoteByHand(archive, note),
    `# without aws (pip install awscli): in the store’s own console, in bucket ${archive.bucket}, remove the delete marker from every key under ${all} that the object ${note} lists, and then that object`,
  ];
}

/** Notes that dead guardians left in the store, with what lies on top of the objects they name. Reads only. */
export async function findCovered(live: LiveTarget): Promise<readonly Stray[]> {
  const door = live.archive?.door;
  if (door === undefined) return [];
  const found: Stray[] = [];
  for (const { label, text } of await door.notes()) {
    if (!OUR_LABEL.test(label)) continue;
    if (readEmptied(text) !== null) {
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

/** Keys that were seen when the note was written, all of which its fault then hid; null for another note, or none. */
export function readEmptied(text: string | undefined): readonly string[] | null {
  try {
    const { emptied } = JSON.parse(text ?? '') as { emptied?: unknown };
    return Array.isArray(emptied) ? emptied.filter((key) => typeof key === 'string') : null;
  } catch {
    return null;
  }
}

/** What of the whole archive lies hidden by the fault of that label, as its note says. */
export async function hiddenBy(label: string, door: ArchiveDoor): Promise<readonly { readonly key: string; readonly id: string }[]> {
  const note = (await door.notes()).find((each) => each.label === label);
  return door.hidden(readEmptied(note?.text) ?? []);
}

/** Lays bare what was seen when the note was written, then removes the note. What others had deleted before stays as it is. Idempotent. */
export async function uncoverAll(label: string, live: LiveTarget): Promise<void> {
  const door = requireDoor(live);
  await door.removeVersions(await hiddenBy(label, door));
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
