// Where set-up keeps things: the checkout it belongs to, and the cache outside it that all checkouts of one person share.
import { homedir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

/** The directory that holds package.json. */
export const checkout = resolve(dirname(fileURLToPath(import.meta.url)), '../..');

/** `${XDG_CACHE_HOME:-~/.cache}/gameday`; a relative XDG_CACHE_HOME counts as unset, as its specification says. */
export function cacheRoot(env = process.env) {
  const named = env.XDG_CACHE_HOME ?? '';
  return join(named.startsWith('/') ? named : join(env.HOME || homedir(), '.cache'), 'gameday');
}

/** The manifest that infra/tools.ts reads: which program to start for which tool. */
export function manifestPath(root = checkout) {
  return join(root, 'dist', 'tools.json');
}
