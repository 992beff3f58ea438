/** What the node sampler saw, made into lanes, promotions and split brain. Pure. Instants in ms since the prober's start. */
import type { Interval, SplitBrainSpan, UnlockedSpan } from '../model/measurement';
import type { NodeSpan } from '../model/record';
import type { ControllerEntry, SampleEntry } from './ledger-format';

const ms = (ns: number): number => ns / 1e6;

/** Consecutive equal answers of one node. `first` and `last` bound when it said so. */
interface Run {
  readonly node: string;
  readonly role: SampleEntry['role'];
  readonly timeline: number | null;
  readonly first: Interval;
  last: Interval;
}

function runsOf(samples: readonly SampleEntry[]): Run[] {
  const newest = new Map<string, Run>();
  const runs: Run[] = [];
  for (const sample of samples) {
    const at = { lowMs: ms(sample.askedNs), highMs: ms(sample.answeredNs) };
    const run = newest.get(sample.node);
    if (run !== undefined && run.role === sample.role && run.timeline === sample.timeline) {
      run.last = at;
      continue;
    }
    const next = { node: sample.node, role: sample.role, timeline: sample.timeline, first: at, last: at };
    newest.set(sample.node, next);
    runs.push(next);
  }
  return runs;
}

/** Lanes for the chart: each span reaches to the next one of its node. */
export function nodeSpans(samples: readonly SampleEntry[]): readonly NodeSpan[] {
  const runs = runsOf(samples);
  return runs.map((run, at) => {
    const next = runs.slice(at + 1).find((other) => other.node === run.node);
    return {
      node: run.node,
      role: run.role,
      timeline: run.timeline,
      fromMs: run.first.highMs,
      toMs: next?.first.highMs ?? run.last.highMs,
    };
  });
}

export interface Promotion {
  readonly node: string;
  readonly timeline: number;
  /** From the last answer (of any node of the old timeline, or this node's own) before, to the first answer as primary after. */
  readonly at: Interval;
}

/** Nodes that became primary on a timeline higher than any primary before them. */
export function promotions(samples: readonly SampleEntry[]): readonly Promotion[] {
  const found: Promotion[] = [];
  let highest: number | null = null;
  const before = new Map<string, number>();
  for (const sample of samples) {
    if (sample.role === 'primary' && sample.timeline !== null) {
      if (highest !== null && sample.timeline > highest) {
        found.push({
          node: sample.node,
          timeline: sample.timeline,
          at: { lowMs: before.get(sample.node) ?? 0, highMs: ms(sample.answeredNs) },
        });
      }
      highest = Math.max(highest ?? 0, sample.timeline);
    }
    before.set(sample.node, ms(sample.askedNs));
  }
  return found;
}

/** Two nodes writable within overlapping bounds, whatever clients saw. */
export function splitBrainSpans(samples: readonly SampleEntry[]): readonly SplitBrainSpan[] {
  const primaries = writableRuns(samples);
  const spans: SplitBrainSpan[] = [];
  for (const [at, a] of primaries.entries()) {
    for (const b of primaries.slice(at + 1)) {
      if (a.node === b.node) continue;
      const lowMs = Math.max(a.first.lowMs, b.first.lowMs);
      const highMs = Math.min(a.last.highMs, b.last.highMs);
      if (lowMs > highMs) continue;
      spans.push({
        nodes: [a.node, b.node].sort(),
        from: { lowMs, highMs: Math.max(a.first.highMs, b.first.highMs) },
        to: { lowMs: Math.min(a.last.lowMs, b.last.lowMs), highMs },
      });
    }
  }
  return spans;
}

/** Primary runs, whatever their timeline: a promotion in place is still the same writable node. */
function writableRuns(samples: readonly SampleEntry[]): Run[] {
  return runsOf(samples.map((sample) => ({ ...sample, timeline: null }))).filter((run) => run.role === 'primary');
}

/**
 * Spans in which a node said that it takes writes while the controller named another node, or nobody, at least twice in a row: a single answer may
 * be of either side of an orderly change. The controller's silence (`error`) is no statement.
 */
export function unlockedSpans(samples: readonly SampleEntry[], controller: readonly ControllerEntry[]): readonly UnlockedSpan[] {
  const primaries = writableRuns(samples);
  const spans: UnlockedSpan[] = [];
  for (const { first, last, holder } of holdersOf(controller)) {
    for (const run of primaries) {
      if (run.node === holder) continue;
      const from = { lowMs: Math.max(run.first.lowMs, first.lowMs), highMs: Math.max(run.first.highMs, first.highMs) };
      const to = { lowMs: Math.min(run.last.lowMs, last.lowMs), highMs: Math.min(run.last.highMs, last.highMs) };
      if (from.highMs < to.lowMs) spans.push({ node: run.node, holder, from, to });
    }
  }
  return spans;
}

interface HolderRun {
  readonly holder: string | null;
  readonly first: Interval;
  last: Interval;
}

function holdersOf(controller: readonly ControllerEntry[]): HolderRun[] {
  const runs: HolderRun[] = [];
  for (const { askedNs, answeredNs, primary, error } of controller) {
    if (error !== null) continue;
    const at = { lowMs: ms(askedNs), highMs: ms(answeredNs) };
    const newest = runs.at(-1);
    if (newest?.holder === primary) newest.last = at;
    else runs.push({ holder: primary, first: at, last: at });
  }
  return runs;
}
