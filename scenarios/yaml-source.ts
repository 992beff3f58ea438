/**
 * YAML files with their positions kept, so that whatever is wrong is reported as `file:line:column: message` with the line and a caret.
 * It reads text and nothing else: no includes, no tags that run code, a limit on size and on aliases.
 */
import { readFileSync, statSync } from 'node:fs';
import { LineCounter, parseDocument, type Document } from 'yaml';
import type { z } from 'zod';
import { GamedayError, messageOf, type ErrorCode } from '../core/errors';
import { sha256Hex } from '../core/files';
import { findOffset, type YamlPath } from '../core/yaml-places';
import { problemsOf } from './zod-problems';

/** Larger is no file that a person wrote. */
const MAX_BYTES = 1024 * 1024;
const MAX_ALIASES = 100;
/** Problems shown at once; the rest are counted. */
const MAX_SHOWN = 20;
const MAX_EXCERPT = 120;

export type { YamlPath };

/** What is wrong and where. `key`: the key itself is wrong, not its value. */
export interface YamlProblem {
  readonly path: YamlPath;
  readonly message: string;
  readonly at?: 'key' | 'value';
}

export interface YamlSource {
  /** As the user named it; stands in front of every error. */
  readonly file: string;
  readonly text: string;
  readonly sha256: string;
  readonly value: unknown;
  /** Line and column, both from 1, of the value (or key) at this path; of its nearest ancestor if it is not there. */
  locate(path: YamlPath, at?: 'key' | 'value'): { readonly line: number; readonly column: number };
  /** The error that names these problems, with positions, paths and excerpts. */
  error(code: ErrorCode, problems: readonly YamlProblem[]): GamedayError;
}

/** Reads and parses a file. Throws `file_unreadable`, `yaml_invalid`. */
export function readYaml(path: string): YamlSource {
  let text: string;
  try {
    if (statSync(path).size > MAX_BYTES) throw new GamedayError('yaml_invalid', `${path}: larger than ${MAX_BYTES} bytes`);
    text = readFileSync(path, 'utf8');
  } catch (error) {
    if (error instanceof GamedayError) throw error;
    throw new GamedayError('file_unreadable', `${path} cannot be read: ${messageOf(error)}`, null, { cause: error });
  }
  return parseYaml(path, text);
}

/** Parses text that stands in `file`. Throws `yaml_invalid`, and nothing else whatever the text is. */
export function parseYaml(file: string, text: string): YamlSource {
  if (Buffer.byteLength(text) > MAX_BYTES) throw new GamedayError('yaml_invalid', `${file}: larger than ${MAX_BYTES} bytes`);
  const lines = new LineCounter();
  try {
    const document = parseDocument(text, {
      lineCounter: lines,
      version: '1.2',
      schema: 'core',
      prettyErrors: false,
      uniqueKeys: true,
      stringKeys: true,
    });
    const wrong = [...document.errors, ...document.warnings];
    if (wrong.length > 0) {
      const shown = wrong.slice(0, MAX_SHOWN).map((problem) => {
        const { line, col } = lines.linePos(problem.pos[0]);
        return `${file}:${Math.max(1, line)}:${Math.max(1, col)}: ${lowerFirst(problem.message)}${excerpt(text, Math.max(1, line), Math.max(1, col))}`;
      });
      throw new GamedayError('yaml_invalid', shown.join('\n'));
    }
    return openSource(file, text, document, lines);
  } catch (error) {
    if (error instanceof GamedayError) throw error;
    throw new GamedayError('yaml_invalid', `${file}:1:1: ${messageOf(error)}`, null, { cause: error });
  }
}

function openSource(file: string, text: string, document: Document.Parsed, lines: LineCounter): YamlSource {
  const value: unknown = document.toJS({ maxAliasCount: MAX_ALIASES });
  const locate = (path: YamlPath, at: 'key' | 'value' = 'value'): { line: number; column: number } => {
    const { line, col } = lines.linePos(findOffset(document, path, at));
    return { line: Math.max(1, line), column: Math.max(1, col) };
  };
  return {
    file,
    text,
    sha256: sha256Hex(text),
    value,
    locate,
    error: (code, problems) => {
      const placed = problems.map((problem) => ({ ...problem, ...locate(problem.path, problem.at) }));
      placed.sort((a, b) => a.line - b.line || a.column - b.column);
      const shown = placed.slice(0, MAX_SHOWN).map(({ path, message, line, column }) => {
        const where = path.length === 0 ? '' : `${formatPath(path)}: `;
        return `${file}:${line}:${column}: ${where}${message}${excerpt(text, line, column)}`;
      });
      if (placed.length > MAX_SHOWN) shown.push(`… and ${placed.length - MAX_SHOWN} more`);
      return new GamedayError(code, shown.join('\n'));
    },
  };
}

/** The value as the schema makes it. Throws `code` with every problem at its place. */
export function checkYaml<T>(source: YamlSource, schema: z.ZodType<T>, code: ErrorCode): T {
  const result = schema.safeParse(source.value);
  if (result.success) return result.data;
  throw source.error(code, problemsOf(result.error, schema));
}

/** `steps[2].with.latency`. */
export function formatPath(path: YamlPath): string {
  return path.map((part, index) => (typeof part === 'number' ? `[${part}]` : index === 0 ? part : `.${part}`)).join('');
}

function excerpt(text: string, line: number, column: number): string {
  const whole = (text.split('\n')[line - 1] ?? '').replace(/\r$/, '').replace(/\t/g, ' ');
  const from = Math.max(0, column - 1 - MAX_EXCERPT / 2);
  const shown = whole.slice(from, from + MAX_EXCERPT);
  if (shown.trim() === '') return '';
  const number = String(line);
  return `\n  ${number} | ${shown}\n  ${' '.repeat(number.length)} | ${' '.repeat(Math.max(0, column - 1 - from))}^`;
}

function lowerFirst(message: string): string {
  const first = message.split('\n')[0] ?? '';
  return first.charAt(0).toLowerCase() + first.slice(1);
}
