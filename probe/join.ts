/**
 * RPO: joins the ledger with the rows that survived on the healed primary. The rows are counted first, a byte each, and then the ledger is walked once
 * (and once more for holes, if anything was lost): memory holds those bytes and what is in flight, whatever was lost. It counts; whether the count is
 * acceptable is the verdict's business.
 */
import type { Interval, RpoMeasurement } from '../model/measurement';
import { ACKED, REJECTED, surveyLedger, visitAttempts, type AttemptVisitor } from './attempts';
import type { RowBatch } from './copy-out';
import { ledgerIn, type LedgerSource } from './ledger-reader';
import { promotions, type Promotion } from './nodes';
import { FirstRows, SurvivorCounts } from './survivor-counts';

const SAMPLE_LIMIT = 20;

export interface JoinInfo {
  /** End of the last acknowledged write before the outage (ms since the prober's start); null: there was no outage. */
  readonly t0: Interval | null;
  /** Value of synchronous_commit under which the writes were acknowledged. */
  readonly synchronousCommit: string;
  /** Node that was read. */
  readonly joinedOn: string;
  readonly replicas: RpoMeasurement['replicas'];
  /** Old primary's last durable LSN − fork LSN, in bytes as a decimal string; null: unknown. */
  readonly rpoBytes: string | null;
}

/** Survivors may come in any order, duplicates included. Throws `file_unreadable`, `object_corrupt`. */
export async function joinLedger(
  ledger: string | LedgerSource,
  survivors: AsyncIterable<RowBatch>,
  info: JoinInfo,
): Promise<RpoMeasurement> {
  const source = typeof ledger === 'string' ? ledgerIn(ledger) : ledger;
  const survey = await surveyLedger(source);
  const rows = await new SurvivorCounts(survey.lastSeqs).addAll(survivors);
  const counts = new Counts(rows, promotions(survey.samples), info.t0);
  await visitAttempts(source, survey, counts);
  const holes = new Holes(rows, counts);
  if (counts.lost > 0) await visitAttempts(source, survey, holes);
  return measure(counts, holes.count, info);
}

/** What was acknowledged on one timeline. Nanoseconds. */
interface Fork {
  /** 0: unknown. */
  readonly timeline: number;
  /** A primary on a higher timeline was surely writable from here on, in ms. */
  readonly succeededMs: number;
  lastAckNs: number;
  lastKeptSentNs: number;
  lastKeptDoneNs: number;
  lost: number;
}

class Counts implements AttemptVisitor {
  attempted = 0;
  acked = 0;
  kept = 0;
  lost = 0;
  indeterminateCommitted = 0;
  indeterminateVanished = 0;
  duplicates = 0;
  splitBrainWrites = 0;
  readonly firstLost = new FirstRows(SAMPLE_LIMIT);
  oldestLost: { readonly doneNs: number; readonly fork: Fork } | null = null;
  /** Of the kept writes that were acknowledged before `t0`: the last instants of sending and of acknowledgement. */
  readonly keptBefore = { sentNs: -Infinity, doneNs: -Infinity };
  private readonly forks = new Map<number, Fork>();
  private fork: Fork | null = null;
  private rejectedPresent = 0;
  private explained = 0;

  constructor(
    private readonly rows: SurvivorCounts,
    private readonly promotions: readonly Promotion[],
    private readonly t0: Interval | null,
  ) {}

  attempt(stream: number, seq: number, outcome: number, sentNs: number, doneNs: number, timeline: number): void {
    const copies = this.rows.copiesOf(stream, seq);
    this.attempted += 1;
    this.explained += copies;
    if (copies > 1) this.duplicates += copies - 1;
    if (outcome === ACKED) this.addAcked(stream, seq, sentNs, doneNs, timeline, copies > 0);
    else if (outcome === REJECTED) this.rejectedPresent += Number(copies > 0);
    else if (copies > 0) this.indeterminateCommitted += 1;
    else this.indeterminateVanished += 1;
  }

  private addAcked(stream: number, seq: number, sentNs: number, doneNs: number, timeline: number, present: boolean): void {
    const fork = this.forkOf(timeline);
    this.acked += 1;
    if (doneNs > fork.lastAckNs) fork.lastAckNs = doneNs;
    // Sent to the old timeline after the new primary was surely writable.
    if (sentNs / 1e6 > fork.succeededMs) this.splitBrainWrites += 1;
    if (present) {
      this.kept += 1;
      if (sentNs > fork.lastKeptSentNs) fork.lastKeptSentNs = sentNs;
      if (doneNs > fork.lastKeptDoneNs) fork.lastKeptDoneNs = doneNs;
      if (this.t0 !== null && doneNs / 1e6 <= this.t0.highMs) this.noteKept(sentNs, doneNs);
      return;
    }
    this.lost += 1;
    fork.lost += 1;
    this.firstLost.add(stream, seq);
    if (this.oldestLost === null || doneNs < this.oldestLost.doneNs) this.oldestLost = { doneNs, fork };
  }

  private noteKept(sentNs: number, doneNs: number): void {
    const { keptBefore } = this;
    if (sentNs > keptBefore.sentNs) keptBefore.sentNs = sentNs;
    if (doneNs > keptBefore.doneNs) keptBefore.doneNs = doneNs;
  }

  /** Of the kept writes on this fork and those that it came from: the last instants of sending and of acknowledgement. */
  keptUpTo({ timeline }: Fork): { readonly sentNs: number; readonly doneNs: number } {
    const history = [...this.forks.values()].filter((fork) => fork.timeline <= timeline);
    return {
      sentNs: Math.max(...history.map((fork) => fork.lastKeptSentNs)),
      doneNs: Math.max(...history.map((fork) => fork.lastKeptDoneNs)),
    };
  }

  forkOf(timeline: number): Fork {
    if (this.fork?.timeline === timeline) return this.fork;
    let fork = this.forks.get(timeline);
    if (fork === undefined) {
      const after = timeline === 0 ? [] : this.promotions.filter((promotion) => promotion.timeline > timeline);
      const succeededMs = Math.min(Infinity, ...after.map(({ at }) => at.highMs));
      fork = { timeline, succeededMs, lastAckNs: 0, lastKeptSentNs: -Infinity, lastKeptDoneNs: -Infinity, lost: 0 };
      this.forks.set(timeline, fork);
    }
    this.fork = fork;
    return fork;
  }

  /** Rows of rejected attempts, and rows that no attempt explains. */
  get phantoms(): number {
    return this.rejectedPresent + this.rows.rows - this.explained;
  }

  lostByTimeline(): RpoMeasurement['lostByTimeline'] {
    return [...this.forks.values()]
      .filter(({ lost }) => lost > 0)
      .sort((a, b) => a.timeline - b.timeline)
      .map(({ timeline, lost }) => ({ timeline: timeline === 0 ? null : timeline, lost }));
  }
}

/** Lost writes that were acknowledged before a kept write of the same timeline was even sent: known only when every kept write was seen. */
class Holes implements AttemptVisitor {
  count = 0;
  constructor(
    private readonly rows: SurvivorCounts,
    private readonly counts: Counts,
  ) {}

  attempt(stream: number, seq: number, outcome: number, _sentNs: number, doneNs: number, timeline: number): void {
    if (outcome !== ACKED || doneNs >= this.counts.forkOf(timeline).lastKeptSentNs) return;
    if (this.rows.copiesOf(stream, seq) === 0) this.count += 1;
  }
}

function measure(counts: Counts, holes: number, info: JoinInfo): RpoMeasurement {
  return {
    attempted: counts.attempted,
    acked: counts.acked,
    kept: counts.kept,
    lost: counts.lost,
    lostByTimeline: counts.lostByTimeline(),
    indeterminateCommitted: counts.indeterminateCommitted,
    indeterminateVanished: counts.indeterminateVanished,
    phantoms: counts.phantoms,
    duplicates: counts.duplicates,
    splitBrainWrites: counts.splitBrainWrites,
    holes,
    lostSample: counts.firstLost.rows,
    rpoTimeMs: rpoTime(counts, info.t0),
    recoveryPointAgeMs: recoveryPointAge(counts, info.t0),
    rpoBytes: info.rpoBytes,
    statement: statementOf(counts, info.synchronousCommit),
    joinedOn: info.joinedOn,
    replicas: info.replicas,
  };
}

/**
 * When the losing fork's time was over: t0, unless that fork went on acknowledging after it. Then the outage that t0 belongs to was an earlier one, or
 * other clients than the headline's, and the fork's own last acknowledgement counts, as it does without an outage.
 */
function endOf({ lastAckNs }: Fork, t0: Interval | null): Interval {
  const lastMs = lastAckNs / 1e6;
  return t0 !== null && t0.highMs >= lastMs ? t0 : { lowMs: lastMs, highMs: lastMs };
}

/** End of the losing fork − ack of the oldest lost write. */
function rpoTime({ oldestLost }: Counts, t0: Interval | null): Interval {
  if (oldestLost === null) return { lowMs: 0, highMs: 0 };
  const end = endOf(oldestLost.fork, t0);
  const ackMs = oldestLost.doneNs / 1e6;
  return { lowMs: Math.max(0, end.lowMs - ackMs), highMs: Math.max(0, end.highMs - ackMs) };
}

/**
 * t0 (with losses: the end of the losing fork) − newest kept commit until then. A commit took effect somewhere between sending and acknowledgement.
 * Null without an outage, or if nothing before it was kept.
 */
function recoveryPointAge(counts: Counts, t0: Interval | null): Interval | null {
  if (t0 === null) return null;
  const { oldestLost } = counts;
  const end = oldestLost === null ? t0 : endOf(oldestLost.fork, t0);
  const kept = oldestLost === null ? counts.keptBefore : counts.keptUpTo(oldestLost.fork);
  if (kept.doneNs === -Infinity) return null;
  return { lowMs: Math.max(0, end.lowMs - kept.doneNs / 1e6), highMs: Math.max(0, end.highMs - kept.sentNs / 1e6) };
}

/** Zero is stated with its resolution: by the rule of three, 0 of n bounds the rate at 3/n with 95 % confidence. */
function statementOf(counts: Counts, synchronousCommit: string): string {
  const n = (value: number): string => value.toLocaleString('en-US');
  const bound = counts.lost === 0 && counts.acked > 0 ? `; 95 % bound on the rate: ${((3 / counts.acked) * 100).toPrecision(2)} %` : '';
  const band = counts.indeterminateVanished === 0 ? '' : `; ${n(counts.indeterminateVanished)} more were in doubt and are absent`;
  return `${n(counts.lost)} of ${n(counts.acked)} acknowledged writes lost${bound}${band}; synchronous_commit = ${synchronousCommit}`;
}
