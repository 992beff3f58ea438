/**
 * Signing by a key that never leaves AWS KMS (ECC_NIST_P256, SIGN_VERIFY): the service is sent a digest and answers with a signature, in the same form as a
 * key file's. Two calls of its JSON protocol, signed by Signature Version 4; no answer is used before its signature verifies with the public key.
 */
import { createHash, createHmac, createPublicKey, verify } from 'node:crypto';
import { GamedayError, messageOf } from '../core/errors';
import { resolveSecret } from '../core/secrets';
import { findAwsCredentials, type AwsCredentials } from '../objects/aws-credentials';
import { envelopeOf, fingerprintOf, preAuthenticationEncoding, type Signer } from './signing';

const TIMEOUT_MS = 10_000;
const ATTEMPTS = 3;

export interface KmsSettings {
  /** Key id, alias (`alias/…`) or ARN. */
  readonly keyId: string;
  /** Of the key; told by an ARN. */
  readonly region?: string | undefined;
  /** Base URL; the service's own in that region if none is named. */
  readonly endpoint?: string | undefined;
  /** Names of secrets; without them the SDK's own search. */
  readonly accessKey?: string | undefined;
  readonly secretKey?: string | undefined;
}

/** Asks for the public key. Throws `signing_failed` while the service cannot be asked, `setting_invalid` if the key is of another kind. */
export async function openKmsSigner(settings: KmsSettings): Promise<Signer> {
  const answer = await call<{ PublicKey?: string; KeySpec?: string }>(settings, 'GetPublicKey', { KeyId: settings.keyId });
  if (answer.KeySpec !== 'ECC_NIST_P256' || answer.PublicKey === undefined)
    throw new GamedayError(
      'setting_invalid',
      `KMS key ${settings.keyId} is of kind ${answer.KeySpec ?? 'unknown'}, not ECC_NIST_P256`,
      'make an asymmetric key for SIGN_VERIFY with key spec ECC_NIST_P256.',
    );
  const publicKey = createPublicKey({ key: Buffer.from(answer.PublicKey, 'base64'), format: 'der', type: 'spki' });
  const publicKeyPem = publicKey.export({ type: 'spki', format: 'pem' }).toString();
  const fingerprint = fingerprintOf(publicKeyPem);
  return {
    kind: 'awskms',
    publicKeyPem,
    fingerprint,
    sign: async (payloadType, payload) => {
      const signed = preAuthenticationEncoding(payloadType, payload);
      const { Signature } = await call<{ Signature?: string }>(settings, 'Sign', {
        KeyId: settings.keyId,
        Message: createHash('sha256').update(signed).digest('base64'),
        MessageType: 'DIGEST',
        SigningAlgorithm: 'ECDSA_SHA_256',
      });
      const signature = Buffer.from(Signature ?? '', 'base64');
      if (!verify('sha256', signed, publicKey, signature))
        throw new GamedayError(
          'signing_failed',
          `KMS key ${settings.keyId}: what came back is no signature of this key over what was sent`,
        );
      return envelopeOf(payloadType, payload, fingerprint, signature);
    },
  };
}

async function call<T>(settings: KmsSettings, operation: string, body: object): Promise<T> {
  const region = settings.region ?? /^arn:[^:]+:kms:([^:]+):/.exec(settings.keyId)?.[1];
  if (region === undefined)
    throw new GamedayError('setting_invalid', `KMS key ${settings.keyId} is no ARN and key.region is not set in evidence.yaml`);
  const problems: string[] = [];
  for (let attempt = 1; attempt <= ATTEMPTS; attempt += 1) {
    const answer = await callOnce(settings, region, operation, JSON.stringify(body)).catch((error: unknown) => messageOf(error));
    if (typeof answer === 'string') problems.push(answer);
    else if (answer.status === 200) return JSON.parse(answer.text) as T;
    else {
      problems.push(`${answer.status} ${/"__type"\s*:\s*"([^"]+)"/.exec(answer.text)?.[1] ?? ''}`.trim());
      if (answer.status < 500 && answer.status !== 429) break;
    }
  }
  throw new GamedayError(
    'signing_failed',
    `KMS ${operation} with key ${settings.keyId}: ${problems.length} attempt(s): ${[...new Set(problems)].join(', ')}`,
  );
}

async function callOnce(settings: KmsSettings, region: string, operation: string, body: string): Promise<{ status: number; text: string }> {
  const url = new URL(settings.endpoint ?? `https://kms.${region}.amazonaws.com/`);
  const { accessKey, secretKey } = settings;
  const credentials: AwsCredentials =
    accessKey === undefined || secretKey === undefined
      ? await findAwsCredentials(region)
      : { accessKeyId: resolveSecret(accessKey), secretAccessKey: resolveSecret(secretKey) };
  const headers = {
    'content-type': 'application/x-amz-json-1.1',
    host: url.host,
    'x-amz-date': new Date().toISOString().replace(/[-:]|\.\d{3}/g, ''),
    'x-amz-target': `TrentService.${operation}`,
    ...(credentials.sessionToken === undefined ? {} : { 'x-amz-security-token': credentials.sessionToken }),
  };
  const authorization = authorize({ path: url.pathname, headers, body, region, credentials });
  const response = await fetch(url, {
    method: 'POST',
    headers: { ...headers, authorization },
    body,
    signal: AbortSignal.timeout(TIMEOUT_MS),
  });
  return { status: response.status, text: await response.text() };
}

/** Authorization header of Signature Version 4 (AWS General Reference, "Create a signed AWS API request"). */
function authorize(request: {
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
  readonly region: string;
  readonly credentials: AwsCredentials;
}): string {
  const { path, headers, body, region, credentials } = request;
  const hmac = (key: string | Buffer, text: string): Buffer => createHmac('sha256', key).update(text).digest();
  const hex = (text: string): string => createHash('sha256').update(text).digest('hex');
  const time = headers['x-amz-date'] ?? '';
  const scope = `${time.slice(0, 8)}/${region}/kms/aws4_request`;
  const names = Object.keys(headers).sort();
  const canonical = [
    'POST',
    path,
    '',
    ...names.map((name) => `${name}:${(headers[name] ?? '').trim()}`),
    '',
    names.join(';'),
    hex(body),
  ].join('\n');
  const key = scope.split('/').reduce<string | Buffer>((last, part) => hmac(last, part), `AWS4${credentials.secretAccessKey}`);
  const signature = createHmac('sha256', key)
    .update(['AWS4-HMAC-SHA256', time, scope, hex(canonical)].join('\n'))
    .digest('hex');
  return `AWS4-HMAC-SHA256 Credential=${credentials.accessKeyId}/${scope}, SignedHeaders=${names.join(';')}, Signature=${signature}`;
}
