/** Timestamps against an authority of OpenSSL's own (`openssl ts -reply`), over HTTP as RFC 3161 says. */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { sha256Hex } from '../core/files';
import { checkTimestamp, readTimestamp, requestTimestamp } from './timestamp';

const dir = mkdtempSync(join(tmpdir(), 'gameday-tsa-'));
const at = (name: string): string => join(dir, name);
let server: Server;
let url: string;

const openssl = (...args: readonly string[]): Buffer => execFileSync('openssl', args, { cwd: dir, stdio: ['ignore', 'pipe', 'pipe'] });

beforeAll(async () => {
  writeFileSync(
    at('tsa.cnf'),
    `[tsa]\ndefault_tsa = t\n[t]\nserial = ${at('serial')}\nsigner_cert = ${at('tsa.pem')}\nsigner_key = ${at('tsa.key')}\nsigner_digest = sha256
default_policy = 1.2.3.4.1\ndigests = sha256\naccuracy = secs:1\nordering = no\ntsa_name = no\ness_cert_id_chain = no\ncrypto_device = builtin\n`,
  );
  writeFileSync(at('ext.cnf'), 'extendedKeyUsage = critical,timeStamping\n');
  writeFileSync(at('serial'), '01\n');
  openssl(
    'req',
    '-x509',
    '-newkey',
    'ec',
    '-pkeyopt',
    'ec_paramgen_curve:P-256',
    '-nodes',
    '-keyout',
    at('ca.key'),
    '-out',
    at('ca.pem'),
    '-subj',
    '/CN=Test CA',
    '-days',
    '30',
  );
  openssl(
    'req',
    '-newkey',
    'ec',
    '-pkeyopt',
    'ec_paramgen_curve:P-256',
    '-nodes',
    '-keyout',
    at('tsa.key'),
    '-out',
    at('tsa.csr'),
    '-subj',
    '/CN=Test TSA',
  );
  openssl(
    'x509',
    '-req',
    '-in',
    at('tsa.csr'),
    '-CA',
    at('ca.pem'),
    '-CAkey',
    at('ca.key'),
    '-CAcreateserial',
    '-out',
    at('tsa.pem'),
    '-extfile',
    at('ext.cnf'),
    '-days',
    '30',
  );
  server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => {
      if (request.url === '/away') return void response.writeHead(503).end();
      writeFileSync(at('query'), Buffer.concat(chunks));
      if (request.url === '/other') openssl('ts', '-query', '-data', at('tsa.cnf'), '-sha256', '-cert', '-out', at('query'));
      openssl('ts', '-reply', '-config', at('tsa.cnf'), '-queryfile', at('query'), '-out', at('reply'));
      response.writeHead(200, { 'content-type': 'application/timestamp-reply' }).end(readFileSync(at('reply')));
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}, 60_000);
afterAll(() => {
  server.close();
  rmSync(dir, { recursive: true, force: true });
});

test('an authority’s word over these bytes is had, read and checked offline', async () => {
  const data = Buffer.from('what was registered');
  const reply = await requestTimestamp({ url, timeoutMs: 20_000 }, data);
  const seen = await readTimestamp(reply);
  expect(seen.sha256).toBe(sha256Hex(data));
  expect(Math.abs(Date.parse(seen.at) - Date.now())).toBeLessThan(60_000);
  expect(await checkTimestamp(reply, data, readFileSync(at('ca.pem'), 'utf8'))).toBe(seen.at);
  await expect(checkTimestamp(reply, Buffer.from('something else'), readFileSync(at('ca.pem'), 'utf8'))).rejects.toMatchObject({
    code: 'bundle_invalid',
  });
  openssl(
    'req',
    '-x509',
    '-newkey',
    'ec',
    '-pkeyopt',
    'ec_paramgen_curve:P-256',
    '-nodes',
    '-keyout',
    at('x.key'),
    '-out',
    at('x.pem'),
    '-subj',
    '/CN=Other',
    '-days',
    '3',
  );
  await expect(checkTimestamp(reply, data, readFileSync(at('x.pem'), 'utf8'))).rejects.toThrow(/does not verify/);
  await expect(readTimestamp(Buffer.from('no reply'))).rejects.toMatchObject({ code: 'bundle_invalid' });
}, 60_000);

test('an authority that is away, or speaks of other bytes, gives none', async () => {
  const ask = (path: string) => requestTimestamp({ url: `${url}${path}`, timeoutMs: 20_000 }, Buffer.from('x'));
  await expect(ask('/away')).rejects.toThrow(/answered 503/);
  await expect(ask('/other')).rejects.toThrow(/about other bytes/);
  await expect(requestTimestamp({ url: 'http://127.0.0.1:1', timeoutMs: 2_000 }, Buffer.from('x'))).rejects.toMatchObject({
    code: 'timestamp_failed',
  });
}, 60_000);
