/**
 * Scenario × target → plan: every id, default and reference resolved to plain data, and the digest that gets registered. It asks no server;
 * what the target's policy forbids is said in `notes` and refused later, by readiness and by the guardian.
 */
import { readFileSync, statSync } from 'node:fs';
import { basename, dirname, resolve } from 'node:path';
import { canonicalJson } from '../core/canonical-json';
import { GamedayError, messageOf } from '../core/errors';
import { sha256Hex, toolVersion } from '../core/files';
import { lineOf, type YamlPath } from '../core/yaml-places';
import { findFault } from '../faults/registry';
import {
  DEFAULT_CLIENT_DEADLINE_MS,
  DEFAULT_PROOF_MAX_BYTES,
  DEFAULT_FAULT_MAX_MS,
  DEFAULT_LEASE_TTL_MS,
  DEFAULT_PERIOD_MS,
  DEFAULT_RECOVERY_WINDOW_MS,
  FORMAT_VERSION,
  OTHER_STREAM_CONNECTIONS,
  PROOF_CHECKS,
  RECOVERY_SUCCESS_RATIO,
  THOROUGH_PROOF_CHECKS,
  WRONG_KEY,
} from '../model/constants';
import type { JsonObject } from '../model/json';
import type { Objective, Plan, PlanStep, ProbeSettings, ProofPlan, RestoreStep, SteadyState, Timers, Unit } from '../model/plan';
import { flattenSteps } from '../model/plan-steps';
import { nativeArchiveOf, type Target, type TargetPolicy } from '../model/target';
import { permitOf } from '../targets/policy';
import { interpretScenario, type LoadedScenario } from './load-scenario';
import type { LoadedTarget } from './load-target';
import { suggest } from './nearest';
import { findReferenceProblems } from './references';
import { controlSteps, injectionPeriodMs, withInjectionPhase, type SeriesRun } from './series';
import { OBJECTIVE_NAMES, type ScenarioWritten, type StepWritten } from './schema';
import { nameSteps } from './step-ids';
import { findStopProblems, planStopConditions } from './stop-conditions';
import type { YamlProblem } from './yaml-source';
import { problemsOf } from './zod-problems';

/** Larger is no document that a person follows in an outage. */
const MAX_RUNBOOK_BYTES = 16 * 1024 * 1024;
const WAIT_TIMEOUT_MS = 120_000;
const FAILOVER_TIMEOUT_MS = 60_000;
const RESTORE_TIMEOUT_MS = 600_000;
const REBUILD_TIMEOUT_MS = 600_000;
const PEOPLE_TIMEOUT_MS = 30 * 60_000;

/** One write and one read stream at 5 ms: an outage's edges are placed within 5 ms by 200 writes a second, which leaves a 2-core lab at rest. */
const LAB_PROBE: ProbeSettings = {
  periodMs: DEFAULT_PERIOD_MS,
  writeStreams: 1,
  readStreams: 1,
  paths: [],
  naive: false,
  otherPeriodMs: 50,
  maxConnections: 48,
  clientDeadlineMs: DEFAULT_CLIENT_DEADLINE_MS,
  connectTimeoutMs: 1_000,
  statementTimeoutMs: 2_000,
  minWritesDue: 500,
};
/** In somebody else's database: 20 writes a second (design). */
const GUEST_PROBE: ProbeSettings = {
  ...LAB_PROBE,
  periodMs: 100,
  writeStreams: 2,
  readStreams: 1,
  otherPeriodMs: 500,
  maxConnections: 10,
  minWritesDue: 100,
};
const STEADY: SteadyState = {
  windowMs: 10_000,
  timeoutMs: 60_000,
  successRatio: RECOVERY_SUCCESS_RATIO,
  maxP99Ms: 250,
  recoveryFactor: 2,
  recoveryFloorMs: 100,
  recoveryWindowMs: DEFAULT_RECOVERY_WINDOW_MS,
};

export interface BuiltPlan {
  readonly plan: Plan;
  /** SHA-256 of the plan's canonical JSON: the digest of `plan.json` in the bundle. */
  readonly planSha256: string;
  /** What readiness will refuse, in words: faults that the policy does not allow. */
  readonly notes: readonly string[];
}

/** Throws `scenario_invalid` and `plan_invalid` with positions, `setting_invalid`. */
export function buildPlan(request: {
  readonly scenario: LoadedScenario;
  readonly target: LoadedTarget;
  readonly overrides?: Readonly<Record<string, string>>;
  /** What the target's controller goes by now; empty: it tells nothing, and variables keep their defaults. */
  readonly timers?: Timers;
  /** Of the runbook when a plan is made again that had one; absent: the file is read. */
  readonly runbookSha256?: string | undefined;
  /** One run of a series: with a drawn injection phase, or without any fault. */
  readonly series?: SeriesRun | undefined;
}): BuiltPlan {
  const { yaml } = request.scenario;
  const { target } = request.target;
  const { written, variables, live } = interpretScenario(yaml, request.overrides ?? {}, request.timers);
  const names = nameSteps(written.steps);
  const runbook = runbookOf(request.scenario, written.runbook, request.runbookSha256);
  const problems = [
    ...findReferenceProblems(written, names),
    ...findPathProblems(written, target),
    ...findTargetProblems(written.steps, target),
    ...findStopProblems(written),
  ];
  const faultMaxMs = Math.min(written.limits.maxFault ?? DEFAULT_FAULT_MAX_MS, target.policy.maxFaultMs);
  const resolve = new StepResolver(names, faultMaxMs, target.policy, problems);
  const steps = seriesSteps(
    written.steps.map((step) => resolve.step(step)),
    target,
    request.series,
  );
  const limits = {
    maxDrillMs: Math.min(written.limits.maxDrill ?? target.policy.maxDrillMs, target.policy.maxDrillMs),
    faultMaxMs,
    leaseTtlMs: written.limits.leaseTtl ?? DEFAULT_LEASE_TTL_MS,
  };
  problems.push(
    ...findConnectionProblems(written, planProbe(written, target)),
    ...findLimitProblems(written, steps, limits.maxDrillMs, target),
  );
  if (problems.length > 0) throw yaml.error('plan_invalid', problems);
  const control = request.series?.kind === 'control';
  const plan: Plan = {
    formatVersion: FORMAT_VERSION,
    toolVersion: toolVersion(),
    scenario: {
      name: written.name,
      title: control ? `${written.title} (control run)` : written.title,
      hypothesis: control ? 'With nothing broken on purpose, clients see no outage and lose nothing.' : written.hypothesis,
      description: written.description,
      variables,
      ...(live === null ? {} : { live }),
      ...spoken({ rationale: written.rationale, assumptions: written.assumptions, exclusions: written.exclusions, roles: written.roles }),
      ...(runbook === null ? {} : { runbook }),
      source: yaml.text,
      sha256: yaml.sha256,
    },
    // The name alone: the same plan has the same digest wherever the file lies.
    targetSource: { source: request.target.source, sha256: request.target.sha256, file: basename(request.target.file) },
    target,
    objectives: planObjectives(written, steps),
    probe: planProbe(written, target),
    steady: planSteady(written),
    steps,
    stop: planStopConditions(written),
    limits,
  };
  return { plan, planSha256: sha256Hex(canonicalJson(plan)), notes: policyNotes(steps, request.target) };
}

/** What the file says, without what it does not say. */
function spoken<T extends object>(said: { readonly [K in keyof T]: T[K] | undefined }): Partial<T> {
  return Object.fromEntries(Object.entries(said).filter(([, value]) => value !== undefined)) as Partial<T>;
}

/** The runbook stands beside the scenario file; its digest says which edition was meant. */
function runbookOf(
  { yaml }: LoadedScenario,
  file: string | undefined,
  known: string | undefined,
): NonNullable<Plan['scenario']['runbook']> | null {
  if (file === undefined) return null;
  if (known !== undefined) return { file, sha256: known };
  const path = resolve(dirname(yaml.file), file);
  const refuse = (message: string): GamedayError => yaml.error('plan_invalid', [{ path: ['runbook'], message }]);
  let text: Buffer;
  try {
    if (statSync(path).size > MAX_RUNBOOK_BYTES) throw refuse(`${path} is larger than ${MAX_RUNBOOK_BYTES} bytes`);
    text = readFileSync(path);
  } catch (error) {
    if (error instanceof GamedayError) throw error;
    throw refuse(`${path} cannot be read: ${messageOf(error)}`);
  }
  return { file, sha256: sha256Hex(text) };
}

function seriesSteps(steps: readonly PlanStep[], target: Target, series: SeriesRun | undefined): readonly PlanStep[] {
  if (series === undefined) return steps;
  if (series.kind === 'control') return controlSteps(steps, series.waitMs);
  return withInjectionPhase(steps, series, injectionPeriodMs(target.controller.kind));
}

class StepResolver {
  constructor(
    private readonly names: ReadonlyMap<StepWritten, string>,
    private readonly faultMaxMs: number,
    private readonly policy: TargetPolicy,
    private readonly problems: YamlProblem[],
  ) {}

  step(step: StepWritten): PlanStep {
    const id = this.names.get(step) ?? '';
    const base = (title: string): { id: string; title: string; plannedMs?: number } => ({
      id,
      title: step.title ?? title,
      ...(step.takes === undefined ? {} : { plannedMs: step.takes }),
    });
    switch (step.verb) {
      case 'fault':
        return {
          kind: 'fault',
          ...base(this.faultTitle(step.fault)),
          fault: step.fault,
          settings: this.settings(step),
          maxMs: step.max ?? Math.min(this.faultMaxMs, permitOf(this.policy, step.fault)?.maxMs ?? this.faultMaxMs),
        };
      case 'wait':
        if (typeof step.wait === 'number')
          return { kind: 'wait', ...base(`wait ${step.wait / 1_000} s`), wait: { kind: 'for', ms: step.wait } };
        return {
          kind: 'wait',
          ...base(`wait until clients are ${step.wait}`),
          wait: { kind: step.wait, timeoutMs: step.timeout ?? WAIT_TIMEOUT_MS },
        };
      case 'failover': {
        const candidate = step.failover === 'most-advanced' ? null : step.failover.candidate;
        return {
          kind: 'failover',
          ...base(`fail over to ${candidate ?? 'the most advanced standby'}`),
          candidate,
          timeoutMs: step.timeout ?? FAILOVER_TIMEOUT_MS,
        };
      }
      case 'restore':
        return {
          kind: 'restore',
          ...base(step.restore.expect === undefined ? 'restore to a point in time' : 'a restore that must be refused'),
          to: restorePoint(step),
          timeoutMs: step.timeout ?? RESTORE_TIMEOUT_MS,
          proof: proofPlan(step),
          ...(step.restore.backup === undefined ? {} : { backup: step.restore.backup }),
          ...(step.restore.through === undefined ? {} : { through: step.restore.through }),
          ...(step.restore.key === undefined ? {} : { key: step.restore.key }),
          ...(step.restore.expect === undefined ? {} : { expect: step.restore.expect }),
        };
      case 'rebuild':
        return {
          kind: 'rebuild',
          ...base(`make ${step.rebuild.node} anew`),
          node: step.rebuild.node,
          timeoutMs: step.timeout ?? REBUILD_TIMEOUT_MS,
        };
      case 'mark':
        return { kind: 'mark', ...base(`make the restore point ${step.mark}`), name: step.mark, tables: step.tables ?? [] };
      case 'check':
        return { kind: 'check', ...base(`check ${step.check.on}`), check: checkSpec(step.check) };
      case 'heal':
        return {
          kind: 'heal',
          ...base(step.heal === 'all' ? 'heal everything' : `heal ${step.heal.join(', ')}`),
          steps: step.heal === 'all' ? null : step.heal,
        };
      case 'note':
        return { kind: 'note', ...base('note'), text: step.note };
      case 'manual':
        return {
          kind: 'manual',
          ...base(firstLine(step.manual)),
          instruction: step.manual,
          owner: step.owner,
          check: step.check === undefined ? null : checkSpec(step.check),
          timeoutMs: step.timeout ?? PEOPLE_TIMEOUT_MS,
          ...(step.declares === undefined ? {} : { declares: step.declares }),
        };
      case 'gate':
        return {
          kind: 'gate',
          ...base(firstLine(step.gate)),
          question: step.gate,
          owner: step.owner,
          timeoutMs: step.timeout ?? PEOPLE_TIMEOUT_MS,
          ...(step.declares === undefined ? {} : { declares: step.declares }),
        };
      case 'parallel':
        return {
          kind: 'parallel',
          ...base('at the same time'),
          branches: step.branches.map((branch) => branch.map((inner) => this.step(inner))),
        };
    }
  }

  private faultTitle(fault: string): string {
    return `break: ${fault}`;
  }

  /** The settings as the fault's schema completes them, so that defaults are frozen in the plan. */
  private settings(step: Extract<StepWritten, { verb: 'fault' }>): JsonObject {
    const written = step.with ?? {};
    try {
      const { schema } = findFault(step.fault);
      const result = schema.safeParse(written);
      if (!result.success) {
        const at = step.with === undefined ? [] : ['with'];
        for (const problem of problemsOf(result.error, schema))
          this.problems.push({ ...problem, path: [...step.path, ...at, ...problem.path] });
        return written;
      }
      return frozenSettings(written, result.data, (value) => schema.safeParse(value));
    } catch (error) {
      if (!(error instanceof GamedayError)) throw error;
      this.problems.push({ path: [...step.path, 'fault'], message: error.message });
      return written;
    }
  }
}

/** What the schema made of the settings, if it reads that the same again (it will, in the guardian); otherwise the settings as written. */
function frozenSettings(written: JsonObject, parsed: unknown, parse: (value: unknown) => { success: boolean; data?: unknown }): JsonObject {
  const again = parse(parsed);
  return again.success && canonicalJson(again.data) === canonicalJson(parsed) ? (JSON.parse(canonicalJson(parsed)) as JsonObject) : written;
}

function firstLine(text: string): string {
  const line = text.split('\n')[0] ?? text;
  return line.length <= 100 ? line : `${line.slice(0, 99)}…`;
}

function checkSpec(check: Extract<StepWritten, { verb: 'check' }>['check']): Extract<PlanStep, { kind: 'check' }>['check'] {
  return { kind: 'sql', on: check.on, sql: check.sql, expect: check.expect, withinMs: check.within };
}

function restorePoint({ restore }: Extract<StepWritten, { verb: 'restore' }>): Extract<PlanStep, { kind: 'restore' }>['to'] {
  if (restore.before !== undefined) return { kind: 'before-step', step: restore.before };
  if (restore.xid !== undefined) return { kind: 'xid', xid: restore.xid, inclusive: restore.inclusive ?? true };
  if (restore.lsn !== undefined) return { kind: 'lsn', lsn: restore.lsn, inclusive: restore.inclusive ?? true };
  if (restore.time !== undefined) return { kind: 'time', time: restore.time };
  if (restore.immediate === true) return { kind: 'immediate' };
  if (restore.latest === true) return { kind: 'latest' };
  return { kind: 'name', name: restore.name ?? '' };
}

function proofPlan({ restore }: Extract<StepWritten, { verb: 'restore' }>): ProofPlan {
  const { proof = 'full', maxProof = DEFAULT_PROOF_MAX_BYTES } = restore;
  const asked =
    proof === 'full' ? PROOF_CHECKS : proof === 'quick' ? PROOF_CHECKS.filter((each) => !THOROUGH_PROOF_CHECKS.includes(each)) : proof;
  return { checks: PROOF_CHECKS.filter((each) => asked.includes(each)), maxBytes: maxProof };
}

/** Objectives about a restore or a rebuild belong to the step named, else to every such step. */
function planObjectives(written: ScenarioWritten, steps: readonly PlanStep[]): Objective[] {
  const flat = flattenSteps(steps);
  const restores = flat.filter((step): step is RestoreStep => step.kind === 'restore' && step.expect === undefined);
  const rebuilds = flat.filter(({ kind }) => kind === 'rebuild');
  const units = {
    rto: 'ms',
    rto_reads: 'ms',
    rto_beyond_prediction: 'ms',
    write_stall: 'ms',
    rpo: 'tx',
    rpo_time: 'ms',
    split_brain: 'ms',
    restore_time: 'ms',
    rebuild_time: 'ms',
    recovery_point_error: 'tx',
    archive_rpo: 'ms',
    commit_p99: 'ms',
    promotions: 'count',
    rejections: 'count',
    time_to_redundancy: 'ms',
    replica_staleness: 'ms',
    no_safe_candidate: 'ms',
  } as const satisfies Record<string, Unit>;
  return (Object.keys(OBJECTIVE_NAMES) as (keyof typeof OBJECTIVE_NAMES)[]).flatMap((name) => {
    const objective = written.objectives[name];
    if (objective === undefined) return [];
    const aboutArchive = name === 'archive_rpo';
    const aboutRestore = aboutArchive || name === 'restore_time' || name === 'recovery_point_error';
    const aboutRebuild = name === 'rebuild_time';
    const held = aboutRebuild ? rebuilds : aboutArchive ? restores.filter((step) => step.to.kind === 'latest') : restores;
    // A control run restores and rebuilds nothing, and nothing fails over.
    if ((aboutRestore && restores.length === 0) || (aboutRebuild && rebuilds.length === 0)) return [];
    if (name === 'rto_beyond_prediction' && !flat.some((step) => step.kind === 'failover')) return [];
    if (objective.about === 'declaration' && !flat.some((step) => 'declares' in step)) return [];
    // Of several restores, where none is named, the slowest and the worst placed count: each is held against the target.
    const about = !aboutRestore && !aboutRebuild ? [null] : objective.step === null ? held.map(({ id }) => id) : [objective.step];
    return about.map((step) => ({
      name: OBJECTIVE_NAMES[name],
      target: objective.target,
      unit: units[name],
      step,
      source: objective.source,
      approver: objective.approver,
      ...(objective.path === null ? {} : { path: objective.path }),
      ...(objective.about === null ? {} : { about: objective.about }),
    }));
  });
}

function planProbe({ probe }: ScenarioWritten, target: Target): ProbeSettings {
  const base = target.kind === 'lab' ? LAB_PROBE : GUEST_PROBE;
  return {
    periodMs: probe.period ?? base.periodMs,
    writeStreams: probe.writeStreams ?? base.writeStreams,
    readStreams: probe.readStreams ?? base.readStreams,
    paths: probe.paths ?? base.paths,
    naive: probe.naive ?? base.naive,
    otherPeriodMs: probe.otherPeriod ?? base.otherPeriodMs,
    maxConnections: probe.maxConnections ?? base.maxConnections,
    clientDeadlineMs: probe.clientDeadline ?? base.clientDeadlineMs,
    connectTimeoutMs: probe.connectTimeout ?? base.connectTimeoutMs,
    statementTimeoutMs: probe.statementTimeout ?? base.statementTimeoutMs,
    minWritesDue: probe.minWritesDue ?? base.minWritesDue,
  };
}

function planSteady({ steady }: ScenarioWritten): SteadyState {
  return {
    windowMs: steady.window ?? STEADY.windowMs,
    timeoutMs: steady.timeout ?? STEADY.timeoutMs,
    successRatio: steady.successRatio ?? STEADY.successRatio,
    maxP99Ms: steady.maxP99 ?? STEADY.maxP99Ms,
    recoveryFactor: steady.recoveryFactor ?? STEADY.recoveryFactor,
    recoveryFloorMs: steady.recoveryFloor ?? STEADY.recoveryFloorMs,
    recoveryWindowMs: steady.recoveryWindow ?? STEADY.recoveryWindowMs,
  };
}

/** Ways in are named by the target; the main entry is always probed and needs no naming. */
function findPathProblems({ probe }: ScenarioWritten, target: Target): YamlProblem[] {
  const names = target.paths.map(({ name }) => name);
  const has = names.length === 0 ? 'it has none besides its main entry' : `it has ${names.join(', ')}`;
  return (probe.paths ?? []).flatMap((name, at): YamlProblem[] => {
    const path = ['probe', 'paths', at];
    if (name === 'entry') return [{ path, message: 'the main entry is always probed; name further paths only' }];
    if (!names.includes(name)) return [{ path, message: `target ${target.name} has no path "${name}"${suggest(name, names)}; ${has}` }];
    return probe.paths?.indexOf(name) === at ? [] : [{ path, message: `path "${name}" is named twice` }];
  });
}

/** Connections are a promise to the target's owner: they must suffice for every stream, not be exceeded. */
function findConnectionProblems({ probe }: ScenarioWritten, settings: ProbeSettings): YamlProblem[] {
  const { writeStreams, readStreams, paths, naive, maxConnections } = settings;
  const kinds = readStreams > 0 ? 2 : 1;
  const ways = paths.length + (naive ? paths.length + 1 : 0);
  const least = writeStreams + readStreams + ways * kinds * OTHER_STREAM_CONNECTIONS;
  if (least <= maxConnections) return [];
  const message = `these streams need at least ${least} connections, \`probe.maxConnections\` is ${maxConnections}`;
  return [{ path: probe.maxConnections === undefined ? ['probe'] : ['probe', 'maxConnections'], message }];
}

/** What the target must have for a step to make sense at all. */
function findTargetProblems(steps: readonly StepWritten[], target: Target): YamlProblem[] {
  return steps.flatMap((step): YamlProblem[] => {
    if (step.verb === 'parallel') return step.branches.flatMap((branch) => findTargetProblems(branch, target));
    if (step.verb === 'failover' && step.failover !== 'most-advanced') {
      const nodes = target.nodes.map((node) => node.name);
      const { candidate } = step.failover;
      if (nodes.includes(candidate)) return [];
      return [
        {
          path: [...step.path, 'failover', 'candidate'],
          message: `target ${target.name} has no node "${candidate}"${suggest(candidate, nodes)}; it has ${nodes.join(', ')}`,
        },
      ];
    }
    if (step.verb === 'failover' && target.nodes.length < 2)
      return [{ path: step.path, message: `target ${target.name} has one node only; nothing can take over` }];
    if (step.verb === 'rebuild') return findRebuildProblems(step, target);
    if (step.verb === 'restore' && target.archive === null)
      return [{ path: step.path, message: `target ${target.name} has no archive to restore from` }];
    if (step.verb === 'restore' && target.sandbox === null)
      return [{ path: step.path, message: `target ${target.name} names no sandbox to restore into` }];
    if (step.verb === 'restore') return [...findThroughProblems(step, target), ...findKeyProblems(step, target)];
    return [];
  });
}

/** In a lab alone, whose configuration gameday writes; one standby, by name or by a word for it: the primary has nobody to be made from. */
function findRebuildProblems(
  { path: at, rebuild }: Extract<StepWritten, { verb: 'rebuild' }>,
  { kind, name, nodes }: Target,
): YamlProblem[] {
  if (kind !== 'lab')
    return [{ path: at, message: `target ${name} is no lab: its standbys are made anew by your own runbook, with your own configuration` }];
  const words = ['any-standby', 'any-replica', 'sync-standby'];
  const names = nodes.map((node) => node.name);
  if (names.length < 2) return [{ path: at, message: `target ${name} has one node only; no standby can be made anew` }];
  if (words.includes(rebuild.node) || names.includes(rebuild.node)) return [];
  const known = [...words, ...names];
  const message = `"${rebuild.node}" is no standby of target ${name}${suggest(rebuild.node, known)}; it may be ${known.join(', ')}`;
  return [{ path: [...at, 'rebuild', 'node'], message }];
}

/** Over a node's link the archive can be reached only where gameday fetches by itself and there is such a link. */
function findThroughProblems({ path: at, restore }: Extract<StepWritten, { verb: 'restore' }>, target: Target): YamlProblem[] {
  const { through } = restore;
  if (through === undefined) return [];
  const problem = (message: string): YamlProblem[] => [{ path: [...at, 'restore', 'through'], message }];
  const nodes = target.nodes.map(({ name }) => name);
  if (nativeArchiveOf(target) === null)
    return problem(`an archive of ${target.archive?.kind ?? '?'} is fetched by its own tool, past every link`);
  if (through !== 'primary' && !nodes.includes(through))
    return problem(`"${through}" is neither primary nor a node${suggest(through, nodes)}; target ${target.name} has ${nodes.join(', ')}`);
  const wanted = through === 'primary' ? nodes : [through];
  const lacking = wanted.filter((node) => target.links?.list.some(({ from, to }) => from === node && to === 's3') !== true);
  return lacking.length === 0 ? [] : problem(`target ${target.name} has no link from ${lacking.join(', ')} to s3`);
}

/** A key is named only where the archive has one, and the target says where that stands. */
function findKeyProblems(
  { path: at, restore: { key } }: Extract<StepWritten, { verb: 'restore' }>,
  { name, archive }: Target,
): YamlProblem[] {
  if (key === undefined) return [];
  const problem = (message: string): YamlProblem[] => [{ path: [...at, 'restore', 'key'], message }];
  if (archive?.kind !== 'pgbackrest')
    return problem(`an archive of ${archive?.kind ?? '?'} is not encrypted with a key that gameday could name`);
  const keys = Object.keys(archive.keys ?? {});
  if (key === WRONG_KEY || keys.includes(key)) return [];
  const has = keys.length === 0 ? 'it has none' : `it has ${keys.join(', ')}`;
  return problem(`target ${name} has no key "${key}" in archive.keys${suggest(key, keys)}; ${has}`);
}

function findLimitProblems(written: ScenarioWritten, steps: readonly PlanStep[], maxDrillMs: number, target: Target): YamlProblem[] {
  const problems: YamlProblem[] = [];
  const over = (path: YamlProblem['path'], ms: number | undefined, allowed: number, what: string): void => {
    if (ms !== undefined && ms > allowed)
      problems.push({ path, message: `${ms / 1_000} s is more than ${what} of target ${target.name} allows (${allowed / 1_000} s)` });
  };
  over(['limits', 'maxDrill'], written.limits.maxDrill, target.policy.maxDrillMs, 'policy.maxDrillMs');
  over(['limits', 'maxFault'], written.limits.maxFault, target.policy.maxFaultMs, 'policy.maxFaultMs');
  const walk = (list: readonly StepWritten[]): void => {
    for (const step of list) {
      if (step.verb === 'parallel') step.branches.forEach(walk);
      if (step.verb !== 'fault') continue;
      over([...step.path, 'max'], step.max, target.policy.maxFaultMs, 'policy.maxFaultMs');
      const permit = permitOf(target.policy, step.fault);
      over([...step.path, 'max'], step.max, permit?.maxMs ?? Infinity, `policy.allowFaults[${permit?.index ?? 0}].maxMs`);
    }
  };
  walk(written.steps);
  const waits = flattenSteps(steps).reduce((sum, step) => sum + (step.kind === 'wait' && step.wait.kind === 'for' ? step.wait.ms : 0), 0);
  if (waits > maxDrillMs && steps.every((step) => step.kind !== 'parallel')) {
    problems.push({
      path: ['steps'],
      message: `the waits alone take ${waits / 1_000} s, more than the drill may last (${maxDrillMs / 1_000} s)`,
    });
  }
  const { window, timeout } = planWindow(written);
  if (window > timeout)
    problems.push({
      path: ['steady'],
      message: `a window of ${window / 1_000} s cannot be good within the timeout of ${timeout / 1_000} s`,
    });
  return problems;
}

function planWindow(written: ScenarioWritten): { readonly window: number; readonly timeout: number } {
  const steady = planSteady(written);
  return { window: steady.windowMs, timeout: steady.timeoutMs };
}

/** What readiness and the guardian will refuse, each with the line of the target file that forbids it. */
function policyNotes(steps: readonly PlanStep[], { target, source, file }: LoadedTarget): string[] {
  const flat = flattenSteps(steps);
  const at = (path: YamlPath): string => `${file}:${lineOf(source, path)}`;
  const used = new Set(flat.flatMap((step) => (step.kind === 'fault' ? [step.fault] : [])));
  const forbidden = [...used]
    .filter((fault) => permitOf(target.policy, fault) === null)
    .map(
      (fault) =>
        `${at(['policy', 'allowFaults'])}: fault ${fault} is not in policy.allowFaults of target ${target.name}: the drill will be refused`,
    );
  if (target.kind !== 'production' || !flat.some(({ kind }) => kind === 'fault' || kind === 'failover')) return forbidden;
  const who = target.policy.approvers === null ? ', and policy.approvers names nobody who could: the drill will be refused' : '';
  return [...forbidden, `${at(['kind'])}: kind is production: two others than whoever starts the drill must approve this plan${who}`];
}
