/**
 * RFC 3161 timestamps: an authority's word that these bytes existed at a time, so that a registration cannot be made up afterwards. Asked over HTTP with a
 * digest only; checked offline by `openssl ts`, whose rules for such certificates are used as they are.
 */
import { createHash, randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { GamedayError, messageOf } from '../core/errors';
import { run } from '../core/process';

const MAX_REPLY_BYTES = 256 * 1024;
const OPENSSL_TIMEOUT_MS = 10_000;
/** DER of AlgorithmIdentifier { id-sha256, NULL } (RFC 5754). */
const SHA256_ALGORITHM = Buffer.from('300d06096086480165030402010500', 'hex');

export interface TimestampSettings {
  readonly url: string;
  readonly timeoutMs: number;
}

/** The authority's whole reply, as it is stored. Throws `timestamp_failed`; no reply is accepted that is not over these bytes. */
export async function requestTimestamp({ url, timeoutMs }: TimestampSettings, data: Uint8Array): Promise<Buffer> {
  const failed = (why: string, cause?: unknown): GamedayError =>
    new GamedayError('timestamp_failed', `timestamp authority ${url}: ${why}`, null, { cause });
  let reply: Buffer;
  try {
    const response = await fetch(url, {
      method: 'POST',
      headers: { 'content-type': 'application/timestamp-query' },
      body: new Uint8Array(timestampQuery(data)),
      signal: AbortSignal.timeout(timeoutMs),
    });
    if (!response.ok) throw failed(`answered ${response.status}`);
    reply = Buffer.from(await response.arrayBuffer());
  } catch (error) {
    throw error instanceof GamedayError ? error : failed(messageOf(error), error);
  }
  if (reply.length > MAX_REPLY_BYTES) throw failed(`its reply has ${reply.length} bytes`);
  const seen = await readTimestamp(reply);
  if (seen.sha256 !== createHash('sha256').update(data).digest('hex')) throw failed('its reply is about other bytes');
  return reply;
}

/** What a stored reply says of itself; whether it may be believed is `checkTimestamp`'s business. Throws `bundle_invalid`, `tool_missing`. */
export async function readTimestamp(reply: Uint8Array): Promise<{ readonly sha256: string; readonly at: string }> {
  return inDirectory(async (dir) => {
    const file = join(dir, 'reply');
    writeFileSync(file, reply);
    const { stdout, stderr, code } = await openssl(['ts', '-reply', '-in', file, '-text']);
    const text = stdout;
    const at = /Time stamp: (.+)/.exec(text)?.[1];
    const dump = /Message data:\n((?:\s+[0-9a-f]{4} - .*\n)+)/.exec(text)?.[1];
    if (code !== 0 || at === undefined || dump === undefined || !/Hash Algorithm: sha256/i.test(text))
      throw new GamedayError('bundle_invalid', `it is no granted RFC 3161 timestamp over SHA-256: ${lastLine(stderr)}`);
    const sha256 = dump
      .trim()
      .split('\n')
      .map((line) =>
        line
          .trim()
          .slice(7, 7 + 47)
          .replace(/[^0-9a-f]/g, ''),
      )
      .join('');
    return { sha256, at: new Date(at).toISOString() };
  });
}

/** Throws `bundle_invalid` unless the reply is over these bytes and its signature leads to the authorities in `ca` (PEM). Returns its time. */
export async function checkTimestamp(reply: Uint8Array, data: Uint8Array, ca: string): Promise<string> {
  const { at } = await readTimestamp(reply);
  await inDirectory(async (dir) => {
    const [file, bytes, authorities] = ['reply', 'data', 'ca.pem'].map((name) => join(dir, name)) as [string, string, string];
    writeFileSync(file, reply);
    writeFileSync(bytes, data);
    writeFileSync(authorities, ca);
    const { code, stderr } = await openssl(['ts', '-verify', '-data', bytes, '-in', file, '-CAfile', authorities]);
    if (code !== 0) throw new GamedayError('bundle_invalid', `openssl does not verify it: ${lastLine(stderr).replaceAll(dir, '')}`);
  });
  return at;
}

/** TimeStampReq (RFC 3161, 2.4.1): version 1, SHA-256 of the bytes, a nonce, and the wish for the authority's certificate. */
function timestampQuery(data: Uint8Array): Buffer {
  const digest = createHash('sha256').update(data).digest();
  const imprint = der(0x30, SHA256_ALGORITHM, der(0x04, digest));
  const random = randomBytes(8);
  // Positive, and without a leading zero octet, as DER wants it.
  random[0] = 0x40 | ((random[0] ?? 0) & 0x3f);
  return der(0x30, der(0x02, Buffer.from([1])), imprint, der(0x02, random), der(0x01, Buffer.from([0xff])));
}

function der(tag: number, ...parts: readonly Buffer[]): Buffer {
  const body = Buffer.concat(parts);
  if (body.length >= 128) throw new GamedayError('internal', 'a timestamp query is shorter than 128 bytes');
  return Buffer.concat([Buffer.from([tag, body.length]), body]);
}

async function openssl(args: readonly string[]): Promise<{ readonly code: number; readonly stdout: string; readonly stderr: string }> {
  try {
    return await run(['openssl', ...args], { timeoutMs: OPENSSL_TIMEOUT_MS });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT')
      throw new GamedayError('tool_missing', 'openssl is not on the PATH', 'install OpenSSL (1.1.1 or later).');
    throw error;
  }
}

async function inDirectory<T>(work: (dir: string) => Promise<T>): Promise<T> {
  const dir = mkdtempSync(join(tmpdir(), 'gameday-timestamp-'));
  try {
    return await work(dir);
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
}

function lastLine(text: string): string {
  return text.trim().split('\n').at(-1)?.trim() ?? '';
}
