/**
 * Sign-offs: people's later signatures over a seal's digest, `signoffs/N.dsse.json`. The signature is OpenSSH's (SSHSIG) over the DSSE encoding, by an ssh key
 * or a PEM key that ssh-keygen can read. Whoever started the drill, and the key that sealed it, cannot sign it off.
 */
import { createPublicKey } from 'node:crypto';
import { existsSync, readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import { canonicalJson } from '../core/canonical-json';
import { GamedayError, messageOf } from '../core/errors';
import { sha256Hex } from '../core/files';
import { isSamePerson } from '../core/people';
import { checkSignature, keyOfSignature, signText } from '../core/ssh-signature';
import { FORMAT_VERSION } from '../model/constants';
import type { ObjectStore } from '../objects/store';
import { SEAL_FILE, SIGNOFFS } from './layout';
import { decodeEnvelope, encodeEnvelope, envelopeOf, preAuthenticationEncoding } from './signing';

export const SIGNOFF_PAYLOAD_TYPE = 'application/vnd.gameday.signoff+json';
/** Of `ssh-keygen -Y sign -n`. */
export const SIGNOFF_NAMESPACE = 'gameday-signoff@v1';
const MAX_SIGNOFFS = 100;

const signoffSchema = z.strictObject({
  formatVersion: z.literal(FORMAT_VERSION),
  drill: z.string(),
  systemIdentifier: z.string(),
  sealSha256: z.string().regex(/^[0-9a-f]{64}$/),
  signer: z.string().regex(/^[A-Za-z0-9][A-Za-z0-9._@+-]{0,99}$/),
  note: z.string().max(2_000).nullable(),
  at: z.iso.datetime(),
});
export type Signoff = z.infer<typeof signoffSchema>;

export interface SignoffRequest {
  readonly store: ObjectStore;
  /** Prefix of the sealed bundle in that store. */
  readonly prefix: string;
  readonly drill: string;
  readonly systemIdentifier: string;
  readonly startedBy: string;
  /** The key that sealed, PEM. */
  readonly sealKeyPem: string;
  readonly signer: string;
  readonly note: string | null;
  /** Path of a private key, or of a public one whose private key an agent holds. */
  readonly key: string;
  readonly at: string;
}

/** One stored sign-off and what it is worth. */
export interface CheckedSignoff {
  readonly name: string;
  readonly signoff: Signoff;
  /** Fingerprint of the key, `SHA256:…`. */
  readonly key: string;
}

/** Signs, and writes the next number. Throws `signoff_refused` for whoever may not, `approval_failed` if ssh-keygen cannot sign. */
export async function signOff(request: SignoffRequest): Promise<CheckedSignoff> {
  const { store, prefix, signer } = request;
  const seal = await store.get(`${prefix}/${SEAL_FILE}`);
  if (seal === null) throw new GamedayError('signoff_refused', `${prefix} is not sealed`, 'a drill is signed off after it is sealed.');
  if (isSamePerson(signer, request.startedBy))
    throw new GamedayError(
      'signoff_refused',
      `${signer} started this drill and cannot sign it off`,
      'ask somebody else to read the record and sign.',
    );
  const payload: Signoff = signoffSchema.parse({
    formatVersion: FORMAT_VERSION,
    drill: request.drill,
    systemIdentifier: request.systemIdentifier,
    sealSha256: sha256Hex(seal),
    signer,
    note: request.note,
    at: request.at,
  });
  const body = Buffer.from(canonicalJson(payload));
  const text = preAuthenticationEncoding(SIGNOFF_PAYLOAD_TYPE, body).toString('utf8');
  const signature = await signText({ text, key: request.key, namespace: SIGNOFF_NAMESPACE });
  const key = await keyOfSignature({ text, signature, namespace: SIGNOFF_NAMESPACE });
  if (key.good === false) throw new GamedayError('approval_failed', `ssh-keygen does not verify what it signed: ${key.why}`);
  if (key.key === sshFingerprint(request.sealKeyPem))
    throw new GamedayError('signoff_refused', 'this is the key that sealed the drill', 'a sign-off needs a key of the person’s own.');
  for (const other of await storedSignoffs(store, prefix)) {
    if (other.keyid === key.key || isSamePerson(other.signoff.signer, signer))
      throw new GamedayError(
        'signoff_refused',
        `${other.name} is by ${other.signoff.signer} with key ${other.keyid} already`,
        'one person signs once.',
      );
  }
  const envelope = encodeEnvelope(envelopeOf(SIGNOFF_PAYLOAD_TYPE, body, key.key, Buffer.from(signature)));
  for (let number = 1; number <= MAX_SIGNOFFS; number += 1) {
    const name = `${SIGNOFFS}${number}.dsse.json`;
    if (await store.create(`${prefix}/${name}`, envelope)) return { name, signoff: payload, key: key.key };
  }
  throw new GamedayError('signoff_refused', `${prefix} has ${MAX_SIGNOFFS} sign-offs; no more are taken`);
}

async function storedSignoffs(
  store: ObjectStore,
  prefix: string,
): Promise<readonly { readonly name: string; readonly signoff: Signoff; readonly keyid: string }[]> {
  const found: { name: string; signoff: Signoff; keyid: string }[] = [];
  for await (const { key } of store.list(`${prefix}/${SIGNOFFS}`)) {
    const data = await store.get(key);
    if (data !== null) found.push({ name: key.slice(prefix.length + 1), ...decodeSignoff(data, key) });
  }
  return found;
}

/** Reads one without judging its signature. Throws `bundle_invalid`. */
export function decodeSignoff(
  data: Uint8Array,
  what: string,
): { readonly signoff: Signoff; readonly keyid: string; readonly signature: string } {
  const { payload, payloadType, signatures } = decodeEnvelope(data, what);
  const [only] = signatures;
  try {
    if (payloadType !== SIGNOFF_PAYLOAD_TYPE || only === undefined || signatures.length !== 1)
      throw new Error(`its type is ${payloadType}`);
    const signoff = signoffSchema.parse(JSON.parse(Buffer.from(payload, 'base64').toString('utf8')));
    return { signoff, keyid: only.keyid, signature: Buffer.from(only.sig, 'base64').toString('utf8') };
  } catch (error) {
    throw new GamedayError('bundle_invalid', `${what} is no sign-off: ${messageOf(error).split('\n')[0] ?? ''}`, null, { cause: error });
  }
}

export interface SignoffQuestion {
  readonly sealSha256: string;
  readonly drill: string;
  readonly startedBy: string;
  readonly sealKeyPem: string;
  /** Text of an allowed-signers file (ssh-keygen(1)); null: whose keys these are is not known. */
  readonly allowedSigners: string | null;
}

/** The sign-off in this file if it holds; throws `bundle_invalid` with the reason if it does not. */
export async function checkSignoff(data: Uint8Array, name: string, question: SignoffQuestion): Promise<CheckedSignoff> {
  const fail = (why: string): never => {
    throw new GamedayError('bundle_invalid', `${name} ${why}`);
  };
  const { signoff, keyid, signature } = decodeSignoff(data, name);
  const body = Buffer.from(decodeEnvelope(data, name).payload, 'base64');
  const text = preAuthenticationEncoding(SIGNOFF_PAYLOAD_TYPE, body).toString('utf8');
  const checked = await keyOfSignature({ text, signature, namespace: SIGNOFF_NAMESPACE });
  if (checked.good === false) return fail(`is not signed by the key that it carries: ${checked.why}`);
  if (armored(signature) !== signature) fail('holds a signature that is not written as ssh-keygen writes it');
  if (checked.key !== keyid) fail(`names key ${keyid} and is signed by ${checked.key}`);
  if (signoff.sealSha256 !== question.sealSha256) fail(`is about another seal (${signoff.sealSha256})`);
  if (signoff.drill !== question.drill) fail(`is about ${signoff.drill}`);
  if (isSamePerson(signoff.signer, question.startedBy)) fail(`is by ${signoff.signer}, who started the drill`);
  if (checked.key === sshFingerprint(question.sealKeyPem)) fail('is signed by the key that sealed the drill');
  if (question.allowedSigners === null)
    fail(
      `is signed by key ${checked.key} in the name of ${signoff.signer}; whose key that is was not checked: name the file of allowed signers with --signers`,
    );
  const vouched = await checkSignature({
    text,
    signature,
    identity: signoff.signer,
    allowedSigners: question.allowedSigners ?? '',
    namespace: SIGNOFF_NAMESPACE,
  });
  if (!vouched.good)
    fail(`is signed by key ${checked.key}, and the allowed signers do not vouch for it as ${signoff.signer}’s: ${vouched.why}`);
  return { name, signoff, key: checked.key };
}

/** Sign-offs of a bundle on disk as they are written, oldest number first; nothing is judged. */
export function listSignoffs(dir: string): readonly { readonly name: string; readonly signoff: Signoff; readonly keyid: string }[] {
  const under = join(dir, SIGNOFFS);
  if (!existsSync(under)) return [];
  return readdirSync(under)
    .sort((a, b) => Number.parseInt(a, 10) - Number.parseInt(b, 10))
    .map((file) => {
      const name = `${SIGNOFFS}${file}`;
      const { signoff, keyid } = decodeSignoff(readFileSync(join(dir, name)), name);
      return { name, signoff, keyid };
    });
}

/** An SSHSIG as ssh-keygen wraps it: one signature has one text. */
function armored(signature: string): string {
  const [begin, end] = ['-----BEGIN SSH SIGNATURE-----', '-----END SSH SIGNATURE-----'];
  const body = Buffer.from(signature.replace(begin, '').replace(end, ''), 'base64').toString('base64');
  return `${begin}\n${body.replace(/(.{70})(?=.)/g, '$1\n')}\n${end}\n`;
}

/** As OpenSSH prints it (`SHA256:…`): digest of the key's wire form, RFC 5656 3.1 for P-256. */
export function sshFingerprint(publicKeyPem: string): string {
  const jwk = createPublicKey(publicKeyPem).export({ format: 'jwk' });
  const point = Buffer.concat([Buffer.from([4]), Buffer.from(jwk.x ?? '', 'base64url'), Buffer.from(jwk.y ?? '', 'base64url')]);
  const part = (data: Buffer): Buffer => {
    const length = Buffer.alloc(4);
    length.writeUInt32BE(data.length);
    return Buffer.concat([length, data]);
  };
  const wire = Buffer.concat([part(Buffer.from('ecdsa-sha2-nistp256')), part(Buffer.from('nistp256')), part(point)]);
  return `SHA256:${Buffer.from(sha256Hex(wire), 'hex').toString('base64').replace(/=+$/, '')}`;
}
