/**
 * Variables of a scenario: declared with unit and default, used as `${name}` in any string, overridden by `--set name=value`. `$${` stands for a plain `${`.
 * A duration with `live` follows from the controller's timers where it tells them, unless it is overridden.
 * Unknown, unused and ill-typed ones are errors: a drill must never run with a number that somebody believes to have changed.
 */
import { GamedayError } from '../core/errors';
import { TIMER_NAMES } from '../model/constants';
import type { Json } from '../model/json';
import type { LiveVariables, Timers } from '../model/plan';
import { suggest } from './nearest';
import { parseQuantity, quantityProblem } from './quantities';
import { variablesSchema, type Variables } from './schema';
import { evaluateTimerFormula, parseTimerFormula, timersIn } from './timer-formula';
import type { YamlPath, YamlProblem, YamlSource } from './yaml-source';
import { problemsOf } from './zod-problems';

const REFERENCE = /\$\$\{|\$\{([^}]*)\}/g;
const MAX_DEPTH = 50;

export interface Substituted {
  /** The file's value with every reference replaced; `variables` untouched. */
  readonly value: unknown;
  readonly variables: Readonly<Record<string, Json>>;
  readonly live: LiveVariables | null;
}

/** `['a=1']` → `{ a: '1' }`. Throws `setting_invalid`. */
export function parseOverrides(settings: readonly string[]): Record<string, string> {
  const overrides: Record<string, string> = Object.create(null) as Record<string, string>;
  for (const setting of settings) {
    const at = setting.indexOf('=');
    if (at <= 0) throw new GamedayError('setting_invalid', `--set "${setting}" is not name=value`);
    const name = setting.slice(0, at);
    if (Object.hasOwn(overrides, name)) throw new GamedayError('setting_invalid', `--set ${name} is given twice`);
    overrides[name] = setting.slice(at + 1);
  }
  return overrides;
}

/** Replaces every reference. Throws `scenario_invalid` with positions, `setting_invalid` for overrides that do not fit. */
export function substituteVariables(source: YamlSource, overrides: Readonly<Record<string, string>>, timers: Timers = {}): Substituted {
  const declared = readDeclarations(source);
  const values = chooseValues(source, declared, overrides);
  const live = computeLive(source, declared, values, timers, overrides);
  const used = new Set<string>();
  const problems: YamlProblem[] = [];
  const value = replaceIn(source.value, [], { values, used, problems });
  for (const name of Object.keys(declared)) {
    if (!used.has(name))
      problems.push({ path: ['variables', name], at: 'key', message: `is never used; write \${${name}} where it belongs, or remove it` });
  }
  if (problems.length > 0) throw source.error('scenario_invalid', problems);
  return { value, variables: Object.fromEntries(values), live };
}

function readDeclarations(source: YamlSource): Variables {
  const top = source.value;
  if (typeof top !== 'object' || top === null || !('variables' in top) || top.variables === undefined) return {};
  const result = variablesSchema.safeParse(top.variables);
  if (!result.success) {
    throw source.error(
      'scenario_invalid',
      problemsOf(result.error, variablesSchema).map((problem) => ({ ...problem, path: ['variables', ...problem.path] })),
    );
  }
  const wrong = Object.entries(result.data).flatMap(([name, variable]): YamlProblem[] => {
    const problem = problemOfValue(variable.unit, variable.default);
    const live = problemOfLive(result.data, variable);
    return [
      ...(problem === null ? [] : [{ path: ['variables', name, 'default'], message: problem }]),
      ...(live === null ? [] : [{ path: ['variables', name, 'live'], message: live }]),
      ...(TIMER_NAMES.some((timer) => timer === name)
        ? [{ path: ['variables', name], at: 'key' as const, message: 'is what a timer of the controller is called; name it otherwise' }]
        : []),
    ];
  });
  if (wrong.length > 0) throw source.error('scenario_invalid', wrong);
  return result.data;
}

function chooseValues(source: YamlSource, declared: Variables, overrides: Readonly<Record<string, string>>): Map<string, string | number> {
  const values = new Map<string, string | number>();
  for (const [name, { unit, default: value }] of Object.entries(declared))
    values.set(name, unit === 'number' ? Number(value) : String(value));
  for (const [name, text] of Object.entries(overrides)) {
    const variable = Object.hasOwn(declared, name) ? declared[name] : undefined;
    if (variable === undefined) {
      const names = Object.keys(declared);
      const known = names.length === 0 ? 'it has none' : `it has ${names.join(', ')}`;
      throw new GamedayError('setting_invalid', `${source.file} has no variable "${name}"${suggest(name, names)}`, `${known}.`);
    }
    const problem = problemOfValue(variable.unit, text);
    if (problem !== null) throw new GamedayError('setting_invalid', `--set ${name}: ${problem}`);
    values.set(name, variable.unit === 'number' ? Number(text) : text);
  }
  return values;
}

/** Durations that a formula may rest on besides timers: those that do not rest on timers themselves. */
const fixedDurations = (declared: Variables): readonly string[] =>
  Object.entries(declared).flatMap(([name, { unit, live }]) => (unit === 'duration' && live === undefined ? [name] : []));

function problemOfLive(declared: Variables, { unit, live }: Variables[string]): string | null {
  if (live === undefined) return null;
  if (unit !== 'duration') return `goes with unit duration only, timers are no ${unit}`;
  const parsed = parseTimerFormula(live, fixedDurations(declared));
  if (!parsed.ok) return parsed.problem;
  return timersIn(parsed.formula).length === 0 ? `holds no timer (${TIMER_NAMES.join(', ')}): say it as the default` : null;
}

/** Writes what follows from the timers into `values`. Throws `setting_invalid` where that is no duration. */
function computeLive(
  source: YamlSource,
  declared: Variables,
  values: Map<string, string | number>,
  timers: Timers,
  overrides: Readonly<Record<string, string>>,
): LiveVariables | null {
  const variables: Record<string, string> = {};
  const used: Timers = {};
  const told: Readonly<Record<string, number | undefined>> = timers;
  const valueOf = (name: string): number | undefined =>
    told[name] ?? parseQuantity('duration', String(values.get(name) ?? '')) ?? undefined;
  for (const [name, { live }] of Object.entries(declared)) {
    if (live === undefined || Object.hasOwn(overrides, name)) continue;
    const parsed = parseTimerFormula(live, fixedDurations(declared));
    const ms = parsed.ok ? evaluateTimerFormula(parsed.formula, valueOf) : null;
    if (!parsed.ok || ms === null) continue;
    const read = timersIn(parsed.formula);
    if (ms <= 0)
      throw new GamedayError(
        'setting_invalid',
        `${source.file}: variable ${name} is ${live}, which is ${ms} ms with ${read.map((timer) => `${timer} ${timers[timer]} ms`).join(', ')}`,
        `say it yourself: --set ${name}=…`,
      );
    values.set(name, ms % 1_000 === 0 ? `${ms / 1_000}s` : `${ms}ms`);
    variables[name] = live;
    Object.assign(used, Object.fromEntries(read.map((timer) => [timer, timers[timer]])));
  }
  return Object.keys(variables).length === 0 ? null : { variables, timers: used };
}

function problemOfValue(unit: Variables[string]['unit'], value: string | number): string | null {
  switch (unit) {
    case 'text':
      return null;
    case 'number':
      return String(value).trim() !== '' && Number.isFinite(Number(value)) ? null : `"${value}" is no number`;
    default:
      return parseQuantity(unit, String(value)) === null ? quantityProblem(unit, value) : null;
  }
}

interface Replacing {
  readonly values: ReadonlyMap<string, string | number>;
  readonly used: Set<string>;
  readonly problems: YamlProblem[];
}

function replaceIn(value: unknown, path: YamlPath, state: Replacing): unknown {
  if (path.length > MAX_DEPTH) {
    state.problems.push({ path, message: `nested more than ${MAX_DEPTH} deep` });
    return null;
  }
  if (typeof value === 'string') return replaceInText(value, path, state);
  if (Array.isArray(value)) return value.map((item, index) => replaceIn(item, [...path, index], state));
  if (typeof value !== 'object' || value === null || Object.getPrototypeOf(value) !== Object.prototype) return value;
  return Object.fromEntries(
    Object.entries(value).map(([key, item]) => [
      key,
      path.length === 0 && key === 'variables' ? item : replaceIn(item, [...path, key], state),
    ]),
  );
}

function replaceInText(text: string, path: YamlPath, { values, used, problems }: Replacing): string | number {
  const whole = /^\$\{([^}]*)\}$/.exec(text)?.[1]?.trim();
  const number = whole === undefined ? undefined : values.get(whole);
  if (whole !== undefined && typeof number === 'number') {
    used.add(whole);
    return number;
  }
  return text.replace(REFERENCE, (match, inner: string | undefined) => {
    if (inner === undefined) return '${';
    const name = inner.trim();
    const value = values.get(name);
    if (value === undefined) {
      problems.push({ path, message: `no variable "${name}" is declared${suggest(name, [...values.keys()])}` });
      return match;
    }
    used.add(name);
    return String(value);
  });
}
