import { mkdtempSync, readFileSync, rmSync, writeFileSync, cpSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openDirectoryStore } from '../objects/directory-store';
import { OBJECTIVES, sealedDrill, type SealedDrill } from '../test/fixtures/sealed-drill';
import { registerDrill } from './register';
import { verifySeries, type SeriesReport } from './series';
import { openSigner } from './signing';

const root = mkdtempSync(join(tmpdir(), 'gameday-series-'));
afterAll(() => rmSync(root, { recursive: true, force: true }));

let whole: SealedDrill;
let copies = 0;
beforeAll(async () => {
  const base = join(root, 'whole');
  for (const runId of ['a', 'b', 'c', 'd', 'e']) whole = await sealedDrill(base, { runId });
});

/** The series of five, changed; and its report for whoever trusts the key. */
async function after(change: (target: string, base: string) => void | Promise<unknown>): Promise<SeriesReport> {
  const base = join(root, `copy-${(copies += 1)}`);
  cpSync(join(root, 'whole'), base, { recursive: true });
  await change(join(base, 'drills', 'sample'), base);
  return verifySeries(openDirectoryStore(join(base, 'drills')), 'sample', { trusted: [whole.signer.fingerprint] });
}

const said = ({ problems }: SeriesReport): string[] => problems.map(({ drill, kind }) => `${drill}: ${kind}`);

test('five drills are a whole series for whoever has the key, and not for whoever has none', async () => {
  const report = await after(() => undefined);
  expect(report).toMatchObject({
    ok: true,
    registered: 5,
    sealed: 5,
    first: 'drill-000001',
    last: 'drill-000005',
    states: { completed: 5 },
  });
  expect([...report.problems, ...report.notes]).toEqual([]);
  const unknown = await verifySeries(whole.store, 'sample', { trusted: [] });
  expect(unknown.ok).toBe(false);
  expect(said(unknown)).toEqual(['drill-000005: unknown signer']);
});

test('a deleted drill is a gap, and the chain names it', async () => {
  const report = await after((target) => rmSync(join(target, 'drill-000003'), { recursive: true }));
  expect(said(report)).toEqual(['drill-000003: gap', 'drill-000004: broken chain']);
});

test('a drill that was registered and never sealed is named; the newest may still run', async () => {
  const report = await after((target) => {
    for (const drill of ['drill-000002', 'drill-000005']) rmSync(join(target, drill, 'seal.dsse.json'));
  });
  expect(said(report)).toEqual(['drill-000002: unsealed']);
  expect(report.notes).toMatchObject([{ drill: 'drill-000005', kind: 'running or lost' }]);
});

test('the last drill deleted is a gap as long as its events stand beside the bundles', async () => {
  const last = await after((target) => rmSync(join(target, 'drill-000005'), { recursive: true }));
  expect(said(last)).toEqual(['drill-000005: gap']);
  // With its events deleted too, nothing names it: object lock is what keeps the end of a series (docs/AUDIT.md).
  const both = await after((target) => {
    for (const name of ['drill-000005', 'events/drill-000005']) rmSync(join(target, name), { recursive: true });
  });
  expect(both).toMatchObject({ ok: true, last: 'drill-000004' });
});

test('a bundle that took another’s place is mixed up', async () => {
  const report = await after((target) => {
    rmSync(join(target, 'drill-000002'), { recursive: true });
    cpSync(join(target, 'drill-000004'), join(target, 'drill-000002'), { recursive: true });
  });
  expect(said(report)).toEqual(
    expect.arrayContaining(['drill-000002: mixed up', 'drill-000002: broken chain', 'drill-000003: broken chain']),
  );
});

test('a seal of another drill, and a flipped bit in registration or seal, are named', async () => {
  const swapped = await after((target) =>
    cpSync(join(target, 'drill-000001', 'seal.dsse.json'), join(target, 'drill-000002', 'seal.dsse.json')),
  );
  expect(said(swapped)).toEqual(['drill-000002: mixed up']);
  const edit = (file: string) => (target: string) => {
    const path = join(target, 'drill-000002', file);
    const envelope = JSON.parse(readFileSync(path, 'utf8')) as { payload: string };
    const text = Buffer.from(envelope.payload, 'base64').toString().replace('drill-000002', 'drill-000001');
    writeFileSync(path, JSON.stringify({ ...envelope, payload: Buffer.from(text).toString('base64') }));
  };
  expect(said(await after(edit('seal.dsse.json')))).toEqual(['drill-000002: signature']);
  expect(said(await after(edit('registration.dsse.json')))).toEqual(
    expect.arrayContaining(['drill-000002: signature', 'drill-000003: broken chain']),
  );
});

test('another key, another system and softened objectives are told apart', async () => {
  const stranger = openSigner(join(root, 'stranger'));
  const keyed = await after((_, base) => sealedDrill(base, { runId: 'f', signer: stranger }));
  expect(said(keyed)).toEqual(['drill-000006: other key']);
  expect(keyed.notes).toMatchObject([{ kind: 'new key' }]);
  expect(keyed.keys).toMatchObject([
    { from: 'drill-000001', trusted: true },
    { from: 'drill-000006', trusted: false },
  ]);
  const moved = await after((_, base) => sealedDrill(base, { runId: 'f', systemIdentifier: '7999999999999999999' }));
  expect(said(moved)).toEqual(['drill-000006: changed system']);
  const softer = OBJECTIVES.map((objective) => (objective.name === 'rto' ? { ...objective, target: 60_000 } : objective));
  const amended = await after((_, base) => sealedDrill(base, { runId: 'f', objectives: softer }));
  expect(amended.ok).toBe(true);
  expect(amended.notes).toEqual([
    { drill: 'drill-000006', kind: 'amended objectives', detail: 'sample, since drill-000005: rto: 5000 ms before, 60000 ms now' },
  ]);
});

test('the registration itself says what was amended, and the record repeats it', async () => {
  const base = join(root, 'amended');
  await sealedDrill(base);
  const { seal } = await sealedDrill(base, { runId: 'b', objectives: OBJECTIVES.slice(0, 1) });
  expect(seal.record.amended).toEqual({ since: 'drill-000001', changes: ['rpo_transactions: 0 tx, no longer asked for'] });
});

test('a target without drills is an error, not a whole series', async () => {
  await expect(verifySeries(whole.store, 'nobody', { trusted: [] })).rejects.toMatchObject({ code: 'drill_unknown' });
});

test('numbers are found among ten thousand as fast as among ten', async () => {
  const base = join(root, 'long');
  const store = openDirectoryStore(base);
  const signer = openSigner(join(base, 'keys'));
  await store.put('sample/drill-012345/registration.dsse.json', readFileSync(join(whole.dir, 'registration.dsse.json')));
  const { sequence } = await registerDrill({ ...whole.seal, ...registrationOf(signer), store });
  expect(sequence).toBe(12_346);
});

function registrationOf(signer: SealedDrill['signer']) {
  return {
    targetName: 'sample',
    systemIdentifier: '7',
    scenario: 'sample',
    custody: { store: 'directory', shared: false, retention: null, key: 'file', pinned: false, weakness: null } as const,
    owner: { workflowId: 'drill/7', runId: 'z' },
    planSha256: '0'.repeat(64),
    objectives: [],
    startedBy: 'mira',
    at: '2026-11-23T03:12:00.000Z',
    signer,
  };
}
