/**
 * What a series of drills adds up to: the control run's word, the figures of each run, and min, median and max over all of them. Pure; it knows no
 * objective by name, so that a new one is summarised like the rest. What was not measured is left out of a figure and counted.
 */
import { EXIT, type ExitCode } from '../model/constants';
import type { Interval, ObjectiveResult, Verdict } from '../model/measurement';
import type { Unit } from '../model/plan';
import type { DrillRecord, DrillState } from '../model/record';
import { formatMs } from '../core/units';
import { formatInterval, formatQuantity, isNotRecorded } from '../report/words';

/** One run that came to a result, as the last JSON line shows it. */
export interface SeriesRunLine {
  readonly run: number;
  readonly drill: string;
  readonly sequence: number;
  readonly state: DrillState;
  readonly verdict: Verdict;
  /** Drawn wait before the first fault; null where nothing is disrupted. */
  readonly phaseMs: number | null;
  readonly rto: Interval | null;
  /** Said where there was no outage at all. */
  readonly noOutageAboveMs: number | null;
  readonly lost: number | null;
  readonly objectives: readonly {
    readonly name: string;
    readonly unit: Unit;
    readonly target: number;
    readonly measured: number | null;
    readonly low: number | null;
    readonly high: number | null;
    readonly verdict: Verdict;
  }[];
  readonly segments: readonly { readonly name: string; readonly low: number; readonly high: number }[];
  readonly evidence: string;
}

export interface Spread {
  readonly min: number;
  readonly median: number;
  readonly max: number;
  /** Runs that measured it. */
  readonly n: number;
}

export interface Series {
  readonly repeat: number;
  readonly seed: number;
  readonly control: (Omit<SeriesRunLine, 'run' | 'phaseMs'> & { readonly problem: string | null }) | null;
  readonly runs: readonly SeriesRunLine[];
  /** Why the series ended before its last run; null if it did not. */
  readonly stopped: string | null;
}

/** The facts of one run, from its record. */
export function runLine(run: number, phaseMs: number | null, record: DrillRecord, evidence: string): SeriesRunLine {
  const { rto, rpo } = record;
  return {
    run,
    drill: record.drill,
    sequence: record.sequence,
    state: record.state,
    verdict: record.verdict,
    phaseMs,
    rto: isNotRecorded(rto) ? null : rto.rto,
    noOutageAboveMs: isNotRecorded(rto) ? null : rto.noOutageAboveMs,
    lost: isNotRecorded(rpo) ? null : rpo.lost,
    objectives: record.judgement.objectives.map(({ objective, measured, low, high, verdict }) => ({
      name: nameOf(objective),
      unit: objective.unit,
      target: objective.target,
      measured,
      low,
      high,
      verdict,
    })),
    segments: isNotRecorded(rto) ? [] : rto.segments.map(({ name, ms }) => ({ name, low: ms.lowMs, high: ms.highMs })),
    evidence,
  };
}

function nameOf({ name, step }: ObjectiveResult['objective']): string {
  return step === null ? name : `${name} ${step}`;
}

/** Why the control run does not show that the measurement is quiet by itself; null if it does. */
export function controlProblem(record: DrillRecord): string | null {
  if (record.state !== 'completed') return `it ended ${record.state}: ${record.judgement.reasons.join('; ') || 'no reason recorded'}`;
  if (isNotRecorded(record.rto)) return `nothing was measured: ${record.rto.notRecorded}`;
  const outages = [...record.rto.outages, ...record.views.flatMap((view) => view.rto.outages)];
  if (outages.length > 0) {
    const longest = Math.max(...outages.map(({ down, duration }) => (down ?? duration)?.highMs ?? Infinity));
    const length = longest === Infinity ? 'one that had not ended' : `the longest of ${formatMs(longest)}`;
    return `clients saw ${outages.length} outage${outages.length === 1 ? '' : 's'}, ${length}, though nothing was broken on purpose`;
  }
  if (record.verdict === 'pass') return null;
  const missed = record.judgement.objectives
    .filter(({ verdict }) => verdict !== 'pass')
    .map(({ objective, reason }) => `${objective.name}: ${reason}`);
  return `its verdict is ${record.verdict}: ${[...record.judgement.reasons, ...missed].join('; ')}`;
}

/** Min, median and max of what was measured; null if nothing was. The median of an even number lies halfway between the middle two. */
export function spreadOf(values: readonly number[]): Spread | null {
  const sorted = [...values].sort((a, b) => a - b);
  const [min] = sorted;
  const max = sorted.at(-1);
  if (min === undefined || max === undefined) return null;
  const [a, b] = [sorted[Math.floor((sorted.length - 1) / 2)] ?? min, sorted[Math.floor(sorted.length / 2)] ?? max];
  return { min, median: (a + b) / 2, max, n: sorted.length };
}

function spreads(entries: readonly (readonly [string, number | null])[]): Record<string, Spread> {
  const byName = new Map<string, number[]>();
  for (const [name, value] of entries) {
    const list = byName.get(name) ?? [];
    if (value !== null) list.push(value);
    byName.set(name, list);
  }
  return Object.fromEntries(
    [...byName].flatMap(([name, values]) => {
      const spread = spreadOf(values);
      return spread === null ? [] : [[name, spread]];
    }),
  );
}

export function summaryOf(runs: readonly SeriesRunLine[]): {
  readonly summary: Record<string, Spread>;
  readonly segments: Record<string, Spread>;
} {
  return {
    summary: spreads(runs.flatMap(({ objectives }) => objectives.map(({ name, measured }) => [name, measured] as const))),
    segments: spreads(runs.flatMap((run) => run.segments.map(({ name, low, high }) => [name, (low + high) / 2] as const))),
  };
}

/** The last line of `run --repeat … --json`. */
export function seriesLine(series: Series): Record<string, unknown> {
  const { repeat, seed, control, runs, stopped } = series;
  return { repeat, seed, control, runs, ...summaryOf(runs), stopped };
}

/** Where several apply: 5, then 1, 4, 3; then what never came to a result. */
const WORST_FIRST: readonly ExitCode[] = [
  EXIT.unsafe,
  EXIT.objectiveMissed,
  EXIT.aborted,
  EXIT.inconclusive,
  EXIT.internal,
  EXIT.unavailable,
  EXIT.refused,
  EXIT.badInput,
  EXIT.detached,
  EXIT.pass,
];

export function worstExit(codes: readonly ExitCode[]): ExitCode {
  return WORST_FIRST.find((code) => codes.includes(code)) ?? EXIT.pass;
}

/** Several lines for people: a row a run, then the spread of every objective and segment. */
export function seriesText(series: Series): string {
  const { repeat, seed, control, runs, stopped } = series;
  const rows = [
    ['run', 'drill', 'phase', 'verdict', 'RTO', 'lost', 'segments'],
    ...(control === null ? [] : [rowOf('control', control, null)]),
    ...runs.map((run) => rowOf(String(run.run), run, run.phaseMs)),
  ];
  const { summary, segments } = summaryOf(runs);
  const units = new Map(runs.flatMap(({ objectives }) => objectives.map(({ name, unit }) => [name, unit] as const)));
  const spread = (name: string, { min, median, max, n }: Spread, unit: Unit): string[] => [
    name,
    ...[min, median, max].map((value) => formatQuantity(value, unit)),
    `${n} of ${repeat}`,
  ];
  const figures = [
    ...Object.entries(summary).map(([name, value]) => spread(name, value, units.get(name) ?? 'ms')),
    ...Object.entries(segments).map(([name, value]) => spread(`· ${name}`, value, 'ms')),
  ];
  return [
    `series of ${repeat}, seed ${seed}`,
    '',
    ...columns(rows),
    ...(figures.length === 0 ? [] : ['', ...columns([['', 'min', 'median', 'max', 'runs'], ...figures])]),
    ...(control === null || control.problem === null ? [] : ['', `INCONCLUSIVE: the control run does not hold: ${control.problem}`]),
    ...(stopped === null ? [] : ['', `stopped: ${stopped}`]),
  ].join('\n');
}

function rowOf(name: string, run: Omit<SeriesRunLine, 'run' | 'phaseMs'>, phaseMs: number | null): string[] {
  const state = run.state === 'completed' ? '' : ` (${run.state})`;
  return [
    name,
    run.drill,
    phaseMs === null ? '' : formatMs(phaseMs),
    `${run.verdict}${state}`,
    run.rto !== null
      ? formatInterval(run.rto)
      : run.noOutageAboveMs !== null
        ? `none above ${formatMs(run.noOutageAboveMs)}`
        : 'not recorded',
    run.lost === null ? 'not recorded' : String(run.lost),
    run.segments.map((segment) => `${segment.name} ${formatMs((segment.low + segment.high) / 2)}`).join(' · '),
  ];
}

function columns(rows: readonly (readonly string[])[]): string[] {
  const widths = (rows[0] ?? []).map((_, at) => Math.max(...rows.map((row) => (row[at] ?? '').length)));
  return rows.map((row) =>
    row
      .map((cell, at) => cell.padEnd(widths[at] ?? 0))
      .join('  ')
      .trimEnd(),
  );
}
