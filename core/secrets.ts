/** Secrets are named (`env:NAME`, `file:/path`) in targets and plans, and resolved only here, where they are used. Node only. */
import { readFileSync } from 'node:fs';
import { GamedayError } from './errors';

/** The secret's value without a trailing newline. Never put it into an error, an event or a log. */
export function resolveSecret(name: string): string {
  const [scheme, rest] = [name.slice(0, name.indexOf(':')), name.slice(name.indexOf(':') + 1)];
  if (scheme === 'env') {
    const value = process.env[rest];
    if (value === undefined) throw new GamedayError('setting_invalid', `secret ${name}: the environment variable is not set`);
    return value;
  }
  if (scheme === 'file') {
    try {
      return readFileSync(rest, 'utf8').replace(/\r?\n$/, '');
    } catch (error) {
      throw new GamedayError('file_unreadable', `secret ${name} cannot be read`, null, { cause: error });
    }
  }
  throw new GamedayError('setting_invalid', 'a secret must be named as env:NAME or file:/path');
}
