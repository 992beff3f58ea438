/**
 * Reads what the native archive holds and holds it against its sums: every part of every backup and every WAL file, or a drawn sample of them. Nothing is
 * restored and nothing is written; a finding names its object.
 */
import { createHash } from 'node:crypto';
import { GamedayError, messageOf } from '../../core/errors';
import { fetchObject } from '../../objects/fetch-object';
import type { ObjectStore } from '../../objects/store';
import { listBackups } from './base-backup';
import { unpackPart } from './base-parts';
import { summedPieces } from './plain-pieces';
import { checkSegmentHeader, unpackWal, walFileKind, walNameOfKey } from './wal-object';

/** Objects in hand at once; each holds at most a packed and a plain segment. */
const PARALLEL = 3;

export interface Verified {
  readonly objects: number;
  readonly checked: number;
  readonly bytes: number;
  readonly findings: readonly { readonly key: string; readonly problem: string }[];
}

export interface VerifyOptions {
  readonly systemIdentifier: string;
  /** 1: every object; less: each is checked with this probability, drawn from `seed` and its key, so that the same seed checks the same objects. */
  readonly share: number;
  readonly seed: string;
  readonly signal: AbortSignal;
}

interface Subject {
  readonly key: string;
  readonly bytes: number;
  /** Throws `object_corrupt` for bytes that are not what the archive says. */
  readonly check: (object: Buffer) => Promise<unknown> | void;
}

/** Throws only if the store cannot be read at all, or the signal's reason. */
export async function verifyNative(store: ObjectStore, options: VerifyOptions): Promise<Verified> {
  if (!(options.share > 0 && options.share <= 1)) throw new GamedayError('setting_invalid', `share ${options.share} is not in (0, 1]`);
  const findings: { key: string; problem: string }[] = [];
  let [objects, checked, bytes] = [0, 0, 0];
  const examine = async (subject: Subject): Promise<void> => {
    checked += 1;
    bytes += subject.bytes;
    try {
      await subject.check(await fetchObject(store, subject.key, subject.bytes, options.signal));
    } catch (error) {
      options.signal.throwIfAborted();
      if (!(error instanceof GamedayError) || error.code === 'store_unreachable') throw error;
      findings.push({ key: subject.key, problem: messageOf(error) });
    }
  };
  const running = new Set<Promise<void>>();
  for await (const subject of subjects(store, options.systemIdentifier)) {
    objects += 1;
    if (!drawn(options, subject.key)) continue;
    const work = examine(subject).finally(() => running.delete(work));
    // Awaited below; until then a failure must not count as unhandled.
    work.catch(() => undefined);
    running.add(work);
    if (running.size >= PARALLEL) await Promise.race(running);
  }
  await Promise.all(running);
  return { objects, checked, bytes, findings: findings.sort((a, b) => (a.key < b.key ? -1 : 1)) };
}

async function* subjects(store: ObjectStore, systemIdentifier: string): AsyncGenerator<Subject> {
  for (const { parts } of await listBackups(store))
    for (const part of parts) yield { key: part.key, bytes: part.bytes, check: (object) => unpackPart(part, object, summedPieces) };
  for await (const { key, bytes } of store.list('wal/')) {
    const name = walNameOfKey(key);
    const kind = name === null ? null : walFileKind(name);
    if (name === null || kind === null || kind === 'history') continue;
    const check = async (object: Buffer): Promise<void> => {
      const plain = await unpackWal(name, object);
      if (kind === 'segment' || kind === 'partial') checkSegmentHeader(name, plain, systemIdentifier);
    };
    yield { key, bytes, check };
  }
}

function drawn({ share, seed }: VerifyOptions, key: string): boolean {
  return share === 1 || createHash('sha256').update(`${seed}\0${key}`).digest().readUInt32BE(0) / 2 ** 32 < share;
}
