/** The predicted band of a measured segment, which may be several merged into one (`decision+promotion`): the sum of theirs. Pure. */
import type { Interval, PredictedFailover } from '../model/measurement';

/** Null if one of the parts cannot be predicted. */
export function predictedBand(name: string, { segments }: PredictedFailover): (Interval & { readonly formula: string }) | null {
  let [lowMs, highMs]: [number, number] = [0, 0];
  const formulas: string[] = [];
  for (const part of name.split('+')) {
    const band = segments.find((segment) => segment.name === part);
    if (band === undefined) return null;
    lowMs += band.lowMs;
    highMs += band.highMs;
    formulas.push(band.formula);
  }
  return { lowMs, highMs, formula: formulas.join(' + ') };
}
