/**
 * Delivery: a sealed bundle goes from this machine's directory into the shared store, file by file, the seal last, so that a bundle without a seal was not
 * delivered. It may break off anywhere and go on later; what is in the store already is compared and never replaced. What waits is kept in `outbox/`.
 */
import { createHash } from 'node:crypto';
import { createReadStream, existsSync, readFileSync, readdirSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { nowUtc } from '../core/clock';
import { GamedayError, messageOf } from '../core/errors';
import { readJsonFile, writeFileDurably } from '../core/files';
import { homePaths } from '../core/home';
import type { TargetKind } from '../model/target';
import { SEAL_FILE, isOutsideSeal } from './layout';
import { openEvidence, type EvidencePlace } from './store';

/** Larger files are streamed; smaller ones are created exclusively. */
const WHOLE_BYTES = 32 * 1024 * 1024;

export interface Waiting {
  /** `<target>/drill-000042` */
  readonly prefix: string;
  /** Of the target: decides how long the store keeps it. */
  readonly kind: TargetKind;
  readonly since: string;
  /** Why it is not delivered yet; null before the first attempt. */
  readonly problem: string | null;
}

export interface DeliveryReport {
  readonly delivered: readonly string[];
  readonly waiting: readonly Waiting[];
}

/** Delivers a sealed bundle now, or notes that it waits. Returns why it waits; null when it is there. Never throws for a store that is away. */
export async function deliverOrWait(home: string, place: EvidencePlace, prefix: string, kind: TargetKind): Promise<string | null> {
  if (!place.isShared) return null;
  const known = readJsonFile<Waiting>(noteOf(home, prefix));
  const note: Waiting = { prefix, kind, since: known?.since ?? nowUtc(), problem: known?.problem ?? null };
  // Noted before it is tried: whoever dies in between has left the note.
  if (known === null) writeFileDurably(noteOf(home, prefix), JSON.stringify(note));
  try {
    await deliver(place, prefix);
    rmSync(noteOf(home, prefix), { force: true });
    return null;
  } catch (error) {
    writeFileDurably(noteOf(home, prefix), JSON.stringify({ ...note, problem: messageOf(error) }));
    return messageOf(error);
  }
}

/** Everything that waits in this home, oldest first. */
export function listWaiting(home: string): readonly Waiting[] {
  const { outbox } = homePaths(home);
  const names = existsSync(outbox) ? readdirSync(outbox).filter((name) => name.endsWith('.json')) : [];
  return names
    .flatMap((name) => readJsonFile<Waiting>(join(outbox, name)) ?? [])
    .sort((a, b) => a.since.localeCompare(b.since) || a.prefix.localeCompare(b.prefix));
}

/** Tries everything that waits once. */
export async function deliverWaiting(home: string): Promise<DeliveryReport> {
  const delivered: string[] = [];
  for (const { prefix, kind } of listWaiting(home)) {
    const place = openEvidence(home, kind);
    if (!place.isShared) continue;
    if ((await deliverOrWait(home, place, prefix, kind)) === null) delivered.push(prefix);
  }
  return { delivered, waiting: listWaiting(home) };
}

/** Throws `store_unreachable`; `object_exists` if the store holds other bytes under one of the names. */
export async function deliver(place: EvidencePlace, prefix: string): Promise<void> {
  const keys: string[] = [];
  for await (const { key } of place.local.list(`${prefix}/`)) keys.push(key);
  const nameOf = (key: string): string => key.slice(prefix.length + 1);
  if (!keys.some((key) => nameOf(key) === SEAL_FILE)) throw new GamedayError('bundle_invalid', `${prefix} is not sealed`);
  const rank = (key: string): number => (nameOf(key) === SEAL_FILE ? 1 : isOutsideSeal(nameOf(key)) ? 2 : 0);
  for (const key of keys.sort((a, b) => rank(a) - rank(b) || (a < b ? -1 : 1))) await deliverFile(place, key);
}

async function deliverFile({ shared, localDir }: EvidencePlace, key: string): Promise<void> {
  const path = join(localDir, key);
  if (statSync(path).size > WHOLE_BYTES) {
    if ((await shared.head(key)) === null) return shared.putFile(key, path);
  } else if (await shared.create(key, readFileSync(path))) return;
  if ((await digestOf(await shared.read(key))) !== (await digestOf(createReadStream(path))))
    throw new GamedayError(
      'object_exists',
      `${shared.description} holds other bytes as ${key} than this machine`,
      'compare both copies with `gameday verify`; nothing was replaced.',
    );
}

async function digestOf(bytes: AsyncIterable<Uint8Array | string>): Promise<string> {
  const hash = createHash('sha256');
  for await (const chunk of bytes) hash.update(chunk);
  return hash.digest('hex');
}

function noteOf(home: string, prefix: string): string {
  return join(homePaths(home).outbox, `${prefix.replaceAll('/', '+')}.json`);
}
