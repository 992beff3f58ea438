/** References between steps and objectives: what is named must exist, be of the right kind, and stand before. Pure. */
import type { ScenarioWritten, StepWritten } from './schema';
import { suggest } from './nearest';
import { flattenWritten } from './step-ids';
import type { YamlPath, YamlProblem } from './yaml-source';

/** Every reference that leads nowhere, and every id that is used twice. */
export function findReferenceProblems(written: ScenarioWritten, names: ReadonlyMap<StepWritten, string>): YamlProblem[] {
  const all = flattenWritten(written.steps);
  return [
    ...repeatedIds(all, names),
    ...all.flatMap((step, index) => stepProblems(step, index, all, names)),
    ...objectiveProblems(written, all, names),
    ...declarationProblems(written, all, names),
  ];
}

function repeatedIds(all: readonly StepWritten[], names: ReadonlyMap<StepWritten, string>): YamlProblem[] {
  const seen = new Set<string>();
  return all.flatMap((step): YamlProblem[] => {
    const name = names.get(step) ?? '';
    if (!seen.has(name)) {
      seen.add(name);
      return [];
    }
    return [{ path: [...step.path, 'id'], message: `step id "${name}" is used twice` }];
  });
}

function stepProblems(
  step: StepWritten,
  index: number,
  all: readonly StepWritten[],
  names: ReadonlyMap<StepWritten, string>,
): YamlProblem[] {
  const earlierFault = (name: string, path: YamlPath): YamlProblem[] => {
    const at = all.findIndex((other) => names.get(other) === name);
    const faults = all.slice(0, index).flatMap((other) => (other.verb === 'fault' ? [names.get(other) ?? ''] : []));
    if (at < 0)
      return [{ path, message: `no step "${name}"${suggest(name, faults)}; fault steps before this one: ${faults.join(', ') || 'none'}` }];
    if (all[at]?.verb !== 'fault') return [{ path, message: `step "${name}" is a ${all[at]?.verb ?? ''} step, not a fault` }];
    if (at > index) return [{ path, message: `step "${name}" comes later; nothing is broken yet` }];
    return [];
  };
  if (step.verb === 'restore' && step.restore.before !== undefined)
    return earlierFault(step.restore.before, [...step.path, 'restore', 'before']);
  if (step.verb === 'restore') return laterMark(step, index, all);
  if (step.verb === 'mark' && all.slice(0, index).some((other) => other.verb === 'mark' && other.mark === step.mark))
    return [{ path: [...step.path, 'mark'], message: `the restore point "${step.mark}" is made twice` }];
  if (step.verb === 'heal' && step.heal !== 'all') return step.heal.flatMap((name, i) => earlierFault(name, [...step.path, 'heal', i]));
  const check = step.verb === 'check' || step.verb === 'manual' ? step.check : undefined;
  if (check?.on === 'sandbox' && !all.slice(0, index).some(carriedOut)) {
    return [{ path: [...step.path, 'check', 'on'], message: 'sandbox is what a restore step made; none comes before this step' }];
  }
  return [];
}

/** One that must be refused leaves no copy, takes no time and lands nowhere. */
const carriedOut = (step: StepWritten): boolean => step.verb === 'restore' && step.restore.expect === undefined;

/** A restore point that this scenario makes itself must be made before anybody goes back to it; others exist already. */
function laterMark(step: Extract<StepWritten, { verb: 'restore' }>, index: number, all: readonly StepWritten[]): YamlProblem[] {
  const { name } = step.restore;
  if (name === undefined || !all.slice(index).some((other) => other.verb === 'mark' && other.mark === name)) return [];
  return [{ path: [...step.path, 'restore', 'name'], message: `restore point "${name}" is made by a later step` }];
}

/** An incident is declared once, and where an RTO counts from there, it must be. */
function declarationProblems(
  { objectives }: ScenarioWritten,
  all: readonly StepWritten[],
  names: ReadonlyMap<StepWritten, string>,
): YamlProblem[] {
  const declaring = all.filter((step) => (step.verb === 'manual' || step.verb === 'gate') && step.declares !== undefined);
  const [first, ...others] = declaring;
  if (first === undefined) {
    if (objectives.rto?.about !== 'declaration') return [];
    const people = all.filter((step) => step.verb === 'manual' || step.verb === 'gate').map((step) => names.get(step) ?? '');
    const hint =
      people.length === 0 ? 'ask for it with a `manual` or `gate` step that has' : `give one of the steps ${people.join(', ')} the line`;
    return [{ path: ['objectives', 'rto', 'about'], message: `no step declares the incident; ${hint} \`declares: incident\`` }];
  }
  return others.map((step) => ({
    path: [...step.path, 'declares'],
    message: `step "${names.get(first) ?? ''}" declares the incident already; it is declared once`,
  }));
}

const LATEST_ONLY = 'is about a restore of all that the archive holds, and no step has `restore: { latest: true }`';

const toLatest = (step: StepWritten, names: ReadonlyMap<StepWritten, string>, wanted: string | null): boolean =>
  step.verb === 'restore' && step.restore.latest === true && (wanted === null || names.get(step) === wanted);

function objectiveProblems(
  { objectives, probe }: ScenarioWritten,
  all: readonly StepWritten[],
  names: ReadonlyMap<StepWritten, string>,
): YamlProblem[] {
  const restores = all.flatMap((step) => (carriedOut(step) ? [names.get(step) ?? ''] : []));
  const unread: YamlProblem[] =
    objectives.rto_reads !== undefined && probe.readStreams === 0
      ? [{ path: ['objectives', 'rto_reads'], at: 'key', message: 'is about reads, and `probe.readStreams` is 0' }]
      : [];
  const unpredicted: YamlProblem[] =
    objectives.rto_beyond_prediction !== undefined && !all.some((step) => step.verb === 'failover')
      ? [{ path: ['objectives', 'rto_beyond_prediction'], at: 'key', message: 'is about a failover, and no step fails over' }]
      : [];
  const rebuilds = all.flatMap((step) => (step.verb === 'rebuild' ? [names.get(step) ?? ''] : []));
  const aboutSteps = (['restore_time', 'recovery_point_error', 'archive_rpo', 'rebuild_time'] as const).flatMap((name): YamlProblem[] => {
    const objective = objectives[name];
    const [verb, steps] = name === 'rebuild_time' ? ['rebuild', rebuilds] : ['restore', restores];
    if (objective === undefined) return [];
    if (steps.length === 0) return [{ path: ['objectives', name], at: 'key', message: `is about a ${verb}, and no step ${verb}s` }];
    if (name === 'archive_rpo' && !all.some((step) => carriedOut(step) && toLatest(step, names, objective.step)))
      return [{ path: ['objectives', name], at: 'key', message: LATEST_ONLY }];
    // Without a step it is about every one.
    if (objective.step === null) return [];
    if (steps.includes(objective.step)) return [];
    return [
      {
        path: ['objectives', name, 'step'],
        message: `no ${verb} step "${objective.step}"${suggest(objective.step, steps)}; there is ${steps.join(', ')}`,
      },
    ];
  });
  const aboutPaths = (['rto', 'write_stall', 'rejections'] as const).flatMap((name): YamlProblem[] => {
    const path = objectives[name]?.path ?? null;
    const probed = probe.paths ?? [];
    if (path === null || probed.includes(path)) return [];
    return [{ path: ['objectives', name, 'path'], message: `"${path}" is not probed${suggest(path, probed)}; name it in \`probe.paths\`` }];
  });
  return [...unread, ...unpredicted, ...aboutSteps, ...aboutPaths];
}
