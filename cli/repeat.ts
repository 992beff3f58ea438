/**
 * `run --repeat n`: a control run, then n drills one after the other, each with its first fault at an instant drawn from the seed. Every drill is a
 * drill like any other, with a number and a bundle of its own; the series only starts them and adds them up, and never starts one after an unsafe end.
 */
import { randomInt } from 'node:crypto';
import { present } from '../core/assert';
import { until } from '../core/clock';
import { GamedayError, messageOf } from '../core/errors';
import { formatMs } from '../core/units';
import { readRecord } from '../evidence/read-bundle';
import { EXIT, type ExitCode } from '../model/constants';
import type { DrillResult } from '../model/message';
import type { Plan } from '../model/plan';
import type { DrillRecord } from '../model/record';
import type { BuiltPlan } from '../scenarios/build-plan';
import { isInjectionPhase, type SeriesRun } from '../scenarios/series';
import { askReadiness } from './commands/check';
import { controlProblem, runLine, seriesLine, seriesText, worstExit, type Series, type SeriesRunLine } from './repeat-summary';
import { runDrill, type Occasion } from './run-drill';
import { withTemporal } from './temporal';
import type { Terminal } from './terminal';

const READY_TIMEOUT_MS = 3 * 60_000;
const READY_EVERY_MS = 1_000;

export interface SeriesRequest {
  readonly home: string;
  readonly terminal: Terminal;
  readonly person: string | undefined;
  /** Of the plan of its first drill. Throws `usage` where it does not go with it. */
  readonly occasion: (plan: Plan) => Occasion;
  readonly repeat: number;
  /** Null: one is drawn, and printed. */
  readonly seed: number | null;
  /** Null: no control run. */
  readonly controlMs: number | null;
  readonly plan: (series: SeriesRun) => Promise<BuiltPlan>;
}

/** How one run ended: with a record, or without one and the reason. */
interface Ended {
  readonly exit: ExitCode;
  readonly record: DrillRecord | null;
  readonly evidence: string;
  /** Why no further run is started; null if one may be. */
  readonly stop: string | null;
}

/** Returns the worst of the runs' exit codes; whatever happens in the middle, what there is has been printed. */
export async function runSeries(request: SeriesRequest): Promise<ExitCode> {
  const { terminal, repeat, controlMs } = request;
  const seed = request.seed ?? randomInt(2 ** 31);
  // Built before the first one starts: what cannot be planned is refused while nothing has run.
  const control = controlMs === null ? null : await request.plan({ kind: 'control', waitMs: controlMs });
  const drills: BuiltPlan[] = [];
  for (let run = 1; run <= repeat; run += 1) drills.push(await request.plan({ kind: 'drill', seed, run }));
  const occasion = request.occasion(present(drills[0], 'plan of the first drill').plan);
  terminal.progress(`series of ${repeat}, seed ${seed}${control === null ? ', no control run' : ', after a control run'}`);
  const interrupted = listenForInterrupt();
  try {
    const course = new Course(request, occasion, interrupted.happened);
    const series = await course.follow(seed, control, drills);
    terminal.print(`\n${seriesText(series)}`);
    terminal.result(seriesLine(series));
    return worstExit(course.exits);
  } finally {
    interrupted.close();
  }
}

class Course {
  readonly exits: ExitCode[] = [];

  constructor(
    private readonly request: SeriesRequest,
    private readonly occasion: Occasion,
    private readonly interrupted: () => boolean,
  ) {}

  async follow(seed: number, control: BuiltPlan | null, drills: readonly BuiltPlan[]): Promise<Series> {
    const { repeat } = this.request;
    const base = { repeat, seed, runs: [] as readonly SeriesRunLine[] };
    let judged: Series['control'] = null;
    if (control !== null) {
      const ended = await this.run(control, 'control run');
      const problem = ended.record === null ? (ended.stop ?? 'it has no record') : controlProblem(ended.record);
      if (ended.record !== null) {
        const { run: _run, phaseMs: _phase, ...line } = runLine(0, null, ended.record, ended.evidence);
        judged = { ...line, problem };
      }
      // Its own missed objective is no drill's: what a control run fails to show makes the series inconclusive.
      const own = [EXIT.pass, EXIT.objectiveMissed].includes(ended.exit as 0 | 1) ? EXIT.inconclusive : ended.exit;
      this.exits.push(problem === null ? EXIT.pass : own);
      if (problem !== null) return { ...base, control: judged, stopped: `the control run does not hold: ${problem}` };
      if (ended.stop !== null) return { ...base, control: judged, stopped: ended.stop };
    }
    const runs: SeriesRunLine[] = [];
    for (const [at, plan] of drills.entries()) {
      if (at > 0 || control !== null) await this.awaitReady(plan);
      const ended = await this.run(plan, `run ${at + 1} of ${repeat}`);
      this.exits.push(ended.exit);
      if (ended.record !== null) runs.push(runLine(at + 1, phaseOf(plan), ended.record, ended.evidence));
      if (ended.stop !== null) return { ...base, control: judged, runs, stopped: `after run ${at + 1} of ${repeat}: ${ended.stop}` };
    }
    return { ...base, control: judged, runs, stopped: null };
  }

  /**
   * A drill leaves its target well but not always ready for the next: the new timeline must reach the archive first, say. A refusal would spend a
   * number, so readiness is asked before; a target that never becomes ready is refused by the drill itself, with a record.
   */
  private async awaitReady({ plan }: BuiltPlan): Promise<void> {
    const { home, terminal } = this.request;
    let told = '';
    const ready = (): Promise<true | null> =>
      withTemporal(home, async (temporal) => {
        const missing = (await askReadiness(temporal, plan)).filter((check) => !check.ok).map(({ name, found }) => `${name}: ${found}`);
        if (missing.length === 0 || this.interrupted()) return true;
        if (told === '') terminal.progress(`waiting until the target is ready again: ${missing.join('; ')}`);
        told = missing.join('; ');
        return null;
      });
    await until(ready, { timeoutMs: READY_TIMEOUT_MS, everyMs: READY_EVERY_MS, onTimeout: () => new GamedayError('refused', told) }).catch(
      (error: unknown) => {
        terminal.progress(`still not ready after ${formatMs(READY_TIMEOUT_MS)}: ${messageOf(error)}`);
      },
    );
  }

  private async run(built: BuiltPlan, name: string): Promise<Ended> {
    const { home, terminal, person } = this.request;
    terminal.progress(`── ${name} ──`);
    try {
      const { exit, result } = await runDrill({ home, terminal, built, person, occasion: this.occasion, detach: false });
      if (result === null) return { exit, record: null, evidence: '', stop: 'let go of by Ctrl-C; that drill goes on' };
      const record = this.readBack(result);
      return { exit, record, evidence: result.evidence, stop: this.stopAfter(result, record) };
    } catch (error) {
      if (!(error instanceof GamedayError)) throw error;
      terminal.progress(`${name}: ${error.message}\nHINT: ${error.hint}`);
      return { exit: error.exit, record: null, evidence: '', stop: `${error.code}: ${error.message}` };
    }
  }

  private readBack({ evidence }: DrillResult): DrillRecord | null {
    try {
      return readRecord('', evidence).record;
    } catch (error) {
      this.request.terminal.progress(messageOf(error));
      return null;
    }
  }

  private stopAfter({ state, reasons }: DrillResult, record: DrillRecord | null): string | null {
    if (state === 'unsafe') return 'something is not healed; run `gameday status` now';
    if (state === 'aborted' || state === 'refused' || state === 'lost')
      return `the drill was ${state}: ${reasons.join('; ') || 'no reason given'}`;
    if (record === null) return 'its record cannot be read here';
    return this.interrupted() ? 'interrupted at the terminal' : null;
  }
}

function phaseOf({ plan }: BuiltPlan): number | null {
  const step = plan.steps.find(isInjectionPhase);
  return step?.kind === 'wait' && step.wait.kind === 'for' ? step.wait.ms : null;
}

/** Ctrl-C during a drill is the drill's; here it only means that no further one is started. */
function listenForInterrupt(): { readonly happened: () => boolean; close(): void } {
  let count = 0;
  const note = (): void => void (count += 1);
  process.on('SIGINT', note);
  return { happened: () => count > 0, close: () => void process.off('SIGINT', note) };
}
