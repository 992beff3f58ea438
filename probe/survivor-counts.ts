/**
 * How many copies of each attempted write survived: one byte a write, in pages that exist only where rows were found. So rows may come in any order,
 * are read once, and are asked for by the ledger in its own order. Rows that no attempt explains are counted, never stored.
 */
import type { RowBatch } from './copy-out';

const PAGE_BITS = 14;
const PAGE_ROWS = 1 << PAGE_BITS;
const FULL = 255;
const FOREIGN_SAMPLE = 20;

export interface Row {
  readonly stream: number;
  readonly seq: number;
}

export class SurvivorCounts {
  /** All rows, copies and foreign ones included. */
  rows = 0;
  private readonly pages: (Uint8Array | undefined)[][];
  /** Copies of the rows of which there are 255 or more. */
  private readonly many = new Map<string, number>();
  /** Rows beyond what the ledger attempted: how many, and the first of them. */
  private beyond = 0;
  private readonly firstBeyond = new FirstRows(FOREIGN_SAMPLE);

  /** `lastSeqs`: by stream, the highest sequence number that was attempted. */
  constructor(private readonly lastSeqs: readonly number[]) {
    this.pages = lastSeqs.map(() => []);
  }

  async addAll(batches: AsyncIterable<RowBatch>): Promise<this> {
    for await (const { count, streams, seqs } of batches)
      for (let at = 0; at < count; at += 1) this.add(streams[at] as number, seqs[at] as number);
    return this;
  }

  private add(stream: number, seq: number): void {
    this.rows += 1;
    if (!(seq >= 1 && seq <= (this.lastSeqs[stream] ?? 0))) {
      this.beyond += 1;
      this.firstBeyond.add(stream, seq);
      return;
    }
    const pages = this.pages[stream] as (Uint8Array | undefined)[];
    const number = Math.floor(seq / PAGE_ROWS);
    let page = pages[number];
    if (page === undefined) pages[number] = page = new Uint8Array(PAGE_ROWS);
    const slot = seq % PAGE_ROWS;
    const copies = page[slot] as number;
    if (copies < FULL - 1) page[slot] = copies + 1;
    else this.addMany(page, slot, `${stream}/${seq}`);
  }

  private addMany(page: Uint8Array, slot: number, key: string): void {
    page[slot] = FULL;
    this.many.set(key, (this.many.get(key) ?? FULL - 1) + 1);
  }

  copiesOf(stream: number, seq: number): number {
    const copies = this.pages[stream]?.[Math.floor(seq / PAGE_ROWS)]?.[seq % PAGE_ROWS] ?? 0;
    return copies < FULL ? copies : (this.many.get(`${stream}/${seq}`) as number);
  }

  /** Like `copiesOf`, and what was asked for is no longer counted: in the end only foreign rows are left. */
  take(stream: number, seq: number): number {
    const copies = this.copiesOf(stream, seq);
    const page = this.pages[stream]?.[Math.floor(seq / PAGE_ROWS)];
    if (page !== undefined) page[seq % PAGE_ROWS] = 0;
    return copies;
  }

  /** Rows that nobody took, and the first of them. */
  foreign(): { readonly count: number; readonly first: readonly Row[] } {
    let count = this.beyond;
    const first = new FirstRows(FOREIGN_SAMPLE, this.firstBeyond.rows);
    for (const [stream, pages] of this.pages.entries()) {
      // Only pages that exist are visited.
      pages.forEach((page, number) =>
        page?.forEach((copies, slot) => {
          if (copies === 0) return;
          const seq = number * PAGE_ROWS + slot;
          count += copies < FULL ? copies : (this.many.get(`${stream}/${seq}`) as number);
          first.add(stream, seq);
        }),
      );
    }
    return { count, first: first.rows };
  }
}

/** The first few of many (stream, seq) pairs that come in any order. */
export class FirstRows {
  private readonly sorted: Row[];

  constructor(
    private readonly limit: number,
    rows: readonly Row[] = [],
  ) {
    this.sorted = [...rows];
  }

  get rows(): readonly Row[] {
    return this.sorted;
  }

  add(stream: number, seq: number): void {
    const after = (row: Row): boolean => row.stream > stream || (row.stream === stream && row.seq > seq);
    const last = this.sorted.at(-1);
    if (this.sorted.length === this.limit && last !== undefined && !after(last)) return;
    const at = this.sorted.findIndex(after);
    this.sorted.splice(at === -1 ? this.sorted.length : at, 0, { stream, seq });
    if (this.sorted.length > this.limit) this.sorted.pop();
  }
}
