/** From a drill's result to the process's exit code and the one JSON line that scripts read. Pure. */
import { unreachable } from '../core/assert';
import { EXIT, type ExitCode } from '../model/constants';
import type { DrillResult } from '../model/message';

/** Where several apply: unsafe, then refused (nothing was touched), then a missed objective, then aborted, then inconclusive. */
export function exitCodeOf(result: Pick<DrillResult, 'state' | 'verdict'>): ExitCode {
  if (result.state === 'unsafe') return EXIT.unsafe;
  if (result.state === 'refused') return EXIT.refused;
  if (result.verdict === 'fail' || result.verdict === 'marginal') return EXIT.objectiveMissed;
  switch (result.state) {
    case 'aborted':
    case 'failed':
    case 'lost':
      return EXIT.aborted;
    case 'completed':
      return result.verdict === 'pass' ? EXIT.pass : EXIT.inconclusive;
    default:
      return unreachable(result.state, 'state of a drill');
  }
}

/** The last line of `gameday run --json`, with exactly the design's keys. */
export function resultLine(result: DrillResult): Record<string, unknown> {
  return {
    drill: result.drill,
    sequence: result.sequence,
    state: result.state,
    verdict: result.verdict,
    objectives: result.objectives.map(({ objective, measured, low, high, verdict }) => ({
      name: objective.name,
      target: objective.target,
      measured,
      low,
      high,
      unit: objective.unit,
      verdict,
    })),
    faults: result.faults.map(({ fault, confirmed, healed }) => ({ fault, confirmed, healed })),
    evidence: result.evidence,
  };
}
