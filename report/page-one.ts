/** The first page: one screen that a manager, an auditor and an engineer can each stop at. One verdict, a row per objective, and what the verdict does not cover. Pure. */
import type { ObjectiveResult } from '../model/measurement';
import type { DrillRecord } from '../model/record';
import { markup, type Markup } from './markup';
import {
  VERDICT_MARK,
  VERDICT_WORD,
  boundsText,
  caveats,
  environmentText,
  formatTime,
  marginText,
  measuredText,
  objectiveWord,
  serviceName,
  targetText,
  validityFacts,
  verdictSentence,
} from './words';

const TOP_FINDINGS = 3;

export interface ReportOptions {
  /** SHA-256 of `record.json`, from which this report was rendered. */
  readonly digest: string;
  /** Fingerprint of the public key that the bundle is sealed with; null if it is not known to the renderer. */
  readonly keyFingerprint: string | null;
  /** Signatures by people over the seal, which come after the report that is sealed; absent: none was looked for. */
  readonly signoffs?: readonly SignoffLine[];
}

export interface SignoffLine {
  readonly signer: string;
  /** RFC 3339 UTC. */
  readonly at: string;
  readonly note: string | null;
}

/** Who signed off and when; a signature is checked by `gameday verify`, and only named here. */
export function signoffText(signoffs: ReportOptions['signoffs']): string {
  if (signoffs === undefined) return 'not recorded: they come after the seal; `gameday report` names them';
  if (signoffs.length === 0) return 'not recorded: no sign-off';
  return signoffs.map(({ signer, at, note }) => `${signer}, ${formatTime(at)}${note === null ? '' : ` (“${note}”)`}`).join('; ');
}

export function pageOne(record: DrillRecord, options: ReportOptions): Markup {
  return markup`<header class="top">
<div><p class="kicker">Game day report${record.type === 'lab' ? markup` <span class="tag">LAB</span>` : null}</p><h1>${record.scenario.title}</h1></div>
<dl class="id"><div><dt>Service</dt><dd>${serviceName(record)}</dd></div><div><dt>Environment</dt><dd>${environmentText(record)}</dd></div>
<div><dt>Drill</dt><dd>${record.drill}</dd></div><div><dt>Date</dt><dd>${formatTime(record.startedAt)}</dd></div></dl>
</header>
${verdict(record)}
${objectives(record)}
<div class="cards">${validity(record)}${findings(record)}${remains(record, options)}${verifying(record, options)}</div>`;
}

function verdict(record: DrillRecord): Markup {
  const tone = record.state === 'unsafe' ? 'fail' : record.verdict;
  const state = record.state === 'completed' ? null : markup` <span class="tag">${record.state}</span>`;
  const reasons = record.judgement.reasons.slice(0, 3);
  return markup`<section class="verdict ${tone}" aria-label="Verdict"><span class="badge" aria-hidden="true">${VERDICT_MARK[tone]}</span>
<div><p class="word">${VERDICT_WORD[record.verdict]}${state}</p><p>${verdictSentence(record)}</p>${
    reasons.length === 0 ? null : markup`<ul>${reasons.map((reason) => markup`<li>${reason}</li>`)}</ul>`
  }</div>
<p class="caveat">${caveats(record).map((text) => markup`<span>${text}</span> `)}</p></section>`;
}

function objectives(record: DrillRecord): Markup {
  const rows = record.judgement.objectives.map((result) => {
    const bounds = boundsText(result);
    return markup`<tr><th scope="row">${objectiveWord(result)}${result.objective.source === null ? null : markup`<small>${result.objective.source}</small>`}</th>
<td class="num">${targetText(result)}</td><td class="num strong">${measuredText(result)}${bounds === null ? null : markup`<small>${bounds}</small>`}</td>
<td>${gauge(result)}</td><td class="num">${marginText(result)}</td><td>${chip(result)}</td></tr>`;
  });
  const body = rows.length === 0 ? markup`<tr><td colspan="6">No objective was set.</td></tr>` : rows;
  return markup`<section aria-label="Objectives" class="scroll"><table class="objectives"><thead><tr><th scope="col">Objective</th><th scope="col" class="num">Target</th><th scope="col" class="num">Measured, with bounds</th><th scope="col">Share of target used</th><th scope="col" class="num">Margin</th><th scope="col">Verdict</th></tr></thead><tbody>${body}</tbody></table></section>`;
}

export function chip({ verdict: value }: Pick<ObjectiveResult, 'verdict'>): Markup {
  return markup`<span class="chip ${value}"><span aria-hidden="true">${VERDICT_MARK[value]}</span> ${VERDICT_WORD[value]}</span>`;
}

/** How much of the target was used, to 150 %; the mark stands at the target. Nothing where the target is zero or nothing was measured. */
function gauge({ objective, measured, low, high, verdict: value }: ObjectiveResult): Markup | null {
  if (objective.target <= 0 || measured === null) return null;
  const x = (amount: number): number => Math.round(Math.min(1, Math.max(0, amount / objective.target / 1.5)) * 1_480) / 10;
  return markup`<svg class="gauge" viewBox="0 0 150 18" aria-hidden="true"><rect class="track" x="0" y="6" width="150" height="6" rx="3"/><rect class="fill ${value}" x="0" y="6" width="${Math.max(3, x(measured))}" height="6" rx="3"/>${
    low === null || high === null || x(high) - x(low) < 1
      ? null
      : markup`<path class="whisker" d="M${x(low)} 9H${x(high)}M${x(low)} 5V13M${x(high)} 5V13"/>`
  }<line class="goal" x1="${x(objective.target)}" x2="${x(objective.target)}" y1="1" y2="17"/></svg>`;
}

function validity(record: DrillRecord): Markup {
  return markup`<section class="card"><h2>Validity</h2><ul>${validityFacts(record).map((fact) => markup`<li>${fact}</li>`)}</ul></section>`;
}

function findings(record: DrillRecord): Markup {
  const top = record.findings.slice(0, TOP_FINDINGS);
  const rest = record.findings.length - top.length;
  const items = top.map(
    ({ id, severity, text, since, owner, due, accepted }) =>
      markup`<li><span class="sev ${severity}">${severity}</span> ${id}: ${text} <small>${since === null ? null : `since ${since}, `}${accepted === null ? null : 'risk accepted, '}owner ${owner ?? 'not recorded'}, due ${due ?? 'not recorded'}</small></li>`,
  );
  return markup`<section class="card"><h2>Findings</h2>${top.length === 0 ? markup`<p>None by rule.</p>` : markup`<ul class="plain">${items}</ul>`}${
    rest > 0 ? markup`<p><a href="#findings">${rest} more below</a></p>` : null
  }</section>`;
}

function remains(record: DrillRecord, { signoffs }: ReportOptions): Markup {
  const left = record.left.length === 0 ? ['nothing known'] : record.left;
  const not = record.notExercised.length === 0 ? ['nothing named'] : record.notExercised;
  return markup`<section class="card"><h2>What remains</h2><dl class="facts"><div><dt>Left behind</dt><dd>${left.join('; ')}</dd></div><div><dt>Not exercised</dt><dd>${not.join('; ')}</dd></div><div><dt>Sign-offs</dt><dd>${signoffText(signoffs)}</dd></div></dl></section>`;
}

function verifying(record: DrillRecord, { digest, keyFingerprint }: ReportOptions): Markup {
  return markup`<section class="card"><h2>How to verify</h2><p><code>gameday verify ${record.drill} --key PUB</code>, or without us: <code>sh VERIFY.txt</code></p>
<dl class="facts"><div><dt>record.json</dt><dd><code class="digest">${digest}</code></dd></div>${
    keyFingerprint === null ? null : markup`<div><dt>Key</dt><dd><code class="digest">${keyFingerprint}</code></dd></div>`
  }</dl></section>`;
}
