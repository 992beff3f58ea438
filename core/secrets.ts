/** Secrets are named (`env:NAME`, `file:/path`) in targets and plans, and resolved only here, where they are used. Node only. */
import { readFileSync } from 'node:fs';
import { GamedayError } from './errors';
import { readSettings } from './settings-file';

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
  if (scheme === 'ini') return fromIni(rest);
  if (scheme === 'setting') return fromSettings(rest);
  throw new GamedayError('setting_invalid', 'a secret must be named as env:NAME or file:/path');
}

/** `/path#section#key`, in files as those of AWS: `[section]`, then `key = value` in lines. Only gameday itself makes such names. */
function fromIni(rest: string): string {
  const [path = '', section = '', key = ''] = rest.split('#');
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    throw new GamedayError('file_unreadable', `credentials ${path} cannot be read`, null, { cause: error });
  }
  let at: string | null = null;
  for (const line of text.split(/\r?\n/)) {
    const [, name] = /^\s*\[\s*([^\]]+?)\s*\]/.exec(line) ?? [];
    const [, own, value] = /^\s*([A-Za-z0-9_]+)\s*=\s*(.*?)\s*$/.exec(line) ?? [];
    if (name !== undefined) at = name;
    else if (at === section && own === key && value !== undefined && value !== '') return value;
  }
  throw new GamedayError(
    'setting_invalid',
    `${path} holds no ${key} for profile "${section}"`,
    'gameday reads keys that stand in the file; a role or a login is for the tool alone.',
  );
}

/** `/path#NAME`, in the settings file of a tool. Only gameday itself makes such names. */
function fromSettings(rest: string): string {
  const [path = '', name = ''] = rest.split('#');
  const value = readSettings(path).get(name);
  if (value === undefined || value.trim() === '') throw new GamedayError('setting_invalid', `${path} holds no ${name}`);
  return value.trim();
}
