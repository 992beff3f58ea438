/**
 * Whose turn it is in the unpacking thread. Base files go before WAL: the server cannot start before their last byte, and while it replays, which it does on one
 * core, there is another for the WAL that is still to come. It must begin with some, though, or it waits for each segment. What base files leave idle, as with a
 * store far away, is WAL's.
 */

/** Parts (8 MB) that go before a segment (16 MB) where both wait. */
export const PARTS_PER_SEGMENT = 8;

export class UnpackTurns {
  private readonly waiting = { part: [] as (() => void)[], wal: [] as (() => void)[] };
  private partsInRow = 0;

  /** `free`: how many work at once. */
  constructor(private free: number) {}

  /** Does `work` when a place is free and it is its turn; those of one kind come in the order in which they asked. */
  async take<T>(kind: 'part' | 'wal', work: () => Promise<T>): Promise<T> {
    if (this.free === 0) await new Promise<void>((resolve) => this.waiting[kind].push(resolve));
    else this.free -= 1;
    try {
      return await work();
    } finally {
      const next = this.next();
      if (next === undefined) this.free += 1;
      else next();
    }
  }

  private next(): (() => void) | undefined {
    const { part: parts, wal } = this.waiting;
    const part = this.partsInRow < PARTS_PER_SEGMENT || wal.length === 0 ? parts.shift() : undefined;
    this.partsInRow = part === undefined ? 0 : this.partsInRow + 1;
    return part ?? wal.shift();
  }
}
