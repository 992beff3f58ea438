/**
 * A native base backup put into a data directory, and gone on with where an earlier try was cut off: parts that were written are not fetched again.
 * What it knows stands in a journal beside the directory; a journal of another backup or another boot counts for nothing, and the directory is emptied.
 */
import { chownSync, closeSync, constants, existsSync, mkdirSync, openSync, readdirSync, rmSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { bootId } from '../../core/clock';
import { GamedayError } from '../../core/errors';
import { readJsonFile } from '../../core/files';
import type { ObjectStore } from '../../objects/store';
import type { BackupManifest } from './base-backup';
import { packedParts, type PackedPart } from './base-parts';
import { TAR_START, type TarState } from './tar-unpack';
import type { Unpacker } from './unpacker';

/** Bytes on disk survive the death of a process, not of a machine: nothing here is fsynced, hence the boot. */
interface Journal {
  readonly format: 1;
  readonly backup: string;
  readonly boot: string;
  /** Parts whose every byte is in its file. */
  readonly parts: number;
  readonly tar: TarState;
}

export interface BaseRestore {
  readonly store: ObjectStore;
  readonly unpacker: Unpacker;
  readonly manifest: BackupManifest;
  /** Exists or is made; its content is this restore's. */
  readonly dataDir: string;
  /** A file beside it. */
  readonly journal: string;
  readonly owner: { readonly uid: number; readonly gid: number } | null;
  readonly signal: AbortSignal;
  /** Plain bytes written so far, those of an earlier try included. */
  readonly onBytes: (bytes: number) => void;
}

export interface BaseRestored {
  /** Parts that an earlier try had written. */
  readonly kept: number;
  readonly fetched: number;
}

const JOURNAL_BYTES = 4_096;
/** Parts given to the unpacker before the first of them is written. */
const AHEAD = 3;

/** Throws `object_missing`, `object_corrupt`, `store_unreachable`, `disk_full`, `restore_failed`, or the signal's reason; what was written stays for the next try. */
export async function restoreBase(request: BaseRestore): Promise<BaseRestored> {
  const { store, unpacker, manifest, dataDir, owner, signal } = request;
  const { parts: kept, tar } = readJournal(request) ?? startOver(request);
  let bytes = manifest.parts.slice(0, kept).reduce((sum, part) => sum + part.plainBytes, 0);
  let done = kept;
  const file = openSync(request.journal, constants.O_WRONLY | constants.O_CREAT | constants.O_NOFOLLOW, 0o600);
  /** Settle in order, and never before the unpacker has answered: a part is in its files, and the journal says so. */
  const writing: Promise<void>[] = [];
  let last = Promise.resolve();
  const write = ({ part, packed }: PackedPart): void => {
    const before = last;
    last = unpacker.ask<'part'>({ kind: 'part', part, packed }).then(async (state) => {
      await before;
      signal.throwIfAborted();
      done += 1;
      bytes += part.plainBytes;
      writeJournal(file, request, done, state);
      request.onBytes(bytes);
    });
    // Its error is raised when its turn comes.
    last.catch(() => undefined);
    writing.push(last);
  };
  try {
    await unpacker.ask<'base'>({ kind: 'base', dir: dataDir, owner, tar });
    for await (const packed of packedParts(store, manifest.parts.slice(kept), signal)) {
      write(packed);
      if (writing.length > AHEAD) await writing.shift();
    }
    await last;
    signal.throwIfAborted();
    await unpacker.ask<'end'>({ kind: 'end' });
  } finally {
    // Nothing is written behind the back of whoever goes on from here.
    await Promise.allSettled(writing);
    closeSync(file);
  }
  if (bytes !== manifest.bytes)
    throw new GamedayError('object_corrupt', `the parts of backup ${manifest.name} hold ${bytes} bytes, not ${manifest.bytes}`);
  return { kept, fetched: done - kept };
}

function readJournal({ manifest, dataDir, journal }: BaseRestore): Pick<Journal, 'parts' | 'tar'> | null {
  let found: Journal | null;
  try {
    found = readJsonFile<Journal>(journal);
  } catch {
    return null;
  }
  const ours = found !== null && found.format === 1 && found.backup === manifest.name && found.boot === bootId() && existsSync(dataDir);
  return ours && found !== null && found.parts <= manifest.parts.length ? found : null;
}

function startOver({ dataDir, journal, owner }: BaseRestore): Pick<Journal, 'parts' | 'tar'> {
  rmSync(journal, { force: true });
  mkdirSync(dataDir, { recursive: true, mode: 0o700 });
  for (const name of readdirSync(dataDir)) rmSync(join(dataDir, name), { recursive: true, force: true });
  if (owner !== null) chownSync(dataDir, owner.uid, owner.gid);
  return { parts: 0, tar: TAR_START };
}

/** In place and within one page, which no death of a process tears; a rename over the old one would make the file system write it out each time. */
function writeJournal(file: number, { manifest }: BaseRestore, parts: number, tar: TarState): void {
  const content: Journal = { format: 1, backup: manifest.name, boot: bootId(), parts, tar };
  const text = JSON.stringify(content);
  if (text.length >= JOURNAL_BYTES) throw new GamedayError('internal', `the journal of a restore has ${text.length} bytes`);
  writeSync(file, text.padEnd(JOURNAL_BYTES), 0);
}
