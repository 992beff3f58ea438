/** How the report says things: verdicts with a mark besides the colour, objectives by name, quantities with their bounds. Pure; the same in every format. */
import { formatBytes, formatMs } from '../core/units';
import { CANDIDATE_LACK } from '../model/constants';
import type { Interval, NoCandidateSpan, ObjectiveResult, RtoMeasurement, Verdict } from '../model/measurement';
import { READ_ONLY } from '../model/observation';
import type { ObjectiveName, RtoAbout, Unit } from '../model/plan';
import type { DrillRecord, DrillState, Maybe, NotRecorded } from '../model/record';

export const VERDICT_MARK: Readonly<Record<Verdict, string>> = { pass: '✓', fail: '✕', marginal: '≈', inconclusive: '?' };
export const VERDICT_WORD: Readonly<Record<Verdict, string>> = {
  pass: 'Pass',
  fail: 'Fail',
  marginal: 'Marginal',
  inconclusive: 'Inconclusive',
};

const OBJECTIVE_WORD: Readonly<Record<ObjectiveName, string>> = {
  rto: 'Recovery time (RTO)',
  rto_reads: 'Recovery time of reads',
  rto_beyond_prediction: 'RTO beyond prediction',
  write_stall: 'Longest write stall',
  rpo_transactions: 'Lost transactions (RPO)',
  rpo_time: 'Lost time (RPO)',
  split_brain: 'Two nodes writable',
  restore_time: 'Restore time',
  rebuild_time: 'Rebuild time',
  recovery_point_error: 'Recovery point error',
  archive_rpo: 'Loss if only the archive is left',
  commit_p99: 'Commit latency, p99',
  promotions: 'Promotions',
  rejections: 'Writes refused',
  time_to_redundancy: 'Time to redundancy',
  replica_staleness: 'Staleness of replicas',
  no_safe_candidate: 'Time without a safe candidate',
};

/** Thirty-one characters at most: the terminal's column. */
const RTO_ABOUT: Readonly<Record<RtoAbout, string>> = {
  injection: 'RTO from injection',
  'first-ack': 'RTO to the first write',
  verified: 'RTO until verified',
  redundant: 'RTO until redundant',
  declaration: 'RTO from the declaration',
};

export const STATE_SENTENCE: Readonly<Record<DrillState, string>> = {
  completed: 'The drill ran to its end and everything was put back.',
  aborted: 'The drill was stopped before its end; what was broken was healed.',
  refused: 'The drill was refused before anything was touched.',
  failed: 'The drill failed on its way.',
  unsafe: 'Something that was broken on purpose is not proven healed.',
  lost: 'The drill was lost: its workflow ended without a result.',
};

/** Of a fact that records of an earlier version do not hold. */
export const NOT_KEPT: NotRecorded = { notRecorded: 'the version that made this record did not keep it' };

export function isNotRecorded<T>(value: Maybe<T>): value is NotRecorded {
  return typeof value === 'object' && value !== null && 'notRecorded' in value;
}

export function textOf(value: Maybe<string>): string {
  return isNotRecorded(value) ? `not recorded: ${value.notRecorded}` : value;
}

/** Why a drill was run. */
export function triggerText({ kind, name }: DrillRecord['trigger']): string {
  const word = { command: 'command', schedule: 'schedule', change: 'change', retest: 'retest of finding' }[kind];
  return name === null ? word : `${word} ${name}`;
}

export function objectiveWord(result: ObjectiveResult): string {
  const { name, step, path, about } = result.objective;
  const word = about === undefined ? OBJECTIVE_WORD[name] : RTO_ABOUT[about];
  const of = step ?? path ?? null;
  return of === null ? word : `${word} · ${of}`;
}

export function formatQuantity(value: number, unit: Unit): string {
  if (unit === 'ms') return formatMs(value);
  if (unit === 'bytes') return formatBytes(value);
  if (unit === 'count') return formatCount(value);
  return `${formatCount(value)} tx`;
}

/** `12,345`, whatever the machine's locale. */
export function formatCount(value: number): string {
  return String(value).replace(/\B(?=(\d{3})+(?!\d))/g, ',');
}

/** `2.41 s to 2.43 s`; `18.2 s ± 4.0 ms` where both ends read the same. */
export function formatInterval(interval: Interval): string {
  const [low, high] = [formatMs(interval.lowMs), formatMs(interval.highMs)];
  if (low !== high || interval.lowMs === interval.highMs) return low === high ? low : `${low} to ${high}`;
  return `${low} ± ${formatMs((interval.highMs - interval.lowMs) / 2)}`;
}

/** From a person's declaration until clients had recovered; why there is none, where there is none. */
export function declarationText({ declared = null, fromDeclaration = null }: RtoMeasurement): string {
  if (declared === null) return 'not recorded: nobody declared the incident';
  return fromDeclaration === null ? 'not recorded: clients had not recovered after it' : formatInterval(fromDeclaration);
}

/** `11.9 s to 12.2 s in 2 spans, the longest with n2 behind, n3 down` */
export function candidatesText({ noSafeCandidate }: DrillRecord): string {
  if (isNotRecorded(noSafeCandidate)) return `not recorded: ${noSafeCandidate.notRecorded}`;
  const { total, count, spans, lasting } = noSafeCandidate;
  if (total.highMs === 0) return 'none: at every look a standby could have taken over without loss';
  const longest = spans.reduce<NoCandidateSpan | null>((most, next) => (most === null || next.lowMs > most.lowMs ? next : most), null);
  const which = longest === null || longest.lowMs === 0 ? 'none of them proven' : `the longest with ${lacksOf(longest)}`;
  return `${formatInterval(total)} in ${count} span${count === 1 ? '' : 's'}, ${which}${lasting ? '; it lasted still when the sampler ended' : ''}`;
}

/** `n2 behind, n3 down` */
function lacksOf({ standbys }: NoCandidateSpan): string {
  return standbys.map(({ node, lack }) => `${node} ${CANDIDATE_LACK[lack]}`).join(', ') || 'no standby there';
}

/** `≤ 30.0 s`, `0 tx`. */
export function targetText({ objective }: ObjectiveResult): string {
  const text = formatQuantity(objective.target, objective.unit);
  return objective.target === 0 ? (objective.unit === 'ms' ? '0' : text) : `≤ ${text}`;
}

export function measuredText({ measured, objective }: ObjectiveResult): string {
  return measured === null ? 'not recorded' : formatQuantity(measured, objective.unit);
}

/** Bounds as `2.41 s to 2.43 s`; `± 4.0 ms` where both ends read the same; null where there are none. */
export function boundsText({ low, high, measured, objective }: ObjectiveResult): string | null {
  if (low === null || high === null || (low === high && low === measured)) return null;
  const [from, to] = [formatQuantity(low, objective.unit), formatQuantity(high, objective.unit)];
  return from === to ? `± ${formatQuantity((high - low) / 2, objective.unit)}` : `${from} to ${to}`;
}

/**
 * Room between the worst the measurement allows and the target: `27.6 s (92 %)`; `over by …` when there is none. Transactions are counted, not
 * bounded: what was in doubt and is gone broke no promise, so it is named beside the margin and never taken from it.
 */
export function marginText({ high, measured, objective }: ObjectiveResult): string {
  if (objective.name === 'rpo_transactions' && measured !== null && measured <= objective.target) {
    const doubtful = (high ?? measured) - measured;
    return doubtful === 0 ? 'none needed' : `none needed; ${formatQuantity(doubtful, objective.unit)} in doubt`;
  }
  const worst = high ?? measured;
  if (worst === null) return 'not recorded';
  const margin = objective.target - worst;
  if (margin < 0) return `over by ${formatQuantity(-margin, objective.unit)}`;
  if (objective.target === 0) return 'none needed';
  return `${formatQuantity(margin, objective.unit)} (${Math.floor((100 * margin) / objective.target)} %)`;
}

const NO_OBJECTIVE: Readonly<Record<Verdict, string>> = {
  pass: 'No objective was set; the measurement is sound.',
  marginal: 'No objective was set.',
  inconclusive: 'No objective was set, and the measurement is not sound.',
  fail: 'No objective was set; what was seen fails all the same.',
};

/** One sentence under the verdict. */
export function verdictSentence(record: DrillRecord): string {
  const { objectives } = record.judgement;
  if (record.state !== 'completed') return STATE_SENTENCE[record.state];
  if (objectives.length === 0) return NO_OBJECTIVE[record.verdict];
  const met = objectives.filter(({ verdict }) => verdict === 'pass').length;
  if (record.verdict === 'pass') return met === 1 ? 'The one objective was met.' : `All ${met} objectives were met.`;
  if (record.verdict === 'inconclusive')
    return `The measurement does not support a verdict. ${met} of ${objectives.length} objectives were met.`;
  return `${met} of ${objectives.length} objectives were met.`;
}

/** `2026-11-23 03:12:09 UTC` */
export function formatTime(at: string): string {
  const time = Date.parse(at);
  return Number.isNaN(time) ? at : `${new Date(time).toISOString().slice(0, 19).replace('T', ' ')} UTC`;
}

export function environmentText(record: DrillRecord): string {
  return { lab: 'Lab', staging: 'Staging', live: 'Production' }[record.type];
}

/** What was rehearsed, for people: the label `service`, else the target's name. */
export function serviceName(record: DrillRecord): string {
  const service = record.target.labels['service'];
  return typeof service === 'string' && service !== '' ? service : record.target.name;
}

/** What makes the number trustworthy, in short sentences; the first page shows them all. */
export function validityFacts(record: DrillRecord): readonly string[] {
  const facts: string[] = [];
  if (isNotRecorded(record.rto)) facts.push(`client measurement not recorded: ${record.rto.notRecorded}`);
  else {
    const { writesDue, baselineP99Ms, onTimeRatio } = record.rto;
    const kind = isNotRecorded(record.rpo) && record.rpo.notRecorded === READ_ONLY ? 'reads' : 'writes';
    facts.push(`load: ${formatCount(writesDue)} ${kind} due in the measured window`);
    facts.push(baselineP99Ms === null ? 'baseline not recorded: no steady window' : `baseline commit p99 ${formatMs(baselineP99Ms)}`);
    facts.push(`prober on time ${(100 * onTimeRatio).toFixed(1)} %`);
  }
  const confirmed = record.faults.filter((fault) => fault.confirmed).length;
  if (record.faults.length > 0) facts.push(`${confirmed} of ${record.faults.length} faults confirmed by an independent check`);
  return facts;
}

/** What must stand beside the verdict so that nobody reads more into it than it holds. */
export function caveats(record: DrillRecord): readonly string[] {
  const writes = isNotRecorded(record.rpo) ? null : record.rpo.attempted;
  return [
    ...(record.type === 'lab' ? ['LAB: not evidence about production.'] : []),
    ...weaknessOf(record),
    ...amendmentOf(record),
    ...(writes === null ? [] : [`${formatCount(writes)} synthetic writes; application tables not examined.`]),
  ];
}

/** Whether earlier drills may have been deleted unseen, in the registration's own words. In a lab nobody claims otherwise. */
function weaknessOf({ custody, type }: DrillRecord): readonly string[] {
  if (isNotRecorded(custody)) return type === 'lab' ? [] : [`Custody not recorded: ${custody.notRecorded}.`];
  return custody.weakness === null ? [] : [`${sentence(custody.weakness)}.`];
}

function amendmentOf({ amended }: DrillRecord): readonly string[] {
  return amended === null ? [] : [`Objectives amended since ${amended.since}: ${amended.changes.join('; ')}.`];
}

const sentence = (text: string): string => `${text.charAt(0).toUpperCase()}${text.slice(1).replace(/\.$/, '')}`;

/** What no drill of this kind shows, whatever its verdict. */
export function limitsOf(record: DrillRecord): readonly string[] {
  return [
    ...caveats(record),
    'A pass says that this procedure met its objectives once, at this load, at this time; it is no promise about the next outage.',
    'Instants come from one vantage point: what clients elsewhere on the network saw was not measured.',
    'Signatures show that nothing was changed after the seal. They cannot show that an operator did not fabricate the measurement; a second vantage point, what the database itself recorded, and an observer’s sign-off lower that doubt.',
    ...record.notExercised.map((what) => `Not exercised: ${what}.`),
  ];
}
