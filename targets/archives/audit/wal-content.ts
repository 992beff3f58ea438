/**
 * Reads single segments and says whether they are what their names say: packing, checksum in the key, page headers, every record's sum. It holds a few
 * segments at a time.
 */
import { createHash } from 'node:crypto';
import type { ObjectStore } from '../../../objects/store';
import { messageOf } from '../../../core/errors';
import { unpackWal } from '../wal-object';
import type { ArchiveLayout } from '../../../model/archive-audit';
import type { WalObject } from './archive-reader';
import { segmentStart } from './segment-names';
import { unpack, type Unpacked } from './unpack';
import { segmentProblem } from './wal-pages';

export interface ContentExpectation {
  readonly layout: ArchiveLayout;
  readonly segmentBytes: number;
  readonly systemIdentifier: string | null;
  readonly serverVersion: number | null;
}

export type ContentVerdict =
  { readonly kind: 'fine'; readonly sha1: string } | { readonly kind: 'damaged' | 'not-examined'; readonly why: string };

/** Rejects only for a store that fails. */
export async function examineSegment(
  store: ObjectStore,
  object: WalObject,
  at: { readonly timeline: number; readonly no: number },
  expected: ContentExpectation,
): Promise<ContentVerdict> {
  const packed = await store.get(object.key);
  if (packed === null) return { kind: 'damaged', why: 'was listed, and is not there any more' };
  const plain = await unpackSegment(object, packed, expected.segmentBytes);
  if (plain.kind !== 'plain') return plain;
  const sha1 = createHash('sha1').update(plain.data).digest('hex');
  if (object.sha1 !== null && sha1 !== object.sha1)
    return { kind: 'damaged', why: `has SHA-1 ${sha1.slice(0, 12)}…, not ${object.sha1.slice(0, 12)}… as its key says` };
  const { segmentBytes, systemIdentifier, serverVersion } = expected;
  const start = segmentStart(at.no, segmentBytes);
  const why = segmentProblem(plain.data, { timeline: at.timeline, start, segmentBytes, systemIdentifier, serverVersion });
  return why === null ? { kind: 'fine', sha1 } : { kind: 'damaged', why };

  async function unpackSegment({ name, codec }: WalObject, data: Uint8Array, bytes: number): Promise<Unpacked> {
    if (expected.layout !== 'native') return unpack(codec, data, bytes + 1);
    // The native form carries the SHA-256 of what it packs.
    try {
      return { kind: 'plain', data: await unpackWal(name, data) };
    } catch (error) {
      return { kind: 'damaged', why: messageOf(error).replace(/^archived WAL file \S+ /, '') };
    }
  }
}

/** Work on a stream of items, a few at a time; `push` waits while enough are under way. The first failure stops it and is thrown by `push` or `end`. */
export class Pool {
  private readonly flying = new Set<Promise<void>>();
  private failure: { readonly error: unknown } | null = null;

  constructor(private readonly parallel: number) {}

  async push(work: () => Promise<void>): Promise<void> {
    while (this.flying.size >= this.parallel) await Promise.race(this.flying);
    this.rethrow();
    const flight = work()
      .catch((error: unknown) => void (this.failure ??= { error }))
      .finally(() => this.flying.delete(flight));
    this.flying.add(flight);
  }

  async end(): Promise<void> {
    await Promise.all(this.flying);
    this.rethrow();
  }

  private rethrow(): void {
    if (this.failure !== null) throw this.failure.error instanceof Error ? this.failure.error : new Error(messageOf(this.failure.error));
  }
}
