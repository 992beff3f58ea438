/**
 * Reads LZ4 frames (lz4_Frame_format.md 1.6.x) as pgBackRest and WAL-G write them, checksums of header, blocks and content included: Node has no LZ4 of
 * its own, and the auditor must not depend on a program being installed. It never returns bytes that a checksum in the frame contradicts.
 */

const MAGIC = 0x184d2204;
const SKIPPABLE = 0x184d2a50;
const PRIME = [0x9e3779b1, 0x85ebca77, 0xc2b2ae3d, 0x27d4eb2f, 0x165667b1] as const;

/** A segment of usual size needs no growing. */
const FIRST_BYTES = 17 * 1024 * 1024;

/** Looked up once: this is the inner loop of everything here. */
const { imul } = Math;
const rotate = (value: number, by: number): number => (value << by) | (value >>> (32 - by));

/** xxHash32 with seed 0, unsigned. */
export function xxHash32(data: Uint8Array): number {
  const view = new DataView(data.buffer, data.byteOffset, data.byteLength);
  const bytes = data.byteLength;
  const [p1, p2, p3, p4, p5] = PRIME;
  let at = 0;
  let hash = p5 | 0;
  if (bytes >= 16) {
    let a = (p1 + p2) | 0;
    let b = p2 | 0;
    let c = 0;
    let d = -p1 | 0;
    for (; at + 16 <= bytes; at += 16) {
      a = imul(rotate((a + imul(view.getInt32(at, true), p2)) | 0, 13), p1);
      b = imul(rotate((b + imul(view.getInt32(at + 4, true), p2)) | 0, 13), p1);
      c = imul(rotate((c + imul(view.getInt32(at + 8, true), p2)) | 0, 13), p1);
      d = imul(rotate((d + imul(view.getInt32(at + 12, true), p2)) | 0, 13), p1);
    }
    hash = (rotate(a, 1) + rotate(b, 7) + rotate(c, 12) + rotate(d, 18)) | 0;
  }
  hash = (hash + bytes) | 0;
  for (; at + 4 <= bytes; at += 4) hash = imul(rotate((hash + imul(view.getInt32(at, true), p3)) | 0, 17), p4);
  for (; at < bytes; at += 1) hash = imul(rotate((hash + imul(view.getUint8(at), p5)) | 0, 11), p1);
  hash = imul(hash ^ (hash >>> 15), p2);
  hash = imul(hash ^ (hash >>> 13), p3);
  return (hash ^ (hash >>> 16)) >>> 0;
}

/** Grows as content comes, up to its limit. */
class Output {
  bytes: Buffer;

  constructor(private readonly limitBytes: number) {
    this.bytes = Buffer.allocUnsafe(Math.min(limitBytes, FIRST_BYTES));
  }

  /** The buffer, with room up to `end`. */
  upTo(end: number): Buffer {
    if (end > this.limitBytes) throw new Error('more bytes than expected');
    if (end > this.bytes.length) {
      const larger = Buffer.allocUnsafe(Math.min(this.limitBytes, Math.max(end, this.bytes.length * 2)));
      this.bytes.copy(larger);
      this.bytes = larger;
    }
    return this.bytes;
  }
}

/** Appends one block's content at `start`; it may refer back to what stands before. Returns the new end. */
function decodeBlock(block: Buffer, output: Output, start: number): number {
  let [at, end] = [0, start];
  let out = output.bytes;
  const length = (nibble: number): number => {
    let total = nibble;
    if (nibble !== 15) return total;
    for (let byte = 255; byte === 255; at += 1) {
      byte = block.readUInt8(at);
      total += byte;
    }
    return total;
  };
  while (at < block.length) {
    const token = block.readUInt8(at);
    at += 1;
    const literals = length(token >> 4);
    if (at + literals > block.length) throw new Error('a block ends within its literals');
    out = output.upTo(end + literals);
    block.copy(out, end, at, at + literals);
    at += literals;
    end += literals;
    if (at === block.length) return end;
    const offset = block.readUInt16LE(at);
    at += 2;
    const match = length(token & 15) + 4;
    if (offset === 0 || offset > end) throw new Error('a match points before the beginning');
    out = output.upTo(end + match);
    if (offset >= match) out.copy(out, end, end - offset, end - offset + match);
    else if (offset === 1) out.fill(out.readUInt8(end - 1), end, end + match);
    else for (let n = 0; n < match; n += 1) out[end + n] = out[end + n - offset] ?? 0;
    end += match;
  }
  return end;
}

/** All frames in `packed`, one after the other. Throws for damage, and for more than `limitBytes`. */
export function readLz4(packed: Uint8Array, limitBytes: number): Buffer {
  const data = Buffer.from(packed.buffer, packed.byteOffset, packed.byteLength);
  const out = new Output(limitBytes);
  let [at, end] = [0, 0];
  if (data.length === 0) throw new Error('it is empty');
  while (at < data.length) {
    const magic = data.readUInt32LE(at);
    if ((magic & 0xfffffff0) >>> 0 === SKIPPABLE) {
      at += 8 + data.readUInt32LE(at + 4);
      continue;
    }
    if (magic !== MAGIC) throw new Error(`0x${magic.toString(16)} begins no LZ4 frame`);
    [at, end] = readFrame(data, at, out, end);
  }
  return out.bytes.subarray(0, end);
}

function readFrame(data: Buffer, start: number, out: Output, outStart: number): [at: number, end: number] {
  const flags = data.readUInt8(start + 4);
  const [hasBlockSums, hasSize, hasSum, hasDictionary] = [flags & 0x10, flags & 0x08, flags & 0x04, flags & 0x01].map((bit) => bit !== 0);
  if (flags >> 6 !== 1) throw new Error(`LZ4 frame version ${flags >> 6}`);
  if (hasDictionary === true) throw new Error('it needs a dictionary');
  let at = start + 6 + (hasSize === true ? 8 : 0);
  if (data.readUInt8(at) !== ((xxHash32(data.subarray(start + 4, at)) >>> 8) & 0xff))
    throw new Error('the frame’s header has another checksum');
  at += 1;
  let end = outStart;
  for (;;) {
    const word = data.readUInt32LE(at);
    at += 4;
    if (word === 0) break;
    const bytes = word & 0x7fffffff;
    const block = data.subarray(at, at + bytes);
    if (block.length !== bytes) throw new Error('it ends within a block');
    at += bytes;
    if (hasBlockSums === true) {
      if (data.readUInt32LE(at) !== xxHash32(block)) throw new Error('a block has another checksum');
      at += 4;
    }
    if ((word & 0x80000000) === 0) end = decodeBlock(block, out, end);
    else end += block.copy(out.upTo(end + bytes), end);
  }
  const content = out.bytes.subarray(outStart, end);
  if (hasSize === true && data.readBigUInt64LE(start + 6) !== BigInt(content.length)) throw new Error('its header states another size');
  if (hasSum === true) {
    if (data.readUInt32LE(at) !== xxHash32(content)) throw new Error('the content has another checksum');
    at += 4;
  }
  return [at, end];
}
