/**
 * The one rule for keys, shared by every store, so that a key that works in a directory works in S3 and the other way round.
 * Pure; it never touches a store.
 */
import { GamedayError } from '../core/errors';

const KEY_LIMIT_BYTES = 1024;

const hasControl = (part: string): boolean =>
  [...part].some((character) => character < ' ' || character === '\u007f' || character === '\\');

/** The key unchanged. Throws `setting_invalid` for an empty key, an empty part, `.`, `..`, a control character, a backslash, or more than 1024 bytes. */
export function validKey(key: string): string {
  const parts = key.split('/');
  const bad = parts.some((part) => part === '' || part === '.' || part === '..' || hasControl(part));
  if (bad || Buffer.byteLength(key) > KEY_LIMIT_BYTES)
    throw new GamedayError('setting_invalid', `object key ${JSON.stringify(key)} is not valid`);
  return key;
}

/** A prefix for listing: like a key, but it may be empty or end in the middle of a part or with `/`. */
export function validPrefix(prefix: string): string {
  if (prefix === '') return prefix;
  validKey(prefix.endsWith('/') ? prefix.slice(0, -1) : prefix);
  return prefix;
}
