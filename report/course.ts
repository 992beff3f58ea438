/** The drill's course as tables: steps planned against carried out, faults with their proofs, phases, people. Pure. */
import { formatMs } from '../core/units';
import type { DrillRecord, StepRecord } from '../model/record';
import { markup, type Markup } from './markup';
import { plannedText } from './planning';
import { formatTime, textOf } from './words';

const OUTCOME_MARK = { done: '✓', failed: '✕', skipped: '–', 'not executed': '–' } as const;

export function outcome(value: keyof typeof OUTCOME_MARK): Markup {
  const tone = value === 'done' ? 'pass' : value === 'failed' ? 'fail' : 'inconclusive';
  return markup`<span class="chip ${tone}"><span aria-hidden="true">${OUTCOME_MARK[value]}</span> ${value}</span>`;
}

export function stepsTable(record: DrillRecord): Markup {
  if (record.steps.length === 0) return markup`<p>No step was planned.</p>`;
  const rows = record.steps.map(
    (step) => markup`<tr><th scope="row">${step.title}<small>${step.id}</small></th><td>${step.kind}</td><td>${step.actor}</td>
<td class="num">${startOf(step, record)}</td><td class="num">${plannedText(step)}</td><td class="num">${durationOf(step)}</td><td>${outcome(step.outcome)}${step.reason === null ? null : markup`<small>${step.reason}</small>`}</td></tr>`,
  );
  return markup`<div class="scroll"><table><thead><tr><th scope="col">Step</th><th scope="col">Kind</th><th scope="col">By</th><th scope="col" class="num">After start</th><th scope="col" class="num">Planned, at most</th><th scope="col" class="num">Took</th><th scope="col">Outcome</th></tr></thead><tbody>${rows}</tbody></table></div>`;
}

export function faultsTable(record: DrillRecord): Markup {
  if (record.faults.length === 0) return markup`<p>Nothing was broken in this drill.</p>`;
  const rows = record.faults.map(
    (fault) => markup`<tr><th scope="row">${fault.fault}<small>${fault.step}</small></th><td>${fault.preview}</td>
<td>${proof(fault.confirmed, 'bites', 'not confirmed')}<small>${textOf(fault.confirmedBy)}</small></td>
<td>${proof(fault.healed, 'gone', 'not proven gone')}<small>${textOf(fault.goneBy)}</small><small>ended: ${textOf(fault.endedBy)}</small></td></tr>`,
  );
  const manual = record.faults.filter(({ healed }) => !healed).flatMap(({ manualUndo }) => manualUndo);
  const help = manual.length === 0 ? null : markup`<p class="strong">To heal by hand:</p><pre>${manual.join('\n')}</pre>`;
  return markup`<div class="scroll"><table><thead><tr><th scope="col">Fault</th><th scope="col">What was broken</th><th scope="col">Proof that it bit</th><th scope="col">Proof that it is gone</th></tr></thead><tbody>${rows}</tbody></table></div>${help}`;
}

export function phasesTable(record: DrillRecord): Markup {
  const rows = record.phases.map(({ phase, startedAt, endedAt, outcome: result, reason }) => {
    const took = Date.parse(endedAt) - Date.parse(startedAt);
    return markup`<tr><th scope="row">${phase}</th><td class="num">${formatTime(startedAt).slice(11, 19)}</td><td class="num">${result === 'skipped' ? '–' : formatMs(took)}</td><td>${outcome(result)}${reason === null ? null : markup`<small>${reason}</small>`}</td></tr>`;
  });
  return markup`<div class="scroll"><table><thead><tr><th scope="col">Phase</th><th scope="col" class="num">Started (UTC)</th><th scope="col" class="num">Took</th><th scope="col">Outcome</th></tr></thead><tbody>${rows}</tbody></table></div>`;
}

export function peopleTable(record: DrillRecord): Markup {
  if (record.people.length === 0) return markup`<p>No person was asked anything in this drill. Started by ${record.startedBy}.</p>`;
  const rows = record.people.map(
    ({ id, step, answer, at, note }) =>
      markup`<tr><th scope="row">${id}</th><td>${step}</td><td>${answer}</td><td>${formatTime(at)}</td><td class="said">${note ?? '–'}</td></tr>`,
  );
  return markup`<p>Started by ${record.startedBy}. Notes are people’s own words.</p><div class="scroll"><table><thead><tr><th scope="col">Who</th><th scope="col">Step</th><th scope="col">Answer</th><th scope="col">When</th><th scope="col">Note</th></tr></thead><tbody>${rows}</tbody></table></div>`;
}

function proof(holds: boolean, yes: string, no: string): Markup {
  return holds
    ? markup`<span class="chip pass"><span aria-hidden="true">✓</span> ${yes}</span>`
    : markup`<span class="chip fail"><span aria-hidden="true">✕</span> ${no}</span>`;
}

function startOf({ startedAt }: StepRecord, record: DrillRecord): string {
  return startedAt === null ? 'not recorded' : `+${formatMs(Math.max(0, Date.parse(startedAt) - Date.parse(record.startedAt)))}`;
}

function durationOf({ startedAt, endedAt }: StepRecord): string {
  return startedAt === null || endedAt === null ? 'not recorded' : formatMs(Date.parse(endedAt) - Date.parse(startedAt));
}
