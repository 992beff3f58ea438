/** `report.html`: the whole report as one file that needs no network, no script and no font. It says only what the record says. Pure. */
import { formatMs } from '../core/units';
import type { DrillRecord } from '../model/record';
import { clockFacts } from './clocks';
import { controllerLogFacts } from './controller-log';
import { communicationsSection } from './communications';
import { faultsTable, peopleTable, phasesTable, stepsTable } from './course';
import { lanesChart } from './lanes';
import { lagChart } from './lag-chart';
import { latencyChart } from './latency-chart';
import { markup, type Markup } from './markup';
import { pageOne, type ReportOptions } from './page-one';
import { deviationSection, factSection, planningFacts } from './planning';
import { impactSection } from './impact';
import { checksTable, restoresSection } from './restores';
import { patterns } from './svg';
import { THEME } from './theme';
import { axisOf, closeUp } from './time-axis';
import { forksSection } from './forks';
import { comparisonSection } from './comparison';
import { viewsSection } from './views';
import { controlsSection } from './controls';
import { waterfallChart } from './waterfall';
import {
  candidatesText,
  declarationText,
  formatCount,
  formatInterval,
  formatTime,
  isNotRecorded,
  limitsOf,
  textOf,
  triggerText,
} from './words';
import { writesSection } from './writes';

export type { ReportOptions } from './page-one';

/** The report of one record, below 2 MB for an hour's drill. The same record and options always yield the same text. */
export function renderHtml(record: DrillRecord, options: ReportOptions): string {
  const page = markup`<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width,initial-scale=1"><meta name="generator" content="gameday ${record.tool.version}">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'"><title>${record.drill}: ${record.verdict} · ${record.scenario.title}</title><style>${{ html: THEME }}</style></head>
<body>${patterns()}<main><div class="page-one">${pageOne(record, options)}</div>${sections(record)}
<footer class="note"><p>Rendered from record.json (SHA-256 <code class="digest">${options.digest}</code>) by gameday ${record.tool.version}. Every time is UTC.</p></footer></main></body></html>
`;
  return page.html;
}

function block(id: string, title: string, body: readonly (Markup | null)[]): Markup {
  return markup`<section class="block" id="${id}" aria-labelledby="${id}-h"><h2 id="${id}-h">${title}</h2>${body}</section>`;
}

function sections(record: DrillRecord): Markup {
  return markup`${[
    scope(record),
    block('planning', 'Planned before, and what stood around it', [factSection(planningFacts(record))]),
    timeline(record),
    recovery(record),
    latency(record),
    block('lag-section', 'How old the data of standbys was', [lag(record)]),
    block('ways-in', 'Ways in', [viewsSection(record)]),
    block('writes', 'Every write accounted for', [writesSection(record)]),
    block('forks', 'What the old primary alone held', [forksSection(record)]),
    block('restores', 'Restores', [restoresSection(record)]),
    block('faults', 'What was broken, and the proofs', [faultsTable(record)]),
    block('steps', 'Steps, planned and carried out', [stepsTable(record), deviationSection(record)]),
    block('impact', 'Hurt beside what was meant', [impactSection(record)]),
    block('people', 'People and decisions', [peopleTable(record)]),
    block('communications', 'Who was told what', [communicationsSection(record)]),
    findings(record),
    block('comparison', 'Beside the last drill', [comparisonSection(record)]),
    block('verification', 'Afterwards', [redundancy(record), markup`<h3>Verification</h3>`, checksTable(record.verification)]),
    block('readiness', 'Readiness, before anything was touched', [checksTable(record.readiness)]),
    block('phases', 'Phases', [phasesTable(record)]),
    block('limits', 'What this drill does not show', [
      markup`<ul class="limits">${limitsOf(record).map((text) => markup`<li>${text}</li>`)}</ul>`,
    ]),
    block('controls', 'Controls that this drill is relevant to', [controlsSection(record)]),
    block('controller-log', 'The controller’s own log', [factSection(controllerLogFacts(record))]),
    block('clocks', 'Clocks and their offsets', [factSection(clockFacts(record))]),
    provenance(record),
  ]}`;
}

function scope(record: DrillRecord): Markup {
  const { target, scenario, trigger } = record;
  const labels = Object.entries(target.labels).filter(([name]) => name !== 'service');
  return block('scope', 'Scope and hypothesis', [
    markup`<p class="statement">${scenario.hypothesis}</p><p>${scenario.description}</p>`,
    facts([
      ['Target', `${target.name}, PostgreSQL system ${target.systemIdentifier}`],
      ['Nodes', target.nodes.join(', ') || 'not recorded: no node was named'],
      ['Controller', target.controller],
      ['PostgreSQL', textOf(target.postgresVersion)],
      ['Trigger', triggerText(trigger)],
      ['Started by', record.startedBy],
      ...labels.map(([name, value]) => [name, typeof value === 'string' ? value : JSON.stringify(value)] as const),
    ]),
  ]);
}

function timeline(record: DrillRecord): Markup {
  const axis = axisOf(record);
  const closer = closeUp(record, axis);
  return block('timeline', 'Timeline', [
    closer === null
      ? null
      : markup`<h3>Around the outage</h3><div class="figurebox">${lanesChart(record, closer, 'close')}</div><h3>The whole drill</h3>`,
    markup`<div class="figurebox">${lanesChart(record, axis, 'whole')}</div>`,
    markup`<ul class="legend">${(
      [
        ['primary', 'primary'],
        ['standby', 'standby'],
        ['down', 'down'],
        ['fault', 'fault standing'],
        ['unsure', 'not confirmed'],
        ['good', 'all writes acknowledged'],
        ['partly', 'some failed'],
        ['outage', 'outage'],
      ] as const
    ).map(
      ([look, word]) =>
        markup`<li><svg viewBox="0 0 12 12" aria-hidden="true"><rect class="${look}" width="12" height="12" rx="2"/></svg>${word}</li>`,
    )}</ul>
<p class="note">0 is ${axis.zeroIs}. ◆ an answer by a person. Empty parts of a lane: nothing was observed.</p>`,
  ]);
}

function recovery(record: DrillRecord): Markup {
  const { rto } = record;
  if (isNotRecorded(rto)) return block('rto', 'Recovery time', [markup`<p>Not recorded: ${rto.notRecorded}</p>`]);
  const chart = waterfallChart(rto, axisOf(record), isNotRecorded(record.predicted) ? null : record.predicted);
  const maybe = (interval: typeof rto.rto): string => (interval === null ? 'not recorded: not observed' : formatInterval(interval));
  const doubts = [...rto.contradictions.map((text) => `Contradiction: ${text}`), ...rto.inconclusive];
  return block('rto', 'Where the recovery time went', [
    rto.noOutageAboveMs === null ? null : markup`<p class="statement">No outage above ${formatMs(rto.noOutageAboveMs)} was seen.</p>`,
    chart === null
      ? null
      : markup`<div class="figurebox">${chart}</div><p class="note">Bars reach from the earliest to the latest instant the observations allow; whiskers mark the uncertain ends. Dashed: the envelope that the controller’s live settings predict.</p>`,
    facts([
      ['RTO, first t0 to last t_rec', maybe(rto.rto)],
      [
        'Predicted',
        isNotRecorded(record.predicted)
          ? `not recorded: ${record.predicted.notRecorded}`
          : `${formatInterval(record.predicted)}, ${record.predicted.formula}`,
      ],
      ['From injection to recovery', maybe(rto.fromInjection)],
      ['From declaration to recovery', declarationText(rto)],
      ['Time without a success, all outages', maybe(rto.downMs)],
      ['Longest stall that was no outage', formatMs(rto.longestStallMs)],
      ['First acknowledged write', maybe(rto.firstAck)],
      ['Until verified', maybe(rto.untilVerified ?? null)],
      ['Until redundant again', maybe(isNotRecorded(record.redundancy) ? null : record.redundancy.regainedAfterMs)],
      ['Staleness of replicas, worst', stalenessText(record)],
      ['Without a safe candidate', candidatesText(record)],
      ['Outages', formatCount(rto.outages.length)],
      ['Baseline p99 / recovery limit', `${ms(rto.baselineP99Ms)} / ${ms(rto.recoveryLimitP99Ms)}`],
      ['Prober starved', formatMs(rto.starvedMs)],
    ]),
    doubts.length === 0 ? null : markup`<ul>${doubts.map((text) => markup`<li>${text}</li>`)}</ul>`,
  ]);
}

function stalenessText({ replicaStaleness }: DrillRecord): string {
  if (replicaStaleness.length === 0) return 'not recorded: no standby answered the sampler';
  return replicaStaleness
    .map(({ node, lowMs, highMs }) => `${node} ${highMs === null ? `at least ${formatMs(lowMs)}` : formatInterval({ lowMs, highMs })}`)
    .join(', ');
}

function latency(record: DrillRecord): Markup {
  const drawn = latencyChart(record, axisOf(record));
  const rows = record.latencies.map(
    ({ phase, due, succeeded, latency: values }) =>
      markup`<tr><th scope="row">${phase} the disruption</th><td class="num">${formatCount(due)}</td><td class="num">${formatCount(succeeded)}</td><td class="num">${ms(values?.p50Ms ?? null)}</td><td class="num">${ms(values?.p99Ms ?? null)}</td><td class="num">${ms(values?.maxMs ?? null)}</td></tr>`,
  );
  return block('latency-section', 'What clients felt', [
    drawn === null
      ? markup`<p>Not recorded: no series.</p>`
      : markup`<div class="figurebox">${drawn.chart}</div><ul class="legend"><li><svg viewBox="0 0 12 12" aria-hidden="true"><path class="p99" d="M0 6H12"/></svg>p99</li><li><svg viewBox="0 0 12 12" aria-hidden="true"><path class="p50" d="M0 6H12"/></svg>p50</li>${(
          ['rejected', 'indeterminate', 'missed'] as const
        ).map(
          (look) =>
            markup`<li><svg viewBox="0 0 12 12" aria-hidden="true"><rect class="e-${look}" width="12" height="12" rx="2"/></svg>${look}</li>`,
        )}<li><svg viewBox="0 0 12 12" aria-hidden="true"><rect class="shade" width="12" height="12" rx="2"/></svg>fault standing</li></ul>
<p class="note">Latency counts from the instant a write was due. ${drawn.secondsPerPoint === 1 ? 'One point a second.' : `Each point is the worst of ${drawn.secondsPerPoint} seconds.`} Gaps are gaps: no write was acknowledged.</p>`,
    rows.length === 0
      ? null
      : markup`<div class="scroll"><table><thead><tr><th scope="col">When</th><th scope="col" class="num">Writes due</th><th scope="col" class="num">Acknowledged</th><th scope="col" class="num">p50</th><th scope="col" class="num">p99</th><th scope="col" class="num">Slowest</th></tr></thead><tbody>${rows}</tbody></table></div>`,
  ]);
}

function lag(record: DrillRecord): Markup {
  const drawn = lagChart(record, axisOf(record));
  if (isNotRecorded(drawn)) return markup`<p>Not recorded: ${drawn.notRecorded}</p>`;
  return markup`<div class="figurebox">${drawn.chart}</div><ul class="legend">${(
    [
      ['lag', 'at most'],
      ['lag-low', 'at least'],
      ['lag-open', 'at least, and no bound above'],
    ] as const
  ).map(
    ([look, word]) => markup`<li><svg viewBox="0 0 12 12" aria-hidden="true"><path class="${look}" d="M0 6H12"/></svg>${word}</li>`,
  )}<li><svg viewBox="0 0 12 12" aria-hidden="true"><rect class="shade" width="12" height="12" rx="2"/></svg>fault standing</li></ul>
<p class="note">A standby lacks what the primary wrote after it had passed the standby’s position; the sampler looks ten times a second. ${drawn.secondsPerPoint === 1 ? 'Each point is the worst of its second.' : `Each point is the worst of ${drawn.secondsPerPoint} seconds.`} Gaps are gaps: the standby or every primary was silent.</p>
<p>Worst: ${stalenessText(record)}</p>`;
}

function findings(record: DrillRecord): Markup {
  const rows = record.findings.map(
    ({ id, severity, text, since, owner, due, accepted }) =>
      markup`<tr><th scope="row">${id}</th><td><span class="sev ${severity}">${severity}</span></td><td>${text}${
        accepted === null ? null : markup`<small>risk accepted by ${accepted}</small>`
      }</td><td>${since ?? 'this drill'}</td><td>${owner ?? 'not recorded'}</td><td>${due ?? 'not recorded'}</td></tr>`,
  );
  return block('findings', 'Findings', [
    rows.length === 0
      ? markup`<p>The rules found nothing. What people observed is not part of them.</p>`
      : markup`<div class="scroll"><table><thead><tr><th scope="col">No.</th><th scope="col">Severity</th><th scope="col">Finding</th><th scope="col">First found in</th><th scope="col">Owner</th><th scope="col">Due</th></tr></thead><tbody>${rows}</tbody></table></div>`,
    markup`<p class="note">Found by rules over this record. A finding is closed by a later drill of the same scenario that is free of it, and by nothing else.</p>`,
  ]);
}

function redundancy(record: DrillRecord): Markup {
  const { redundancy: value } = record;
  if (isNotRecorded(value)) return markup`<p>Redundancy not recorded: ${value.notRecorded}</p>`;
  const after = value.regainedAfterMs === null ? '' : ` ${formatInterval(value.regainedAfterMs)} after the disruption began`;
  return value.regained
    ? markup`<p><span class="chip pass"><span aria-hidden="true">✓</span> redundant again</span> The starting topology stood again${after}.</p>`
    : markup`<p><span class="chip fail"><span aria-hidden="true">✕</span> not redundant</span> The starting topology does not stand again: ${value.differences.join('; ')}</p>`;
}

function provenance(record: DrillRecord): Markup {
  return block('provenance', 'Provenance', [
    facts([
      ['Registered', `${formatTime(record.registeredAt)}, before anything was touched`],
      ['Ran', `${formatTime(record.startedAt)} to ${formatTime(record.endedAt)}`],
      ['Plan, SHA-256', record.planSha256],
      ['Registration, SHA-256', record.registrationSha256],
      ['Registration before it', record.previousRegistrationSha256 ?? 'none: the first drill of this target'],
      ['Tool', `gameday ${record.tool.version}, Node ${record.tool.node}, ${record.tool.platform}`],
    ]),
  ]);
}

function facts(rows: readonly (readonly [string, string])[]): Markup {
  return markup`<dl class="facts wide">${rows.map(([name, value]) => markup`<div><dt>${name}</dt><dd>${value}</dd></div>`)}</dl>`;
}

function ms(value: number | null): string {
  return value === null ? 'not recorded' : formatMs(value);
}
