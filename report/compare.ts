/**
 * Two drills beside each other. A difference is called one only where the two intervals do not overlap: what lies within the error bounds is no change.
 * Where the plans differ it says so first, because such figures are not of the same thing. Pure.
 */
import { formatMs } from '../core/units';
import type { Interval, Verdict } from '../model/measurement';
import type { DrillRecord, EarlierDrill } from '../model/record';
import { formatInterval, formatQuantity, objectiveWord } from './words';

export type Change = 'better' | 'worse' | 'same' | 'within the bounds' | 'not comparable';

export interface ComparedFigure {
  readonly name: string;
  /** As text, with bounds; `not recorded` where it is missing. */
  readonly before: string;
  readonly after: string;
  readonly change: Change;
  /** Smallest difference that the bounds allow, as text; null where there is none. */
  readonly by: string | null;
}

export interface Comparison {
  readonly before: { readonly drill: string; readonly target: string; readonly startedAt: string; readonly verdict: Verdict };
  readonly after: { readonly drill: string; readonly target: string; readonly startedAt: string; readonly verdict: Verdict };
  /** Why the two may not be of the same thing; empty when plan and target are the same. */
  readonly warnings: readonly string[];
  readonly figures: readonly ComparedFigure[];
  /** Findings of the earlier drill that the later one does not have, and the other way round. */
  readonly findingsGone: readonly string[];
  readonly findingsNew: readonly string[];
}

/** In the order given: a change is from `before` to `after`. */
export function compareDrills(before: EarlierDrill, after: EarlierDrill): Comparison {
  const missing = (from: EarlierDrill, other: EarlierDrill): readonly string[] =>
    from.findings.filter(({ rule }) => !other.findings.some((one) => one.rule === rule)).map(({ text }) => text);
  return {
    before: head(before),
    after: head(after),
    warnings: warningsOf(before, after),
    figures: [...objectiveFigures(before, after), ...durationFigures(before, after)],
    findingsGone: missing(before, after),
    findingsNew: missing(after, before),
  };
}

function head({ drill, target, startedAt, verdict }: EarlierDrill): Comparison['before'] {
  return { drill, target: target.name, startedAt, verdict };
}

function warningsOf(before: EarlierDrill, after: EarlierDrill): readonly string[] {
  const pairs: readonly (readonly [string, string, string])[] = [
    ['target', before.target.name, after.target.name],
    ['PostgreSQL system', before.target.systemIdentifier, after.target.systemIdentifier],
    ['scenario', before.scenario, after.scenario],
    ['controller', before.target.controller, after.target.controller],
    ['PostgreSQL version', plain(before.target.postgresVersion), plain(after.target.postgresVersion)],
    ['nodes', before.target.nodes.join(', '), after.target.nodes.join(', ')],
    ['version of gameday', before.toolVersion, after.toolVersion],
  ];
  const found = pairs.filter(([, a, b]) => a !== b).map(([what, a, b]) => `the ${what} differs: ${a}, then ${b}`);
  const planned = before.planSha256 === after.planSha256 ? [] : ['the plans differ: these drills did not do exactly the same'];
  const unfinished = [before, after]
    .filter(({ state }) => state !== 'completed')
    .map(({ drill, state }) => `${drill} did not run to its end: ${state}`);
  return [...planned, ...found, ...unfinished];
}

function plain(value: DrillRecord['target']['postgresVersion']): string {
  return typeof value === 'string' ? value : `not recorded: ${value.notRecorded}`;
}

type Result = EarlierDrill['objectives'][number];

function objectiveFigures(before: EarlierDrill, after: EarlierDrill): readonly ComparedFigure[] {
  const rows = new Map<string, { before?: Result; after?: Result }>();
  for (const result of before.objectives) rows.set(objectiveWord(result), { before: result });
  for (const result of after.objectives) rows.set(objectiveWord(result), { ...rows.get(objectiveWord(result)), after: result });
  return [...rows].map(([name, pair]) => objectiveFigure(name, pair.before, pair.after));
}

function objectiveFigure(name: string, before: Result | undefined, after: Result | undefined): ComparedFigure {
  const text = (result: Result | undefined): string => {
    if (result === undefined) return 'no objective';
    const { measured, objective, verdict } = result;
    return `${measured === null ? 'not recorded' : formatQuantity(measured, objective.unit)} (${verdict}, target ${formatQuantity(objective.target, objective.unit)})`;
  };
  const unit = (before ?? after)?.objective.unit ?? 'count';
  const { change, by } = changeOf(rangeOf(before), rangeOf(after));
  return { name, before: text(before), after: text(after), change, by: by === null ? null : formatQuantity(by, unit) };
}

function rangeOf(result: Result | undefined): Interval | null {
  if (result === undefined || result.measured === null) return null;
  return { lowMs: result.low ?? result.measured, highMs: result.high ?? result.measured };
}

function durationFigures(before: EarlierDrill, after: EarlierDrill): readonly ComparedFigure[] {
  const [then, now] = [before, after].map(({ durations }) => new Map(durations.map(({ name, ms }) => [name, ms])));
  return [...new Set([...(then?.keys() ?? []), ...(now?.keys() ?? [])])].map((name) => {
    const [a, b] = [then?.get(name) ?? null, now?.get(name) ?? null];
    const { change, by } = changeOf(a, b);
    const text = (interval: Interval | null): string => (interval === null ? 'not recorded' : formatInterval(interval));
    return { name, before: text(a), after: text(b), change, by: by === null ? null : formatMs(by) };
  });
}

/** Less is better in everything that a drill measures. `by`: the smallest difference that the bounds allow. */
function changeOf(before: Interval | null, after: Interval | null): { readonly change: Change; readonly by: number | null } {
  if (before === null || after === null) return { change: 'not comparable', by: null };
  if (after.highMs < before.lowMs) return { change: 'better', by: before.lowMs - after.highMs };
  if (after.lowMs > before.highMs) return { change: 'worse', by: after.lowMs - before.highMs };
  const exact = before.lowMs === after.lowMs && before.highMs === after.highMs;
  return { change: exact ? 'same' : 'within the bounds', by: null };
}

export const CHANGE_MARK: Readonly<Record<Change, string>> = {
  better: '↓',
  worse: '↑',
  same: '=',
  'within the bounds': '≈',
  'not comparable': '·',
};

/** Plain text for a terminal or a ticket. */
export function comparisonText({ before, after, warnings, figures, findingsGone, findingsNew }: Comparison): string {
  const width = Math.max(10, ...figures.map(({ name }) => name.length));
  const left = Math.max(10, ...figures.map((figure) => figure.before.length));
  return [
    `${before.target} ${before.drill} (${before.startedAt.slice(0, 10)}, ${before.verdict}) → ${after.target} ${after.drill} (${after.startedAt.slice(0, 10)}, ${after.verdict})`,
    ...warnings.map((text) => `WARNING: ${text}`),
    '',
    ...figures.map(
      (figure) =>
        `${CHANGE_MARK[figure.change]} ${figure.name.padEnd(width)}  ${figure.before.padEnd(left)}  →  ${figure.after}  ${figure.change}${figure.by === null ? '' : ` by at least ${figure.by}`}`,
    ),
    ...(findingsGone.length === 0 ? [] : ['', 'no longer found:', ...findingsGone.map((text) => `  ${text}`)]),
    ...(findingsNew.length === 0 ? [] : ['', 'new findings:', ...findingsNew.map((text) => `  ${text}`)]),
  ].join('\n');
}
