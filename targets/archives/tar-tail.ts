/**
 * Follows a tar stream without unpacking it, and keeps one small member aside: the backup manifest that pg_basebackup writes last.
 * It never holds more than that member, and never changes the stream.
 */
import { GamedayError } from '../../core/errors';
import { parseTarHeader, TAR_BLOCK } from './tar-header';

export class TarMember {
  private header = Buffer.alloc(0);
  /** Bytes of the current member still to come, padding included; `wantedLeft` of them belong to the wanted content. */
  private skip = 0;
  private wantedLeft = 0;
  private readonly wanted: Buffer[] = [];
  private complete = false;

  constructor(
    private readonly name: string,
    private readonly limitBytes: number,
  ) {}

  /** The member's content; null if it did not come, or not whole. */
  content(): Buffer | null {
    return this.complete ? Buffer.concat(this.wanted) : null;
  }

  feed(chunk: Buffer): void {
    let at = 0;
    while (at < chunk.length) {
      if (this.skip > 0) {
        const step = Math.min(this.skip, chunk.length - at);
        const keep = Math.min(this.wantedLeft, step);
        if (keep > 0) {
          this.wanted.push(Buffer.from(chunk.subarray(at, at + keep)));
          this.wantedLeft -= keep;
          this.complete = this.wantedLeft === 0;
        }
        this.skip -= step;
        at += step;
        continue;
      }
      const step = Math.min(TAR_BLOCK - this.header.length, chunk.length - at);
      this.header = Buffer.concat([this.header, chunk.subarray(at, at + step)]);
      at += step;
      if (this.header.length === TAR_BLOCK) this.readHeader();
    }
  }

  private readHeader(): void {
    const header = parseTarHeader(this.header);
    this.header = Buffer.alloc(0);
    if (header === null) return;
    this.skip = Math.ceil(header.bytes / TAR_BLOCK) * TAR_BLOCK;
    if (header.name !== this.name) return;
    if (header.bytes > this.limitBytes)
      throw new GamedayError('restore_failed', `${header.name} in the backup has ${header.bytes} bytes, more than ${this.limitBytes}`);
    this.wantedLeft = header.bytes;
  }
}
