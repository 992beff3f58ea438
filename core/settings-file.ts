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
  const settings = isYaml(path) ? Object.entries(fromYaml(path, text)).filter(isPlain) : fromLines(text);
  return new Map(settings.map(([name, value]) => [name.toUpperCase(), String(value)]));
}

const SECRET = /KEY|SECRET|TOKEN|PASS|_PGP|SSE_C$/i;
/** Where a secret lies, or how it is written. */
const NO_SECRET = /_(PATH|FILE|TRANSFORM)$/i;

/**
 * Values, at whatever depth, of names that look like a secret's: for whoever keeps them out of a message. Never throws: of a file that does not parse, what
 * stands in its lines; of one that cannot be read, none.
 */
export function readSecretValues(path: string): readonly string[] {
  let text = '';
  try {
    text = readFileSync(path, 'utf8');
    const settings = isYaml(path) ? fromYaml(path, text) : Object.fromEntries(fromLines(text));
    return secretsIn(settings);
  } catch {
    return secretsIn(Object.fromEntries(fromLines(text)));
  }
}

function secretsIn(settings: object): string[] {
  return Object.entries(settings).flatMap(([name, value]: [string, unknown]) => {
    if (typeof value === 'object' && value !== null) return secretsIn(value);
    const isSecret = SECRET.test(name) && !NO_SECRET.test(name) && !/^(true|false)?$/i.test(String(value));
    return isSecret && isPlain([name, value]) ? [String(value)] : [];
  });
}

const isYaml = (path: string): boolean => ['.json', '.yaml', '.yml'].includes(extname(path).toLowerCase());

const isPlain = (entry: [string, unknown]): entry is [string, string | number | boolean] =>
  ['string', 'number', 'boolean'].includes(typeof entry[1]);

/** JSON is YAML. */
function fromYaml(path: string, text: string): object {
  let settings: unknown;
  try {
    settings = parse(text, { logLevel: 'error' });
  } catch {
    // The parser quotes what it could not read.
    throw new GamedayError('setting_invalid', `settings ${path} are neither JSON nor YAML`);
  }
  if (typeof settings !== 'object' || settings === null || Array.isArray(settings))
    throw new GamedayError('setting_invalid', `settings ${path} hold no names with values`);
  return settings;
}

/** As github.com/subosito/gotenv has it, which reads such files for tools in Go: what is quoted may hold a `#`, everything else ends there. */
const LINE = /^\s*(?:export\s+)?([\w.]+)(?:\s*=\s*|:\s+?)('.*'|".*"|[^#\n]+)?\s*(?:#.*)?$/;

function fromLines(text: string): [string, string][] {
  const found = new Map<string, string>();
  for (const line of text.split(/\r?\n/)) {
    const [, name, written = ''] = LINE.exec(line) ?? [];
    if (name !== undefined) found.set(name, valueOf(written, found));
  }
  return [...found];
}

/** Quotes go; in double ones `\` makes the next character plain; `$NAME` is an earlier line's, but in single quotes. */
function valueOf(written: string, before: ReadonlyMap<string, string>): string {
  const bare = written.trim().replace(/^(['"])(.*)['"]$/, '$2');
  if (written.startsWith("'")) return bare;
  const plain = written.startsWith('"')
    ? bare
        .replace(/\\n/g, '\n')
        .replace(/\\r/g, '\r')
        .replace(/\\([^$])/g, '$1')
    : bare;
  return plain.replace(/(\\)?\$(?:\{([A-Z0-9_]+)\}?|([A-Z0-9_]+)\}?)/g, (all: string, escape?: string, braced?: string, name?: string) =>
    escape === undefined ? (before.get(braced ?? name ?? '') ?? '') : all.slice(1),
  );
}
