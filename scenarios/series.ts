/**
 * What a series of drills changes in a plan: the drawn wait before the first fault, and the control run in which nothing is broken. Pure: the same
 * seed and the same steps always yield the same result, so that a series can be drawn again from its printed seed.
 */
import { unreachable } from '../core/assert';
import { sha256Hex } from '../core/files';
import type { PlanStep } from '../model/plan';
import type { ControllerKind } from '../model/target';

/** What one run of a series is: a drill whose first fault comes at a drawn instant, or the run without any fault. */
export type SeriesRun =
  { readonly kind: 'drill'; readonly seed: number; readonly run: number } | { readonly kind: 'control'; readonly waitMs: number };

const PHASE_TITLE = 'injection phase';

/** True for the wait that `withInjectionPhase` put in. */
export function isInjectionPhase({ kind, title }: PlanStep): boolean {
  return kind === 'wait' && title.startsWith(PHASE_TITLE);
}

/** Period of the slowest loop that decides when a failover begins: uniform within it, no phase of the loop is favoured. */
export function injectionPeriodMs(controller: ControllerKind): number {
  switch (controller) {
    case 'standalone':
      // No loop of its own: a second covers what beats once a second beneath it (WAL receivers' and the checkpointer's wake-ups).
      return 1_000;
    case 'patroni':
      // loop_wait, its default; a target that loops slower favours no phase either way once several runs are drawn.
      return 10_000;
    case 'pg-auto-failover':
      // Health checks of the monitor, their default period; the keepers' own beat once a second.
      return 5_000;
    case 'repmgr':
      // monitor_interval_secs, its default.
      return 2_000;
    case 'command':
      // What a runbook of somebody else's waits for inside is not known: as long as the slowest loop we know.
      return 10_000;
    default:
      return unreachable(controller, 'kind of controller');
  }
}

/** Milliseconds in [0, periodMs), uniform: the first 48 bits of SHA-256 over `seed/run`, scaled. */
export function drawPhaseMs(seed: number, run: number, periodMs: number): number {
  return Math.floor((Number.parseInt(sha256Hex(`${seed}/${run}`).slice(0, 12), 16) / 2 ** 48) * periodMs);
}

/** The steps with a wait named `injection-phase` before the first one that disrupts anything; unchanged where none does. */
export function withInjectionPhase(
  steps: readonly PlanStep[],
  run: Extract<SeriesRun, { kind: 'drill' }>,
  periodMs: number,
): readonly PlanStep[] {
  const at = steps.findIndex(disrupts);
  if (at < 0) return steps;
  const taken = new Set(idsOf(steps));
  const wait: PlanStep = {
    kind: 'wait',
    id: freeId('injection-phase', taken),
    title: `${PHASE_TITLE} (seed ${run.seed}, run ${run.run})`,
    wait: { kind: 'for', ms: drawPhaseMs(run.seed, run.run, periodMs) },
  };
  return [...steps.slice(0, at), wait, ...steps.slice(at)];
}

/**
 * The steps of a control run: all that disrupts is gone, and with it what may rest on the disruption: heals, and every check, question and wait for
 * recovery after it. In the place of the first of them stands one wait of `waitMs`; notes and waits of a fixed length stay.
 */
export function controlSteps(steps: readonly PlanStep[], waitMs: number): readonly PlanStep[] {
  const wait: PlanStep = {
    kind: 'wait',
    id: freeId('control', new Set(idsOf(steps))),
    title: 'nothing is broken',
    wait: { kind: 'for', ms: waitMs },
  };
  const at = steps.findIndex(disrupts);
  if (at < 0) return [...steps, wait];
  return [...steps.slice(0, at), wait, ...steps.slice(at).flatMap(harmless)];
}

function disrupts(step: PlanStep): boolean {
  switch (step.kind) {
    case 'fault':
    case 'failover':
    case 'restore':
    case 'rebuild':
      return true;
    case 'parallel':
      return step.branches.some((branch) => branch.some(disrupts));
    case 'wait':
    case 'mark':
    case 'check':
    case 'heal':
    case 'note':
    case 'manual':
    case 'gate':
      return false;
    default:
      return unreachable(step, 'step');
  }
}

/** What is left of a step after the first disruption: itself, nothing, or the branches that still hold something. */
function harmless(step: PlanStep): readonly PlanStep[] {
  if (step.kind === 'note' || (step.kind === 'wait' && step.wait.kind === 'for')) return [step];
  if (step.kind !== 'parallel') return [];
  const branches = step.branches.map((branch) => branch.flatMap(harmless)).filter((branch) => branch.length > 0);
  const [only] = branches;
  return branches.length > 1 ? [{ ...step, branches }] : (only ?? []);
}

function idsOf(steps: readonly PlanStep[]): string[] {
  return steps.flatMap((step) => (step.kind === 'parallel' ? [step.id, ...step.branches.flatMap(idsOf)] : [step.id]));
}

function freeId(base: string, taken: ReadonlySet<string>): string {
  let id = base;
  for (let n = 2; taken.has(id); n += 1) id = `${base}-${n}`;
  return id;
}
