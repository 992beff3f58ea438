/**
 * Follows a tar stream without unpacking it, and keeps one small member aside: the backup manifest that pg_basebackup writes last.
 * It never holds more than that member, and never changes the stream.
 */
import { GamedayError } from '../../core/errors';

const BLOCK = 512;

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
      const step = Math.min(BLOCK - this.header.length, chunk.length - at);
      this.header = Buffer.concat([this.header, chunk.subarray(at, at + step)]);
      at += step;
      if (this.header.length === BLOCK) this.readHeader();
    }
  }

  private readHeader(): void {
    const header = this.header;
    this.header = Buffer.alloc(0);
    if (header[0] === 0) return;
    const name = header.toString('utf8', 0, 100).replace(/\0.*$/s, '');
    const bytes = sizeOf(header);
    this.skip = Math.ceil(bytes / BLOCK) * BLOCK;
    if (name !== this.name) return;
    if (bytes > this.limitBytes)
      throw new GamedayError('restore_failed', `${name} in the backup has ${bytes} bytes, more than ${this.limitBytes}`);
    this.wantedLeft = bytes;
  }
}

/** Octal, or base 256 with the first bit set (GNU) for what octal cannot hold. */
function sizeOf(header: Buffer): number {
  const field = header.subarray(124, 136);
  if (((field[0] ?? 0) & 0x80) !== 0) return Number(BigInt(`0x${field.toString('hex')}`) & 0x7fffffffffffffn);
  const octal = field.toString('latin1').replace(/[\0 ].*$/s, '');
  if (!/^[0-7]*$/.test(octal)) throw new GamedayError('restore_failed', `the backup's tar stream is broken: size "${octal}"`);
  return octal === '' ? 0 : Number.parseInt(octal, 8);
}
