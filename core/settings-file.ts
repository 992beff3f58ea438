/**
 * Settings of somebody else's tool, one value a name, in a file as tools take them: JSON, YAML, or lines of `NAME=value`. It reads text and judges nothing; the
 * values may be secrets, so none ever goes into an error. Node only.
 */
import { readFileSync } from 'node:fs';
import { extname } from 'node:path';
import { parse } from 'yaml';
import { GamedayError } from './errors';

/** Names in upper case; what is no plain value is left out. Throws `file_unreadable`, `setting_invalid`. */
export function readSettings(path: string): ReadonlyMap<string, string> {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    throw new GamedayError('file_unreadable', `settings ${path} cannot be read`, null, { cause: error });
  }
  return new Map((isYaml(path) ? fromYaml(path, text) : fromLines(text)).map(([name, value]) => [name.toUpperCase(), value]));
}

const isYaml = (path: string): boolean => ['.json', '.yaml', '.yml'].includes(extname(path).toLowerCase());

/** JSON is YAML. */
function fromYaml(path: string, text: string): [string, string][] {
  let settings: unknown;
  try {
    settings = parse(text, { logLevel: 'error' });
  } catch {
    // The parser quotes what it could not read.
    throw new GamedayError('setting_invalid', `settings ${path} are neither JSON nor YAML`);
  }
  if (typeof settings !== 'object' || settings === null || Array.isArray(settings))
    throw new GamedayError('setting_invalid', `settings ${path} hold no names with values`);
  return Object.entries(settings).flatMap(([name, value]) =>
    typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean' ? [[name, String(value)]] : [],
  );
}

function fromLines(text: string): [string, string][] {
  return text.split(/\r?\n/).flatMap((line) => {
    const [, name, written = ''] = /^\s*(?:export\s+)?([A-Za-z_][A-Za-z0-9_]*)\s*[=:]\s*(.*?)\s*$/.exec(line) ?? [];
    return name === undefined ? [] : [[name, /^(["'])(.*)\1$/.exec(written)?.[2] ?? written]];
  });
}
