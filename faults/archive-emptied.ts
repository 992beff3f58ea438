/**
 * Empties the archive, as whoever blackmails or a script of the wrong environment does: every object is deleted, backups and WAL alike. In a versioned bucket
 * that hides them behind delete markers, and undo takes exactly those away. It never removes a version that is no such marker.
 *
 *     GET ──▶ a delete marker on every object
 *             every object's bytes: never touched
 */
import { z } from 'zod';
import { GamedayError } from '../core/errors';
import type { FaultProof } from '../model/fault';
import type { CheckResult } from '../model/record';
import { hiddenBy, manualUncoverAll, readEmptied, requireDoor, uncoverAll } from './archive-objects';
import type { Fault, FaultContext } from './contract';

/** Each takes a request to hide, one to be looked at by every proof and one to lay bare, some at a time; more would not be done in a lease's time. */
const MOST_OBJECTS = 5_000;

const schema = z.strictObject({});
type Settings = z.infer<typeof schema>;
type Resolved = { readonly objects: number; readonly backups: string[]; readonly label: string };

async function resolve(_settings: Settings, { live, label }: FaultContext): Promise<Resolved> {
  const door = requireDoor(live);
  if (!(await door.isVersioned()))
    throw new GamedayError(
      'fault_refused',
      `the bucket of target ${live.target.name}'s archive keeps no versions, so what is deleted there could not be brought back`,
      'enable versioning on the bucket.',
    );
  const objects = (await door.visible()).length;
  if (objects === 0 || objects > MOST_OBJECTS)
    throw new GamedayError(
      'fault_refused',
      objects === 0 ? 'the archive is empty already' : `the archive holds ${objects} objects; at most ${MOST_OBJECTS} are hidden`,
    );
  const backups = (await live.archive?.backups())?.map(({ name }) => name) ?? [];
  return { objects, backups, label };
}

/** Says in the store which objects are about to be hidden: times of versions are not to be relied on, and a marker carries no label. Once. */
async function announce({ label }: Resolved, { live, memory }: FaultContext): Promise<void> {
  if (memory.read() !== null) return;
  const door = requireDoor(live);
  await door.note(label, JSON.stringify({ emptied: await door.visible() }));
  memory.write({ announced: true });
}

async function confirm({ objects, label }: Resolved, { live }: FaultContext): Promise<FaultProof> {
  const backups = (await live.archive?.backups())?.length ?? 0;
  const hidden = (await hiddenBy(label, requireDoor(live))).length;
  return {
    holds: backups === 0 && hidden > 0,
    by: `the archive lists ${backups} backups; ${hidden} objects are deleted, of ${objects} that were there`,
    facts: { backups, hidden },
  };
}

async function confirmGone({ backups, label }: Resolved, { live }: FaultContext): Promise<FaultProof> {
  const there = new Set((await live.archive?.backups())?.map(({ name }) => name));
  const lost = backups.filter((name) => !there.has(name));
  const hidden = (await hiddenBy(label, requireDoor(live))).length;
  return {
    holds: lost.length === 0 && hidden === 0,
    by: `the archive lists ${backups.length - lost.length} of ${backups.length} backups again; ${hidden} markers of ours`,
    facts: { lost, hidden },
  };
}

async function ready(settings: Settings, context: FaultContext): Promise<readonly CheckResult[]> {
  const found = await resolve(settings, context).then(
    ({ objects, backups }) => ({ ok: true, text: `${objects} objects, ${backups.length} backups`, hint: null }),
    (error: unknown) => {
      if (error instanceof GamedayError) return { ok: false, text: error.message, hint: error.hint };
      throw error;
    },
  );
  const { ok, text, hint } = found;
  return [{ name: 'the archive can be emptied and brought back', ok, found: text, expected: 'a versioned bucket with objects', hint }];
}

export const archiveEmptied: Fault<Settings, Resolved> = {
  name: 'archive-emptied',
  summary: 'hides every object of the archive behind a delete marker',
  schema,
  // What only the archive held cannot be restored while it stands.
  mayLoseWrites: () => true,
  resolve,
  preview: ({ objects, backups }) =>
    `delete all ${objects} objects of the archive, ${backups.length} backups among them (their versions stay): while it stands, nothing can be restored`,
  reach: () => ({ nodes: [] }),
  manualUndo: ({ label }, target) => manualUncoverAll(label, target),
  ready,
  async inject(resolved, context) {
    await announce(resolved, context);
    const door = requireDoor(context.live);
    const seen = new Set(await door.visible());
    const note = (await door.notes()).find(({ label }) => label === resolved.label);
    const keys = (readEmptied(note?.text) ?? []).filter((key) => seen.has(key));
    await door.hideAll(keys);
    return { hidden: keys.length };
  },
  confirm,
  undo: ({ label }, { live }) => uncoverAll(label, live),
  confirmGone,
};
