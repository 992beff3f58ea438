/**
 * The report's comparison with the last drill of the same scenario, and what became of that one's findings: from what this record kept of it, so that it can be
 * rendered from one bundle alone. A difference within the error bounds is called none. Pure.
 */
import { comparedDrill } from '../core/compared-drill';
import type { DrillRecord, EarlierDrill, Maybe } from '../model/record';
import { CHANGE_MARK, compareDrills, type Comparison } from './compare';
import { markup, type Markup } from './markup';
import { textTable, type Row } from './table';
import { VERDICT_MARK, VERDICT_WORD, formatTime, isNotRecorded } from './words';

export const COMPARISON_COLUMNS = ['Figure', 'Last drill', 'This drill', 'Change'] as const;
export const LAST_FINDINGS_COLUMNS = ['Severity', 'Finding of the last drill', 'Now'] as const;
interface ComparedReport {
  readonly comparison: Comparison;
  /** Whom it is compared with, in a sentence. */
  readonly sentence: string;
  readonly rows: readonly Row[];
  readonly lastFindings: readonly Row[];
}

export function comparedReport(record: DrillRecord): Maybe<ComparedReport> {
  const last = record.lastDrill ?? { notRecorded: 'the version that made this record kept nothing of earlier drills' };
  if (isNotRecorded(last)) return last;
  const comparison = compareDrills(last, comparedDrill(record));
  return {
    comparison,
    sentence: `Compared with ${last.drill} of ${formatTime(last.startedAt)}, ${VERDICT_MARK[last.verdict]} ${VERDICT_WORD[last.verdict]}: the last drill of this scenario on this system that ran to its end.`,
    rows: comparison.figures.map(({ name, before, after, change, by }) => [
      name,
      before,
      after,
      `${CHANGE_MARK[change]} ${change}${by === null ? '' : ` by at least ${by}`}`,
    ]),
    lastFindings: last.findings.map((finding) => [finding.severity, `${finding.id}: ${finding.text}`, nowOf(finding, record)]),
  };
}

/** A finding is closed by a retest that is free of it; a drill that could not be judged retests nothing. */
function nowOf({ rule }: EarlierDrill['findings'][number], { findings, state, verdict }: DrillRecord): string {
  const again = findings.find((one) => one.rule === rule);
  if (again !== undefined) return `found again: ${again.id}`;
  if (state !== 'completed') return `not retested: this drill did not run to its end (${state})`;
  return verdict === 'inconclusive' ? 'not retested: this drill was inconclusive' : 'closed: not found any more';
}

export function comparisonSection(record: DrillRecord): Markup {
  const report = comparedReport(record);
  if (isNotRecorded(report)) return markup`<p>Not recorded: ${report.notRecorded}</p>`;
  const { comparison, sentence, rows, lastFindings } = report;
  return markup`<p>${sentence}</p>${
    comparison.warnings.length === 0
      ? null
      : markup`<ul class="limits">${comparison.warnings.map((text) => markup`<li>Warning: ${text}.</li>`)}</ul>`
  }${textTable(COMPARISON_COLUMNS, rows)}<p class="note">A difference is one only where the bounds are apart; it is then at least as large as stated.</p><h3>Findings of the last drill</h3>${
    lastFindings.length === 0 ? markup`<p>The last drill had none.</p>` : textTable(LAST_FINDINGS_COLUMNS, lastFindings)
  }`;
}
