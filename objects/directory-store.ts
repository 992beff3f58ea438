/**
 * An object store in a directory, for laptops, tests and the first copy of evidence. An object is a file; its key is its path.
 * It never shows a part of an object: files are written under a hidden temporary directory, fsynced, and only then linked or renamed.
 */
import { randomBytes } from 'node:crypto';
import {
  closeSync,
  createReadStream,
  fsyncSync,
  linkSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeSync,
} from 'node:fs';
import { chmod, copyFile, open } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { GamedayError, messageOf } from '../core/errors';
import { fsyncDirectory } from '../core/files';
import { validKey, validPrefix } from './object-key';
import type { ObjectHead, ObjectStore } from './store';

/** Temporary files live here, on the same file system; no key may begin with it. */
const TEMPORARY = '.tmp';
const LIST_LIMIT = 10_000_000;

/** Opens (and creates) the store under `root`, an absolute path. Errors of the file system become `store_unreachable`, a full disk `disk_full`. */
export function openDirectoryStore(root: string): ObjectStore {
  const pathOf = (key: string): string => {
    if (key === TEMPORARY || key.startsWith(`${TEMPORARY}/`)) throw new GamedayError('setting_invalid', `object key ${key} is reserved`);
    return join(root, validKey(key));
  };
  guard(root, () => mkdirSync(join(root, TEMPORARY), { recursive: true, mode: 0o700 }));

  /** Fills a temporary file and hands it to `publish`; nothing is left behind whatever happens. */
  const publish = async (
    key: string,
    fill: (temporary: string) => Promise<void> | void,
    place: (temporary: string, path: string) => void,
  ): Promise<void> => {
    const path = pathOf(key);
    const temporary = join(root, TEMPORARY, randomBytes(12).toString('hex'));
    try {
      // Again: a process that runs for months may find its store moved or mounted anew.
      mkdirSync(join(root, TEMPORARY), { recursive: true, mode: 0o700 });
      mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
      await fill(temporary);
      place(temporary, path);
      syncUpTo(root, dirname(path));
    } catch (error) {
      throw storeError(root, error);
    } finally {
      rmSync(temporary, { force: true });
    }
  };

  return {
    description: root,
    get: async (key) => orNull(root, () => readFileSync(pathOf(key))),
    read: async (key, range, signal) => {
      const path = pathOf(key);
      const stat = orNull(root, () => statSync(path));
      if (stat === null) throw new GamedayError('object_missing', `${root}: no object ${key}`);
      if (range !== undefined && range.start >= stat.size)
        throw new GamedayError('object_corrupt', `${root}: ${key} has only ${stat.size} bytes`);
      const options = signal === undefined ? {} : { signal };
      return createReadStream(path, range === undefined ? options : { ...options, start: range.start, end: range.end });
    },
    head: async (key) => orNull(root, () => headOf(key, pathOf(key))),
    put: (key, data) => publish(key, (temporary) => writeFsynced(temporary, data), renameSync),
    create: async (key, data) => {
      let created = true;
      await publish(
        key,
        (temporary) => writeFsynced(temporary, data),
        (temporary, path) => {
          try {
            linkSync(temporary, path);
          } catch (error) {
            if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
            created = false;
          }
        },
      );
      return created;
    },
    putFile: (key, path) =>
      publish(
        key,
        async (temporary) => {
          await copyFile(path, temporary);
          await chmod(temporary, 0o600);
          const file = await open(temporary, 'r+');
          await file.sync().finally(() => file.close());
        },
        renameSync,
      ),
    list: (prefix) => listFiles(root, validPrefix(prefix)),
    delete: async (key) => {
      const path = pathOf(key);
      guard(root, () => rmSync(path, { force: true }));
    },
  };
}

function headOf(key: string, path: string): ObjectHead {
  const stat = statSync(path);
  if (!stat.isFile()) throw Object.assign(new Error(`${key} is not an object`), { code: 'ENOENT' });
  return { key, bytes: stat.size, modifiedAt: stat.mtime.toISOString() };
}

function writeFsynced(path: string, data: Uint8Array): void {
  const fd = openSync(path, 'wx', 0o600);
  try {
    for (let at = 0; at < data.length;) at += writeSync(fd, data, at);
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}

/** A new directory's entry is durable only when its parent is fsynced too, up to the root. */
function syncUpTo(root: string, from: string): void {
  for (let at = from; at.startsWith(root); at = dirname(at)) {
    fsyncDirectory(at);
    if (at === root) return;
  }
}

/** In S3's order, of UTF-8 bytes, a directory at a time: whoever stops at the first object has read no more than the way to it. */
async function* listFiles(root: string, prefix: string): AsyncIterable<ObjectHead> {
  let found = 0;
  for (const key of walk(root, '', prefix)) {
    found += 1;
    if (found > LIST_LIMIT) throw new GamedayError('store_unreachable', `${root}: more than ${LIST_LIMIT} objects under ${prefix}`);
    const head = orNull(root, () => headOf(key, join(root, key)));
    if (head !== null) yield head;
    // The loop may run for long without anything to wait for.
    if (found % 1_000 === 0) await new Promise((resolve) => setImmediate(resolve));
  }
}

function* walk(root: string, directory: string, prefix: string): Iterable<string> {
  const entries = orNull(root, () => readdirSync(join(root, directory), { withFileTypes: true })) ?? [];
  const named = entries.map((entry) => {
    const key = directory === '' ? entry.name : `${directory}/${entry.name}`;
    // Compared with its slash, a directory stands where its objects do.
    return { entry, key, order: Buffer.from(entry.isDirectory() ? `${key}/` : key) };
  });
  named.sort((a, b) => Buffer.compare(a.order, b.order));
  for (const { entry, key } of named) {
    if (key === TEMPORARY) continue;
    if (entry.isDirectory() && (`${key}/`.startsWith(prefix) || prefix.startsWith(`${key}/`))) yield* walk(root, key, prefix);
    else if (entry.isFile() && key.startsWith(prefix)) yield key;
  }
}

function orNull<T>(root: string, work: () => T): T | null {
  try {
    return work();
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    if (code === 'ENOENT' || code === 'ENOTDIR' || code === 'EISDIR') return null;
    throw storeError(root, error);
  }
}

function guard(root: string, work: () => void): void {
  try {
    work();
  } catch (error) {
    throw storeError(root, error);
  }
}

function storeError(root: string, error: unknown): Error {
  if (error instanceof GamedayError) return error;
  const code = (error as NodeJS.ErrnoException).code === 'ENOSPC' ? 'disk_full' : 'store_unreachable';
  return new GamedayError(code, `${root}: ${messageOf(error)}`, null, { cause: error });
}
