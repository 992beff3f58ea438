/**
 * What was decided before the drill, what stood around it, and what went otherwise: the sections "Planned" and "Otherwise than planned" of both reports, from the
 * same words. A record made before these were kept says so; nothing is left blank. Pure.
 */
import { formatMs } from '../core/units';
import type { DrillRecord, Maybe, StepRecord } from '../model/record';
import { markup, type Markup } from './markup';
import { textTable } from './table';
import { formatTime, isNotRecorded, NOT_KEPT } from './words';

export type Fact = readonly [name: string, values: readonly string[]];

export const DEVIATION_COLUMNS = ['Step', 'Planned', 'What happened'] as const;

const said = <T>(value: Maybe<T>, words: (value: T) => string | readonly string[]): readonly string[] => {
  if (isNotRecorded(value)) return [`not recorded: ${value.notRecorded}`];
  const text = words(value);
  return typeof text === 'string' ? [text] : text;
};
const list = (values: readonly string[]): readonly string[] => values;

/** Each fact with one or several values. */
export function planningFacts(record: DrillRecord): readonly Fact[] {
  const { planning } = record;
  if (planning === undefined) return [['Planning', [`not recorded: ${NOT_KEPT.notRecorded}`]]];
  return [
    ['Announced', said(planning.announced, (value) => (value ? 'yes: those who run the target were told before' : 'no'))],
    ['Rationale', said(planning.rationale, (text) => text)],
    ['Assumptions', said(planning.assumptions, list)],
    ['Exclusions', said(planning.exclusions, list)],
    ['Runbook', said(planning.runbook, ({ file, sha256 }) => `${file}, SHA-256 ${sha256}`)],
    ['Roles planned', said(planning.roles, (roles) => roles.map(({ role, absent }) => `${role}${absent ? ': counted as absent' : ''}`))],
    ['People present', [[...new Set(record.people.map(({ id }) => id))].join(', ') || 'nobody answered anything']],
    [
      'Approvals',
      said(planning.approvals, (all) =>
        all.length === 0
          ? 'none'
          : all.map(({ approver, key, from, until }) => `${approver} (${key}), ${formatTime(from)} to ${formatTime(until)}`),
      ),
    ],
    [
      'Blast radius, at most',
      said(planning.blastRadius, ({ maxNodesAtOnce, allowQuorumLoss, acceptDataLoss, maxFaultMs, maxDrillMs }) => [
        `${maxNodesAtOnce} ${maxNodesAtOnce === 1 ? 'node' : 'nodes'} at once; a fault stands ${formatMs(maxFaultMs)}, the method takes ${formatMs(maxDrillMs)}`,
        `loss of quorum ${allowQuorumLoss ? 'allowed' : 'not allowed'}, loss of acknowledged writes ${acceptDataLoss ? 'accepted' : 'not accepted'}`,
      ]),
    ],
    ['Abort criteria', said(planning.abortCriteria, list)],
    ...safeguardFacts(record),
  ];
}

function safeguardFacts({
  archiveExposure = NOT_KEPT,
  watchdog = NOT_KEPT,
  incidents = NOT_KEPT,
  securityParity = NOT_KEPT,
}: DrillRecord): readonly Fact[] {
  return [
    [
      'Exposure of the archive',
      said(archiveExposure, ({ findings, notExamined }) => [
        ...(findings.length === 0 ? ['nothing found'] : findings.map(({ severity, what, effect }) => `${severity}: ${what}: ${effect}`)),
        ...notExamined.map((text) => `not examined: ${text}`),
      ]),
    ],
    [
      'Watchdog of the leader',
      said(watchdog, ({ node, mode, device, isFed }) => `${isFed ? 'fed' : 'not fed'} on ${node}: mode ${mode}, ${device}`),
    ],
    [
      'Guarded after as before',
      said(securityParity, ({ from, to, aspects }) => [
        `${to} beside ${from}, by digests that were not kept`,
        ...aspects.map(
          ({ aspect, same }) => `${aspect}: ${isNotRecorded(same) ? `not recorded: ${same.notRecorded}` : same ? 'the same' : 'DIFFERENT'}`,
        ),
      ]),
    ],
    [
      'Like real incidents',
      said(incidents, (all) =>
        all.length === 0
          ? 'none of those that the target file names'
          : all.map(
              ({ name, on, alike, lacking }) =>
                `${name} of ${on}: ${alike.join(', ')}${lacking.length === 0 ? '; nothing of it was lacking' : `; lacking: ${lacking.join(', ')}`}`,
            ),
      ),
    ],
  ];
}

export function factSection(facts: readonly Fact[]): Markup {
  return markup`<dl class="facts wide">${facts.map(
    ([name, values]) => markup`<div><dt>${name}</dt>${values.map((value) => markup`<dd>${value}</dd>`)}</div>`,
  )}</dl>`;
}

export function deviationRows({ deviations = [] }: DrillRecord): readonly (readonly [string, string, string])[] {
  return deviations.map(({ step, planned, actual }) => [step, planned, actual] as const);
}

/** What stands in the place of rows where there are none; null where there are. */
export function noDeviations({ deviations }: DrillRecord): string | null {
  if (deviations === undefined) return `Deviations not recorded: ${NOT_KEPT.notRecorded}.`;
  return deviations.length === 0 ? 'Nothing went otherwise than planned, as far as the plan says how it should go.' : null;
}

export function deviationSection(record: DrillRecord): Markup {
  const none = noDeviations(record);
  if (none !== null) return markup`<p>${none}</p>`;
  return markup`<h3>Otherwise than planned</h3>${textTable(DEVIATION_COLUMNS, deviationRows(record))}`;
}

/** How long a step should have taken at most. */
export function plannedText({ plannedMs }: StepRecord): string {
  return plannedMs === undefined || isNotRecorded(plannedMs) ? 'not recorded' : formatMs(plannedMs);
}
