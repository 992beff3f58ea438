/**
 * The scenario file's schema: YAML as people write it in, quantities as integers out. A step is one verb and its settings, and every verb has a
 * schema of its own, so that an error speaks of the verb that was meant. Ids, defaults and references are filled in by `build-plan.ts`.
 */
import { z } from 'zod';
import { PROOF_CHECKS, RESTORE_REFUSALS } from '../model/constants';
import type { CheckSpec, ObjectiveName, PlanStep, RtoAbout } from '../model/plan';
import type { JsonObject } from '../model/json';
import { suggest } from './nearest';
import { count, duration, durationBetween, size, transactions } from './quantities';
import type { YamlPath, YamlProblem } from './yaml-source';
import { problemsOf } from './zod-problems';

const MAX_STEPS = 200;
const MAX_BRANCHES = 8;
const MAX_NESTING = 3;
const SECOND = 1_000;
const DAY = 86_400_000;

const text = (max: number): z.ZodString => z.string().trim().min(1, 'must not be empty').max(max, `must be at most ${max} characters long`);
const person = text(80);
export const stepId = z
  .string()
  .regex(/^[a-z][a-z0-9-]{0,59}$/, 'ids start with a lower-case letter and hold at most 60 of a-z, 0-9 and -');
const limit = durationBetween(SECOND, DAY, '1s and 1d');
const lsn = z.string().regex(/^[0-9A-Fa-f]{1,8}\/[0-9A-Fa-f]{1,8}$/, 'is no LSN such as 0/3000148');

const common = { id: stepId.optional(), title: text(200).optional(), takes: limit.optional() };

const check = z.strictObject({
  sql: text(10_000),
  on: z.enum(['primary', 'every-node', 'sandbox']).default('primary'),
  expect: z
    .union([z.string(), z.number(), z.boolean()], { error: 'must be the text that the first column of the first row holds' })
    .transform(String),
  within: durationBetween(0, DAY, '0 and 1d').default(0),
});

/** `refused` alone takes any reason of the archive's own; `null` stands for it. */
const refusal = z
  .union(
    [
      z.literal('refused'),
      z.strictObject({ refused: z.enum(RESTORE_REFUSALS, { error: `must be one of ${RESTORE_REFUSALS.join(', ')}` }) }),
    ],
    {
      error: `must be refused, or { refused: REASON } with one of ${RESTORE_REFUSALS.join(', ')}`,
    },
  )
  .transform((value) => ({ refused: value === 'refused' ? null : value.refused }));

const restorePoint = z
  .strictObject({
    before: stepId.optional(),
    xid: z
      .union([z.string(), z.int()])
      .transform(String)
      .refine((value) => /^[0-9]{1,20}$/.test(value), 'is no transaction id')
      .optional(),
    lsn: lsn.optional(),
    time: z.iso.datetime({ offset: true, error: 'must be a time like 2026-11-23T03:12:09Z, in quotes' }).optional(),
    name: text(63).optional(),
    immediate: z.literal(true, { error: 'can only be true' }).optional(),
    latest: z.literal(true, { error: 'can only be true' }).optional(),
    inclusive: z.boolean().optional(),
    backup: text(200).optional(),
    through: text(40).optional(),
    key: text(40).optional(),
    proof: z
      .union([z.enum(['full', 'quick']), z.array(z.enum(PROOF_CHECKS)).max(PROOF_CHECKS.length)], {
        error: `must be full, quick, or a list of ${PROOF_CHECKS.join(', ')}`,
      })
      .optional(),
    maxProof: size.optional(),
    expect: refusal.optional(),
  })
  .superRefine((point, context) => {
    const named = (['before', 'xid', 'lsn', 'time', 'name', 'immediate', 'latest'] as const).filter((key) => point[key] !== undefined);
    if (named.length !== 1)
      context.addIssue({ code: 'custom', message: 'must name exactly one of before, xid, lsn, time, name, immediate, latest' });
    if (point.expect !== undefined)
      for (const key of ['proof', 'maxProof', 'through'] as const)
        if (point[key] !== undefined)
          context.addIssue({
            code: 'custom',
            path: [key],
            message: 'goes with a restore that is carried out, not with one that is refused',
          });
    if (point.inclusive !== undefined && point.xid === undefined && point.lsn === undefined) {
      context.addIssue({ code: 'custom', path: ['inclusive'], message: 'goes with xid or lsn only' });
    }
  });

/** `schema.table`, without quotes: what needs them is not marked. */
const tableName = z
  .string()
  .regex(/^[a-z_][a-z0-9_$]{0,62}\.[a-z_][a-z0-9_$]{0,62}$/, 'must be a table with its schema, like public.orders')
  .transform((value) => {
    const [schema = '', table = ''] = value.split('.');
    return { schema, table };
  });

/** The answer to this step declares the incident. */
const declares = z.literal('incident', { error: 'can only be incident: who answers declares it' });

/** Settings of faults are judged by the fault's own schema; here they only have to be plain data. */
const settings = z.record(z.string(), z.json()) as unknown as z.ZodType<JsonObject>;

const VERBS = {
  fault: z.strictObject({ fault: text(60), with: settings.optional(), max: limit.optional(), ...common }),
  wait: z
    .strictObject({
      wait: z.union([z.enum(['recovered', 'steady']), duration], { error: 'must be recovered, steady, or a duration like 10s' }),
      timeout: limit.optional(),
      ...common,
    })
    .refine((step) => typeof step.wait === 'string' || step.timeout === undefined, {
      path: ['timeout'],
      message: 'goes with recovered and steady only',
    })
    .refine((step) => typeof step.wait === 'string' || step.wait <= DAY, { path: ['wait'], message: 'must be at most 1d' }),
  failover: z.strictObject({
    failover: z.union([z.literal('most-advanced'), z.strictObject({ candidate: text(40) })], {
      error: 'must be most-advanced, or { candidate: NODE }',
    }),
    timeout: limit.optional(),
    ...common,
  }),
  restore: z.strictObject({ restore: restorePoint, timeout: limit.optional(), ...common }),
  rebuild: z.strictObject({ rebuild: z.strictObject({ node: text(63) }), timeout: limit.optional(), ...common }),
  mark: z.strictObject({
    mark: z
      .string()
      .regex(/^[a-z][a-z0-9-]{0,39}$/, 'names of restore points start with a lower-case letter and hold at most 40 of a-z, 0-9 and -'),
    tables: z.array(tableName).max(20).optional(),
    ...common,
  }),
  check: z.strictObject({ check, ...common }),
  heal: z.strictObject({
    heal: z.union([z.literal('all'), z.array(stepId).min(1).max(MAX_STEPS)], { error: 'must be all, or a list of step ids' }),
    ...common,
  }),
  note: z.strictObject({ note: text(2_000), ...common }),
  manual: z.strictObject({
    manual: text(4_000),
    owner: person,
    check: check.optional(),
    declares: declares.optional(),
    timeout: limit.optional(),
    ...common,
  }),
  gate: z.strictObject({ gate: text(2_000), owner: person, declares: declares.optional(), timeout: limit.optional(), ...common }),
} as const;
const PARALLEL = z.strictObject({
  parallel: z.array(z.array(z.unknown()).min(1).max(MAX_STEPS)).min(2, 'needs at least two branches').max(MAX_BRANCHES),
  ...common,
});
const VERB_NAMES = [...Object.keys(VERBS), 'parallel'];

export type Verb = keyof typeof VERBS;
type Written<V extends Verb> = z.output<(typeof VERBS)[V]> & { readonly verb: V; readonly path: YamlPath };
export type ParallelWritten = {
  readonly verb: 'parallel';
  readonly path: YamlPath;
  readonly id?: string | undefined;
  readonly title?: string | undefined;
  readonly takes?: number | undefined;
  readonly branches: readonly (readonly StepWritten[])[];
};
/** One step as written, with its place in the file. */
export type StepWritten = { [V in Verb]: Written<V> }[Verb] | ParallelWritten;

/** Fails to compile when a kind of step exists in the model and not here, or the other way round. */
type Same<A, B> = [A] extends [B] ? ([B] extends [A] ? true : false) : false;
const SAME_VERBS: Same<StepWritten['verb'], PlanStep['kind']> = true;
const SAME_CHECK: Same<z.output<typeof check>['on'], CheckSpec['on']> = true;

const rtoAbout = z.enum(['injection', 'first-ack', 'verified', 'redundant', 'declaration']);
const SAME_ABOUT: Same<z.output<typeof rtoAbout>, RtoAbout> = true;

function objective(quantity: z.ZodType<number, string | number>, about: 'step' | 'path' | 'rto' | null) {
  const long = {
    target: quantity,
    source: text(200).optional(),
    approver: person.optional(),
    ...(about === 'step' ? { step: stepId.optional() } : {}),
    ...(about === 'path' || about === 'rto' ? { path: z.string().min(1).optional() } : {}),
    ...(about === 'rto' ? { about: rtoAbout.optional() } : {}),
  };
  return z.union([quantity, z.strictObject(long)], { error: 'must be a target, or { target, source, approver }' }).transform((value) => {
    const full: {
      target: number;
      source?: string | undefined;
      approver?: string | undefined;
      step?: string | undefined;
      path?: string | undefined;
      about?: RtoAbout | undefined;
    } = typeof value === 'number' ? { target: value } : (value as { target: number });
    const { target, source = null, approver = null, step = null, path = null, about = null } = full;
    return { target, source, approver, step, path, about };
  });
}

const objectives = z
  .strictObject({
    rto: objective(duration, 'rto').optional(),
    rto_reads: objective(duration, null).optional(),
    rto_beyond_prediction: objective(duration, null).optional(),
    write_stall: objective(duration, 'path').optional(),
    rpo: objective(transactions, null).optional(),
    rpo_time: objective(duration, null).optional(),
    split_brain: objective(duration, null).optional(),
    restore_time: objective(duration, 'step').optional(),
    rebuild_time: objective(duration, 'step').optional(),
    recovery_point_error: objective(transactions, 'step').optional(),
    archive_rpo: objective(duration, 'step').optional(),
    commit_p99: objective(duration, null).optional(),
    promotions: objective(count, null).optional(),
    rejections: objective(count, 'path').optional(),
    time_to_redundancy: objective(duration, null).optional(),
    replica_staleness: objective(duration, null).optional(),
    no_safe_candidate: objective(duration, null).optional(),
  })
  .refine((all) => Object.keys(all).length > 0, 'must hold at least one objective');
/** Names of objectives in the file, and in the plan. */
export const OBJECTIVE_NAMES = {
  rto: 'rto',
  rto_reads: 'rto_reads',
  rto_beyond_prediction: 'rto_beyond_prediction',
  write_stall: 'write_stall',
  rpo: 'rpo_transactions',
  rpo_time: 'rpo_time',
  split_brain: 'split_brain',
  restore_time: 'restore_time',
  rebuild_time: 'rebuild_time',
  recovery_point_error: 'recovery_point_error',
  archive_rpo: 'archive_rpo',
  commit_p99: 'commit_p99',
  promotions: 'promotions',
  rejections: 'rejections',
  time_to_redundancy: 'time_to_redundancy',
  replica_staleness: 'replica_staleness',
  no_safe_candidate: 'no_safe_candidate',
} as const satisfies Record<keyof z.output<typeof objectives>, ObjectiveName>;
const SAME_OBJECTIVES: Same<(typeof OBJECTIVE_NAMES)[keyof typeof OBJECTIVE_NAMES], ObjectiveName> = true;
void [SAME_VERBS, SAME_CHECK, SAME_OBJECTIVES, SAME_ABOUT];

const probe = z.strictObject({
  period: durationBetween(1, 60_000, '1ms and 60s').optional(),
  writeStreams: z.int().min(1).max(64).optional(),
  readStreams: z.int().min(0).max(64).optional(),
  paths: z.array(z.string().min(1)).max(8).optional(),
  naive: z.boolean().optional(),
  otherPeriod: durationBetween(1, 60_000, '1ms and 60s').optional(),
  maxConnections: z.int().min(2).max(1_000).optional(),
  clientDeadline: durationBetween(10, 600_000, '10ms and 10m').optional(),
  connectTimeout: durationBetween(10, 600_000, '10ms and 10m').optional(),
  statementTimeout: durationBetween(10, 600_000, '10ms and 10m').optional(),
  minWritesDue: z.int().min(1).max(1_000_000_000).optional(),
});

const steady = z.strictObject({
  window: durationBetween(500, 3_600_000, '500ms and 1h').optional(),
  timeout: limit.optional(),
  successRatio: z.number().min(0.5).max(1).optional(),
  maxP99: durationBetween(1, 600_000, '1ms and 10m').optional(),
  recoveryFactor: z.number().min(1).max(1_000).optional(),
  recoveryFloor: durationBetween(1, 600_000, '1ms and 10m').optional(),
  recoveryWindow: durationBetween(500, 3_600_000, '500ms and 1h').optional(),
});

const limits = z.strictObject({
  maxDrill: durationBetween(SECOND, 7 * DAY, '1s and 7d').optional(),
  maxFault: limit.optional(),
  leaseTtl: durationBetween(10_000, 3_600_000, '10s and 1h').optional(),
});

const webAddress = z.url({ protocol: /^https?$/, error: 'must be a URL that starts with http:// or https://' });
const STOP_CHECKS = {
  sql: z.strictObject({
    sql: text(10_000),
    on: z.enum(['primary', 'every-node']).default('primary'),
    expect: check.shape.expect,
  }),
  http: z.strictObject({ url: webAddress, status: z.int().min(100).max(599).default(200) }),
  prometheus: z
    .strictObject({
      url: webAddress,
      query: text(4_000),
      min: z.number().optional(),
      max: z.number().optional(),
      token: z
        .string()
        .regex(/^(env:[A-Za-z_][A-Za-z0-9_]*|file:\/.+)$/, 'name the secret as `env:NAME` or `file:/path`; its value never stands here')
        .optional(),
    })
    .refine((query) => query.min !== undefined || query.max !== undefined, 'needs min, max or both: what the value may be'),
  nodes: z
    .strictObject({ maxWritable: z.int().min(0).max(16).optional(), minUp: z.int().min(1).max(16).optional() })
    .refine((nodes) => nodes.maxWritable !== undefined || nodes.minUp !== undefined, 'needs maxWritable, minUp or both'),
} as const;
const stopCondition = z
  .strictObject({
    id: stepId.optional(),
    sql: STOP_CHECKS.sql.optional(),
    http: STOP_CHECKS.http.optional(),
    prometheus: STOP_CHECKS.prometheus.optional(),
    nodes: STOP_CHECKS.nodes.optional(),
    every: durationBetween(100, 600_000, '100ms and 10m').default(SECOND),
    failures: z.int().min(1).max(100).default(3),
    of: z.int().min(1).max(100).optional(),
  })
  .superRefine((condition, context) => {
    const named = (['sql', 'http', 'prometheus', 'nodes'] as const).filter((key) => condition[key] !== undefined);
    if (named.length !== 1) context.addIssue({ code: 'custom', message: 'must hold exactly one of sql, http, prometheus, nodes' });
    if (condition.of !== undefined && condition.of < condition.failures)
      context.addIssue({ code: 'custom', path: ['of'], message: `${condition.failures} failures of ${condition.of} can never be` });
  });

export const variableName = z
  .string()
  .regex(/^[a-z][A-Za-z0-9_]{0,39}$/, 'names of variables start with a lower-case letter and hold at most 40 letters, digits and _');
export const VARIABLE_UNITS = ['duration', 'size', 'tx', 'number', 'text'] as const;
/** What a variable holds; `default` is judged by its unit in `variables.ts`, `live`, which takes its place where the controller tells its timers, there too. */
export const variablesSchema = z.record(
  variableName,
  z.strictObject({
    unit: z.enum(VARIABLE_UNITS),
    default: z.union([z.string().max(1_000), z.number()], { error: 'must be text or a number' }),
    live: text(200).optional(),
    description: text(500).optional(),
  }),
);
export type Variables = z.output<typeof variablesSchema>;

/** Of the drill, beside what it does: for whoever reads its record. */
const planning = {
  rationale: text(2_000).optional(),
  assumptions: z.array(text(500)).min(1, 'must hold at least one, or be left out').max(20).optional(),
  exclusions: z.array(text(500)).min(1, 'must hold at least one, or be left out').max(20).optional(),
  runbook: text(400).optional(),
  roles: z
    .array(
      z.union([person, z.strictObject({ role: person, absent: z.boolean().default(false) })], {
        error: 'must be a role, or { role, absent: true } where whoever has it counts as not there',
      }),
    )
    .min(1, 'must hold at least one, or be left out')
    .max(20)
    .transform((roles) => roles.map((each) => (typeof each === 'string' ? { role: each, absent: false } : each)))
    .optional(),
};

const head = {
  name: stepId,
  title: text(120),
  description: z.string().trim().max(4_000).default(''),
  hypothesis: text(2_000),
  ...planning,
  variables: variablesSchema.optional(),
  objectives,
  probe: probe.default({}),
  steady: steady.default({}),
  limits: limits.default({}),
  stop: z.array(stopCondition).max(20).default([]),
};
const stepList = <S extends z.ZodType>(step: S) => z.array(step).min(1, 'needs at least one step').max(MAX_STEPS);
const shape = z.strictObject({ ...head, steps: stepList(z.unknown()) });

export type ScenarioWritten = Omit<z.output<typeof shape>, 'steps'> & { readonly steps: readonly StepWritten[] };

/** The scenario as written, or everything that is wrong with it. The value's `variables` must have been substituted before. */
export function checkScenario(
  value: unknown,
): { readonly ok: true; readonly scenario: ScenarioWritten } | { readonly ok: false; readonly problems: readonly YamlProblem[] } {
  const problems: YamlProblem[] = [];
  const result = shape.safeParse(value);
  if (!result.success) problems.push(...problemsOf(result.error, shape));
  const raw = typeof value === 'object' && value !== null && 'steps' in value ? value.steps : null;
  const steps = Array.isArray(raw)
    ? raw.slice(0, MAX_STEPS).flatMap((step: unknown, index) => checkStep(step, ['steps', index], problems))
    : [];
  if (result.success && problems.length === 0) return { ok: true, scenario: { ...result.data, steps } };
  return { ok: false, problems };
}

/** One step, or none with its problems added. */
function checkStep(value: unknown, path: YamlPath, problems: YamlProblem[]): StepWritten[] {
  const before = problems.length;
  const verb = findVerb(value, path, problems);
  if (verb === null) return [];
  const add = (error: z.ZodError, schema: z.ZodType): void => {
    for (const problem of problemsOf(error, schema)) problems.push({ ...problem, path: [...path, ...problem.path] });
  };
  if (verb === 'parallel') {
    const result = PARALLEL.safeParse(value);
    if (!result.success) {
      add(result.error, PARALLEL);
      return [];
    }
    if (path.filter((part) => part === 'parallel').length >= MAX_NESTING) {
      problems.push({ path, message: `parallel steps nest at most ${MAX_NESTING} deep` });
      return [];
    }
    const branches = result.data.parallel.map((branch, b) =>
      branch.flatMap((step, s) => checkStep(step, [...path, 'parallel', b, s], problems)),
    );
    return problems.length === before
      ? [{ verb, path, id: result.data.id, title: result.data.title, takes: result.data.takes, branches }]
      : [];
  }
  const schema = VERBS[verb];
  const result = schema.safeParse(value);
  if (result.success) return [{ ...result.data, verb, path } as StepWritten];
  add(result.error, schema);
  return [];
}

function findVerb(value: unknown, path: YamlPath, problems: YamlProblem[]): Verb | 'parallel' | null {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    problems.push({ path, message: `a step is a verb and its settings, like \`wait: 10s\`; the verbs are ${VERB_NAMES.join(', ')}` });
    return null;
  }
  const keys = Object.keys(value);
  const found = keys.filter((key): key is Verb | 'parallel' => VERB_NAMES.includes(key));
  // A manual step may hold a check; there the verb is manual.
  const verbs = found.includes('manual') ? found.filter((key) => key !== 'check') : found;
  const [only, second] = verbs;
  if (only !== undefined && second === undefined) return only;
  if (second !== undefined)
    problems.push({ path: [...path, second], at: 'key', message: `a step has one verb, this one has ${verbs.join(' and ')}` });
  else {
    const odd = keys.find((key) => suggest(key, VERB_NAMES) !== '') ?? keys.find((key) => !['id', 'title', 'takes'].includes(key));
    if (odd === undefined) problems.push({ path, message: `a step needs a verb: ${VERB_NAMES.join(', ')}` });
    else
      problems.push({
        path: [...path, odd],
        at: 'key',
        message: `unknown verb${suggest(odd, VERB_NAMES)}; the verbs are ${VERB_NAMES.join(', ')}`,
      });
  }
  return null;
}

/** The whole file as one schema, for editors only: its errors are worse than `checkScenario`'s. */
export function wholeScenario(): z.ZodType {
  const flat = z.union([...Object.values(VERBS)]);
  const step = z.union([flat, PARALLEL.extend({ parallel: z.array(z.array(flat).min(1)).min(2).max(MAX_BRANCHES) })]);
  return z.strictObject({ ...head, steps: stepList(step) });
}
