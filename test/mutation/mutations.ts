/**
 * Ways in which the judgement could silently become wrong: each one changes a line of the judge, the join or the verdict, and each must make a test
 * fail. Mutants that mean the same as the original have no place here. When a line is rewritten, its mutants are rewritten with it.
 */
export interface Mutation {
  /** Relative to the checkout. */
  readonly file: string;
  /** Stands in the file exactly once. */
  readonly find: string;
  readonly replace: string;
  readonly what: string;
}

const of =
  (file: string) =>
  (what: string, find: string, replace: string): Mutation => ({ file, find, replace, what });

const outages = of('probe/outages.ts');
const recovery = of('probe/recovery.ts');
const judge = of('probe/judge.ts');
const ops = of('probe/ops-table.ts');
const segments = of('probe/segments.ts');
const starvation = of('probe/starvation.ts');
const nodes = of('probe/nodes.ts');
const join = of('probe/join.ts');
const attempts = of('probe/attempts.ts');
const survivors = of('probe/survivor-counts.ts');
const restore = of('probe/restore-compare.ts');
const verdict = of('probe/verdict.ts');
const outcome = of('probe/outcome.ts');
const percentiles = of('probe/percentiles.ts');
const staleness = of('probe/staleness.ts');
const candidates = of('probe/candidates.ts');

export const MUTATIONS: readonly Mutation[] = [
  staleness('what lies at the same position is past it', 'a.lsn > b.lsn', 'a.lsn >= b.lsn'),
  staleness('a timeline says nothing', 'a.timeline === b.timeline ?', 'a.timeline > 0 ?'),
  staleness(
    'a standby is stale while nobody writes',
    'standby.lowMs - newest.highMs > PRIMARY_SILENT_MS',
    'standby.lowMs - newest.highMs > 1e9',
  ),
  staleness(
    'a failover’s silence counts',
    'const wasSilent = passed.lowMs - held.highMs > PRIMARY_SILENT_MS;',
    'const wasSilent = passed.lowMs < 0;',
  ),
  staleness(
    'the newest age counts, not the worst',
    '{ ...(now.highMs > before.highMs ? now : before), lowMs, highMs: Math.max(before.highMs, now.highMs) }',
    'now',
  ),
  staleness('an old primary is a measure', '|| !isPast(newest, look)', '|| look.lsn > 0n'),
  judge('the newest look before a declaration counts, though nobody confirmed it', 'asked.at(-2) ?? asked[0]', 'asked.at(-1)'),
  judge('looks after the answer count', 'r.subject === done.subject && r.atNs <= done.atNs', 'r.subject === done.subject'),
  judge('a declaration after recovery takes no time', 'declared.lowMs < recovered.highMs ?', 'declared.lowMs < Infinity ?'),
  verdict(
    'time before the declaration counts',
    'first.t0.highMs + (rtoAtLeastMs ?? 0) - declared.highMs',
    'first.t0.highMs + (rtoAtLeastMs ?? 0) - first.t0.highMs',
  ),
  verdict(
    'where nobody declared, no outage passes',
    "if (declared === null) return unknown(objective, doubts[0] ?? 'nobody declared the incident');",
    "if (declared === null && rto.rto !== null) return unknown(objective, 'nobody declared the incident');",
  ),
  verdict(
    'what lasts is judged as if it were over',
    'if (lasting) return atLeastResult(',
    'if (lasting && total.lowMs < 0) return atLeastResult(',
  ),
  candidates('a standby at the row of a write has it', "position > acked ? 'safe'", "position >= acked ? 'safe'"),
  candidates('what is under way counts', '> MISSING_MS ? askedMs : before.lowMs', '> MISSING_MS ? askedMs : askedMs'),
  candidates('a silent primary asks for no more than it did', '> MISSING_MS ? askedMs : before.lowMs', '> 1e9 ? askedMs : before.lowMs'),
  candidates(
    'an older timeline is unknown',
    "timeline < before.timeline ? 'timeline' : 'unknown'",
    "timeline < 0 ? 'timeline' : 'unknown'",
  ),
  candidates(
    'without a write, behind is proven',
    "position >= before.lsn ? 'safe' : 'unknown'",
    "position >= before.lsn ? 'safe' : 'behind'",
  ),
  candidates(
    'gaps between looks do not count',
    'look.lowMs - (before?.highMs ?? 0) > MISSING_MS',
    'look.lowMs - (before?.highMs ?? 0) > 1e9',
  ),
  candidates('one unsafe standby suffices', '.reduce((both, next) => overlaps(both, next), [within]);', '.flat();'),
  candidates(
    'the last look of all says nothing of the end',
    '<= MISSING_MS) open.toMs = endMs;',
    '<= MISSING_MS) open.toMs = open.toMs + 0;',
  ),
  judge(
    'the first verification counts',
    "findLast((r) => r.name === 'verified' && r.phase === 'done')",
    "find((r) => r.name === 'verified' && r.phase === 'done')",
  ),
  judge(
    'a verification before the outage counts',
    ' || first === null || done.atNs / 1e6 < first.t0.lowMs) return null',
    ' || first === null) return null',
  ),
  verdict(
    'the first of several outages ends the time to the first write',
    'const end = outages.at(-1)?.tFirst ?? null;',
    'const end = outages[0]?.tFirst ?? null;',
  ),
  verdict(
    'what was not observed passes',
    'return rto.rto === null ? judgeRto(objective, rto, doubts) : unknown(',
    'return rto.rto !== null ? judgeRto(objective, rto, doubts) : unknown(',
  ),
  outages('an outage of exactly 2δ counts', 'end - start > 2 * rules.periodMs', 'end - start >= 2 * rules.periodMs'),
  outages('the 2δ rule is dropped', 'end - start > 2 * rules.periodMs', 'end > start'),
  outages('the 2δ rule is a δ rule', 'end - start > 2 * rules.periodMs', 'end - start > rules.periodMs'),
  outages('excused operations count as failures', 'state === ACKED || state === EXCUSED ||', 'state === ACKED ||'),
  outages('late successes count as failures', 'state === ACKED || state === EXCUSED ||', 'state === EXCUSED ||'),
  outages('a span without any failure is an outage', 'span.inside.length === 0 ? [] :', 'span.at < 0 ? [] :'),
  outages('what is due at the end of an outage belongs to it', '(spans[first] as Span).end <= due', '(spans[first] as Span).end < due'),
  outages('what ended at its start belongs to it', 'span.start < done', 'span.start <= done'),
  outages('a failure in no outage is forgotten', 'else outside += 1', 'else outside += 0'),
  outages('acknowledgements outside the measured span count', 'done >= rules.fromMs && done <= rules.toMs', 'done >= 0'),
  outages('t0 begins with what was sent first', 'newest = Math.max(newest, ops.sent[op] as number);', 'newest = ops.sent[op] as number;'),
  outages('t0 begins δ late', 'lowMs: newestSent(ops, acks, span)', 'lowMs: newestSent(ops, acks, span) + rules.periodMs'),
  outages('t0 ends δ early', 'highMs: Math.max(high, start)', 'highMs: Math.max(high, start) - rules.periodMs'),
  outages('t0 ends with the last acknowledgement', 'highMs: Math.max(high, start)', 'highMs: start'),
  outages('t0 ends with the first acknowledgement after', 'highMs: Math.max(high, start)', 'highMs: end'),
  outages('only the deadline tells of silence', 'errorMs <= silentMs + RUSH_MS ? errorMs : silentMs', 'errorMs'),
  outages('an answer is overdue at once', 'return USUAL_MARGIN * longest + rules.periodMs;', 'return 0;'),
  outages(
    'lost connections tell nothing of the beginning',
    "if (event === 'opened' || endedMs <= start) continue;",
    "if (event !== 'failed' || endedMs <= start) continue;",
  ),
  outages(
    'an opened connection tells of an outage',
    "if (event === 'opened' || endedMs <= start) continue;",
    'if (endedMs <= start) continue;',
  ),
  outages('a lost connection was a failed attempt', "if (event === 'failed' && startedMs < end)", 'if (startedMs < end)'),
  outages('failed attempts after the first success bound t_first', "event === 'failed' && startedMs < end", "event === 'failed'"),
  outages('failed writes do not bound t_first', 'if (sent < end) lastFailedAttemptMs', 'if (sent < start) lastFailedAttemptMs'),
  outages(
    't_first begins with the first success',
    '{ lowMs: Math.min(Math.max(lastFailedAttemptMs, hungUntilMs(ops, rules, acks, span, usualMs)), end), highMs: end }',
    '{ lowMs: end, highMs: end }',
  ),
  outages(
    'a silence that was answered lasted to the answer',
    'return answered || opened ? end - rushMs - rules.starvation.withinMs(end - rushMs, end) : -Infinity;',
    'return answered || opened ? end : -Infinity;',
  ),
  outages(
    'what hung says nothing of the end',
    'return answered || opened ? end - rushMs - rules.starvation.withinMs(end - rushMs, end) : -Infinity;',
    'return -Infinity;',
  ),
  outages(
    'what the prober spoilt bounds t_first and t0',
    'return starvedMs > 0 && toMs - fromMs - starvedMs <= usualMs;',
    'return starvedMs < 0;',
  ),
  outages(
    'the slightest lateness of the prober spoils everything',
    'return starvedMs > 0 && toMs - fromMs - starvedMs <= usualMs;',
    'return starvedMs > 0;',
  ),
  outages('an error that the prober spoilt was the first', 'Math.max(beginsBy(firstErrorMs), beginsBy(', '(beginsBy('),
  outages('an answer noticed late was given late', ' - rules.starvation.withinMs(end - rushMs, end) :', ' :'),
  outages('a killed prober proves an outage', 'isPending: span.isLast &&', 'isPending: !span.isLast &&'),

  recovery('a window may end after the ledger', 'startMs + steady.recoveryWindowMs > toMs', 'startMs > toMs'),
  recovery(
    'a window that ends with the ledger is not enough',
    'startMs + steady.recoveryWindowMs > toMs',
    'startMs + steady.recoveryWindowMs >= toMs',
  ),
  recovery('the window holds one operation more', '(ops.due[to] as number) < startMs', '(ops.due[to] as number) <= startMs'),
  recovery('failures in the window do not matter', 'acked >= successRatio * total &&', 'acked >= 0 &&'),
  recovery('as many failures as the plan allows are too many', 'acked >= successRatio * total', 'acked > successRatio * total'),
  recovery('latency does not matter', ' && quick >= Math.ceil(0.99 * acked)', ''),
  recovery('every write must be quick', 'Math.ceil(0.99 * acked)', 'acked'),
  recovery('the limit itself is too slow', 'isAcked && done - due <= limitP99Ms', 'isAcked && done - due < limitP99Ms'),
  recovery('latency counts as if the prober had never been late', 'isAcked && done - due <= limitP99Ms', 'mayBeQuick'),
  recovery('what the prober could not send disproves a window', 'ops.state[op] === EXCUSED ||', ''),
  recovery('the prober’s lateness is the database’s latency', 'done - due - starvedMs <= limitP99Ms', 'done - due <= limitP99Ms'),
  recovery('excused operations count', 'if (ops.state[op] !== EXCUSED) add(seen', 'if (op >= 0) add(seen'),
  recovery(
    'a write acknowledged before the first success begins a window',
    '|| (ops.done[from] as number) < firstAckMs) continue',
    ') continue',
  ),
  recovery('t_rec is certain from its first window on', 'if (isCertain) lowMs = Math.max(lowMs, startMs);', ''),
  recovery(
    't_rec begins after its own window',
    'if (isCertain) lowMs = Math.max(lowMs, startMs);',
    'if (isCertain) lowMs = Math.max(lowMs, startMs + 5);',
  ),
  recovery('a window that the prober spoiled disproves', 'isCertain &&= !isGood(best, steady);', ''),
  recovery(
    'clients that never recovered had recovered',
    'return { lowMs: toMs, highMs: null };',
    'return { lowMs: gap.t0.highMs, highMs: null };',
  ),

  judge('starved spans do not widen', 'highMs = Math.max(highMs, toNs / 1e6);', ''),
  judge('starved spans widen one way only', 'lowMs = Math.min(lowMs, fromNs / 1e6);', ''),
  judge(
    'a starved span that only touches does not widen',
    'fromNs / 1e6 > highMs || toNs / 1e6 < lowMs',
    'fromNs / 1e6 >= highMs || toNs / 1e6 <= lowMs',
  ),
  judge(
    'differences forget the bounds',
    'lowMs: Math.max(0, a.lowMs - b.highMs), highMs: Math.max(0, a.highMs - b.lowMs)',
    'lowMs: Math.max(0, a.lowMs - b.lowMs), highMs: Math.max(0, a.highMs - b.highMs)',
  ),
  judge(
    'the RTO ends with the first recovery',
    'highMs: Math.max(...ends.map((end) => end.highMs))',
    'highMs: Math.min(...ends.map((end) => end.highMs))',
  ),
  judge('one recovery is enough', 'if (ends.length < outages.length)', 'if (ends.length === 0)'),
  judge('what is not proven proves an RTO', 'const proven = followed.filter((each) => each.proven);', 'const proven = followed;'),
  judge('a starved outage is proven', 'proven: !gap.isPending && !(isBlurred && down?.lowMs === 0)', 'proven: !gap.isPending'),
  judge(
    'the baseline may end before the fault',
    'const baselineEnd = Math.max(retakenMs ?? 0, first ?? 0) ||',
    'const baselineEnd = (retakenMs ?? 0) ||',
  ),
  judge(
    'a baseline taken again is ignored',
    'const baselineEnd = Math.max(retakenMs ?? 0, first ?? 0) ||',
    'const baselineEnd = (first ?? 0) ||',
  ),
  judge(
    'excused operations count as due',
    "if (state === undefined || state === 'excused') continue;",
    'if (state === undefined) continue;',
  ),
  judge(
    'latency counts from sending',
    "if (state === 'acked') latencies.push((ops.done[op] as number) - (ops.due[op] as number));\n  }\n  return { due",
    "if (state === 'acked') latencies.push((ops.done[op] as number) - (ops.sent[op] as number));\n  }\n  return { due",
  ),
  judge(
    'the recovery limit is the lower of both',
    'Math.max(steady.recoveryFactor * baselineP99Ms, steady.recoveryFloorMs)',
    'Math.min(steady.recoveryFactor * baselineP99Ms, steady.recoveryFloorMs)',
  ),
  judge(
    'starvation does not raise what "no outage above" says',
    'Math.max(2 * periodMs, longestStarved + 2 * periodMs * Number(longestStarved > 0))',
    '2 * periodMs',
  ),
  judge('nothing acknowledged is no outage', 'outages.length === 0 && measured.acked > 0', 'outages.length === 0'),
  judge('an outage that goes on adds nothing to the down time', 'if (down === null) return null;', 'if (down === null) continue;'),
  judge('a fault that did not bite is no doubt', 'if (!fault.confirmed)', 'if (!fault.confirmed && fault.endedEarly)'),
  judge('a fault that ended early is no doubt', 'if (fault.endedEarly)', 'if (fault.endedEarly && !fault.confirmed)'),
  judge('a missing receipt is no doubt', 'if (!frame.injections.some((i) => i.step === fault.step))', 'if (frame.injections.length > 9)'),
  judge('an unsteady baseline is no doubt', 'baseline.acked / baseline.due < steady.successRatio', 'baseline.acked / baseline.due < 0'),
  judge('a slow baseline is no doubt', 'baselineP99Ms > steady.maxP99Ms', 'baselineP99Ms > 1e9'),
  judge('no baseline is no doubt', "found.push('no baseline was measured')", "void 'no baseline was measured'"),
  judge('an outage before the fault is no doubt', 'firstOutage.t0.highMs < firstInjection.at.lowMs', 'firstOutage.t0.highMs < 0'),
  judge(
    'never recovered is no doubt',
    'const open = outages.find((outage) => outage.tRec === null);',
    'const open = outages.find((outage) => outage.tRec === null && outages.length > 9);',
  ),
  judge(
    'starvation is no doubt',
    'starvedMs > MAX_STARVED_SHARE * spanMs || longestStarved > settings.clientDeadlineMs',
    'starvedMs > spanMs',
  ),
  judge('an absent prober is no doubt', 'if (absent > MAX_SILENCE_MS)', 'if (absent > 1e9)'),
  judge('too few writes are no doubt', 'writesDue < settings.minWritesDue', 'writesDue < 0'),
  judge('one write more than required is required', 'writesDue < settings.minWritesDue', 'writesDue <= settings.minWritesDue'),
  judge('lost availability cannot contradict', 'if (lossMs > rto.highMs + 2 * periodMs)', 'if (lossMs > 1e12)'),

  ops('what the prober could not send is the database’s fault', "entry.cause === 'starved' ? EXCUSED : MISSED", 'MISSED'),
  ops('what was missed is the prober’s fault', "entry.cause === 'starved' ? EXCUSED : MISSED", 'EXCUSED'),
  ops(
    'an intent without an outcome is forgotten',
    'this.of(stream).columns.push(due, sent, Infinity, INDETERMINATE);',
    'void [stream, due, sent];',
  ),
  ops(
    'an intent without an outcome was acknowledged',
    'columns.push(due, sent, Infinity, INDETERMINATE)',
    'columns.push(due, sent, due, ACKED)',
  ),
  ops('an outcome may come twice', 'open.delete(seq);', ''),

  starvation('starved spans count whole', 'Math.min(atMs, this.to[at] as number)', '(this.to[at] as number)'),
  starvation('only the newest starved span counts', '(this.before[at] as number) + Math.min', 'Math.min'),

  segments('a boundary out of order makes a segment', 'to.highMs < from.lowMs ||', ''),
  segments('segments forget the bounds', 'lowMs: Math.max(0, to.lowMs - from.highMs)', 'lowMs: Math.max(0, to.highMs - from.highMs)'),
  segments('an intent is a boundary', "within.find((r) => r.phase === 'done')", 'within[0]'),
  segments('the newest intent counts', "within.find((r) => r.phase === 'about-to'", "within.findLast((r) => r.phase === 'about-to'"),
  segments('the look that saw it was in vain', 'looks.at(-2)', 'looks.at(-1)'),
  segments('receipts of another outage count', 'r.atNs / 1e6 >= t0.lowMs && r.atNs / 1e6 <= tRec.highMs', 'r.atNs >= 0'),
  segments('the sampler is not asked about a promotion', "if (name !== 'promote') return byReceipt;", 'return byReceipt;'),

  nodes('a promotion needs no higher timeline', 'sample.timeline > highest', 'sample.timeline >= highest'),
  nodes('a promotion began with its own answer', 'lowMs: before.get(sample.node) ?? 0', 'lowMs: ms(sample.askedNs)'),
  nodes('writable bounds must do more than touch', 'if (lowMs > highMs) continue;', 'if (lowMs >= highMs) continue;'),
  nodes('split brain needs a standby', "run.role === 'primary')", "run.role === 'standby')"),
  nodes('a new timeline is another node', '({ ...sample, timeline: null })', '({ ...sample })'),
  nodes('the controller’s own choice is unlocked', 'if (run.node === holder) continue;', ''),
  nodes('the controller’s silence is a word', 'if (error !== null) continue;', ''),
  nodes('one answer of the controller is enough', 'if (from.highMs < to.lowMs) spans.push', 'if (from.lowMs < to.highMs) spans.push'),

  join(
    'writes in doubt count as lost',
    'else if (copies > 0) this.indeterminateCommitted += 1;',
    'else if (copies > 0) this.indeterminateCommitted += 1;\n    else if (copies === 0) this.lost += 1;',
  ),
  join('writes in doubt count as acknowledged', 'if (outcome === ACKED) this.addAcked', 'if (outcome !== REJECTED) this.addAcked'),
  join('duplicates are ignored', 'if (copies > 1) this.duplicates += copies - 1;', ''),
  join('a duplicate counts all its copies', 'this.duplicates += copies - 1', 'this.duplicates += copies'),
  join(
    'rejected rows that are present are ignored',
    'this.rejectedPresent + this.rows.rows - this.explained',
    'this.rows.rows - this.explained',
  ),
  join('rows that nobody wrote are ignored', 'this.rejectedPresent + this.rows.rows - this.explained', 'this.rejectedPresent'),
  join('holes are ignored', 'if (counts.lost > 0) await visitAttempts', 'if (counts.lost > 1e9) await visitAttempts'),
  join('writes that overlapped in time make a hole', 'doneNs >= this.counts.forkOf(timeline).lastKeptSentNs', 'doneNs >= Infinity'),
  join('a kept write of any outcome makes a hole', 'if (outcome !== ACKED || doneNs', 'if (doneNs'),
  join('split-brain writes are ignored', 'sentNs / 1e6 > fork.succeededMs', 'sentNs / 1e6 > 1e15'),
  join('the newest lost write dates the loss', 'doneNs < this.oldestLost.doneNs', 'doneNs > this.oldestLost.doneNs'),

  attempts(
    'a write without an outcome was acknowledged',
    'visitor.attempt(this.stream, seq, INDETERMINATE, this.sent[slot] as number',
    'visitor.attempt(this.stream, seq, ACKED, this.sent[slot] as number',
  ),
  survivors('every row that is present is there once', 'page[slot] = copies + 1', 'page[slot] = 1'),
  survivors('rows beyond what was attempted are not counted', 'this.rows += 1;\n    if (!(seq', 'if (!(seq'),

  restore(
    'what is in doubt must be there',
    "if (outcome === INDETERMINATE) return 'either';",
    "if (outcome === INDETERMINATE) return 'present';",
  ),
  restore('what was rejected may be there', "if (outcome === REJECTED) return 'absent';", "if (outcome === REJECTED) return 'either';"),
  restore(
    'what came after the damage may be there',
    "if (sentNs > this.doneNs) return 'absent';",
    "if (sentNs > this.doneNs) return 'either';",
  ),
  restore('concurrent writes must be there', "xid >= 0 ? 'absent' : 'unsettled';", "xid >= 0 ? 'absent' : 'present';"),
  restore(
    'where the archive ends, what it lacks must be there',
    "xid >= 0 ? 'absent' : 'unsettled';",
    "xid >= 0 ? 'present' : 'unsettled';",
  ),
  restore('WAL’s order is ignored', "if (this.after.has(xid % 2 ** 32)) return 'absent';", ''),
  restore('rows that nobody wrote are ignored', 'over: judged.over + foreign.count', 'over: judged.over'),
  restore('missing rows are not missing', 'this.under += 1;', 'this.under += 0;'),

  verdict(
    'RTO is held against the lower end of what was predicted',
    'target: objective.target + predicted.highMs',
    'target: objective.target + predicted.lowMs',
  ),
  verdict('all of RTO lies beyond what was predicted', 'Math.max(0, ms - predicted.highMs)', 'ms'),
  verdict(
    'inconclusive is better than marginal',
    "['pass', 'marginal', 'inconclusive', 'fail']",
    "['pass', 'inconclusive', 'marginal', 'fail']",
  ),
  verdict('a fail is not the worst', "['pass', 'marginal', 'inconclusive', 'fail']", "['pass', 'marginal', 'fail', 'inconclusive']"),
  verdict('passes while inconclusive', "return result(objective, 'inconclusive', measured, doubt);", 'void doubt;'),
  verdict('doubts do not reach the drill', "if (doubts.length > 0) verdicts.push('inconclusive');", ''),
  verdict('failures do not reach the drill', "if (failures.length > 0) verdicts.push('fail');", ''),
  verdict('the target itself fails', 'measured.lowMs > objective.target', 'measured.lowMs >= objective.target'),
  verdict('a pass needs only the lower bound', 'measured.highMs <= objective.target', 'measured.lowMs <= objective.target'),
  verdict(
    'a doubt excuses a fail',
    "if (measured.lowMs > objective.target) return result(objective, 'fail', measured, reason);\n  const [doubt] = doubts;",
    "const [doubt] = doubts;\n  if (doubt === undefined && measured.lowMs > objective.target) return result(objective, 'fail', measured, reason);",
  ),
  verdict('a lost write more is allowed', 'if (rpo.lost > objective.target)', 'if (rpo.lost > objective.target + 1)'),
  verdict('writes in doubt are judged', 'if (rpo.lost > objective.target)', 'if (rpo.lost + rpo.indeterminateVanished > objective.target)'),
  verdict(
    'holes are no failure',
    'if (!isMissing(facts.rpo) && facts.rpo.holes > 0)',
    'if (!isMissing(facts.rpo) && facts.rpo.holes > 1e9)',
  ),
  verdict('split brain is allowed without being asked for', 'allowed ? [] : facts.splitBrain', 'allowed ? facts.splitBrain : []'),
  verdict('what the sampler may have missed is not counted', 'to.highMs - from.lowMs + UNSEEN_MS', 'to.highMs - from.lowMs'),
  verdict('split-brain writes are no failure', 'if (splitBrainWrites > 0)', 'if (splitBrainWrites > 1e9)'),
  verdict('a loss that no objective allows is no failure', 'if (lost > 0 && !judged)', 'if (lost > 1e9 && !judged)'),
  verdict('redundancy need not be regained', '!facts.redundancy.regained', 'facts.redundancy.regained && false'),
  verdict(
    'a failed verification is no failure',
    'for (const check of facts.verification) {\n    if (!check.ok)',
    'for (const check of facts.verification) {\n    if (check.ok && false)',
  ),
  verdict('contradictions are no doubt', '...facts.rto.contradictions.map((text) => `contradiction: ${text}`)', ''),
  verdict('duplicates are no doubt', 'if (facts.rpo.duplicates > 0)', 'if (facts.rpo.duplicates > 1e9)'),
  verdict('phantoms are no doubt', 'if (facts.rpo.phantoms > 0)', 'if (facts.rpo.phantoms > 1e9)'),
  verdict(
    'an expired lease is no doubt',
    "fault.endedBy === 'expired' || fault.endedBy === 'reconciled'",
    "fault.endedBy === 'reconciled'",
  ),
  verdict('clients by any way count', "kind === wanted.kind && path === wanted.path && client === 'tuned'", 'kind === wanted.kind'),
  verdict('a view’s own doubts are ignored', 'judge(objective, view.rto, [...doubts, ...own])', 'judge(objective, view.rto, doubts)'),
  verdict('a promotion more is allowed', 'if (measured > objective.target)', 'if (measured > objective.target + 1)'),
  verdict('a primary that is back was promoted', 'timeline > highest', 'timeline >= highest'),
  verdict('a write stall is judged by its lower bound', 'highMs: longestStallMs };', 'highMs: Math.max(0, longestStallMs - starvedMs) };'),

  outcome(
    'a session that ended rejected the write',
    "if (word.severity === 'FATAL' || word.severity === 'PANIC') return 'indeterminate';",
    '',
  ),
  outcome('57P0x is a rejection', "word.sqlstate.startsWith('57P0') || ", ''),
  outcome('40003 is a rejection', " || word.sqlstate === '40003'", ''),
  outcome(
    'a broken connection rejected the write',
    "if (word.sqlstate === null) return 'indeterminate';",
    "if (word.sqlstate === null) return 'rejected';",
  ),
  outcome('every rejection is in doubt', "return 'rejected';", "return 'indeterminate';"),
  outcome(
    'a cancelled sync wait is an acknowledgement',
    "notice.sqlstate === '01000' && notice.routine === 'SyncRepWaitForLSN'",
    "notice.sqlstate === '01001'",
  ),
  outcome('any warning is a cancelled sync wait', " && notice.routine === 'SyncRepWaitForLSN'", ''),

  percentiles('percentiles are one rank too low', 'Math.ceil(q * sorted.length) - 1', 'Math.floor(q * sorted.length) - 1'),
  percentiles('percentiles are one rank too high', 'Math.ceil(q * sorted.length) - 1', 'Math.ceil(q * sorted.length)'),
  percentiles('percentiles are of data in any order', 'Float64Array.from(latenciesMs).sort()', 'Float64Array.from(latenciesMs)'),
];
