/**
 * pgBackRest's info files and manifests (src/info/info.c, src/common/ini.c): sections of `key=JSON`, and a SHA-1 over all of it in a canonical form.
 * Scans line by line, because a manifest may name a million files; it never trusts a file whose sum does not fit.
 */
import { createHash } from 'node:crypto';

/** `raw`: the value as written, for numbers that a double cannot hold. */
export type OnEntry = (section: string, key: string, value: unknown, raw: string) => void;

/** The file is encrypted as a whole: openssl's salted format. */
export const isEncrypted = (data: Uint8Array): boolean => Buffer.from(data.subarray(0, 8)).toString('latin1') === 'Salted__';

/** Calls for every entry in the order of the file. Returns what is wrong with the file, or null. */
export function scanInfoFile(data: Uint8Array, onEntry: OnEntry): string | null {
  const text = Buffer.from(data.buffer, data.byteOffset, data.byteLength);
  const sum = createHash('sha1').update('{');
  let section: string | null = null;
  let summed: string | null = null;
  let [stated, line]: [string | null, number] = [null, 0];
  for (let at = 0; at < text.length;) {
    const newline = text.indexOf(0x0a, at);
    const end = newline === -1 ? text.length : newline;
    const words = text.toString('utf8', at, end);
    at = end + 1;
    line += 1;
    if (words === '') continue;
    if (words.startsWith('[') && words.endsWith(']')) {
      section = words.slice(1, -1);
      continue;
    }
    const entry = splitEntry(words);
    if (entry === null || section === null) return `line ${line} is no entry`;
    // It stands in a section of its own at the end, which is no part of the sum.
    if (section === 'backrest' && entry.key === 'backrest-checksum') {
      stated = String(entry.value);
      continue;
    }
    if (section === summed) sum.update(',');
    else sum.update(`${summed === null ? '' : '},'}${JSON.stringify(section)}:{`);
    summed = section;
    sum.update(`${JSON.stringify(entry.key)}:${entry.raw}`);
    onEntry(section, entry.key, entry.value, entry.raw);
  }
  if (summed === null) return 'it is empty';
  const found = sum.update('}}').digest('hex');
  if (stated === null) return 'it has no checksum';
  return found === stated ? null : `it has checksum ${found.slice(0, 12)}…, not ${stated.slice(0, 12)}…`;
}

/** The key may hold `=` itself: the value is what is JSON. */
function splitEntry(words: string): { readonly key: string; readonly raw: string; readonly value: unknown } | null {
  for (let at = words.indexOf('='); at !== -1; at = words.indexOf('=', at + 1)) {
    const raw = words.slice(at + 1);
    try {
      return { key: words.slice(0, at), raw, value: JSON.parse(raw) as unknown };
    } catch {
      continue;
    }
  }
  return null;
}
