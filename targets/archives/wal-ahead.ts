/**
 * Stores finished WAL segments before PostgreSQL asks for them: it asks for one at a time, and a store that is far away answers slowly. What lies ready in pg_wal
 * is complete and stays until it was acknowledged. Nothing is acknowledged here: PostgreSQL asks in order, and each answer still waits for that very segment.
 */
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { sha256OfBytes } from '../../core/files';
import { walFileKind } from './wal-object';

/** Segments under way at once besides the one that is asked for: each is held plain and packed. */
export const AHEAD_PARALLEL = 3;
/** Those that were stored and not asked for: a server that is promoted, or stops archiving, never asks. */
const REMEMBERED_LIMIT = 64;

interface Begun {
  /** SHA-256 (hex) of the plain bytes that are durable in the store; null: it could not be stored, and whoever asks tries again. */
  readonly stored: Promise<string | null>;
}

export class WalAhead {
  private readonly begun = new Map<string, Begun>();
  private underWay = 0;
  private ended = false;

  /** `walDir`: pg_wal of the node, or null where it is not on this machine: then nothing is done ahead. */
  constructor(
    private readonly walDir: string | null,
    private readonly store: (name: string, plain: Buffer) => Promise<unknown>,
  ) {}

  /** Begins with what lies ready behind `name`, in the order in which PostgreSQL will ask. Never rejects. */
  async lookBehind(name: string): Promise<void> {
    if (this.walDir === null || walFileKind(name) !== 'segment') return;
    const ready = await readdir(join(this.walDir, 'archive_status')).catch(() => []);
    const next = ready
      .filter((file) => file.endsWith('.ready'))
      .map((file) => file.slice(0, -'.ready'.length))
      // Of the same timeline: where another begins, its history file comes first.
      .filter((file) => walFileKind(file) === 'segment' && file > name && file.startsWith(name.slice(0, 8)))
      .sort()
      .slice(0, AHEAD_PARALLEL);
    for (const file of next) if (!this.ended && this.underWay < AHEAD_PARALLEL && !this.begun.has(file)) this.begin(file);
  }

  /** True if exactly these bytes are durable already; waits for them while they are on their way. Each is told of once. */
  async has(name: string, plain: Buffer): Promise<boolean> {
    const begun = this.begun.get(name);
    if (begun === undefined) return false;
    const stored = await begun.stored;
    this.begun.delete(name);
    return stored !== null && stored === (await sha256OfBytes(plain));
  }

  /** Waits for what is under way; begins nothing more. */
  async end(): Promise<void> {
    this.ended = true;
    await Promise.all([...this.begun.values()].map(({ stored }) => stored));
  }

  private begin(name: string): void {
    this.underWay += 1;
    const stored = this.push(name)
      .catch(() => null)
      .finally(() => (this.underWay -= 1));
    this.begun.set(name, { stored });
    for (const [oldest] of this.begun) {
      if (this.begun.size <= REMEMBERED_LIMIT) break;
      this.begun.delete(oldest);
    }
  }

  private async push(name: string): Promise<string> {
    const plain = await readFile(join(this.walDir ?? '', name));
    await this.store(name, plain);
    return sha256OfBytes(plain);
  }
}
