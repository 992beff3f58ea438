/**
 * Evidence in a shared store, on a real S3 gateway that is killed and comes back: numbers, events, object lock, delivery after an outage, the series. No lab
 * and no database: what a drill does between its registration and its seal is the drills' own tests' business.
 */
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { sha256Hex } from '../../core/files';
import { encodePlan } from '../../evidence/bundle';
import { deliverWaiting, listWaiting } from '../../evidence/deliver';
import { openChain, recordIn, registerIn, sealIn } from '../../evidence/drill-evidence';
import { readAllEvents, recordEvents } from '../../evidence/events';
import { bundlePrefix } from '../../evidence/register';
import { verifySeries } from '../../evidence/series';
import { openEvidence } from '../../evidence/store';
import type { EventBody } from '../../model/event';
import { openVersionedStore } from '../../objects/s3-versions';
import { ensureBucket, type S3Settings } from '../../objects/s3-store';
import { sampleRecord } from '../fixtures/record';
import { samplePlan } from '../sample-plan';
import { startGateway, type Gateway } from './own-servers';

const HOST = '127.0.54.41';
let dir: string;
let gateway: Gateway;
let settings: S3Settings;

beforeAll(async () => {
  dir = mkdtempSync(join(tmpdir(), 'gd-evidence-'));
  gateway = await startGateway({ dir: join(dir, 's3'), host: HOST });
  settings = { ...gateway.settings, bucket: 'evidence', timeoutMs: 3_000 };
  await ensureBucket({ ...settings, versioning: false, objectLock: true });
}, 30_000);

afterAll(async () => {
  await gateway.stop();
  rmSync(dir, { recursive: true, force: true });
});

function makeHome(name: string, more = ''): string {
  const home = join(dir, name);
  mkdirSync(home);
  const { endpoint, region, accessKey, secretKey } = gateway.settings;
  writeFileSync(
    join(home, 'evidence.yaml'),
    `store:\n  kind: s3\n  endpoint: ${endpoint}\n  region: ${region}\n  bucket: evidence\n  prefix: ${name}\n  accessKey: ${accessKey}\n  secretKey: ${secretKey}\n  timeoutMs: 3000\n${more}`,
  );
  return home;
}

const plan = samplePlan([]);
const planSha256 = sha256Hex(encodePlan(plan));
const place = (home: string) => openEvidence(home, 'lab');
const begin = (home: string, runId: string) =>
  registerIn(place(home), {
    plan,
    planSha256,
    owner: { workflowId: 'drill/7000000000000000001', runId },
    startedBy: 'mira',
    at: new Date().toISOString(),
  });

const event = (drill: string, kind: string): EventBody => ({
  drill,
  writer: 'workflow',
  step: 'method',
  kind,
  attempt: 1,
  at: new Date().toISOString(),
  actor: 'workflow',
  text: kind,
  facts: {},
});

async function end(home: string, drill: string, registered: Awaited<ReturnType<typeof begin>>, patient: boolean) {
  const evidence = place(home);
  const prefix = bundlePrefix('sample', drill);
  const { store, away } = await openChain(evidence, prefix, patient);
  await recordEvents(store, prefix, 'workflow', [event(drill, 'judged')]);
  const { sequence, registrationSha256, previousRegistrationSha256, registeredAt } = registered;
  const record = sampleRecord({ drill, sequence, registrationSha256, previousRegistrationSha256, registeredAt, planSha256 });
  const target = { ...record.target, systemIdentifier: plan.target.systemIdentifier };
  const sealed = await sealIn(home, evidence, {
    prefix,
    plan,
    record: { ...record, target },
    reportHtml: 'x',
    reportMarkdown: 'x',
    files: [],
    events: await readAllEvents(store, prefix),
    sealedAt: new Date().toISOString(),
  });
  return { ...sealed, away };
}

test('two machines share one series: numbers, chain and bundle are one, and each keeps its own copy', async () => {
  const [one, two] = [makeHome('shared'), join(dir, 'shared-2')];
  mkdirSync(two);
  writeFileSync(join(two, 'evidence.yaml'), readFileSync(join(one, 'evidence.yaml')));
  const first = await begin(one, 'a');
  expect(first).toMatchObject({ sequence: 1, custody: { store: 's3', shared: true } });
  expect(await begin(two, 'b')).toMatchObject({ sequence: 2, previousRegistrationSha256: first.registrationSha256 });
  const prefix = bundlePrefix('sample', first.drill);
  await recordIn(place(one), prefix, 'workflow', [event(first.drill, 'begun')]);
  await recordIn(place(two), prefix, 'workflow', [event(first.drill, 'went on')]);
  expect(await end(one, first.drill, first, true)).toMatchObject({ away: null, waiting: null, written: true });
  const report = await verifySeries(place(two).shared, 'sample', { trusted: [(await place(one).signer()).fingerprint] });
  expect(report).toMatchObject({ registered: 2, sealed: 1 });
  expect(readFileSync(join(one, 'drills', prefix, 'events.jsonl'), 'utf8')).toContain('went on');
}, 30_000);

test('a store that is away when a drill would start means that it does not start', async () => {
  const home = makeHome('away');
  await gateway.stop();
  try {
    await expect(begin(home, 'a')).rejects.toMatchObject({ code: 'registration_failed' });
  } finally {
    await gateway.start();
  }
  expect(await begin(home, 'a')).toMatchObject({ sequence: 1 });
}, 60_000);

test('a store that dies while a drill runs costs nothing: the bundle is sealed here and delivered when it is back', async () => {
  const home = makeHome('outage');
  const registered = await begin(home, 'a');
  const prefix = bundlePrefix('sample', registered.drill);
  await recordIn(place(home), prefix, 'workflow', [event(registered.drill, 'begun')]);
  await gateway.stop();
  try {
    await expect(recordIn(place(home), prefix, 'workflow', [event(registered.drill, 'lost')])).rejects.toMatchObject({
      code: 'store_unreachable',
    });
    await expect(end(home, registered.drill, registered, true)).rejects.toMatchObject({ code: 'store_unreachable' });
    const sealed = await end(home, registered.drill, registered, false);
    expect(sealed).toMatchObject({
      written: true,
      waiting: expect.stringContaining('connection refused'),
      away: expect.stringContaining('could not be reached'),
    });
    expect(await deliverWaiting(home)).toMatchObject({ delivered: [], waiting: [{ prefix }] });
  } finally {
    await gateway.start();
  }
  expect(await deliverWaiting(home)).toEqual({ delivered: [prefix], waiting: [] });
  expect(listWaiting(home)).toEqual([]);
  const there = await place(home).shared.get(`${prefix}/seal.dsse.json`);
  expect(Buffer.from(there ?? []).equals(readFileSync(join(home, 'drills', prefix, 'seal.dsse.json')))).toBe(true);
}, 90_000);

test('other bytes under a name of the bundle are never replaced', async () => {
  const home = makeHome('conflict');
  const registered = await begin(home, 'a');
  const prefix = bundlePrefix('sample', registered.drill);
  await place(home).shared.put(`${prefix}/record.json`, Buffer.from('somebody else’s'));
  const sealed = await end(home, registered.drill, registered, true);
  expect(sealed.waiting).toMatch(/holds other bytes as sample\/drill-000001\/record\.json/);
  expect(Buffer.from((await place(home).shared.get(`${prefix}/record.json`)) ?? []).toString()).toBe('somebody else’s');
}, 30_000);

test.each(['compliance', 'governance'])(
  'under object lock in %s mode no version can be deleted',
  async (mode) => {
    const home = makeHome(`lock-${mode}`, `  lock: { mode: ${mode}, days: { lab: 1 } }\n`);
    const registered = await begin(home, 'a');
    expect(registered.custody).toMatchObject({ retention: { mode, days: 1 } });
    const versions = openVersionedStore({ ...settings, prefix: `lock-${mode}` });
    const [version] = await versions.versions(registered.key);
    await expect(versions.removeVersion(registered.key, version?.id ?? '')).rejects.toThrow(/403|400|Lock/);
    expect(await versions.getVersion(registered.key, version?.id ?? '')).not.toBeNull();
  },
  30_000,
);

test('a key that is not the pinned one starts no drill', async () => {
  const home = makeHome('pinned', `key:\n  fingerprint: ${'ab'.repeat(32)}\n`);
  await expect(begin(home, 'a')).rejects.toThrow(/evidence\.yaml pins abab/);
}, 30_000);
