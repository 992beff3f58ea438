/**
 * Files that give permission: read only where nobody but root or this very user could have written them. Looks at the opened file itself, so that it
 * cannot be swapped between look and read. Node only; never writes.
 */
import { closeSync, constants, fstatSync, lstatSync, openSync, readFileSync } from 'node:fs';
import { messageOf } from './errors';

const MAX_BYTES = 1024 * 1024;

export type OwnedFile = { readonly text: string } | { readonly problem: string; readonly hint: string | null };

/** The text, or in words why it cannot be relied on. Throws nothing. */
export function readOwnedFile(path: string): OwnedFile {
  let fd: number;
  try {
    // Said by itself: opening a link with O_NOFOLLOW fails in words that help nobody.
    if (!lstatSync(path).isFile()) return { problem: 'is no regular file', hint: null };
    fd = openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW);
  } catch (error) {
    return { problem: `cannot be read: ${messageOf(error)}`, hint: null };
  }
  try {
    const stats = fstatSync(fd);
    const me = process.getuid?.() ?? 0;
    if (!stats.isFile()) return { problem: 'is no regular file', hint: null };
    if (stats.uid !== 0 && stats.uid !== me)
      return { problem: `belongs to user ${stats.uid}`, hint: `chown it to root or to the user who reads it (${me}).` };
    if ((stats.mode & 0o022) !== 0)
      return { problem: `may be written by others (mode ${(stats.mode & 0o777).toString(8)})`, hint: `chmod go-w ${path}.` };
    if (stats.size > MAX_BYTES) return { problem: `is larger than ${MAX_BYTES} bytes`, hint: null };
    return { text: readFileSync(fd, 'utf8') };
  } catch (error) {
    return { problem: `cannot be read: ${messageOf(error)}`, hint: null };
  } finally {
    closeSync(fd);
  }
}
