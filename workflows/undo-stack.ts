/**
 * The undo stack of one drill: plain data, last in, first out. An entry is pushed before its inject activity is scheduled,
 * because an inject that timed out may have happened. An entry leaves the stack only when its fault is proven gone.
 */
import type { FaultHandle } from '../model/fault';

export interface UndoEntry {
  readonly step: string;
  readonly handle: FaultHandle;
}

export class UndoStack {
  private readonly entries: UndoEntry[] = [];

  push(entry: UndoEntry): void {
    this.entries.push(entry);
  }

  /** Newest first; a copy, so that the stack may change while the caller walks. */
  newestFirst(steps: readonly string[] | null): readonly UndoEntry[] {
    const chosen = steps === null ? this.entries : this.entries.filter((entry) => steps.includes(entry.step));
    return [...chosen].reverse();
  }

  remove(step: string): void {
    const at = this.entries.findIndex((entry) => entry.step === step);
    if (at >= 0) this.entries.splice(at, 1);
  }

  get size(): number {
    return this.entries.length;
  }
}
