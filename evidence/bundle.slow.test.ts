import { execFileSync, spawnSync } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { canonicalJson } from '../core/canonical-json';
import { sha256Hex } from '../core/files';
import type { EventBody, Writer } from '../model/event';
import type { Plan } from '../model/plan';
import type { Custody } from '../model/record';
import { openDirectoryStore } from '../objects/directory-store';
import type { ObjectStore } from '../objects/store';
import { sampleRecord } from '../test/fixtures/record';
import { encodePlan, sealBundle, type SealRequest } from './bundle';
import { encodeEventLine, eventsPrefix, mergeEvents, readAllEvents, readEvents, recordEvents, type EventLine } from './events';
import { listDrills, readRecord } from './read-bundle';
import { bundlePrefix, registerDrill, type RegistrationRequest } from './register';
import { SEAL_PAYLOAD_TYPE, decodeEnvelope, encodeEnvelope, openSigner, verifyEnvelope } from './signing';
import { verifyBundle } from './verify';

const root = mkdtempSync(join(tmpdir(), 'gameday-evidence-'));
afterAll(() => rmSync(root, { recursive: true, force: true }));

const CUSTODY: Custody = { store: 'directory', shared: false, retention: null, key: 'file', pinned: false, weakness: null };

let made = 0;
function place(): { drills: string; store: ObjectStore; keys: string } {
  made += 1;
  const base = join(root, String(made));
  mkdirSync(join(base, 'drills'), { recursive: true });
  return { drills: join(base, 'drills'), store: openDirectoryStore(join(base, 'drills')), keys: join(base, 'keys') };
}

const event = (writer: Writer, step: string, kind: string, at: string): EventBody => ({
  drill: 'drill-000001',
  writer,
  step,
  kind,
  attempt: 1,
  at,
  actor: writer,
  text: `${kind} of ${step}`,
  facts: { lsn: '0/A03F1C8' },
});
const plan = { formatVersion: 1, toolVersion: '0.1.0', scenario: { name: 'game-day-in-a-box' } } as unknown as Plan;
const planSha256 = sha256Hex(encodePlan(plan));

function request(store: ObjectStore, keys: string, runId = 'run-1'): RegistrationRequest {
  return {
    store,
    targetName: 'lab',
    systemIdentifier: '7440123456789012345',
    scenario: 'game-day-in-a-box',
    custody: CUSTODY,
    owner: { workflowId: 'drill/7440123456789012345', runId },
    planSha256,
    objectives: sampleRecord().judgement.objectives.map(({ objective }) => objective),
    startedBy: 'mira',
    at: '2026-11-23T03:12:00.000Z',
    signer: openSigner(keys),
  };
}

async function sealed(): Promise<{ dir: string; seal: SealRequest; publicKeyPem: string; drills: string }> {
  const { drills, store, keys } = place();
  const signer = openSigner(keys);
  const registered = await registerDrill(request(store, keys));
  const prefix = bundlePrefix('lab', registered.drill);
  await recordEvents(store, prefix, 'workflow', [
    event('workflow', 'register', 'registered', '2026-11-23T03:12:00.100Z'),
    event('workflow', 'kill', 'asked', '2026-11-23T03:12:51.000Z'),
    event('workflow', 'judge', 'judged', '2026-11-23T03:14:00.000Z'),
  ]);
  await recordEvents(store, prefix, 'guardian', [event('guardian', 'kill', 'injected', '2026-11-23T03:12:51.000000001Z')]);
  const ledger = join(drills, '..', 'segment-000001.ndjson.gz');
  writeFileSync(ledger, Buffer.from([31, 139, 8, 0, 1, 2, 3]));
  const { drill, sequence, registrationSha256, previousRegistrationSha256, registeredAt } = registered;
  const seal: SealRequest = {
    store,
    prefix,
    plan,
    record: sampleRecord({ drill, sequence, registrationSha256, previousRegistrationSha256, registeredAt, planSha256 }),
    reportHtml: '<p>report</p>\n',
    reportMarkdown: 'report\n',
    files: [{ name: 'ledger/segment-000001.ndjson.gz', path: ledger }],
    events: await readAllEvents(store, prefix),
    sealedAt: '2026-11-23T03:14:20.000Z',
    signer,
  };
  await sealBundle(seal);
  return { dir: join(drills, prefix), seal, publicKeyPem: signer.publicKeyPem, drills };
}

describe('signing key', () => {
  it('is made once, readable by its owner only, and found again', () => {
    const { keys } = place();
    const first = openSigner(keys);
    expect(statSync(join(keys, 'signing.pem')).mode & 0o777).toBe(0o600);
    expect(openSigner(keys).fingerprint).toBe(first.fingerprint);
    expect(readFileSync(join(keys, 'signing.pub.pem'), 'utf8')).toBe(first.publicKeyPem);
  });

  it('signs so that only this payload, type and key verify', async () => {
    const [mine, other] = [openSigner(place().keys), openSigner(place().keys)];
    const envelope = decodeEnvelope(encodeEnvelope(await mine.sign('a/b', Buffer.from('fact'))), 'x');
    expect(verifyEnvelope(envelope, 'a/b', mine.publicKeyPem)?.toString()).toBe('fact');
    expect(verifyEnvelope(envelope, 'a/c', mine.publicKeyPem)).toBeNull();
    expect(verifyEnvelope(envelope, 'a/b', other.publicKeyPem)).toBeNull();
    expect(verifyEnvelope({ ...envelope, payload: Buffer.from('fake').toString('base64') }, 'a/b', mine.publicKeyPem)).toBeNull();
  });
});

describe('registration', () => {
  it('gives one run one number, the next run the next, and chains them', async () => {
    const { store, keys } = place();
    const first = await registerDrill(request(store, keys));
    expect(first).toMatchObject({ sequence: 1, drill: 'drill-000001', previousRegistrationSha256: null });
    expect(await registerDrill(request(store, keys))).toEqual(first);
    const second = await registerDrill(request(store, keys, 'run-2'));
    expect(second).toMatchObject({ sequence: 2, previousRegistrationSha256: first.registrationSha256 });
    expect(await registerDrill(request(store, keys))).toEqual(first);
  });

  it('never gives one number to two who ask at once', async () => {
    const { store, keys } = place();
    const all = await Promise.all(Array.from({ length: 12 }, (_, n) => registerDrill(request(store, keys, `run-${n}`))));
    expect(all.map(({ sequence }) => sequence).sort((a, b) => a - b)).toEqual(Array.from({ length: 12 }, (_, n) => n + 1));
  });

  it('does not reuse the number of a deleted drill', async () => {
    const { drills, store, keys } = place();
    for (const run of ['a', 'b', 'c']) await registerDrill(request(store, keys, run));
    rmSync(join(drills, 'lab', 'drill-000002'), { recursive: true });
    expect((await registerDrill(request(store, keys, 'd'))).sequence).toBe(4);
  });

  it('says registration_failed when the store cannot be reached', async () => {
    const { drills, keys } = place();
    const store = openDirectoryStore(drills);
    writeFileSync(join(drills, 'lab'), 'not a directory');
    await expect(registerDrill(request(store, keys))).rejects.toMatchObject({ code: 'registration_failed' });
  });
});

describe('events', () => {
  it('keeps the first of one key and gives it to whoever repeats it', async () => {
    const { store } = place();
    const [first] = await recordEvents(store, 'lab/drill-000001', 'workflow', [event('workflow', 'a', 'begun', '2026-01-01T00:00:00Z')]);
    const [again] = await recordEvents(store, 'lab/drill-000001', 'workflow', [
      { ...event('workflow', 'a', 'begun', '2026-01-01T00:00:09Z'), text: 'later' },
    ]);
    expect(again).toEqual(first);
    expect(await readEvents(store, 'lab/drill-000001', 'workflow')).toHaveLength(1);
  });

  it('lets many workers append to one chain at once without a break', async () => {
    const { drills } = place();
    const stores = Array.from({ length: 3 }, () => openDirectoryStore(drills));
    await Promise.all(
      stores.flatMap((store, worker) =>
        Array.from({ length: 4 }, (_, n) =>
          recordEvents(store, 'lab/drill-000001', 'workflow', [event('workflow', `${worker}-${n}`, 'done', '2026-01-01T00:00:00Z')]),
        ),
      ),
    );
    expect(await readEvents(openDirectoryStore(drills), 'lab/drill-000001', 'workflow')).toHaveLength(12);
  });

  it('notices a changed event', async () => {
    const { drills, store } = place();
    await recordEvents(
      store,
      'lab/drill-000001',
      'workflow',
      ['a', 'b', 'c'].map((step) => event('workflow', step, 'done', '2026-01-01T00:00:00Z')),
    );
    const path = join(drills, eventsPrefix('lab/drill-000001'), 'workflow', '000001.json');
    rmSync(path);
    writeFileSync(
      path,
      canonicalJson({ ...JSON.parse('{}'), ...(await readEvents(store, 'lab/drill-000001', 'workflow'))[1], text: 'nicer' }),
    );
    await expect(readEvents(openDirectoryStore(drills), 'lab/drill-000001', 'workflow')).rejects.toMatchObject({ code: 'bundle_invalid' });
  });

  it('merges in one order, by time to the nanosecond, whatever order the chains come in', async () => {
    const { store } = place();
    const at = (text: string): string => `2026-01-01T00:00:0${text}Z`;
    await recordEvents(store, 'lab/drill-000001', 'workflow', [
      event('workflow', 'a', 'x', at('1.5')),
      event('workflow', 'b', 'x', at('3')),
    ]);
    await recordEvents(store, 'lab/drill-000001', 'guardian', [
      event('guardian', 'g', 'x', at('1.500000001')),
      event('guardian', 'h', 'x', at('3.000')),
    ]);
    const all = await readAllEvents(store, 'lab/drill-000001');
    expect(mergeEvents(all).map((line) => line.event.step)).toEqual(['a', 'g', 'b', 'h']);
    expect(mergeEvents([...all].reverse())).toEqual(mergeEvents(all));
  });
});

describe('bundle', () => {
  it('verifies with the right key, and says that the signer is unknown without one', async () => {
    const { dir, publicKeyPem } = await sealed();
    const good = await verifyBundle(dir, { publicKeyPem });
    expect(good.checks.filter(({ ok }) => !ok)).toEqual([]);
    expect(good.ok).toBe(true);
    const unknown = await verifyBundle(dir, { publicKeyPem: null });
    expect(unknown.checks.filter(({ ok }) => !ok).map(({ name }) => name)).toEqual(['signer']);
    expect(unknown.checks.find(({ name }) => name === 'signer')?.detail).toMatch(/integrity only, signer unknown/);
  });

  it('is found and read by number and by directory', async () => {
    const { dir, drills } = await sealed();
    expect(listDrills(drills)).toMatchObject([{ target: 'lab', drill: 'drill-000001', sealed: true, problem: null }]);
    expect(readRecord(drills, '1').record.drill).toBe('drill-000001');
    expect(readRecord(drills, dir).sealSha256).toMatch(/^[0-9a-f]{64}$/);
    expect(() => readRecord(drills, '7')).toThrow(/no drill drill-000007/);
  });

  it('finishes what a crash left, and afterwards returns the same seal', async () => {
    const { dir, seal } = await sealed();
    const before = readFileSync(join(dir, 'seal.dsse.json'));
    expect(await sealBundle(seal)).toMatchObject({ written: false, sealSha256: sha256Hex(before) });
    for (const name of ['seal.dsse.json', 'SHA256SUMS', 'report.html']) rmSync(join(dir, name));
    writeFileSync(join(dir, 'record.json'), '{"half":');
    writeFileSync(join(dir, 'ledger', 'left-by-the-first-attempt'), 'x');
    expect((await sealBundle(seal)).written).toBe(true);
    expect((await verifyBundle(dir, { publicKeyPem: seal.signer.publicKeyPem })).ok).toBe(true);
  });

  it('never changes what is sealed', async () => {
    const { dir, seal } = await sealed();
    const before = readFileSync(join(dir, 'record.json'));
    await expect(sealBundle({ ...seal, record: { ...seal.record, verdict: 'fail' } })).rejects.toMatchObject({ code: 'object_exists' });
    expect(readFileSync(join(dir, 'record.json'))).toEqual(before);
  });

  it('refuses names that leave the bundle or stand in it already', async () => {
    const { seal } = await sealed();
    await seal.store.delete(`${seal.prefix}/seal.dsse.json`);
    for (const name of ['../x', '/x', 'a b', 'seal.dsse.json', 'record.json', 'signoffs/1.dsse.json']) {
      await expect(sealBundle({ ...seal, files: [{ name, data: Buffer.from('x') }] })).rejects.toMatchObject({ code: 'bundle_invalid' });
    }
  });
});

/** Events of a sealed bundle, edited and chained again as a forger would. */
function editEvents(dir: string, edit: (rows: string[]) => string[]): void {
  const path = join(dir, 'events.jsonl');
  const rows = readFileSync(path, 'utf8').trimEnd().split('\n');
  writeFileSync(
    path,
    edit(rows)
      .map((row) => `${row}\n`)
      .join(''),
  );
}

describe('tampering', () => {
  const cases: readonly (readonly [string, (dir: string) => void, string, RegExp])[] = [
    [
      'a flipped bit in the ledger',
      (dir) => flip(join(dir, 'ledger/segment-000001.ndjson.gz')),
      'file digests',
      /segment-000001\.ndjson\.gz was changed/,
    ],
    ['a flipped bit in the record', (dir) => flip(join(dir, 'record.json')), 'file digests', /record\.json was changed/],
    [
      'a truncated ledger',
      (dir) => writeFileSync(join(dir, 'ledger/segment-000001.ndjson.gz'), Buffer.from([31])),
      'file digests',
      /segment-000001/,
    ],
    ['a dropped event', (dir) => editEvents(dir, (rows) => rows.filter((_, at) => at !== 1)), 'event lines', /line 2 of events\.jsonl/],
    ['a dropped last event', (dir) => editEvents(dir, (rows) => rows.slice(0, -1)), 'event lines', /sealed were 4/],
    [
      'two swapped events',
      (dir) => editEvents(dir, ([a = '', b = '', ...rest]) => [b, a, ...rest]),
      'event lines',
      /line 1 of events\.jsonl/,
    ],
    [
      'an event dropped and its lines chained anew',
      (dir) => editEvents(dir, (rows) => rechain(rows.filter((_, at) => at !== 1))),
      'event chains',
      /chain of workflow breaks at its event 1/,
    ],
    [
      'a renamed file',
      (dir) => renameSync(join(dir, 'report.md'), join(dir, 'report2.md')),
      'files',
      /report\.md is missing; report2\.md was added/,
    ],
    ['an added file', (dir) => writeFileSync(join(dir, 'ledger/more'), ''), 'files', /ledger\/more was added/],
    ['a removed file', (dir) => rmSync(join(dir, 'plan.json')), 'files', /plan\.json is missing/],
    ['a changed list of sums', (dir) => flip(join(dir, 'SHA256SUMS')), 'SHA256SUMS', /does not list/],
    [
      'a registration of another plan',
      (dir) => flipPayload(join(dir, 'registration.dsse.json')),
      'registration signature',
      /not signed by this key/,
    ],
  ];
  it.each(cases)('names %s', async (_, tamper, check, detail) => {
    const { dir, publicKeyPem } = await sealed();
    if (check === 'event chains') {
      // Such a forger must also hold the key, or the seal's own count gives it away: sealed again here.
      tamper(dir);
      await reseal(dir, openSigner(join(dir, '..', '..', '..', 'keys')));
    } else tamper(dir);
    const result = await verifyBundle(dir, { publicKeyPem });
    expect(result.ok).toBe(false);
    expect(result.checks.find(({ name }) => name === check)).toMatchObject({ ok: false, detail: expect.stringMatching(detail) });
  });

  it('names a bundle that was sealed again with another key', async () => {
    const { dir, publicKeyPem } = await sealed();
    const forger = openSigner(place().keys);
    writeFileSync(join(dir, 'keys/signing.pub.pem'), forger.publicKeyPem);
    await reseal(dir, forger);
    const result = await verifyBundle(dir, { publicKeyPem });
    expect(result.checks.find(({ name }) => name === 'seal signature')).toMatchObject({
      ok: false,
      detail: 'seal.dsse.json is not signed by this key',
    });
    expect((await verifyBundle(dir, { publicKeyPem: null })).ok).toBe(false);
  });
});

function flip(path: string): void {
  const data = readFileSync(path);
  const at = data.length >> 1;
  data[at] = (data[at] ?? 0) ^ 1;
  writeFileSync(path, data);
}

function flipPayload(path: string): void {
  const envelope = JSON.parse(readFileSync(path, 'utf8')) as { payload: string };
  const registration = JSON.parse(Buffer.from(envelope.payload, 'base64').toString()) as object;
  writeFileSync(
    path,
    canonicalJson({ ...envelope, payload: Buffer.from(canonicalJson({ ...registration, startedBy: 'eve' })).toString('base64') }),
  );
}

function rechain(rows: readonly string[]): string[] {
  let previousLineSha256 = '0'.repeat(64);
  return rows.map((row, line) => {
    const { event: body } = JSON.parse(row) as EventLine;
    const text = encodeEventLine({ event: body, line, previousLineSha256 });
    previousLineSha256 = sha256Hex(text);
    return text;
  });
}

/** Signs the directory's present content as if it had been so from the start. */
async function reseal(dir: string, signer: ReturnType<typeof openSigner>): Promise<void> {
  const path = join(dir, 'seal.dsse.json');
  const envelope = decodeEnvelope(readFileSync(path), path);
  const statement = JSON.parse(Buffer.from(envelope.payload, 'base64').toString()) as {
    subject: { name: string; digest: { sha256: string } }[];
    predicate: { events: unknown };
  };
  for (const subject of statement.subject) subject.digest.sha256 = sha256Hex(readFileSync(join(dir, subject.name)));
  const rows = readFileSync(join(dir, 'events.jsonl'), 'utf8').trimEnd().split('\n');
  statement.predicate.events = { lines: rows.length, lastLineSha256: sha256Hex(rows.at(-1) ?? '') };
  writeFileSync(path, encodeEnvelope(await signer.sign(SEAL_PAYLOAD_TYPE, Buffer.from(canonicalJson(statement)))));
}

const present = (tool: string): boolean => spawnSync(tool, ['--version']).error === undefined;
const shellTools = ['jq', 'openssl', 'sha256sum'].every(present) ? it : it.skip;

describe('VERIFY.txt', () => {
  const run = (dir: string, key?: string): { status: number | null; output: string } => {
    const { status, stdout, stderr } = spawnSync('sh', ['VERIFY.txt'], {
      cwd: dir,
      encoding: 'utf8',
      env: { PATH: process.env['PATH'], ...(key === undefined ? {} : { KEY: key }) },
    });
    return { status, output: stdout + stderr };
  };

  shellTools('runs word for word, prints the fingerprint, and holds', async () => {
    const { dir, seal } = await sealed();
    const { status, output } = run(dir);
    expect({ status, output }).toMatchObject({ status: 0, output: expect.stringContaining(`key fingerprint: ${seal.signer.fingerprint}`) });
    expect(output).toContain('every check holds');
  });

  shellTools('fails for another key and for every kind of change', async () => {
    const { dir } = await sealed();
    const { keys } = place();
    openSigner(keys);
    expect(run(dir, join(keys, 'signing.pub.pem')).status).not.toBe(0);
    const changes: readonly ((copy: string) => void)[] = [
      (copy) => flip(join(copy, 'record.json')),
      (copy) => editEvents(copy, (rows) => rows.slice(1)),
      (copy) => writeFileSync(join(copy, 'added'), ''),
      (copy) => renameSync(join(copy, 'report.md'), join(copy, 'r.md')),
      (copy) => flipPayload(join(copy, 'registration.dsse.json')),
    ];
    for (const [at, change] of changes.entries()) {
      const copy = `${dir}-${at}`;
      cpSync(dir, copy, { recursive: true });
      expect(run(copy).status).toBe(0);
      change(copy);
      expect(run(copy).status).not.toBe(0);
    }
  });

  shellTools('gives the same payload without jq', async () => {
    const { dir } = await sealed();
    const text = readFileSync(join(dir, 'VERIFY.txt'), 'utf8');
    const plain = /# Without jq: (sed .*?seal\.dsse\.json)/.exec(text)?.[1] ?? 'false';
    const withJq = execFileSync('jq', ['-r', '.payload', 'seal.dsse.json'], { cwd: dir, encoding: 'utf8' });
    expect(execFileSync('sh', ['-c', plain], { cwd: dir, encoding: 'utf8' })).toBe(withJq);
    expect(existsSync(join(dir, 'seal.dsse.json'))).toBe(true);
  });
});
