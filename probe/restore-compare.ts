/**
 * Where a point-in-time restore landed, told by the ledger: every write acknowledged before the damage began must be there, none sent after it
 * was done may be, and those concurrent with it are settled by the order of commits in WAL. Without that order they stay unsettled, never guessed.
 */
import { ledgerIn, readHeader, attemptsOf, type Attempt, type LedgerSource } from './ledger-reader';
import type { SurvivingRow } from './join';

const SAMPLE_LIMIT = 20;

export interface RestoreComparison {
  readonly ledger: string | LedgerSource;
  /** Rows of the probe table in the restored server, sorted by stream, then seq. */
  readonly rows: AsyncIterable<SurvivingRow>;
  /** The prober's receipts just before and just after the damage: nanoseconds since its start, as decimal strings. */
  readonly damage: { readonly aboutToNs: string; readonly doneNs: string };
  /** Transaction ids that committed before, and after, the damaging transaction in WAL; null: not known. Decimal; the low 32 bits count, as in WAL. */
  readonly commitsBefore: ReadonlySet<string> | null;
  readonly commitsAfter: ReadonlySet<string> | null;
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
  readonly sample: readonly { readonly stream: number; readonly seq: number; readonly finding: 'under' | 'over' }[];
}

type Demand = 'present' | 'absent' | 'either' | 'unsettled';

/** Throws `file_unreadable`, `object_corrupt`. Rows must be sorted. */
export async function compareRestore(request: RestoreComparison): Promise<RestoreFindings> {
  const source = typeof request.ledger === 'string' ? ledgerIn(request.ledger) : request.ledger;
  const header = await readHeader(source);
  const rows = request.rows[Symbol.asyncIterator]();
  let row = await rows.next();
  const counts = { ledgerBefore: 0, under: 0, over: 0, unsettled: 0 };
  const sample: RestoreFindings['sample'][number][] = [];
  const finding = (kind: 'under' | 'over', stream: number, seq: number): void => {
    counts[kind] += 1;
    if (sample.length < SAMPLE_LIMIT) sample.push({ stream, seq, finding: kind });
  };
  const before = (stream: number, seq: number): boolean =>
    row.done !== true && (row.value.stream < stream || (row.value.stream === stream && Number(row.value.seq) < seq));
  const skipForeign = async (stream: number, seq: number): Promise<void> => {
    for (; before(stream, seq); row = await rows.next())
      finding('over', (row.value as SurvivingRow).stream, Number((row.value as SurvivingRow).seq));
  };
  for (const [stream, { kind }] of header.streams.entries()) {
    if (kind !== 'write') continue;
    for await (const batch of attemptsOf(source, stream)) {
      for (const attempt of batch) {
        await skipForeign(stream, attempt.seq);
        let present = false;
        for (; row.done !== true && row.value.stream === stream && Number(row.value.seq) === attempt.seq; row = await rows.next())
          present = true;
        const demand = demandOn(attempt, request);
        if (demand === 'present') counts.ledgerBefore += 1;
        if (demand === 'unsettled') counts.unsettled += 1;
        if (demand === 'present' && !present) finding('under', stream, attempt.seq);
        if (demand === 'absent' && present) finding('over', stream, attempt.seq);
      }
    }
  }
  await skipForeign(Infinity, 0);
  return { ...counts, sample };
}

function demandOn(attempt: Attempt, { damage, commitsBefore, commitsAfter }: RestoreComparison): Demand {
  if (attempt.outcome === 'rejected') return 'absent';
  if (attempt.sentNs > Number(damage.doneNs)) return 'absent';
  if (attempt.outcome === 'indeterminate') return 'either';
  if ((attempt.doneNs ?? Infinity) < Number(damage.aboutToNs)) return 'present';
  if (attempt.xid === null) return 'unsettled';
  const xids = [String(attempt.xid), String(attempt.xid % 2 ** 32)];
  if (xids.some((xid) => commitsBefore?.has(xid) === true)) return 'present';
  if (xids.some((xid) => commitsAfter?.has(xid) === true)) return 'absent';
  return 'unsettled';
}
