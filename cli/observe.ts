/**
 * `gameday observe`: prober, sampler and judge alone. Composes the rooms that a drill's workflow composes, in one process and without Temporal: nothing is
 * broken here, so nothing must be undone when this process dies. What it starts ends by its own lease, and what it makes is named before it is made.
 */
import { randomBytes, randomUUID } from 'node:crypto';
import { join } from 'node:path';
import { canonicalJson } from '../core/canonical-json';
import { nowUtc } from '../core/clock';
import { GamedayError, messageOf } from '../core/errors';
import { sha256Hex, toolVersion } from '../core/files';
import { homePaths } from '../core/home';
import { formatMs } from '../core/units';
import { registerIn } from '../evidence/drill-evidence';
import { bundlePrefix, type Registered } from '../evidence/register';
import { openEvidence } from '../evidence/store';
import { EXIT, FORMAT_VERSION, type ExitCode } from '../model/constants';
import type { ObservationPlan } from '../model/observation';
import type { DrillState } from '../model/record';
import type { ProberConfig, ProberStatus } from '../probe/contract';
import { checksText } from './commands/check';
import { concludeObservation } from './observe-conclude';
import { ObservationDiary } from './observe-diary';
import { dropSql, examine, type Examined } from './observe-examine';
import { LiveFiguresShown } from './observe-figures';
import { OBSERVE_LEASE_MS, startProber, type ObservedProber } from './observe-prober';
import type { ObserveRequest } from './observe-request';
import type { Terminal } from './terminal';

const START_TIMEOUT_MS = 30_000;

export interface ObserveSurroundings {
  readonly home: string;
  readonly terminal: Terminal;
  readonly person: string;
}

/** What has been seen when the prober stopped. */
export interface Course {
  readonly state: DrillState;
  /** Whether anything was measured at all. */
  readonly measured: boolean;
  readonly doubts: readonly string[];
  /** What of the plan was left out, in words. */
  readonly cut: readonly string[];
}

/** Returns the exit code; the verdict has been printed. Throws what stands against the observation before it begins. */
export async function observe(request: ObserveRequest, around: ObserveSurroundings): Promise<ExitCode> {
  const { terminal, home, person } = around;
  // Both processes read passwords and the TLS switch from here; the prober inherits it.
  Object.assign(process.env, request.secrets);
  for (const note of request.notes) terminal.progress(`note: ${note}`);
  const startedAt = nowUtc();
  const examined = await examine(request);
  terminal.progress(checksText(examined.checks));
  const plan = planOf(request, examined);
  const planSha256 = sha256Hex(canonicalJson(plan));
  const registration = await register({ plan, planSha256, home, person });
  const diary = new ObservationDiary(
    registration.drill,
    person,
    openEvidence(home, plan.target.kind),
    bundlePrefix(plan.target.name, registration.drill),
  );
  diary.phases.push({ phase: 'ready', startedAt, endedAt: registration.registeredAt, outcome: 'done', reason: null });
  diary.phases.push({ phase: 'register', startedAt: registration.registeredAt, endedAt: nowUtc(), outcome: 'done', reason: null });
  terminal.progress(`${registration.drill} on ${plan.target.name} · plan ${planSha256.slice(0, 12)} · ${words(plan)}`);
  await diary.note('registered', `${registration.drill}: ${plan.scenario.title}`, { planSha256, table: plan.observation.table });
  const config = configOf(plan, registration, home);
  const interrupts = listenForInterrupts(terminal, plan);
  try {
    const course = await follow({ plan, config, diary, terminal, signal: interrupts.signal });
    return await concludeObservation({ ...around, plan, planSha256, registration, examined, startedAt, dir: config.dir, diary, course });
  } finally {
    interrupts.close();
    terminal.live(null);
  }
}

function planOf(request: ObserveRequest, { systemIdentifier }: Examined): ObservationPlan {
  const name = request.name ?? `observed-${systemIdentifier.slice(-6)}`;
  return {
    formatVersion: FORMAT_VERSION,
    toolVersion: toolVersion(),
    scenario: {
      name: 'observe',
      title: `Observation of ${name}`,
      hypothesis:
        request.objectives.length === 0
          ? 'None was stated: what clients see is measured.'
          : 'What clients see stays within the objectives, whatever happens.',
      description: `Nothing is broken on purpose. ${request.readOnly ? 'Clients read' : 'Clients write and read'} by ${request.paths.length} ${request.paths.length === 1 ? 'way' : 'ways'} in.`,
    },
    target: {
      name,
      kind: request.kind,
      systemIdentifier,
      controller: { kind: 'unknown' },
      nodes: request.nodes,
      paths: request.paths,
      roles: request.roles,
      labels: {},
    },
    objectives: request.objectives,
    probe: request.settings,
    steady: request.steady,
    steps: [],
    observation: {
      forMs: request.forMs,
      // Random, not numbered: other homes number their observations of the same database by themselves.
      table: request.readOnly ? null : `observe_${randomBytes(4).toString('hex')}`,
      expectedBytes: request.expectedBytes,
      maxBytes: request.maxBytes,
      applicationDatabase: request.applicationDatabase,
    },
  };
}

function words({ observation, probe, target }: ObservationPlan): string {
  const paths = target.paths.length === 1 ? '' : ` by ${target.paths.length} ways`;
  const rate = `${Number((1_000 / probe.periodMs).toPrecision(3))} ${observation.table === null ? 'reads' : 'writes'}/s`;
  return `${rate}${paths} for ${formatMs(observation.forMs)} after a steady baseline${observation.table === null ? ', nothing is written' : ` into gameday.${observation.table}, dropped at the end`}`;
}

function register(given: { plan: ObservationPlan; planSha256: string; home: string; person: string }): Promise<Registered> {
  const { plan, planSha256, home, person } = given;
  const owner = { workflowId: `observe/${plan.target.systemIdentifier}`, runId: randomUUID() };
  return registerIn(openEvidence(home, plan.target.kind), { plan, planSha256, owner, startedBy: person, at: nowUtc() });
}

function configOf({ target, probe, observation }: ObservationPlan, { drill }: Registered, home: string): ProberConfig {
  const paths = homePaths(home);
  return {
    drill,
    dir: join(paths.probes, `${target.name}-${drill}`),
    socket: join(paths.run, `o-${randomBytes(4).toString('hex')}.sock`),
    paths: target.paths,
    role: target.roles.probe,
    table: observation.table ?? 'none',
    settings: probe,
    nodes: target.nodes,
    observe: target.roles.observe,
    controller: null,
    leaseMs: OBSERVE_LEASE_MS,
  };
}

interface Following {
  readonly plan: ObservationPlan;
  readonly config: ProberConfig;
  readonly diary: ObservationDiary;
  readonly terminal: Terminal;
  readonly signal: AbortSignal;
}

/** From the prober's start to its stop. Whatever goes wrong here is said in the course, so that what there is gets judged and sealed. */
async function follow(given: Following): Promise<Course> {
  const { config, diary, terminal } = given;
  let prober: ObservedProber | null = null;
  try {
    prober = startProber(config);
    const seen = new Observation(given, prober, new LiveFiguresShown(terminal, config.settings.writeStreams > 0 ? 'writes' : 'reads'));
    const course = await seen.run();
    await stop(prober);
    await diary.note('stopped', `the prober has stopped: ${prober.status?.acked ?? 0} operations acknowledged`);
    return course;
  } catch (error) {
    if (prober !== null) await stop(prober).catch(() => undefined);
    const text = `the observation failed: ${messageOf(error)}`;
    terminal.progress(text);
    await diary.note('failed', text);
    return { state: 'failed', measured: prober !== null && (prober.status?.acked ?? 0) > 0, doubts: [text], cut: [] };
  }
}

async function stop(prober: ObservedProber): Promise<void> {
  try {
    await prober.calls.stop();
  } catch (error) {
    // Gone already: what its ledger holds is what counts.
    if (!(error instanceof GamedayError) || error.code !== 'prober_unreachable') throw error;
  }
}

class Observation {
  private readonly shown: (status: ProberStatus) => void;

  constructor(
    private readonly given: Following,
    private readonly prober: ObservedProber,
    figures: LiveFiguresShown,
  ) {
    this.shown = (status) => figures.show(status);
  }

  async run(): Promise<Course> {
    const { diary, plan, terminal } = this.given;
    const { forMs } = plan.observation;
    const steady = await diary.phase('baseline', () => this.baseline());
    if (steady !== null) terminal.progress(`the baseline is steady: ${steady}`);
    const end = await diary.phase('method', () => this.watchFor(forMs));
    await diary.note('ended', end.text);
    terminal.progress(end.text);
    const doubts = [
      ...(steady === null ? ['the baseline was not steady when the observation began'] : []),
      ...(end.gone === null ? [] : [end.gone]),
    ];
    return { state: end.gone === null ? 'completed' : 'failed', measured: true, doubts, cut: end.cut };
  }

  /** What the good window says, or null if none came in time. Throws `prober_unreachable` if the prober never got an answer. */
  private async baseline(): Promise<{ readonly value: string | null; readonly reason: string | null }> {
    const { signal, plan, diary } = this.given;
    const { steady } = plan;
    const { calls } = this.prober;
    const started = await this.prober.watch({ timeoutMs: START_TIMEOUT_MS, signal, shown: () => undefined, met: ({ acked }) => acked > 0 });
    if (started !== 'met') {
      const last = this.prober.lastWords();
      throw new GamedayError(
        'prober_unreachable',
        `the prober got nothing acknowledged${started === 'time over' ? ` within ${formatMs(START_TIMEOUT_MS)}` : started === 'gone' ? ` and ended ${this.prober.end ?? 'unseen'}` : ' before the interrupt'}${last === '' ? '' : `: ${last}`}`,
      );
    }
    await diary.note('started', 'the prober runs');
    let reason = 'no window was looked at';
    const met = async (): Promise<boolean> => {
      const window = await calls.window({
        windowMs: steady.windowMs,
        successRatio: steady.successRatio,
        maxP99Ms: steady.maxP99Ms,
        after: null,
      });
      reason = window.reason;
      return window.good;
    };
    await calls.receipt({ name: 'baseline', phase: 'about-to', subject: 'baseline' });
    const end = await this.prober.watch({ timeoutMs: steady.windowMs + steady.timeoutMs, signal, shown: this.shown, met });
    if (end !== 'met') return { value: null, reason: `not steady: ${reason}` };
    await calls.receipt({ name: 'baseline', phase: 'done', subject: 'baseline' });
    await diary.note('baseline', reason);
    return { value: reason, reason };
  }

  /** The time asked for, and on while clients are not well again, until a window's worth shows that they are; at most the baseline's timeout longer. */
  private async watchFor(forMs: number): Promise<{
    readonly value: { readonly text: string; readonly gone: string | null; readonly cut: readonly string[] };
    readonly reason: string;
  }> {
    const { signal, plan, terminal } = this.given;
    const { steady } = plan;
    const fromMs = this.prober.status?.upMs ?? 0;
    const seenMs = (): number => Math.max(0, (this.prober.status?.upMs ?? 0) - fromMs);
    let end = await this.prober.watch({ timeoutMs: forMs, signal, shown: this.shown });
    let text = `observed for ${formatMs(forMs)}`;
    if (end === 'time over') {
      const well = async (): Promise<boolean> => {
        const request = { windowMs: steady.recoveryWindowMs, successRatio: steady.successRatio, maxP99Ms: steady.maxP99Ms, after: null };
        const { good, reason } = await this.prober.calls.window(request);
        if (!good && text.length < 40) {
          text += `, and on until clients are well again (${reason})`;
          terminal.progress(text);
        }
        return good;
      };
      const more = await this.prober.watch({ timeoutMs: steady.recoveryWindowMs + steady.timeoutMs, signal, shown: this.shown, met: well });
      if (more === 'gone') end = 'gone';
    }
    if (end === 'interrupted') text = `ended early, after ${formatMs(seenMs())} of ${formatMs(forMs)}`;
    const gone =
      end === 'gone' ? `the prober was gone after ${formatMs(seenMs())} of ${formatMs(forMs)} (${this.prober.end ?? 'silent'})` : null;
    const cut =
      end === 'interrupted' || end === 'gone' ? [`the rest of the ${formatMs(forMs)} that were planned, after ${formatMs(seenMs())}`] : [];
    return { value: { text: gone ?? text, gone, cut }, reason: gone ?? text };
  }
}

/** First: end and judge what there is. Second: leave at once; the prober follows when its lease runs out. */
function listenForInterrupts(terminal: Terminal, { observation }: ObservationPlan): { readonly signal: AbortSignal; close(): void } {
  const ending = new AbortController();
  const onSignal = (): void => {
    if (!ending.signal.aborted) {
      terminal.progress('ending early: what was seen so far is judged. Ctrl-C once more leaves without a verdict');
      ending.abort(new Error('interrupted'));
      return;
    }
    const left = observation.table === null ? '' : `; the table is left: ${dropSql(observation.table)}`;
    terminal.progress(`left without a verdict: the prober ends by itself within ${OBSERVE_LEASE_MS / 1_000} s${left}`);
    // Sockets and timers under way would hold the process, and the person has said twice to leave.
    process.exit(EXIT.detached);
  };
  const names = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;
  for (const name of names) process.on(name, onSignal);
  return {
    signal: ending.signal,
    close: () => {
      for (const name of names) process.off(name, onSignal);
    },
  };
}
