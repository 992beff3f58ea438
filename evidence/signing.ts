/**
 * The signing key and DSSE envelopes: ECDSA P-256 over SHA-256, in the form that `openssl dgst -verify` reads.
 * The private key is made on first use and never leaves its file; it must never enter a bundle, an event or a message.
 */
import { createPrivateKey, createPublicKey, generateKeyPairSync, randomBytes, sign, verify, type KeyObject } from 'node:crypto';
import { existsSync, linkSync, mkdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import { canonicalJson } from '../core/canonical-json';
import { GamedayError, messageOf } from '../core/errors';
import { sha256Hex, writeFileDurably } from '../core/files';

export const SEAL_PAYLOAD_TYPE = 'application/vnd.in-toto+json';
export const REGISTRATION_PAYLOAD_TYPE = 'application/vnd.gameday.registration+json';

/** DSSE envelope, https://github.com/secure-systems-lab/dsse: payload and signature in standard base64. */
export interface Envelope {
  readonly payload: string;
  readonly payloadType: string;
  readonly signatures: readonly { readonly keyid: string; readonly sig: string }[];
}

const envelopeSchema = z.strictObject({
  payload: z.base64(),
  payloadType: z.string().min(1).max(200),
  signatures: z
    .array(z.strictObject({ keyid: z.string().max(200), sig: z.base64() }))
    .min(1)
    .max(8),
});

export interface Signer {
  /** Where the private key is. */
  readonly kind: 'file' | 'awskms';
  readonly publicKeyPem: string;
  /** SHA-256 of the public key's SPKI DER, in hex: what is handed over out of band. */
  readonly fingerprint: string;
  /** Throws `signing_failed` where the key is not at hand now. */
  sign(payloadType: string, payload: Uint8Array): Promise<Envelope>;
}

/** Pre-authentication encoding of DSSE v1: `DSSEv1 LEN(type) type LEN(body) body`, lengths in bytes as decimal digits. */
export function preAuthenticationEncoding(payloadType: string, payload: Uint8Array): Buffer {
  const head = `DSSEv1 ${Buffer.byteLength(payloadType)} ${payloadType} ${payload.byteLength} `;
  return Buffer.concat([Buffer.from(head), payload]);
}

/** SHA-256 (hex) of a public key's SPKI DER. Throws `bundle_invalid` if the text is no public key. */
export function fingerprintOf(publicKeyPem: string): string {
  return sha256Hex(readPublicKey(publicKeyPem).export({ type: 'spki', format: 'der' }));
}

/**
 * Opens the key pair in `keysDir` (`signing.pem`, mode 0600, and `signing.pub.pem`), making it if there is none.
 * Two processes that come first at once agree on one key. Throws `file_unreadable`.
 */
export function openSigner(keysDir: string): Signer {
  const path = join(keysDir, 'signing.pem');
  if (!existsSync(path)) createKey(keysDir, path);
  const key = readPrivateKey(path);
  const publicKey = createPublicKey(key);
  const publicKeyPem = publicKey.export({ type: 'spki', format: 'pem' }).toString();
  const publicPath = join(keysDir, 'signing.pub.pem');
  if (!existsSync(publicPath)) writeFileDurably(publicPath, publicKeyPem, 0o644);
  const fingerprint = fingerprintOf(publicKeyPem);
  return {
    kind: 'file',
    publicKeyPem,
    fingerprint,
    sign: (payloadType, payload) =>
      Promise.resolve(envelopeOf(payloadType, payload, fingerprint, sign('sha256', preAuthenticationEncoding(payloadType, payload), key))),
  };
}

/** One payload with one signature. */
export function envelopeOf(payloadType: string, payload: Uint8Array, keyid: string, signature: Uint8Array): Envelope {
  return {
    payload: Buffer.from(payload).toString('base64'),
    payloadType,
    signatures: [{ keyid, sig: Buffer.from(signature).toString('base64') }],
  };
}

/** The payload if one of the signatures is `publicKeyPem`'s over a payload of this type; null otherwise. */
export function verifyEnvelope(envelope: Envelope, payloadType: string, publicKeyPem: string): Buffer | null {
  if (envelope.payloadType !== payloadType) return null;
  const payload = Buffer.from(envelope.payload, 'base64');
  const key = readPublicKey(publicKeyPem);
  const signed = preAuthenticationEncoding(payloadType, payload);
  return envelope.signatures.some(({ sig }) => verify('sha256', signed, key, Buffer.from(sig, 'base64'))) ? payload : null;
}

/** An envelope's bytes on one line, keys sorted: what a bundle stores, and what `sed` can read where there is no `jq`. */
export function encodeEnvelope(envelope: Envelope): Buffer {
  return Buffer.from(`${canonicalJson(envelope)}\n`);
}

/** Reads a stored envelope. Throws `bundle_invalid` that names `what`. */
export function decodeEnvelope(data: Uint8Array, what: string): Envelope {
  try {
    return envelopeSchema.parse(JSON.parse(Buffer.from(data).toString('utf8')));
  } catch (error) {
    throw new GamedayError('bundle_invalid', `${what} is no DSSE envelope: ${messageOf(error).split('\n')[0] ?? ''}`, null, {
      cause: error,
    });
  }
}

function createKey(keysDir: string, path: string): void {
  mkdirSync(keysDir, { recursive: true, mode: 0o700 });
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'prime256v1' });
  const temporary = `${path}.${randomBytes(6).toString('hex')}`;
  writeFileDurably(temporary, privateKey.export({ type: 'pkcs8', format: 'pem' }), 0o600);
  try {
    linkSync(temporary, path);
  } catch (error) {
    // Whoever was first has made the key; ours was never used.
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
  } finally {
    rmSync(temporary, { force: true });
  }
}

function readPrivateKey(path: string): KeyObject {
  try {
    const key = createPrivateKey(readFileSync(path));
    if (key.asymmetricKeyType !== 'ec' || key.asymmetricKeyDetails?.namedCurve !== 'prime256v1') throw new Error('it is no P-256 key');
    return key;
  } catch (error) {
    throw new GamedayError('file_unreadable', `signing key ${path} cannot be used: ${messageOf(error)}`, null, { cause: error });
  }
}

function readPublicKey(pem: string): KeyObject {
  try {
    const key = createPublicKey(pem);
    if (key.asymmetricKeyType !== 'ec' || key.asymmetricKeyDetails?.namedCurve !== 'prime256v1') throw new Error('it is no P-256 key');
    return key;
  } catch (error) {
    throw new GamedayError('bundle_invalid', `the public key cannot be used: ${messageOf(error)}`, null, { cause: error });
  }
}
