/** The section "The controller's own log" of both reports: what its agents wrote of the outage, when, and what came of it. A log that was not read says why. Pure. */
import type { Interval, LogInstant } from '../model/measurement';
import type { DrillRecord } from '../model/record';
import type { Fact } from './planning';
import { formatInterval } from './words';

/** A drill that ended before, a controller whose log is not known, and an earlier version look alike. */
const NONE = 'not recorded: no log of a controller’s agents was read in this drill';

export function controllerLogFacts({ controllerLog, rto }: DrillRecord): readonly Fact[] {
  if (controllerLog === undefined) return [['Lines', [NONE]]];
  const t0 = 'notRecorded' in rto ? undefined : rto.outages[0]?.t0;
  const { instants, notRecorded, narrowed, contradictions } = controllerLog;
  return [
    ['Lines', t0 === undefined ? ['none: there was no outage'] : orNone(instants.map((line) => lineText(line, t0)))],
    ['Known closer by them', [narrowed.length === 0 ? 'nothing' : `when ${narrowed.join(' and ')} ended`]],
    ['Against what was watched', contradictions.length === 0 ? ['nothing'] : contradictions],
    ...(notRecorded.length === 0 ? [] : [['Not recorded', notRecorded.map(({ node, reason }) => `${node}: ${reason}`)] as const]),
  ];
}

const orNone = (lines: readonly string[]): readonly string[] => (lines.length === 0 ? ['none in the outage'] : lines);

function lineText({ node, means, words, at }: LogInstant, t0: Interval): string {
  const after = { lowMs: Math.max(0, at.lowMs - t0.highMs), highMs: Math.max(0, at.highMs - t0.lowMs) };
  return `${node} ${means}, ${formatInterval(after)} after the outage began: “${words}”`;
}
