/** Timestamps against an authority of OpenSSL's own, over HTTP as RFC 3161 says: asked for, stored with a drill, and checked offline. */
import { spawnSync } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { sha256Hex } from '../core/files';
import { sampleRecord } from '../test/fixtures/record';
import { startAuthority, type TimestampAuthority } from '../test/fixtures/timestamp-authority';
import { samplePlan } from '../test/sample-plan';
import { encodePlan } from './bundle';
import { openChain, registerIn, sealIn } from './drill-evidence';
import { bundlePrefix } from './register';
import { openEvidence } from './store';
import { checkTimestamp, readTimestamp, requestTimestamp } from './timestamp';
import { verifyBundle, type VerifyCheck } from './verify';

const dir = mkdtempSync(join(tmpdir(), 'gameday-timestamp-test-'));
let authority: TimestampAuthority;
beforeAll(async () => {
  authority = await startAuthority();
}, 60_000);
afterAll(() => {
  authority.close();
  rmSync(dir, { recursive: true, force: true });
});
const pem = (path: string): string => readFileSync(path, 'utf8');

test('an authority’s word over these bytes is had, read and checked offline', async () => {
  const data = Buffer.from('what was registered');
  const reply = await requestTimestamp({ url: authority.url, timeoutMs: 20_000 }, data);
  const seen = await readTimestamp(reply);
  expect(seen.sha256).toBe(sha256Hex(data));
  expect(Math.abs(Date.parse(seen.at) - Date.now())).toBeLessThan(60_000);
  expect(await checkTimestamp(reply, data, pem(authority.ca))).toBe(seen.at);
  await expect(checkTimestamp(reply, Buffer.from('something else'), pem(authority.ca))).rejects.toMatchObject({ code: 'bundle_invalid' });
  await expect(checkTimestamp(reply, data, pem(authority.otherCa))).rejects.toThrow(/does not verify/);
  await expect(readTimestamp(Buffer.from('no reply'))).rejects.toMatchObject({ code: 'bundle_invalid' });
}, 60_000);

test('an authority that is away, or speaks of other bytes, gives none', async () => {
  const ask = (path: string) => requestTimestamp({ url: `${authority.url}${path}`, timeoutMs: 20_000 }, Buffer.from('x'));
  await expect(ask('/away')).rejects.toThrow(/answered 503/);
  await expect(ask('/other')).rejects.toThrow(/about other bytes/);
  await expect(requestTimestamp({ url: 'http://127.0.0.1:1', timeoutMs: 2_000 }, Buffer.from('x'))).rejects.toMatchObject({
    code: 'timestamp_failed',
  });
}, 60_000);

describe('a drill that is registered and sealed under an authority', () => {
  const plan = samplePlan([]);
  const planSha256 = sha256Hex(encodePlan(plan));
  const homeUnder = (name: string, path: string): string => {
    const home = join(dir, name);
    mkdirSync(home);
    writeFileSync(join(home, 'evidence.yaml'), `timestamps:\n  url: ${authority.url}${path}\n  ca: ${authority.ca}\n`);
    return home;
  };
  const begin = (home: string) =>
    registerIn(openEvidence(home, 'lab'), {
      plan,
      planSha256,
      owner: { workflowId: 'drill/7', runId: 'a' },
      startedBy: 'mira',
      at: new Date().toISOString(),
    });
  let bundle = '';

  beforeAll(async () => {
    const home = homeUnder('stamped', '/');
    const { drill, sequence, registrationSha256, previousRegistrationSha256, registeredAt } = await begin(home);
    const evidence = openEvidence(home, 'lab');
    const prefix = bundlePrefix('sample', drill);
    await openChain(evidence, prefix, true);
    const record = sampleRecord({ drill, sequence, registrationSha256, previousRegistrationSha256, registeredAt, planSha256 });
    const target = { ...record.target, name: 'sample', systemIdentifier: plan.target.systemIdentifier };
    await sealIn(home, evidence, {
      prefix,
      plan,
      record: { ...record, target },
      reportHtml: 'x',
      reportMarkdown: 'x',
      files: [],
      events: [],
      sealedAt: new Date().toISOString(),
    });
    bundle = join(home, 'drills', prefix);
  }, 60_000);

  const checks = async (at: string, timestampCa: string | null): Promise<readonly VerifyCheck[]> => {
    const { checks: all } = await verifyBundle(at, { publicKeyPem: pem(join(bundle, 'keys', 'signing.pub.pem')), timestampCa });
    return all.filter(({ name }) => name.startsWith('timestamp of'));
  };
  const script = (TSA: string): number | null =>
    spawnSync('sh', ['VERIFY.txt'], { cwd: bundle, env: { PATH: process.env['PATH'], TSA } }).status;

  test('both timestamps are in the bundle and hold for whoever knows the authority, in gameday and in the script', async () => {
    expect(await checks(bundle, pem(authority.ca))).toEqual([
      { name: 'timestamp of the registration', ok: true, detail: expect.stringMatching(/^registration\.dsse\.json existed at 20/) },
      { name: 'timestamp of the seal', ok: true, detail: expect.stringMatching(/^seal\.dsse\.json existed at 20/) },
    ]);
    expect(script(authority.ca)).toBe(0);
  }, 60_000);

  test('they do not hold under another authority, under none, or over another seal', async () => {
    expect((await checks(bundle, pem(authority.otherCa))).map(({ ok }) => ok)).toEqual([false, false]);
    expect((await checks(bundle, null)).map(({ detail }) => detail).join()).toMatch(
      /its authority was not checked: name its certificates with --tsa/,
    );
    expect(script(authority.otherCa)).not.toBe(0);
    const mixed = join(dir, 'mixed');
    cpSync(bundle, mixed, { recursive: true });
    cpSync(join(bundle, 'timestamps', 'registration.tsr'), join(mixed, 'seal.tsr'));
    expect((await checks(mixed, pem(authority.ca)))[1]).toMatchObject({ ok: false, detail: expect.stringContaining('about other bytes') });
  }, 60_000);

  test('an authority that is away starts no drill', async () => {
    const home = homeUnder('away', '/away');
    await expect(begin(home)).rejects.toMatchObject({ code: 'registration_failed' });
    expect(existsSync(join(home, 'drills', 'sample', 'drill-000001', 'timestamps'))).toBe(false);
  }, 60_000);
});
