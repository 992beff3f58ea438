/** `report.md`: the report's facts for a wiki, a ticket or a pull request. The same words as the HTML, without its drawings. Pure. */
import { predictedBand } from '../core/segment-bands';
import { formatMs } from '../core/units';
import type { CheckResult, DrillRecord } from '../model/record';
import { clockFacts } from './clocks';
import { controllerLogFacts } from './controller-log';
import { COMMUNICATION_COLUMNS, communicationNotes, communicationRows } from './communications';
import { COMPARISON_COLUMNS, comparedReport, LAST_FINDINGS_COLUMNS } from './comparison';
import { CONTROLS_NOTE, NO_CONTROLS, byFramework, controlLimits } from './controls';
import { FORK_COLUMNS, forkFacts, forkRelations } from './forks';
import { IMPACT_COLUMNS, impactNotes, impactRows } from './impact';
import { signoffText, type ReportOptions } from './page-one';
import { DEVIATION_COLUMNS, deviationRows, noDeviations, plannedText, planningFacts, type Fact } from './planning';
import { VIEW_FIGURES, VIEWS_NOTE, viewRows } from './views';
import {
  VERDICT_MARK,
  VERDICT_WORD,
  boundsText,
  candidatesText,
  declarationText,
  environmentText,
  formatCount,
  formatInterval,
  formatTime,
  isNotRecorded,
  limitsOf,
  marginText,
  measuredText,
  objectiveWord,
  serviceName,
  targetText,
  textOf,
  triggerText,
  validityFacts,
  verdictSentence,
} from './words';

type Row = readonly string[];

/** GitHub-flavoured Markdown; every value is escaped, so that no name can become markup. */
export function renderMarkdown(record: DrillRecord, options: ReportOptions): string {
  const parts = [
    `# ${text(record.scenario.title)}: ${VERDICT_MARK[record.verdict]} ${VERDICT_WORD[record.verdict]}`,
    `**${text(serviceName(record))}** · ${environmentText(record)} · ${text(record.drill)} · ${formatTime(record.startedAt)} · state ${record.state}`,
    text(verdictSentence(record)),
    bullets(record.judgement.reasons),
    table(
      ['Objective', 'Target', 'Measured', 'Bounds', 'Margin', 'Verdict'],
      record.judgement.objectives.map((result) => [
        objectiveWord(result),
        targetText(result),
        measuredText(result),
        boundsText(result) ?? 'exact',
        marginText(result),
        `${VERDICT_MARK[result.verdict]} ${VERDICT_WORD[result.verdict]}`,
      ]),
    ),
    `**Validity.** ${validityFacts(record).map(text).join(' · ')}`,
    section(
      'Findings',
      table(
        ['No.', 'Severity', 'Finding', 'First found in', 'Owner', 'Due'],
        record.findings.map((f) => [
          f.id,
          f.severity,
          f.accepted === null ? f.text : `${f.text} (risk accepted by ${f.accepted})`,
          f.since ?? 'this drill',
          f.owner ?? 'not recorded',
          f.due ?? 'not recorded',
        ]),
      ) || 'None by rule.',
    ),
    section('Hypothesis', text(record.scenario.hypothesis)),
    section('Planned', bullets([`Trigger: ${triggerText(record.trigger)}`, ...planningFacts(record).map(factText)])),
    section('Recovery time', recovery(record)),
    section('Ways in', ways(record)),
    section('Writes', writes(record)),
    ...(record.forks.length === 0 ? [] : [section('What the old primary alone held', forks(record))]),
    ...(record.restores.length === 0 ? [] : [section('Restores', restores(record))]),
    ...((record.refusedRestores ?? []).length === 0 ? [] : [section('Restores that had to be refused, and were', refused(record))]),
    section(
      'Faults',
      table(
        ['Step', 'Fault', 'What', 'Bit', 'Gone'],
        record.faults.map((f) => [
          f.step,
          f.fault,
          f.preview,
          proof(f.confirmed, textOf(f.confirmedBy)),
          proof(f.healed, textOf(f.goneBy)),
        ]),
      ) || 'Nothing was broken.',
    ),
    section(
      'Steps',
      table(
        ['Step', 'Kind', 'By', 'Planned, at most', 'Took', 'Outcome'],
        record.steps.map((s) => [
          s.title,
          s.kind,
          s.actor,
          plannedText(s),
          took(s.startedAt, s.endedAt),
          s.reason === null ? s.outcome : `${s.outcome}: ${s.reason}`,
        ]),
      ) || 'No step was planned.',
    ),
    section('Otherwise than planned', noDeviations(record) ?? table([...DEVIATION_COLUMNS], deviationRows(record))),
    section('Hurt beside what was meant', tableAndNotes([...IMPACT_COLUMNS], impactRows(record), impactNotes(record))),
    section(
      'People',
      table(
        ['Who', 'Step', 'Answer', 'When', 'Note'],
        record.people.map((p) => [p.id, p.step, p.answer, formatTime(p.at), p.note ?? '–']),
      ) || `No person was asked anything. Started by ${text(record.startedBy)}.`,
    ),
    section('Who was told what', tableAndNotes([...COMMUNICATION_COLUMNS], communicationRows(record), communicationNotes(record))),
    section('Beside the last drill', comparison(record)),
    section('Verification', checks(record.verification)),
    section('Left behind', bullets(record.left) || 'Nothing known.'),
    section('What this drill does not show', bullets(limitsOf(record))),
    section('Controls', controls(record)),
    section('The controller’s own log', bullets(controllerLogFacts(record).map(factText))),
    section('Clocks', bullets(clockFacts(record).map(factText))),
    section(
      'Verify',
      `\`gameday verify ${record.drill} --key PUB\`, or without gameday: \`sh VERIFY.txt\`. Sign-offs: ${text(signoffText(options.signoffs))}.\n\n- record.json: \`${options.digest}\`\n- key: \`${options.keyFingerprint ?? 'not recorded: not known to the renderer'}\``,
    ),
  ];
  return `${parts.filter((part) => part !== '').join('\n\n')}\n`;
}

/** Backslashes before whatever Markdown or HTML would read; line breaks become spaces. */
function text(value: string): string {
  return value
    .replace(/\s+/g, ' ')
    .replace(/[\\`*_[\]<>|#~]/g, (character) => (character === '<' ? '&lt;' : character === '>' ? '&gt;' : `\\${character}`));
}

function table(head: Row, rows: readonly Row[]): string {
  if (rows.length === 0) return '';
  const line = (cells: Row): string => `| ${cells.join(' | ')} |`;
  return [line(head), line(head.map(() => '---')), ...rows.map((cells) => line(cells.map(text)))].join('\n');
}

function bullets(items: readonly string[]): string {
  return items.map((item) => `- ${text(item)}`).join('\n');
}

function tableAndNotes(head: Row, rows: readonly Row[], notes: readonly string[]): string {
  return [table(head, rows), bullets(notes)].filter((part) => part !== '').join('\n\n');
}

function factText([name, values]: Fact): string {
  return `${name}: ${values.join('; ')}`;
}

function section(title: string, body: string): string {
  return `## ${title}\n\n${body}`;
}

function proof(holds: boolean, by: string): string {
  return `${holds ? '✓' : '✕'} ${by}`;
}

function took(from: string | null, to: string | null): string {
  return from === null || to === null ? 'not recorded' : formatMs(Date.parse(to) - Date.parse(from));
}

function checks(items: readonly CheckResult[]): string {
  return (
    table(
      ['Check', 'Found', 'Expected', 'Result'],
      items.map(({ name, found, expected, ok }) => [name, found, expected, ok ? '✓ holds' : '✕ does not hold']),
    ) || 'Not recorded: no check was made.'
  );
}

function recovery(record: DrillRecord): string {
  const { rto, predicted } = record;
  if (isNotRecorded(rto)) return `Not recorded: ${text(rto.notRecorded)}`;
  const rows: Row[] = rto.segments.map(({ name, ms }) => {
    const band = isNotRecorded(predicted) ? null : predictedBand(name, predicted);
    return [name, formatInterval(ms), band === null ? 'not predicted' : formatInterval(band)];
  });
  if (rto.rto !== null)
    rows.push([
      'RTO, first t0 to last t_rec',
      formatInterval(rto.rto),
      isNotRecorded(predicted) ? 'not predicted' : formatInterval(predicted),
    ]);
  if ((rto.declared ?? null) !== null) rows.push(['From declaration to recovery', declarationText(rto), 'not predicted']);
  const none = rto.noOutageAboveMs === null ? '' : `No outage above ${formatMs(rto.noOutageAboveMs)} was seen.\n\n`;
  const candidates = `\n\nTime without a safe candidate: ${text(candidatesText(record))}.`;
  return none + (table(['Segment', 'Took', 'Predicted'], rows) || bullets(rto.inconclusive) || 'No segment was observed.') + candidates;
}

function ways(record: DrillRecord): string {
  const rows = viewRows(record);
  if (isNotRecorded(rows)) return `Not recorded: ${text(rows.notRecorded)}`;
  const cells = rows.map(({ clients, figures, story, doubts }) => [clients, ...figures, [story, ...doubts].join('; ')]);
  return `${text(VIEWS_NOTE)}\n\n${table(['Clients', ...VIEW_FIGURES, 'What they saw'], cells)}`;
}

function writes({ rpo }: DrillRecord): string {
  if (isNotRecorded(rpo)) return `Not recorded: ${text(rpo.notRecorded)}`;
  const row = [rpo.attempted, rpo.acked, rpo.kept, rpo.lost, rpo.indeterminateCommitted, rpo.indeterminateVanished].map(formatCount);
  return `${text(rpo.statement)}\n\n${table(['Attempted', 'Acked', 'Kept', 'Lost', 'Indeterminate, committed', 'Indeterminate, vanished'], [row])}`;
}

function comparison(record: DrillRecord): string {
  const report = comparedReport(record);
  if (isNotRecorded(report)) return `Not recorded: ${text(report.notRecorded)}`;
  const warnings = bullets(report.comparison.warnings.map((warning) => `Warning: ${warning}.`));
  return [
    text(report.sentence),
    ...(warnings === '' ? [] : [warnings]),
    table([...COMPARISON_COLUMNS], report.rows),
    table([...LAST_FINDINGS_COLUMNS], report.lastFindings) || 'The last drill had no finding.',
  ]
    .filter((part) => part !== '')
    .join('\n\n');
}

function forks(record: DrillRecord): string {
  return record.forks
    .map((fork) =>
      [bullets(forkFacts(fork).map(([name, value]) => `${name}: ${value}`)), table([...FORK_COLUMNS], forkRelations(fork))].join('\n\n'),
    )
    .join('\n\n');
}

function controls(record: DrillRecord): string {
  if (record.controls.length === 0) return text(NO_CONTROLS);
  const limits = bullets(controlLimits(record).map((limit) => `For every control: ${limit}.`));
  const groups = byFramework(record).map(
    ([title, rows]) =>
      `### ${text(title)}\n\n${table(
        ['Control', 'What this drill shows for it', 'What it does not show'],
        rows.map(({ control, name, evidences, not }) => [`${control} ${name}`, evidences, not]),
      )}`,
  );
  return [text(CONTROLS_NOTE), ...(limits === '' ? [] : [limits]), ...groups].join('\n\n');
}

function refused({ refusedRestores = [] }: DrillRecord): string {
  return table(
    ['Step', 'Asked for', 'The archive’s words', 'After'],
    refusedRestores.map((each) => [each.step, each.requested, `${each.reason} (${each.code})`, formatMs(each.ms)]),
  );
}

function restores(record: DrillRecord): string {
  return table(
    ['Step', 'Asked for', 'Landed', 'Under / over', 'Took'],
    record.restores.map((r) => [
      r.step,
      r.requested,
      `${r.landed.lsn}${r.landed.xid === null ? '' : `, xid ${r.landed.xid}`}`,
      `${r.under} / ${r.over}`,
      formatInterval(r.totalMs),
    ]),
  );
}
