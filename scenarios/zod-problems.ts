/** zod's issues as problems at a path, in words for people. Pure; it decides nothing about what is valid. */
import { z } from 'zod';
import { suggest } from './nearest';
import type { YamlPath, YamlProblem } from './yaml-source';

type Issue = z.core.$ZodIssue;
/** What a branch of a union says when another branch was meant. */
const OTHER_BRANCH: readonly (string | undefined)[] = ['invalid_type', 'invalid_value', 'invalid_union'];

/** One problem per issue; an unknown key is one each, with the nearest known key where there is one. */
export function problemsOf(error: z.ZodError, schema: z.ZodType): YamlProblem[] {
  return error.issues.flatMap((issue) => problemsOfIssue(issue, [], schema));
}

function problemsOfIssue(issue: Issue, base: YamlPath, schema: z.ZodType): YamlProblem[] {
  const path: YamlPath = [...base, ...issue.path.map((part) => (typeof part === 'number' ? part : String(part)))];
  if (issue.code === 'unrecognized_keys') {
    const known = keysAt(schema, path);
    return issue.keys.map((key) => ({ path: [...path, key], at: 'key', message: `unknown key${suggest(key, known)}` }));
  }
  if (issue.code === 'invalid_key') return [{ path, at: 'key', message: issue.issues.map((inner) => words(inner)).join('; ') }];
  if (issue.code === 'invalid_union') {
    // The branch that got furthest is the one that was meant.
    const meant = issue.errors.find(
      (branch) => branch.length > 0 && branch.every((inner) => inner.path.length > 0 || !OTHER_BRANCH.includes(inner.code)),
    );
    if (meant !== undefined) return meant.flatMap((inner) => problemsOfIssue(inner, path, schema));
  }
  return [{ path, message: words(issue) }];
}

function words(issue: Issue): string {
  if (issue.code === 'invalid_type' && issue.input === undefined && / received undefined$/.test(issue.message))
    return `is missing (${issue.expected})`;
  const message = issue.message.replace(/^Invalid input: /, '');
  return message.charAt(0).toLowerCase() + message.slice(1);
}

/** Keys that an object at this path may have, over all branches of unions. */
function keysAt(schema: z.core.$ZodType, path: YamlPath): string[] {
  const [first, ...rest] = path;
  const inner = unwrap(schema);
  if (inner instanceof z.ZodUnion) return inner.options.flatMap((option) => keysAt(option, path));
  if (first === undefined) return inner instanceof z.ZodObject ? Object.keys(inner.shape) : [];
  if (inner instanceof z.ZodObject) {
    const next = (inner.shape as Readonly<Record<string, z.core.$ZodType>>)[String(first)];
    return next === undefined ? [] : keysAt(next, rest);
  }
  if (inner instanceof z.ZodArray) return keysAt(inner.element, rest);
  if (inner instanceof z.ZodRecord) return keysAt(inner.valueType, rest);
  return [];
}

function unwrap(schema: z.core.$ZodType): z.core.$ZodType {
  let at = schema;
  for (let depth = 0; depth < 20; depth += 1) {
    if (at instanceof z.ZodOptional || at instanceof z.ZodNullable || at instanceof z.ZodDefault || at instanceof z.ZodPrefault)
      at = at.unwrap();
    else if (at instanceof z.ZodPipe) at = at.in;
    else return at;
  }
  return at;
}
