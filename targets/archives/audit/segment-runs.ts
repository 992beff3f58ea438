/**
 * Which segments an archive holds, as runs of consecutive numbers for each timeline: memory grows with the gaps, not with the segments.
 * Pure; segment numbers are LSN ÷ segment size and fit a double up to 2^53.
 */

/** Numbers `from` to `to`, both included; the times at which the store got the two. */
export interface SegmentRun {
  readonly from: number;
  readonly to: number;
  readonly fromAt: string;
  readonly toAt: string;
}

type OpenRun = { -readonly [field in keyof SegmentRun]: SegmentRun[field] };

export class SegmentRuns {
  private readonly byTimeline = new Map<number, OpenRun[]>();

  /** In the order of the listing, which within one timeline is the order of numbers; a number that is there already changes nothing. */
  add(timeline: number, no: number, at: string): void {
    const runs = this.byTimeline.get(timeline) ?? [];
    if (runs.length === 0) this.byTimeline.set(timeline, runs);
    const last = runs.at(-1);
    if (last !== undefined && no === last.to + 1) {
      last.to = no;
      last.toAt = at;
    } else if (last === undefined || no > last.to) runs.push({ from: no, to: no, fromAt: at, toAt: at });
  }

  /** Takes out a segment that turned out to be unusable; `at`: when the store got it. */
  remove(timeline: number, no: number, at: string): void {
    const runs = this.byTimeline.get(timeline) ?? [];
    const index = runs.findIndex((run) => run.from <= no && no <= run.to);
    const run = runs[index];
    if (run === undefined) return;
    const before = no > run.from ? [{ ...run, to: no - 1, toAt: at }] : [];
    const after = no < run.to ? [{ ...run, from: no + 1, fromAt: at }] : [];
    runs.splice(index, 1, ...before, ...after);
    if (runs.length === 0) this.byTimeline.delete(timeline);
  }

  timelines(): readonly number[] {
    return [...this.byTimeline.keys()].sort((a, b) => a - b);
  }

  of(timeline: number): readonly SegmentRun[] {
    return this.byTimeline.get(timeline) ?? [];
  }

  /** The run that holds the number. */
  at(timeline: number, no: number): SegmentRun | null {
    const runs = this.of(timeline);
    let [low, high] = [0, runs.length - 1];
    while (low <= high) {
      const middle = (low + high) >> 1;
      const run = runs[middle];
      if (run === undefined) return null;
      if (no < run.from) high = middle - 1;
      else if (no > run.to) low = middle + 1;
      else return run;
    }
    return null;
  }

  /** The lowest number ≥ `no` on that timeline; null if there is none. */
  next(timeline: number, no: number): number | null {
    const run = this.of(timeline).find((each) => each.to >= no);
    return run === undefined ? null : Math.max(run.from, no);
  }

  count(timeline: number): number {
    return this.of(timeline).reduce((sum, run) => sum + run.to - run.from + 1, 0);
  }
}
