/**
 * One header block of a tar stream as PostgreSQL writes it (ustar, src/port/tar.c). Pure.
 * It refuses what it does not know, and a block whose sum is wrong, rather than guess at where the next member begins.
 */
import { GamedayError } from '../../core/errors';

export const TAR_BLOCK = 512;

export interface TarHeader {
  readonly name: string;
  readonly kind: 'file' | 'directory' | 'other';
  readonly bytes: number;
  readonly mode: number;
}

const broken = (what: string): GamedayError => new GamedayError('object_corrupt', `the backup's tar stream is broken: ${what}`);

/** Null for an empty block, as stand at the end of the stream. Throws `object_corrupt`. */
export function parseTarHeader(block: Buffer): TarHeader | null {
  if (block[0] === 0 && block.every((byte) => byte === 0)) return null;
  // The sum is taken with its own field read as blanks.
  let sum = 8 * 0x20;
  for (const [at, byte] of block.entries()) if (at < 148 || at >= 156) sum += byte;
  if (octal(block, 148, 156) !== sum) throw broken('a header has a wrong sum');
  const prefix = text(block, 345, 500);
  const name = text(block, 0, 100);
  const type = String.fromCharCode(block[156] ?? 0);
  const kind = type === '0' || type === '\0' ? 'file' : type === '5' ? 'directory' : 'other';
  return {
    name: prefix === '' ? name : `${prefix}/${name}`,
    kind,
    bytes: kind === 'directory' ? 0 : sizeOf(block),
    mode: octal(block, 100, 108) & 0o777,
  };
}

function text(block: Buffer, from: number, to: number): string {
  const end = block.indexOf(0, from);
  return block.toString('utf8', from, end < 0 || end > to ? to : end);
}

function octal(block: Buffer, from: number, to: number): number {
  const digits = block.toString('latin1', from, to).replace(/\0.*$/s, '').trim();
  if (!/^[0-7]*$/.test(digits)) throw broken(`number "${digits}"`);
  return digits === '' ? 0 : Number.parseInt(digits, 8);
}

/** Octal, or base 256 with the first bit set (GNU) for what octal cannot hold. */
function sizeOf(block: Buffer): number {
  if (((block[124] ?? 0) & 0x80) === 0) return octal(block, 124, 136);
  return Number(BigInt(`0x${block.toString('hex', 124, 136)}`) & 0x7fffffffffffffn);
}
