/**
 * Evidence at its sizes: a series of ten thousand drills verified in bounded memory, and an hour's drill at a thousand operations a second judged, with its ledger
 * packed beside, and sealed after its last event. Each part runs in a process of its own, whose memory is what is reported. Progress on stderr; the last line on stdout is one JSON line.
 */
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { canonicalJson } from '../../core/canonical-json';
import { sha256Hex } from '../../core/files';
import { drillName } from '../../core/ids';
import { encodePlan, encodeRecord, sealBundle } from '../../evidence/bundle';
import { REPORT_PDF_FILE } from '../../evidence/layout';
import { registerDrill } from '../../evidence/register';
import { findBrowser, printPdf } from '../../evidence/report-pdf';
import { verifySeries } from '../../evidence/series';
import { SEAL_PAYLOAD_TYPE, encodeEnvelope, openSigner } from '../../evidence/signing';
import { SEAL_PREDICATE_TYPE, STATEMENT_TYPE } from '../../evidence/statement';
import type { Custody } from '../../model/record';
import { openDirectoryStore } from '../../objects/directory-store';
import { LedgerWriter } from '../../probe/ledger-writer';
import type { JudgeRequest } from '../../probe/contract';
import { judgeLedger } from '../../probe/judge';
import { besidePacking, packLedger } from '../../probe/ledger-pack';
import { renderHtml } from '../../report/html';
import { sampleRecord, sampleSeries } from '../fixtures/record';
import { samplePlan } from '../sample-plan';

const DRILLS = Number(process.env['DRILLS'] ?? 10_000);
const SECONDS = Number(process.env['SECONDS'] ?? 3_600);
const RATE = 1_000;
const CUSTODY: Custody = { store: 'directory', shared: false, retention: null, key: 'file', pinned: false, weakness: null };
const JUDGED: JudgeRequest = {
  settings: samplePlan([]).probe,
  steady: samplePlan([]).steady,
  faults: [],
  fromMs: null,
  toMs: null,
};
const say = (text: string): void => void process.stderr.write(`${text}\n`);
const now = (): number => Number(process.hrtime.bigint()) / 1e9;
const maxRssMb = (): number => process.resourceUsage().maxRSS / 1024;

/** Registrations and seals as the product signs them; the bundles hold nothing else, because nothing else is read. */
async function makeSeries(dir: string): Promise<void> {
  const store = openDirectoryStore(join(dir, 'drills'));
  const signer = openSigner(join(dir, 'keys'));
  const plan = samplePlan([]);
  const planSha256 = sha256Hex(encodePlan(plan));
  let previous: string | null = null;
  for (let sequence = 1; sequence <= DRILLS; sequence += 1) {
    const drill = drillName(sequence);
    const registration = {
      formatVersion: 1,
      target: 'sample',
      systemIdentifier: plan.target.systemIdentifier,
      sequence,
      drill,
      previousRegistrationSha256: previous,
      planSha256,
      objectives: plan.objectives,
      owner: { workflowId: 'drill/1', runId: `r${sequence}` },
      startedBy: 'mira',
      registeredAt: '2026-11-23T03:12:00.000Z',
      scenario: `scenario-${sequence % 40}`,
      custody: CUSTODY,
      amended: null,
    };
    const data = encodeEnvelope(await signer.sign('application/vnd.gameday.registration+json', Buffer.from(canonicalJson(registration))));
    previous = sha256Hex(data);
    const statement = {
      _type: STATEMENT_TYPE,
      subject: Array.from({ length: 16 }, (_, at) => ({ name: `ledger/file-${at}`, digest: { sha256: planSha256 } })),
      predicateType: SEAL_PREDICATE_TYPE,
      predicate: {
        drill,
        sequence,
        systemIdentifier: plan.target.systemIdentifier,
        state: 'completed',
        verdict: 'pass',
        planSha256,
        registrationSha256: previous,
        events: { lines: 1, lastLineSha256: planSha256 },
      },
    };
    const seal = encodeEnvelope(await signer.sign(SEAL_PAYLOAD_TYPE, Buffer.from(canonicalJson(statement))));
    const prefix = `sample/${drill}`;
    await store.create(`${prefix}/registration.dsse.json`, data);
    await store.create(`${prefix}/seal.dsse.json`, seal);
    await store.create(`${prefix}/keys/signing.pub.pem`, Buffer.from(signer.publicKeyPem));
    if (sequence % 1_000 === 0) say(`${sequence} drills`);
  }
}

async function verifyOnly(dir: string): Promise<object> {
  const began = now();
  const { fingerprint } = openSigner(join(dir, 'keys'));
  const { ok, registered, sealed, problemCount } = await verifySeries(openDirectoryStore(join(dir, 'drills')), 'sample', {
    trusted: [fingerprint],
  });
  return { ok, registered, sealed, problemCount, seconds: now() - began, maxRssMb: maxRssMb() };
}

function makeLedger(dir: string): void {
  const { probe } = samplePlan([]);
  const header = {
    version: 1,
    drill: 'drill-000001',
    table: 'probe_000001',
    settings: probe,
    nodes: ['n1'],
    streams: [{ kind: 'write', path: 'entry', client: 'tuned', periodMs: 1 }] as const,
    monotonicZeroNs: '0',
    pid: 1,
  };
  const ledger = new LedgerWriter(dir, header, () => 0);
  for (let seq = 1; seq <= SECONDS * RATE; seq += 1) {
    const dueNs = seq * 1e6;
    ledger.add({ kind: 'intent', stream: 0, seq, dueNs, sentNs: dueNs + (seq % 97) * 100, connection: 1 + (seq % 8) });
    const doneNs = dueNs + 1_400_000 + ((seq * 7919) % 900_000);
    ledger.add({
      kind: 'outcome',
      stream: 0,
      seq,
      outcome: 'acked',
      doneNs,
      sqlstate: null,
      xid: 1_000 + seq,
      lsn: 1e8 + seq * 200,
      timeline: 1,
      server: null,
    });
    if (seq % 3 === 0) ledger.flush();
  }
  ledger.close();
}

/** As the drill's judge leaves the ledger to whoever seals. */
async function judgeOnly(dir: string): Promise<object> {
  const began = now();
  const { rto } = await besidePacking(dir, judgeLedger(dir, JUDGED));
  if (rto.outages.length > 0) throw new Error('a ledger without an outage was judged to have one');
  return { judgeSeconds: now() - began, judgeMaxRssMb: maxRssMb() };
}

async function sealOnly(dir: string): Promise<object> {
  const store = openDirectoryStore(join(dir, 'drills'));
  const signer = openSigner(join(dir, 'keys'));
  const plan = samplePlan([]);
  const planSha256 = sha256Hex(encodePlan(plan));
  const { key: _key, ...registered } = await registerDrill({
    store,
    targetName: 'sample',
    systemIdentifier: '1',
    scenario: 'sample',
    custody: CUSTODY,
    owner: { workflowId: 'drill/1', runId: 'r' },
    planSha256,
    objectives: [],
    startedBy: 'mira',
    at: '2026-11-23T03:12:00.000Z',
    signer,
  });
  const record = sampleRecord({ ...registered, custody: CUSTODY, planSha256, series: sampleSeries(SECONDS) });
  const began = now();
  const reportHtml = renderHtml(record, { digest: sha256Hex(encodeRecord(record)), keyFingerprint: signer.fingerprint });
  // As the product seals where a browser is at hand, and what was not packed while it was judged is packed beside its printing.
  const printing = hasBrowser() ? printPdf(reportHtml, process.env) : null;
  await packLedger(join(dir, 'ledger'));
  const packed = now();
  const pdf = await printing;
  const printed = now();
  const ledger = readdirSync(join(dir, 'ledger')).map((name) => ({ name: `ledger/${name}`, path: join(dir, 'ledger', name) }));
  const files = [...ledger, ...(pdf === null ? [] : [{ name: REPORT_PDF_FILE, data: pdf }])];
  await sealBundle({
    store,
    prefix: `sample/${registered.drill}`,
    plan,
    record,
    reportHtml,
    reportMarkdown: 'x',
    files,
    events: [],
    sealedAt: '2026-11-23T04:12:00.000Z',
    signer,
  });
  return {
    operations: SECONDS * RATE,
    seconds: now() - began,
    packSeconds: packed - began,
    printSeconds: pdf === null ? null : printed - began,
    htmlBytes: Buffer.byteLength(reportHtml),
    maxRssMb: maxRssMb(),
  };
}

function hasBrowser(): boolean {
  try {
    return findBrowser(process.env) !== '';
  } catch {
    return false;
  }
}

function inProcess(part: string, dir: string): object {
  const { stdout, status, stderr } = spawnSync(process.execPath, [__filename, part, dir], { encoding: 'utf8', maxBuffer: 1e8 });
  if (status !== 0) throw new Error(`${part}: ${stderr}`);
  return JSON.parse(stdout) as object;
}

async function main(): Promise<void> {
  const [part, at] = process.argv.slice(2);
  if (part === 'verify') return void process.stdout.write(JSON.stringify(await verifyOnly(at ?? '')));
  if (part === 'judge') return void process.stdout.write(JSON.stringify(await judgeOnly(at ?? '')));
  if (part === 'seal') return void process.stdout.write(JSON.stringify(await sealOnly(at ?? '')));
  const dir = mkdtempSync(join(tmpdir(), 'gameday-bench-evidence-'));
  try {
    say(`making a ledger of ${SECONDS * RATE} operations`);
    mkdirSync(join(dir, 'hour'));
    makeLedger(join(dir, 'hour', 'ledger'));
    const judged = inProcess('judge', join(dir, 'hour', 'ledger'));
    const hour = { ...judged, ...inProcess('seal', join(dir, 'hour')) };
    say(JSON.stringify(hour));
    say(`making a series of ${DRILLS} drills`);
    await makeSeries(join(dir, 'series'));
    const series = inProcess('verify', join(dir, 'series'));
    process.stdout.write(`${JSON.stringify({ bench: 'evidence', hour, series })}\n`);
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
}

void main();
