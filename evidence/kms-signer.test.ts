/** A small service that speaks KMS's two calls with a real P-256 key. It does not check the request's own signature: against AWS that is not proven here. */
import { createHash, generateKeyPairSync, sign, type KeyObject } from 'node:crypto';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { openKmsSigner } from './kms-signer';
import { decodeEnvelope, encodeEnvelope, fingerprintOf, verifyEnvelope } from './signing';

/** ECDSA over a digest that was made elsewhere: Node signs data only, so the service keeps what the test will send. */
const expected = new Map<string, Buffer>();
let keys: { privateKey: KeyObject; publicKey: KeyObject };
let server: Server;
let endpoint: string;
let answer: 'well' | 'denied' | 'garbage' | 'rsa' = 'well';
const asked: { target: string; authorization: string; body: Record<string, string> }[] = [];

beforeAll(async () => {
  keys = generateKeyPairSync('ec', { namedCurve: 'prime256v1' });
  server = createServer((request, response) => {
    let text = '';
    request.on('data', (chunk: Buffer) => (text += chunk.toString()));
    request.on('end', () => {
      const target = String(request.headers['x-amz-target']);
      const body = JSON.parse(text) as Record<string, string>;
      asked.push({ target, authorization: String(request.headers.authorization), body });
      if (answer === 'denied') {
        response.writeHead(400).end(JSON.stringify({ __type: 'AccessDeniedException', message: 'secret things' }));
        return;
      }
      if (target === 'TrentService.GetPublicKey') {
        const der = keys.publicKey.export({ type: 'spki', format: 'der' }).toString('base64');
        response.end(JSON.stringify({ PublicKey: der, KeySpec: answer === 'rsa' ? 'RSA_2048' : 'ECC_NIST_P256' }));
        return;
      }
      const data = expected.get(body['Message'] ?? '');
      const signature =
        data === undefined || answer === 'garbage' ? Buffer.from('30060201010201', 'hex') : sign('sha256', data, keys.privateKey);
      response.end(JSON.stringify({ Signature: signature.toString('base64') }));
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  endpoint = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`;
  process.env['GAMEDAY_TEST_KMS_ACCESS'] = 'AKIDEXAMPLE';
  process.env['GAMEDAY_TEST_KMS_SECRET'] = 'wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY';
});
afterAll(() => void server.close());
beforeEach(() => void (answer = 'well'));

const settings = () => ({
  keyId: 'arn:aws:kms:eu-central-1:111122223333:key/1234abcd',
  endpoint,
  accessKey: 'env:GAMEDAY_TEST_KMS_ACCESS',
  secretKey: 'env:GAMEDAY_TEST_KMS_SECRET',
});

function expectSigning(type: string, payload: string): void {
  const data = Buffer.from(`DSSEv1 ${type.length} ${type} ${Buffer.byteLength(payload)} ${payload}`);
  expected.set(createHash('sha256').update(data).digest('base64'), data);
}

test('signs by digest with a key that it never sees, in the form that every verifier reads', async () => {
  const signer = await openKmsSigner(settings());
  const pem = keys.publicKey.export({ type: 'spki', format: 'pem' }).toString();
  expect(signer).toMatchObject({ kind: 'awskms', publicKeyPem: pem, fingerprint: fingerprintOf(pem) });
  expectSigning('a/b', 'fact');
  const envelope = decodeEnvelope(encodeEnvelope(await signer.sign('a/b', Buffer.from('fact'))), 'x');
  expect(verifyEnvelope(envelope, 'a/b', pem)?.toString()).toBe('fact');
  const { target, authorization, body } = asked.at(-1) ?? { target: '', authorization: '', body: {} };
  expect(target).toBe('TrentService.Sign');
  expect(body).toMatchObject({ MessageType: 'DIGEST', SigningAlgorithm: 'ECDSA_SHA_256' });
  expect(authorization).toMatch(
    /^AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE\/\d{8}\/eu-central-1\/kms\/aws4_request, SignedHeaders=.*x-amz-target/,
  );
});

test('a signature that does not verify, a refusal and a key of another kind are errors that hold no secret', async () => {
  const signer = await openKmsSigner(settings());
  answer = 'garbage';
  await expect(signer.sign('a/b', Buffer.from('fact'))).rejects.toMatchObject({ code: 'signing_failed' });
  answer = 'denied';
  await expect(openKmsSigner(settings())).rejects.toThrow(/400 AccessDeniedException/);
  answer = 'rsa';
  await expect(openKmsSigner(settings())).rejects.toMatchObject({ code: 'setting_invalid' });
  await expect(openKmsSigner({ ...settings(), endpoint: 'http://127.0.0.1:1/' })).rejects.toMatchObject({ code: 'signing_failed' });
});
