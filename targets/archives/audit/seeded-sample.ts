/** A sample of fixed size from a stream of unknown length, drawn by a seed: the same seed takes the same ones of the same stream. Pure. */

/** mulberry32: numbers in [0, 1). */
export function seededRandom(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 0x100000000;
  };
}

/** Every offered item stays with the same probability (reservoir sampling). */
export class Sample<T> {
  private readonly kept: T[] = [];
  private offered = 0;

  constructor(
    private readonly size: number,
    private readonly random: () => number,
  ) {}

  offer(item: T): void {
    this.offered += 1;
    if (this.kept.length < this.size) this.kept.push(item);
    else {
      const at = Math.floor(this.random() * this.offered);
      if (at < this.size) this.kept[at] = item;
    }
  }

  get items(): readonly T[] {
    return this.kept;
  }
}
