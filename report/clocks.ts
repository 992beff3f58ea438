/** The section "Clocks" of both reports: how far nodes' clocks were from the reference, before and after. A reading that is missing says why. Pure. */
import { formatMs } from '../core/units';
import type { Interval } from '../model/measurement';
import type { ClockReading, DrillRecord, Maybe } from '../model/record';
import type { Fact } from './planning';
import { formatTime, isNotRecorded, NOT_KEPT, textOf } from './words';

export function clockFacts({ clocks = NOT_KEPT }: DrillRecord): readonly Fact[] {
  if (isNotRecorded(clocks)) return [['Clocks', [textOf(clocks)]]];
  return [
    ['Held against', [clocks.reference]],
    ['Measured by', [clocks.by]],
    ['Before anything was broken', readingText(clocks.before)],
    ['Before judging', readingText(clocks.after)],
  ];
}

function readingText(reading: Maybe<ClockReading>): readonly string[] {
  if (isNotRecorded(reading)) return [textOf(reading)];
  const { at, nodes, synchronised } = reading;
  return [
    formatTime(at),
    ...nodes.map(({ node, offset }) => `${node}: ${isNotRecorded(offset) ? textOf(offset) : offsetText(offset)}`),
    isNotRecorded(synchronised)
      ? `the reference synchronised: ${textOf(synchronised)}`
      : `the reference ${synchronised.synchronised ? 'is' : 'is NOT'} synchronised (${synchronised.by}: ${synchronised.said})`,
  ];
}

/** `−0.6 ms to +0.9 ms`: negative where the node is behind. */
function offsetText({ lowMs, highMs }: Interval): string {
  const signed = (ms: number): string => `${ms < 0 ? '−' : '+'}${formatMs(Math.abs(ms))}`;
  return `${signed(lowMs)} to ${signed(highMs)}`;
}
