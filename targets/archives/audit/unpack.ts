/**
 * Objects of an archive as plain bytes, whatever they are packed with: gzip and brotli by Node, LZ4 by ourselves, zstd by Node where it can and else by
 * its tool, bzip2 and xz by their tools. It holds no more than the limit it is given, and says "not examined" where nothing can read a format.
 */
import { spawn } from 'node:child_process';
import * as zlib from 'node:zlib';
import { messageOf } from '../../../core/errors';
import { readLz4 } from './lz4-frame';

export type Codec = 'plain' | 'gzip' | 'lz4' | 'zstd' | 'bzip2' | 'xz' | 'lzma' | 'brotli' | 'snappy';

const CODEC_OF_EXTENSION: { readonly [extension: string]: Codec } = {
  '': 'plain',
  gz: 'gzip',
  lz4: 'lz4',
  zst: 'zstd',
  zstd: 'zstd',
  bz2: 'bzip2',
  xz: 'xz',
  lzma: 'lzma',
  br: 'brotli',
  snappy: 'snappy',
};

/** Null for an extension that no layout uses. */
export function codecOf(extension: string): Codec | null {
  return Object.hasOwn(CODEC_OF_EXTENSION, extension) ? (CODEC_OF_EXTENSION[extension] ?? null) : null;
}

export type Unpacked =
  | { readonly kind: 'plain'; readonly data: Buffer }
  | { readonly kind: 'damaged'; readonly why: string }
  | { readonly kind: 'not-examined'; readonly why: string };

const TOOL_TIMEOUT_MS = 60_000;

/** First bytes of a format; brotli and legacy lzma have none. Empty: nothing to tell by. */
const MAGIC: { readonly [codec in Codec]: string } = {
  plain: '',
  gzip: '1f8b',
  lz4: '04224d18',
  zstd: '28b52ffd',
  bzip2: '425a68',
  xz: 'fd377a585a00',
  lzma: '',
  brotli: '',
  snappy: 'ff060000734e61507059',
};

/** Does the object begin as its name says? True where the format has no mark. */
export function beginsAs(codec: Codec, packed: Uint8Array): boolean {
  const magic = Buffer.from(MAGIC[codec], 'hex');
  return Buffer.from(packed.buffer, packed.byteOffset, Math.min(magic.length, packed.byteLength)).equals(magic);
}

/** Never rejects for what the bytes are like. More than `limitBytes` of content counts as damage: whoever asks knows the size. */
export async function unpack(codec: Codec, packed: Uint8Array, limitBytes: number): Promise<Unpacked> {
  try {
    switch (codec) {
      case 'plain':
        return { kind: 'plain', data: Buffer.from(packed.buffer, packed.byteOffset, packed.byteLength) };
      case 'gzip':
        return { kind: 'plain', data: await inflate(zlib.gunzip, packed, limitBytes) };
      case 'brotli':
        return { kind: 'plain', data: await inflate(zlib.brotliDecompress, packed, limitBytes) };
      case 'lz4':
        return { kind: 'plain', data: readLz4(packed, limitBytes) };
      case 'zstd':
        return await unpackZstd(packed, limitBytes);
      case 'bzip2':
      case 'xz':
      case 'lzma':
        return await unpackByTool(codec === 'bzip2' ? 'bzip2' : 'xz', packed, limitBytes);
      case 'snappy':
        return { kind: 'not-examined', why: 'nothing here reads snappy' };
    }
  } catch (error) {
    return { kind: 'damaged', why: `does not decompress: ${messageOf(error)}` };
  }
}

type Inflate = (data: Uint8Array, options: { maxOutputLength: number }, done: (error: Error | null, plain: Buffer) => void) => void;

function inflate(how: Inflate, packed: Uint8Array, limitBytes: number): Promise<Buffer> {
  return new Promise((resolve, reject) =>
    how(packed, { maxOutputLength: limitBytes }, (error, plain) => (error === null ? resolve(plain) : reject(error))),
  );
}

/** Node 22.15 and newer. */
function unpackZstd(packed: Uint8Array, limitBytes: number): Promise<Unpacked> {
  const own = (zlib as { readonly zstdDecompress?: Inflate }).zstdDecompress;
  if (own === undefined) return unpackByTool('zstd', packed, limitBytes);
  return inflate(own, packed, limitBytes).then((data) => ({ kind: 'plain', data }));
}

/** `zstd`, `bzip2` and `xz` all take `-d -c`; they verify the checksums of their formats. */
function unpackByTool(tool: 'zstd' | 'bzip2' | 'xz', packed: Uint8Array, limitBytes: number): Promise<Unpacked> {
  return new Promise((resolve) => {
    const child = spawn(tool, ['-d', '-c', '-q'], {
      stdio: ['pipe', 'pipe', 'pipe'],
      timeout: TOOL_TIMEOUT_MS,
      env: { PATH: process.env['PATH'] ?? '', LC_ALL: 'C' },
    });
    const parts: Buffer[] = [];
    let [bytes, stderr] = [0, ''];
    child.on('error', () => resolve({ kind: 'not-examined', why: `${tool} is not installed` }));
    child.stdin.on('error', () => undefined);
    child.stdout.on('data', (part: Buffer) => {
      bytes += part.length;
      if (bytes > limitBytes) child.kill('SIGKILL');
      else parts.push(part);
    });
    child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr = (stderr + text).slice(-400)));
    child.on('close', (code) => {
      if (code === 0) resolve({ kind: 'plain', data: Buffer.concat(parts) });
      else if (bytes > limitBytes) resolve({ kind: 'damaged', why: 'holds more bytes than expected' });
      else
        resolve({
          kind: 'damaged',
          why: `does not decompress: ${stderr.trim().split('\n').at(-1) ?? `${tool} ended with ${code ?? 'a signal'}`}`,
        });
    });
    child.stdin.end(packed);
  });
}
