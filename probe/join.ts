/**
 * RPO: joins the ledger with the rows that survived on the healed primary. A streaming merge by (stream, seq): memory holds the operations in
 * flight and the lost writes, never the rows. It counts; whether the count is acceptable is the verdict's business.
 */
import type { Interval, RpoMeasurement } from '../model/measurement';
import { GamedayError } from '../core/errors';
import type { SampleEntry } from './ledger-format';
import { attemptsOf, ledgerIn, readHeader, type Attempt, type LedgerSource } from './ledger-reader';
import { promotions, type Promotion } from './nodes';

const SAMPLE_LIMIT = 20;

/** A row as read from the database, sorted by stream, then seq; duplicates included. */
export interface SurvivingRow {
  readonly stream: number;
  readonly seq: string;
}

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

/** Throws `file_unreadable`, `object_corrupt`; `internal` if the rows are not sorted. */
export async function joinLedger(
  ledger: string | LedgerSource,
  survivors: AsyncIterable<SurvivingRow>,
  info: JoinInfo,
): Promise<RpoMeasurement> {
  const source = typeof ledger === 'string' ? ledgerIn(ledger) : ledger;
  const header = await readHeader(source);
  const counts = new Counts(await findPromotions(source));
  const rows = new RowCursor(survivors);
  await rows.advance();
  const writers = header.streams.flatMap(({ kind }, stream) => (kind === 'write' ? [stream] : []));
  for (const stream of writers) {
    await joinStream(source, stream, rows, counts);
  }
  while (rows.current !== null) {
    counts.unknownRow();
    await rows.advance();
  }
  return measure(counts, info);
}

async function joinStream(source: LedgerSource, stream: number, rows: RowCursor, counts: Counts): Promise<void> {
  for await (const batch of attemptsOf(source, stream)) {
    for (const attempt of batch) {
      // Rows that no intent explains: written by nobody we know.
      while (rows.isBefore(stream, attempt.seq)) {
        counts.unknownRow();
        await rows.advance();
      }
      let copies = 0;
      while (rows.isAt(stream, attempt.seq)) {
        copies += 1;
        await rows.advance();
      }
      counts.add(attempt, copies);
    }
  }
  while (rows.isBefore(stream + 1, 0)) {
    counts.unknownRow();
    await rows.advance();
  }
}

async function findPromotions(source: LedgerSource): Promise<readonly Promotion[]> {
  const samples: SampleEntry[] = [];
  for await (const batch of source.batches()) for (const entry of batch) if (entry.kind === 'sample') samples.push(entry);
  return promotions(samples);
}

/** One row of look-ahead over the survivors; checks their order. */
class RowCursor {
  current: { readonly stream: number; readonly seq: number } | null = null;
  private readonly iterator: AsyncIterator<SurvivingRow>;

  constructor(rows: AsyncIterable<SurvivingRow>) {
    this.iterator = rows[Symbol.asyncIterator]();
  }

  async advance(): Promise<void> {
    const step = await this.iterator.next();
    const next = step.done === true ? null : { stream: step.value.stream, seq: Number(step.value.seq) };
    if (next !== null && this.current !== null && order(next, this.current) < 0) {
      throw new GamedayError(
        'internal',
        `surviving rows are not sorted: ${next.stream}/${next.seq} after ${this.current.stream}/${this.current.seq}`,
      );
    }
    this.current = next;
  }

  isAt(stream: number, seq: number): boolean {
    return this.current !== null && this.current.stream === stream && this.current.seq === seq;
  }

  isBefore(stream: number, seq: number): boolean {
    return this.current !== null && order(this.current, { stream, seq }) < 0;
  }
}

function order(a: { readonly stream: number; readonly seq: number }, b: { readonly stream: number; readonly seq: number }): number {
  return a.stream - b.stream || a.seq - b.seq;
}

class Counts {
  attempted = 0;
  acked = 0;
  kept = 0;
  indeterminateCommitted = 0;
  indeterminateVanished = 0;
  phantoms = 0;
  duplicates = 0;
  splitBrainWrites = 0;
  /** Lost writes: instant of the acknowledgement in ns, and timeline. */
  readonly lost: { readonly stream: number; readonly seq: number; readonly doneNs: number; readonly timeline: number | null }[] = [];
  private readonly lastKeptSentNs = new Map<number | null, number>();
  private readonly lastAckNs = new Map<number | null, number>();

  constructor(private readonly promotions: readonly Promotion[]) {}

  add(attempt: Attempt, copies: number): void {
    this.attempted += 1;
    if (copies > 1) this.duplicates += copies - 1;
    if (attempt.outcome === 'rejected') this.phantoms += Number(copies > 0);
    else if (attempt.outcome === 'indeterminate') {
      if (copies > 0) this.indeterminateCommitted += 1;
      else this.indeterminateVanished += 1;
    } else this.addAcked(attempt, copies > 0);
  }

  unknownRow(): void {
    this.phantoms += 1;
  }

  private addAcked(attempt: Attempt, present: boolean): void {
    const { stream, seq, sentNs, timeline } = attempt;
    const doneNs = attempt.doneNs ?? sentNs;
    this.acked += 1;
    raise(this.lastAckNs, timeline, doneNs);
    // Sent to the old timeline after the new primary was surely writable.
    if (timeline !== null && this.promotions.some((p) => p.timeline > timeline && sentNs / 1e6 > p.at.highMs)) this.splitBrainWrites += 1;
    if (present) {
      this.kept += 1;
      raise(this.lastKeptSentNs, timeline, sentNs);
    } else this.lost.push({ stream, seq, doneNs, timeline });
  }

  /** Lost writes that were acknowledged before a kept write of the same timeline was even sent. */
  holes(): number {
    return this.lost.filter(({ doneNs, timeline }) => doneNs < (this.lastKeptSentNs.get(timeline) ?? -Infinity)).length;
  }

  lastAckOn(timeline: number | null): number {
    return this.lastAckNs.get(timeline) ?? 0;
  }
}

function raise(map: Map<number | null, number>, key: number | null, value: number): void {
  if (value > (map.get(key) ?? -Infinity)) map.set(key, value);
}

function measure(counts: Counts, info: JoinInfo): RpoMeasurement {
  const { lost } = counts;
  return {
    attempted: counts.attempted,
    acked: counts.acked,
    kept: counts.kept,
    lost: lost.length,
    indeterminateCommitted: counts.indeterminateCommitted,
    indeterminateVanished: counts.indeterminateVanished,
    phantoms: counts.phantoms,
    duplicates: counts.duplicates,
    splitBrainWrites: counts.splitBrainWrites,
    holes: counts.holes(),
    lostSample: lost.slice(0, SAMPLE_LIMIT).map(({ stream, seq }) => ({ stream, seq })),
    rpoTimeMs: rpoTime(counts, info.t0),
    rpoBytes: info.rpoBytes,
    statement: statementOf(counts, info.synchronousCommit),
    joinedOn: info.joinedOn,
    replicas: info.replicas,
  };
}

/** t0 − ack of the oldest lost write; without an outage, last ack on the losing fork − oldest lost ack. */
function rpoTime(counts: Counts, t0: Interval | null): Interval {
  let oldest = counts.lost[0];
  if (oldest === undefined) return { lowMs: 0, highMs: 0 };
  for (const write of counts.lost) if (write.doneNs < oldest.doneNs) oldest = write;
  const ackMs = oldest.doneNs / 1e6;
  if (t0 !== null) return { lowMs: Math.max(0, t0.lowMs - ackMs), highMs: Math.max(0, t0.highMs - ackMs) };
  const ms = Math.max(0, counts.lastAckOn(oldest.timeline) / 1e6 - ackMs);
  return { lowMs: ms, highMs: ms };
}

/** Zero is stated with its resolution: by the rule of three, 0 of n bounds the rate at 3/n with 95 % confidence. */
function statementOf(counts: Counts, synchronousCommit: string): string {
  const n = (value: number): string => value.toLocaleString('en-US');
  const bound =
    counts.lost.length === 0 && counts.acked > 0 ? `; 95 % bound on the rate: ${((3 / counts.acked) * 100).toPrecision(2)} %` : '';
  const band = counts.indeterminateVanished === 0 ? '' : `; ${n(counts.indeterminateVanished)} more were in doubt and are absent`;
  return `${n(counts.lost.length)} of ${n(counts.acked)} acknowledged writes lost${bound}${band}; synchronous_commit = ${synchronousCommit}`;
}
