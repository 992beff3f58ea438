/**
 * Marks that faults leave on a Docker engine, beside the container that they are about: volumes that hold nothing and are mounted nowhere, with what undoes the
 * fault in their labels. A volume is durable, takes labels, and goes by the same label as everything else of ours.
 */
import type { JsonObject } from '../../model/json';
import type { ContainerMark } from '../ports';

/** Labels of a mark: the container that it is about, the fault's own label, and what undoes it as JSON. */
export const MARKS = { container: 'gameday.container', fault: 'gameday.fault', note: 'gameday.undo' } as const;

export const labelsOf = (container: string, { label, note }: ContainerMark): Readonly<Record<string, string>> => ({
  [MARKS.container]: container,
  [MARKS.fault]: label,
  [MARKS.note]: JSON.stringify(note),
});

/** What somebody else labelled so is none of ours. */
export function toMark(name: string, labels: Readonly<Record<string, string>> | null): readonly ContainerMark[] {
  const [label, note] = [labels?.[MARKS.fault], labels?.[MARKS.note]];
  if (label === undefined || note === undefined) return [];
  try {
    return [{ name, label, note: JSON.parse(note) as JsonObject }];
  } catch {
    return [];
  }
}
