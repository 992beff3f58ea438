/**
 * Where a point-in-time restore landed, told by the ledger: every write acknowledged before the damage began must be there, none sent after it
 * was done may be, and those concurrent with it are settled by the order of commits in WAL. Without that order they stay unsettled, never guessed.
 */
import { ACKED, INDETERMINATE, REJECTED, surveyLedger, visitAttempts, type AttemptVisitor } from './attempts';
import type { RowBatch } from './copy-out';
import { ledgerIn, type LedgerSource } from './ledger-reader';
import { FirstRows, SurvivorCounts } from './survivor-counts';

const SAMPLE_LIMIT = 20;

export interface RestoreComparison {
  readonly ledger: string | LedgerSource;
  /** Rows of the probe table in the restored server. */
  readonly rows: AsyncIterable<RowBatch>;
  /** The prober's receipts just before and just after the damage: nanoseconds since its start, as decimal strings. */
  readonly damage: { readonly aboutToNs: string; readonly doneNs: string };
  /** Transaction ids that committed before, and after, the damaging transaction in WAL; null: not known. Decimal; the low 32 bits count, as in WAL. */
  readonly commitsBefore: ReadonlySet<string> | null;
  readonly commitsAfter: ReadonlySet<string> | null;
  /** No WAL lies behind the target, and `commitsBefore` is all that there is near it: what did not commit in it is lost to this copy. */
  readonly nothingBehind?: boolean;
}

export interface RestoreFindings {
  /** Acknowledged writes that had to be there. */
  readonly ledgerBefore: number;
  /** Had to be there and are absent. */
  readonly under: number;
  /** Are there though they came after the damage, or though nobody attempted them. */
  readonly over: number;
  /** Concurrent with the damage, and no WAL order known: neither demanded nor forbidden. */
  readonly unsettled: number;
  /** Acknowledged, and not there: how many, and the time from the last acknowledgement whose write is there to the last of all. */
  readonly lacking: { readonly transactions: number; readonly ms: number };
  readonly sample: readonly { readonly stream: number; readonly seq: number; readonly finding: 'under' | 'over' }[];
}

/**
 * Instants between which the target lies, from the ledger and the order of commits alone: a write acknowledged before one was sent that committed before the
 * target has committed before it too, and the other way round. Where no such write is known everything stays concurrent.
 */
export async function bracketByCommits(
  ledger: string | LedgerSource,
  commitsBefore: ReadonlySet<string>,
  commitsAfter: ReadonlySet<string>,
): Promise<RestoreComparison['damage']> {
  const source = typeof ledger === 'string' ? ledgerIn(ledger) : ledger;
  const [before, after] = [low32(commitsBefore), low32(commitsAfter)];
  let aboutToNs = 0;
  let doneNs = Number.MAX_SAFE_INTEGER;
  await visitAttempts(source, await surveyLedger(source), {
    attempt(_stream, _seq, outcome, sentNs, ackedNs, _timeline, xid) {
      if (outcome !== ACKED || xid < 0) return;
      if (before.has(xid % 2 ** 32)) aboutToNs = Math.max(aboutToNs, sentNs);
      else if (after.has(xid % 2 ** 32)) doneNs = Math.min(doneNs, ackedNs);
    },
  });
  return { aboutToNs: String(aboutToNs), doneNs: String(doneNs) };
}

type Demand = 'present' | 'absent' | 'either' | 'unsettled';

/** Rows may come in any order. Throws `file_unreadable`, `object_corrupt`. */
export async function compareRestore(request: RestoreComparison): Promise<RestoreFindings> {
  const source = typeof request.ledger === 'string' ? ledgerIn(request.ledger) : request.ledger;
  const survey = await surveyLedger(source);
  const rows = await new SurvivorCounts(survey.lastSeqs).addAll(request.rows);
  const judged = new Findings(request, rows);
  await visitAttempts(source, survey, judged);
  // What is left in the end, nobody attempted.
  const foreign = rows.foreign();
  for (const { stream, seq } of foreign.first) judged.overSample.add(stream, seq);
  const { ledgerBefore, under, unsettled, lacking } = judged;
  const sample = [
    ...judged.underSample.rows.map((row) => ({ ...row, finding: 'under' as const })),
    ...judged.overSample.rows.map((row) => ({ ...row, finding: 'over' as const })),
  ];
  sample.sort((a, b) => a.stream - b.stream || a.seq - b.seq);
  return { ledgerBefore, under, over: judged.over + foreign.count, unsettled, lacking, sample: sample.slice(0, SAMPLE_LIMIT) };
}

class Findings implements AttemptVisitor {
  ledgerBefore = 0;
  under = 0;
  over = 0;
  unsettled = 0;
  private readonly acked = { lacking: 0, lastNs: 0, lastPresentNs: 0 };
  private readonly nothingBehind: boolean;
  readonly underSample = new FirstRows(SAMPLE_LIMIT);
  readonly overSample = new FirstRows(SAMPLE_LIMIT);
  private readonly aboutToNs: number;
  private readonly doneNs: number;
  private readonly before: ReadonlySet<number>;
  private readonly after: ReadonlySet<number>;

  constructor(
    { damage, commitsBefore, commitsAfter, nothingBehind = false }: RestoreComparison,
    private readonly rows: SurvivorCounts,
  ) {
    this.aboutToNs = Number(damage.aboutToNs);
    this.doneNs = Number(damage.doneNs);
    this.nothingBehind = nothingBehind;
    this.before = low32(commitsBefore);
    this.after = low32(commitsAfter);
  }

  attempt(stream: number, seq: number, outcome: number, sentNs: number, doneNs: number, _timeline: number, xid: number): void {
    const present = this.rows.take(stream, seq) > 0;
    if (outcome === ACKED) this.countAcked(present, doneNs);
    const demand = this.demandOn(outcome, sentNs, doneNs, xid);
    if (demand === 'unsettled') this.unsettled += 1;
    if (demand === 'present') {
      this.ledgerBefore += 1;
      if (present) return;
      this.under += 1;
      this.underSample.add(stream, seq);
    } else if (demand === 'absent' && present) {
      this.over += 1;
      this.overSample.add(stream, seq);
    }
  }

  get lacking(): RestoreFindings['lacking'] {
    const { lacking, lastNs, lastPresentNs } = this.acked;
    return { transactions: lacking, ms: (lastNs - lastPresentNs) / 1e6 };
  }

  private countAcked(present: boolean, doneNs: number): void {
    this.acked.lastNs = Math.max(this.acked.lastNs, doneNs);
    if (present) this.acked.lastPresentNs = Math.max(this.acked.lastPresentNs, doneNs);
    else this.acked.lacking += 1;
  }

  /** WAL knows the order of commits, so it is asked first: a damage that is tried again after its worker died has a later receipt than its first effect. */
  private demandOn(outcome: number, sentNs: number, doneNs: number, xid: number): Demand {
    if (outcome === REJECTED) return 'absent';
    if (outcome === ACKED && xid >= 0) {
      if (this.before.has(xid % 2 ** 32)) return 'present';
      if (this.after.has(xid % 2 ** 32)) return 'absent';
    }
    if (sentNs > this.doneNs) return 'absent';
    if (outcome === INDETERMINATE) return 'either';
    if (doneNs < this.aboutToNs) return 'present';
    return this.nothingBehind && xid >= 0 ? 'absent' : 'unsettled';
  }
}

function low32(xids: ReadonlySet<string> | null): ReadonlySet<number> {
  return new Set([...(xids ?? [])].map((xid) => Number(BigInt(xid) & 0xffff_ffffn)));
}
