/**
 * The verdict: objectives against measurements, and the worst of fail > inconclusive > marginal > pass over the whole drill. A pure function of
 * facts that stand in the record, so that anybody can judge again offline. A doubt blocks only a pass; what is proven to have failed has failed.
 */
import { CANDIDATE_LACK, SAMPLER_HZ } from '../model/constants';
import type { Interval, Judgement, NoCandidateSpan, ObjectiveResult, RtoMeasurement, Verdict, ViewMeasurement } from '../model/measurement';
import type { Objective } from '../model/plan';
import type { DrillRecord, Maybe, NotRecorded, RestoreRecord } from '../model/record';
import { formatMs } from '../core/units';

/** Everything the verdict rests on; each part as it stands in the record. */
export type DrillFacts = Pick<
  DrillRecord,
  | 'rto'
  | 'predicted'
  | 'views'
  | 'rpo'
  | 'splitBrain'
  | 'restores'
  | 'rebuilds'
  | 'faults'
  | 'verification'
  | 'redundancy'
  | 'doubts'
  | 'failures'
  | 'nodeSpans'
  | 'replicaStaleness'
  | 'noSafeCandidate'
> & {
  readonly objectives: readonly Objective[];
};

const ORDER: readonly Verdict[] = ['pass', 'marginal', 'inconclusive', 'fail'];

export function worstVerdict(verdicts: readonly Verdict[]): Verdict {
  return verdicts.reduce<Verdict>((worst, next) => (ORDER.indexOf(next) > ORDER.indexOf(worst) ? next : worst), 'pass');
}

/** Judges every objective, then the drill. `reasons` says why the drill is not a pass beyond its objectives. */
export function judgeDrill(facts: DrillFacts): Judgement {
  const doubts = doubtsOf(facts);
  const objectives = facts.objectives.map((objective) => judgeObjective(objective, facts, doubts));
  const failures = failuresOf(facts);
  const verdicts: Verdict[] = objectives.map((result) => result.verdict);
  if (failures.length > 0) verdicts.push('fail');
  if (doubts.length > 0) verdicts.push('inconclusive');
  return { verdict: worstVerdict(verdicts), objectives, reasons: [...failures, ...doubts] };
}

function isMissing<T extends object>(value: Maybe<T>): value is NotRecorded {
  return 'notRecorded' in value;
}

/** Fails the drill, whatever its objectives say. */
function failuresOf(facts: DrillFacts): string[] {
  const failures = [...facts.failures];
  for (const check of facts.verification) {
    if (!check.ok) failures.push(`verification "${check.name}" failed: found ${check.found}, expected ${check.expected}`);
  }
  if (!isMissing(facts.redundancy) && !facts.redundancy.regained) {
    failures.push(`redundancy was not regained: ${facts.redundancy.differences.slice(0, 3).join('; ') || 'no details recorded'}`);
  }
  if (!isMissing(facts.rpo) && facts.rpo.holes > 0)
    failures.push(
      `${facts.rpo.holes} lost writes have later writes of the same timeline kept after them: data is corrupt, not merely cut off`,
    );
  const allowed = facts.objectives.some((objective) => objective.name === 'split_brain');
  for (const span of allowed ? [] : facts.splitBrain)
    failures.push(`split brain: ${span.nodes.join(' and ')} were writable at the same time around ${formatMs(span.from.highMs)}`);
  if (!isMissing(facts.rpo)) {
    const { lost, splitBrainWrites } = facts.rpo;
    const judged = facts.objectives.some((objective) => objective.name === 'rpo_transactions' || objective.name === 'rpo_time');
    if (lost > 0 && !judged) failures.push(`${lost} acknowledged writes were lost, and no objective allows any`);
    if (splitBrainWrites > 0) failures.push(`${splitBrainWrites} writes were acknowledged by an old primary after the fork`);
  }
  for (const restore of facts.restores) {
    for (const check of restore.checks.filter((c) => !c.ok))
      failures.push(`restore "${restore.step}": ${check.name} failed: found ${check.found}, expected ${check.expected}`);
  }
  return failures;
}

/** Blocks every pass of the drill. */
function doubtsOf(facts: DrillFacts): string[] {
  const doubts = [...facts.doubts];
  for (const fault of facts.faults) {
    if (!fault.confirmed) doubts.push(`fault "${fault.step}" was not confirmed to bite`);
    if (fault.endedBy === 'expired' || fault.endedBy === 'reconciled') doubts.push(`fault "${fault.step}" ended early (${fault.endedBy})`);
  }
  if (!isMissing(facts.rto)) doubts.push(...facts.rto.inconclusive, ...facts.rto.contradictions.map((text) => `contradiction: ${text}`));
  if (!isMissing(facts.rpo)) {
    if (facts.rpo.duplicates > 0) doubts.push(`${facts.rpo.duplicates} rows stand twice in the probe table`);
    if (facts.rpo.phantoms > 0)
      doubts.push(`${facts.rpo.phantoms} rows stand in the probe table that the server had rejected or nobody had written`);
  }
  return [...new Set(doubts)];
}

function judgeObjective(objective: Objective, facts: DrillFacts, doubts: readonly string[]): ObjectiveResult {
  switch (objective.name) {
    case 'rto':
      return objective.about === undefined ? judgeView(objective, facts, doubts, judgeRto) : judgeAbout(objective, facts, doubts);
    case 'rto_reads':
      return judgeReads(objective, facts, doubts);
    case 'rto_beyond_prediction':
      return judgePrediction(objective, facts, doubts);
    case 'write_stall':
      return judgeView(objective, facts, doubts, judgeStall);
    case 'rpo_transactions':
      return judgeLost(objective, facts, doubts);
    case 'rpo_time':
      if (isMissing(facts.rpo)) return unknown(objective, facts.rpo.notRecorded);
      return byInterval(objective, facts.rpo.rpoTimeMs, doubts, facts.rpo.statement);
    case 'split_brain':
      return judgeSplitBrain(objective, facts, doubts);
    case 'restore_time':
      return judgeRestore(objective, facts, (restore) =>
        byInterval(objective, restore.totalMs, [], `restore "${restore.step}" to ${restore.resolvedTarget}`),
      );
    case 'rebuild_time':
      return judgeRebuild(objective, facts, doubts);
    case 'recovery_point_error':
      return judgeRestore(objective, facts, (restore) => judgeLanding(objective, restore));
    case 'archive_rpo':
      return judgeRestore(objective, facts, (restore) => judgeArchiveLoss(objective, restore));
    case 'commit_p99':
      return judgeCommit(objective, facts, doubts);
    case 'promotions':
      return judgePromotions(objective, facts, doubts);
    case 'rejections':
      return judgeView(objective, facts, doubts, judgeRejections);
    case 'time_to_redundancy':
      return judgeRedundancy(objective, facts, doubts);
    case 'replica_staleness':
      return judgeStaleness(objective, facts, doubts);
    case 'no_safe_candidate':
      return judgeCandidates(objective, facts, doubts);
  }
}

function result(objective: Objective, verdict: Verdict, measured: Interval | null, reason: string): ObjectiveResult {
  const middle = measured === null ? null : (measured.lowMs + measured.highMs) / 2;
  return { objective, verdict, measured: middle, low: measured?.lowMs ?? null, high: measured?.highMs ?? null, reason };
}

function unknown(objective: Objective, reason: string): ObjectiveResult {
  return result(objective, 'inconclusive', null, reason);
}

/** pass: high ≤ target · fail: low > target · marginal otherwise; a doubt turns all but a fail into inconclusive. */
function byInterval(objective: Objective, measured: Interval, doubts: readonly string[], reason: string): ObjectiveResult {
  if (measured.lowMs > objective.target) return result(objective, 'fail', measured, reason);
  const [doubt] = doubts;
  if (doubt !== undefined) return result(objective, 'inconclusive', measured, doubt);
  return result(objective, measured.highMs <= objective.target ? 'pass' : 'marginal', measured, reason);
}

function judgeRto(objective: Objective, rto: Maybe<RtoMeasurement>, doubts: readonly string[]): ObjectiveResult {
  if (isMissing(rto)) return unknown(objective, rto.notRecorded);
  if (rto.rto !== null)
    return byInterval(
      objective,
      rto.rto,
      doubts,
      `${rto.outages.length} outage${rto.outages.length === 1 ? '' : 's'}, from the last success before to recovery`,
    );
  if (rto.outages.length > 0) {
    const atLeast = rto.rtoAtLeastMs ?? 0;
    return atLeastResult(objective, atLeast, `clients had not recovered ${formatMs(atLeast)} after the outage began`);
  }
  if (rto.noOutageAboveMs === null) return unknown(objective, doubts[0] ?? 'nothing was acknowledged in the measured span');
  return byInterval(objective, { lowMs: 0, highMs: rto.noOutageAboveMs }, doubts, `no outage above ${formatMs(rto.noOutageAboveMs)}`);
}

/** An RTO about another span than the headline's. */
function judgeAbout(objective: Objective, facts: DrillFacts, doubts: readonly string[]): ObjectiveResult {
  switch (objective.about) {
    case 'injection':
      return judgeView(objective, facts, doubts, (about, rto, all) =>
        judgeSpan(about, rto, all, ({ fromInjection }) => fromInjection, 'from the injection to recovery'),
      );
    case 'first-ack':
      return judgeView(objective, facts, doubts, (about, rto, all) =>
        judgeSpan(about, rto, all, untilLastFirstAck, 'from the last success before to the first after the last outage'),
      );
    case 'verified':
      return judgeView(objective, facts, doubts, (about, rto, all) =>
        judgeSpan(about, rto, all, ({ untilVerified }) => untilVerified ?? null, 'from the last success before until verified'),
      );
    case 'redundant':
      return judgeRedundancy(objective, facts, doubts);
    case 'declaration':
      return judgeView(objective, facts, doubts, judgeDeclaration);
    case undefined:
      return judgeView(objective, facts, doubts, judgeRto);
  }
}

/** As the headline is judged, where there was no outage or it has not ended; a span that was not observed cannot pass. */
function judgeSpan(
  objective: Objective,
  rto: Maybe<RtoMeasurement>,
  doubts: readonly string[],
  spanOf: (rto: RtoMeasurement) => Interval | null,
  reason: string,
): ObjectiveResult {
  if (isMissing(rto) || rto.outages.length === 0) return judgeRto(objective, rto, doubts);
  const span = spanOf(rto);
  if (span !== null) return byInterval(objective, span, doubts, reason);
  return rto.rto === null ? judgeRto(objective, rto, doubts) : unknown(objective, doubts[0] ?? `not observed: ${reason}`);
}

/** Nothing is judged where nobody declared, not even that there was no outage: the time of people is what this is about. */
function judgeDeclaration(objective: Objective, rto: Maybe<RtoMeasurement>, doubts: readonly string[]): ObjectiveResult {
  if (isMissing(rto)) return unknown(objective, rto.notRecorded);
  const { declared = null, fromDeclaration = null, outages, rtoAtLeastMs } = rto;
  if (declared === null) return unknown(objective, doubts[0] ?? 'nobody declared the incident');
  const [first] = outages;
  if (first === undefined) return judgeRto(objective, rto, doubts);
  if (fromDeclaration !== null) return byInterval(objective, fromDeclaration, doubts, 'from the declaration to recovery');
  if (rto.rto !== null) return unknown(objective, doubts[0] ?? 'the incident was declared after clients had recovered');
  // Clients had surely not recovered so long after the first t0; what lies before the declaration is not part of it.
  const atLeast = Math.max(0, first.t0.highMs + (rtoAtLeastMs ?? 0) - declared.highMs);
  return atLeastResult(objective, atLeast, `clients had not recovered ${formatMs(atLeast)} after the incident was declared`);
}

/** With several outages the first success after the last one counts, as the headline counts the last recovery. */
function untilLastFirstAck({ outages }: RtoMeasurement): Interval | null {
  const [first] = outages;
  const end = outages.at(-1)?.tFirst ?? null;
  if (first === undefined || end === null) return null;
  return { lowMs: Math.max(0, end.lowMs - first.t0.highMs), highMs: Math.max(0, end.highMs - first.t0.lowMs) };
}

function judgeRedundancy(objective: Objective, { redundancy }: DrillFacts, doubts: readonly string[]): ObjectiveResult {
  if (isMissing(redundancy)) return unknown(objective, redundancy.notRecorded);
  if (!redundancy.regained) return unknown(objective, 'redundancy was not regained while the drill lasted');
  if (redundancy.regainedAfterMs === null) return unknown(objective, doubts[0] ?? 'nothing was disrupted, so nothing had to be regained');
  return byInterval(objective, redundancy.regainedAfterMs, doubts, 'until the starting topology stood again');
}

/** Of the standby that was worst off. A standby that did not answer is not stale, it is gone. */
function judgeStaleness(objective: Objective, { replicaStaleness }: DrillFacts, doubts: readonly string[]): ObjectiveResult {
  if (replicaStaleness.length === 0) return unknown(objective, 'no standby answered the sampler while a primary did');
  const lowMs = Math.max(...replicaStaleness.map((replica) => replica.lowMs));
  const highMs = Math.max(...replicaStaleness.map((replica) => replica.highMs ?? Infinity));
  const node = replicaStaleness.find((replica) => (replica.highMs ?? Infinity) === highMs)?.node ?? '';
  if (highMs === Infinity) return atLeastResult(objective, lowMs, `${node} lacked what had been written before anybody watched`);
  return byInterval(objective, { lowMs, highMs }, doubts, `how old the data of ${node} was at worst, as the sampler saw it`);
}

/** Summed over all spans in which no standby was a safe candidate; what lasts still at the end is not known to the end. */
function judgeCandidates(objective: Objective, { noSafeCandidate }: DrillFacts, doubts: readonly string[]): ObjectiveResult {
  if (isMissing(noSafeCandidate)) return unknown(objective, noSafeCandidate.notRecorded);
  const { total, lasting, spans } = noSafeCandidate;
  if (lasting) return atLeastResult(objective, total.lowMs, 'no standby was a safe candidate when the sampler ended');
  const worst = spans.reduce<NoCandidateSpan | null>((most, next) => (next.lowMs > (most?.lowMs ?? 0) ? next : most), null);
  const reason = worst === null ? 'at no look all standbys were unsafe' : `longest for ${formatMs(worst.lowMs)}: ${lacksOf(worst)}`;
  return byInterval(objective, total, doubts, reason);
}

/** `n2 behind, n3 down` */
function lacksOf({ standbys }: NoCandidateSpan): string {
  return standbys.map(({ node, lack }) => `${node} ${CANDIDATE_LACK[lack]}`).join(', ') || 'there was no standby';
}

/** By how much RTO exceeds the upper end of the predicted band: nothing, where it lies within it or below. */
function judgePrediction(objective: Objective, { rto, predicted }: DrillFacts, doubts: readonly string[]): ObjectiveResult {
  if (isMissing(predicted)) return unknown(objective, predicted.notRecorded);
  const whole = judgeRto({ ...objective, target: objective.target + predicted.highMs }, rto, doubts);
  const beyond = (ms: number | null): number | null => (ms === null ? null : Math.max(0, ms - predicted.highMs));
  const reason = `${whole.reason}; predicted are ${formatMs(predicted.lowMs)} to ${formatMs(predicted.highMs)} (${predicted.formula})`;
  return { ...whole, objective, measured: beyond(whole.measured), low: beyond(whole.low), high: beyond(whole.high), reason };
}

/** What lasts still when the measurement ends: a fail once the target has passed, unknown before. */
function atLeastResult(objective: Objective, atLeastMs: number, reason: string): ObjectiveResult {
  const verdict: Verdict = atLeastMs > objective.target ? 'fail' : 'inconclusive';
  return { objective, verdict, measured: null, low: atLeastMs, high: null, reason };
}

type JudgeOne = (objective: Objective, rto: Maybe<RtoMeasurement>, doubts: readonly string[]) => ObjectiveResult;

/** As the writers through the main entry saw it, or through the way in that the objective names. */
function judgeView(objective: Objective, facts: DrillFacts, doubts: readonly string[], judge: JudgeOne): ObjectiveResult {
  const { path } = objective;
  return path === undefined ? judge(objective, facts.rto, doubts) : judgeOther(objective, facts, doubts, { kind: 'write', path }, judge);
}

/** RTO as the readers through the main entry saw it. */
function judgeReads(objective: Objective, facts: DrillFacts, doubts: readonly string[]): ObjectiveResult {
  return judgeOther(objective, facts, doubts, { kind: 'read', path: 'entry' }, judgeRto);
}

/** What makes the measurement of one view doubtful blocks that view's pass only. */
function judgeOther(
  objective: Objective,
  facts: DrillFacts,
  doubts: readonly string[],
  wanted: Pick<ViewMeasurement, 'kind' | 'path'>,
  judge: JudgeOne,
): ObjectiveResult {
  if (isMissing(facts.rto)) return unknown(objective, facts.rto.notRecorded);
  const view = facts.views.find(({ kind, path, client }) => kind === wanted.kind && path === wanted.path && client === 'tuned');
  const through = wanted.path === 'entry' ? 'the main entry' : wanted.path;
  if (view === undefined) return unknown(objective, `no ${wanted.kind}s were probed through ${through}`);
  const whose = wanted.path === 'entry' ? `${wanted.kind}s` : wanted.path;
  const own = [...view.rto.inconclusive, ...view.rto.contradictions].map((text) => `${whose}: ${text}`);
  return judge(objective, view.rto, [...doubts, ...own]);
}

/** How often a node took writes on a timeline above every one before, by what the nodes themselves said. */
function judgePromotions(objective: Objective, { nodeSpans }: DrillFacts, doubts: readonly string[]): ObjectiveResult {
  const primaries = nodeSpans
    .flatMap(({ node, role, timeline, fromMs }) => (role === 'primary' && timeline !== null ? [{ node, timeline, fromMs }] : []))
    .sort((a, b) => a.fromMs - b.fromMs);
  const [first, ...later] = primaries;
  if (first === undefined) return unknown(objective, 'no node was ever seen as primary');
  let highest = first.timeline;
  const seen: string[] = [];
  for (const { node, timeline } of later) {
    if (timeline > highest) seen.push(`${node} on timeline ${timeline}`);
    highest = Math.max(highest, timeline);
  }
  return byCount(objective, seen.length, doubts, seen.length === 0 ? 'nobody was promoted' : `promoted: ${seen.join(', ')}`);
}

/** Writes that a server refused: one that only reads says so at once, and whoever is led there again is refused again. */
function judgeRejections(objective: Objective, rto: Maybe<RtoMeasurement>, doubts: readonly string[]): ObjectiveResult {
  if (isMissing(rto)) return unknown(objective, rto.notRecorded);
  const { acked, rejected } = rto.counts;
  return byCount(objective, rejected, doubts, `${rejected} writes were refused, ${acked} acknowledged`);
}

function byCount(objective: Objective, measured: number, doubts: readonly string[], reason: string): ObjectiveResult {
  const band = { measured, low: measured, high: measured };
  if (measured > objective.target) return { objective, verdict: 'fail', ...band, reason };
  const [doubt] = doubts;
  return doubt === undefined
    ? { objective, verdict: 'pass', ...band, reason }
    : { objective, verdict: 'inconclusive', ...band, reason: doubt };
}

/** The longest time without an acknowledged write, whether writes failed in it or were merely late. */
function judgeStall(objective: Objective, rto: Maybe<RtoMeasurement>, doubts: readonly string[]): ObjectiveResult {
  if (isMissing(rto)) return unknown(objective, rto.notRecorded);
  if (rto.counts.acked === 0) return unknown(objective, doubts[0] ?? 'no write was acknowledged in the measured span');
  const { longestStallMs, starvedMs } = rto;
  // As much of a stall as the prober was starved for may have been the prober's own.
  let longest: Interval = { lowMs: Math.max(0, longestStallMs - starvedMs), highMs: longestStallMs };
  for (const { down } of rto.outages) {
    if (down === null) continue;
    longest = { lowMs: Math.max(longest.lowMs, down.lowMs), highMs: Math.max(longest.highMs, down.highMs) };
  }
  const [first] = rto.outages;
  const last = rto.outages.at(-1);
  if (first !== undefined && last !== undefined && last.down === null) {
    // The first outage has lasted for `rtoAtLeastMs`; the last, which has seen no write since, began later by what lies between them.
    const atLeast = Math.max(longest.lowMs, (rto.rtoAtLeastMs ?? 0) + first.t0.highMs - last.t0.highMs);
    return atLeastResult(objective, atLeast, `no write was acknowledged any more, for at least ${formatMs(atLeast)}`);
  }
  return byInterval(objective, longest, doubts, 'the longest time without an acknowledged write');
}

/** A write in doubt that vanished broke no promise: it is reported as the band's upper end, and not judged. */
function judgeLost(objective: Objective, facts: DrillFacts, doubts: readonly string[]): ObjectiveResult {
  const { rpo } = facts;
  if (isMissing(rpo)) return unknown(objective, rpo.notRecorded);
  const band = { measured: rpo.lost, low: rpo.lost, high: rpo.lost + rpo.indeterminateVanished };
  if (rpo.lost > objective.target) return { objective, verdict: 'fail', ...band, reason: rpo.statement };
  const [doubt] = rpo.acked === 0 ? ['no write was acknowledged, so none could be lost'] : doubts;
  return doubt === undefined
    ? { objective, verdict: 'pass', ...band, reason: rpo.statement }
    : { objective, verdict: 'inconclusive', ...band, reason: doubt };
}

/** Between two looks of the sampler nobody knows: each moment may have begun and ended as much earlier and later. */
const UNSEEN_MS = 2 * (1_000 / SAMPLER_HZ);

/** Summed over all moments. Writes that were acknowledged by an old primary fail the drill besides, however short it was. */
function judgeSplitBrain(objective: Objective, { rto, splitBrain }: DrillFacts, doubts: readonly string[]): ObjectiveResult {
  if (isMissing(rto)) return unknown(objective, rto.notRecorded);
  const lowMs = splitBrain.reduce((sum, { from, to }) => sum + Math.max(0, to.lowMs - from.highMs), 0);
  const highMs = splitBrain.reduce((sum, { from, to }) => sum + to.highMs - from.lowMs + UNSEEN_MS, 0);
  const pairs = [...new Set(splitBrain.map(({ nodes }) => nodes.join(' and ')))];
  return byInterval(
    objective,
    { lowMs, highMs },
    doubts,
    pairs.length === 0 ? 'at no sampled instant were two nodes writable' : `${pairs.join(', ')} were writable at the same time`,
  );
}

/** Of the step named, or the worst of all restores. Clients play no part in a sandbox, so doubts about their measurement do not touch it. */
function judgeRestore(objective: Objective, facts: DrillFacts, judge: (restore: RestoreRecord) => ObjectiveResult): ObjectiveResult {
  const about = facts.restores.filter((restore) => objective.step === null || restore.step === objective.step);
  const results = about.map(judge);
  const worst = results.find((r) => r.verdict === worstVerdict(results.map((each) => each.verdict)));
  return worst ?? unknown(objective, objective.step === null ? 'nothing was restored' : `step "${objective.step}" restored nothing`);
}

function judgeRebuild(objective: Objective, { rebuilds = [] }: DrillFacts, doubts: readonly string[]): ObjectiveResult {
  const found = rebuilds.find(({ step }) => step === objective.step);
  if (found === undefined) return unknown(objective, doubts[0] ?? `step "${objective.step ?? ''}" made no standby anew`);
  const { lowMs, highMs } = found;
  if (highMs === null)
    return atLeastResult(objective, lowMs, `the standby did not stream ${formatMs(lowMs)} after the order to make it anew`);
  return byInterval(objective, { lowMs, highMs }, doubts, 'from the order to make the standby anew until it streamed');
}

function judgeLanding(objective: Objective, restore: RestoreRecord): ObjectiveResult {
  if (objective.unit !== 'tx') return unknown(objective, `recovery_point_error is measured in transactions, not in ${objective.unit}`);
  const error = restore.under + restore.over;
  const reason = `${restore.under} missing, ${restore.over} too many, of ${restore.ledgerBefore} ledger writes before the target`;
  if (error > objective.target) return { objective, verdict: 'fail', measured: error, low: error, high: error, reason };
  const verdict: Verdict = restore.ledgerBefore === 0 ? 'inconclusive' : 'pass';
  return {
    objective,
    verdict,
    measured: error,
    low: error,
    high: error,
    reason: restore.ledgerBefore === 0 ? 'no ledger write had to be there' : reason,
  };
}

function judgeArchiveLoss(objective: Objective, { step, archiveLoss }: RestoreRecord): ObjectiveResult {
  if (archiveLoss === undefined) return unknown(objective, `restore "${step}" could not be compared with the ledger`);
  const { transactions, ms } = archiveLoss;
  const reason = `${transactions} acknowledged writes, over ${formatMs(ms)}, are not in what the archive gives back`;
  return byInterval(objective, { lowMs: ms, highMs: ms }, [], reason);
}

/** Judged while the fault stands if any write succeeded then, else after it, else before it. */
function judgeCommit(objective: Objective, facts: DrillFacts, doubts: readonly string[]): ObjectiveResult {
  if (isMissing(facts.rto)) return unknown(objective, facts.rto.notRecorded);
  const { latencies } = facts.rto;
  const phase = (['during', 'after', 'before'] as const)
    .map((name) => latencies.find((each) => each.phase === name))
    .find((each) => each?.latency != null);
  if (phase?.latency == null) return unknown(objective, 'no write was acknowledged');
  const { p99Ms, count } = phase.latency;
  return byInterval(objective, { lowMs: p99Ms, highMs: p99Ms }, doubts, `p99 of ${count} commits ${phase.phase} the fault`);
}
