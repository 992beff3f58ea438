/**
 * Drills that nobody ended: registered, not sealed, and their workflow is gone (terminated, or Temporal lost it). They keep their number and are sealed as
 * lost, from what is there: plan, events, ledger, the guardian's word. Nothing is asked of the target, and nothing of such a drill can pass.
 */
import { existsSync, readFileSync, readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { nowUtc } from '../core/clock';
import { messageOf } from '../core/errors';
import { sha256Hex } from '../core/files';
import { homePaths } from '../core/home';
import { drillSequence } from '../core/ids';
import { readAgentLogs } from '../evidence/agent-logs';
import { unknownCircumstances } from '../evidence/beside-plan';
import { buildRecord, candidatesRecord, faultRecord, predictedRecord, rebuildRecord, redundancyRecord } from '../evidence/build-record';
import { encodeRecord } from '../evidence/bundle';
import { deliverWaiting } from '../evidence/deliver';
import { openChain, sealIn } from '../evidence/drill-evidence';
import { readAllEvents } from '../evidence/events';
import { keepFacts, type KeptFacts } from '../evidence/kept-facts';
import { recordFrame } from '../evidence/record-frame';
import { PLAN_FILE, REGISTRATION_FILE, SEAL_FILE } from '../evidence/layout';
import { writeManifest } from '../evidence/manifest';
import { bundlePrefix, decodeRegistration, type Registration } from '../evidence/register';
import { reportOnPaper } from '../evidence/report-pdf';
import { openEvidence } from '../evidence/store';
import type { ChainedEvent } from '../model/event';
import type { LeaseView } from '../model/fault';
import type { Plan } from '../model/plan';
import { judgeLedger } from '../probe/judge';
import { judgeDrill } from '../probe/verdict';
import { renderFurther } from '../report/further';
import { renderHtml } from '../report/html';
import { renderMarkdown } from '../report/markdown';
import { guardianOf, type Hand } from './open-drill';
import { ledgerFiles, proberChain } from './seal-activities';

/** Of each target the newest are looked at: older ones have been looked at before. */
const LOOK_BACK = 50;
/** A prober that lost its drill writes on until its own lease ends. */
const LEDGER_AT_REST_MS = 20_000;

const GUARDIAN_PATIENCE_MS = 3_600_000;

export interface Tended {
  readonly sealed: readonly string[];
  readonly delivered: readonly string[];
  /** Tried again next time. */
  readonly waiting: readonly string[];
}

/** Seals what was lost and delivers what waits; each failure costs only its own drill, and only until next time. */
export async function tendEvidence(hand: Hand): Promise<Tended> {
  const sealed: string[] = [];
  const waiting: string[] = [];
  for (const found of unsealedHere(hand.home)) {
    const name = `${found.registration.target}/${found.registration.drill}`;
    try {
      const { owner } = found.registration;
      // Observations have no workflow; whoever runs one ends it.
      if (!owner.workflowId.startsWith('drill/') || (await hand.isRunning(owner.workflowId, owner.runId))) continue;
      if (!isAtRest(found.ledgerDir)) waiting.push(`${name}: its prober still writes`);
      else {
        await sealLost(hand, found);
        sealed.push(name);
      }
    } catch (error) {
      waiting.push(`${name}: ${messageOf(error)}`);
    }
  }
  const delivery = await deliverWaiting(hand.home);
  return {
    sealed,
    delivered: delivery.delivered,
    waiting: [...waiting, ...delivery.waiting.map(({ prefix, problem }) => `${prefix}: ${problem ?? 'not delivered yet'}`)],
  };
}

interface Unsealed {
  readonly registration: Registration;
  readonly data: Buffer;
  readonly plan: Plan;
  readonly ledgerDir: string;
}

function unsealedHere(home: string): readonly Unsealed[] {
  const { drills, probes } = homePaths(home);
  const targets = existsSync(drills) ? readdirSync(drills).filter((name) => statSync(join(drills, name)).isDirectory()) : [];
  return targets.flatMap((target) =>
    readdirSync(join(drills, target))
      .filter((drill) => drill.startsWith('drill-') && drillSequence(drill) !== null)
      .sort()
      .slice(-LOOK_BACK)
      .flatMap((drill) => {
        const dir = join(drills, target, drill);
        const [registration, plan] = [join(dir, REGISTRATION_FILE), join(dir, PLAN_FILE)];
        if (existsSync(join(dir, SEAL_FILE)) || !existsSync(registration) || !existsSync(plan)) return [];
        const data = readFileSync(registration);
        return {
          registration: decodeRegistration(data, registration),
          data,
          plan: JSON.parse(readFileSync(plan, 'utf8')) as Plan,
          ledgerDir: join(probes, `${target}-${drill}`),
        };
      }),
  );
}

/** No file of it changed lately. */
function isAtRest(dir: string): boolean {
  if (!existsSync(dir)) return true;
  return readdirSync(dir).every(
    (name) => Date.now() - (statSync(join(dir, name), { throwIfNoEntry: false })?.mtimeMs ?? 0) > LEDGER_AT_REST_MS,
  );
}

async function sealLost(hand: Hand, { registration, data, plan, ledgerDir }: Unsealed): Promise<void> {
  const evidence = openEvidence(hand.home, plan.target.kind);
  const bundle = bundlePrefix(registration.target, registration.drill);
  const { store, away } = await openChain(evidence, bundle, false);
  const { leases, chain, silent } = await askGuardian(plan, registration);
  const faults = leases.map((lease) => ({
    step: lease.key.step,
    confirmed: lease.confirmed?.holds ?? false,
    endedEarly: lease.endedBy === 'expired' || lease.endedBy === 'halted' || lease.endedBy === 'reconciled',
  }));
  const doubts = [
    'the drill was lost: its workflow ended without judging or sealing it; what it did stands in its events, and nobody verified the target afterwards',
  ];
  const judgeDoubts: string[] = [];
  const course = lostCourse(registration, sha256Hex(data));
  const measured = await judgeLedger(ledgerDir, {
    settings: plan.probe,
    steady: plan.steady,
    faults,
    fromMs: null,
    toMs: null,
    agentLogs: readAgentLogs(ledgerDir, course.circumstances?.clocks),
  }).catch((error: unknown) => {
    if (holdsLedger(ledgerDir)) judgeDoubts.push(`the ledger could not be judged: ${messageOf(error).replaceAll(ledgerDir, 'ledger')}`);
    return null;
  });
  const { problems, ...frame } = recordFrame(homePaths(hand.home).drills, plan, registration.drill, nowUtc().slice(0, 10));
  const place = { store, bundle, writer: 'workflow', step: 'seal', actor: 'gameday' } as const;
  const facts = await keepFacts(place, plan, {
    ...course,
    ...frame,
    leases,
    doubts,
    left: [
      ...leases.filter(({ state }) => state !== 'gone').map(({ handle, key }) => `${handle.fault} (${key.step}) is not proven gone`),
      'redundancy was not restored by this drill',
      ...[silent, away, ...problems].filter((text) => text !== null),
    ],
    judged: measured !== null,
  });
  const judgement = judgeDrill({
    objectives: plan.objectives,
    rto: measured?.rto ?? { notRecorded: 'no ledger was judged' },
    predicted: predictedRecord(null),
    views: measured?.views ?? [],
    rpo: { notRecorded: 'the ledger was not joined with the surviving rows' },
    splitBrain: measured?.splitBrain ?? [],
    restores: [],
    ...rebuildRecord(measured),
    faults: facts.leases.map(faultRecord),
    verification: [],
    redundancy: redundancyRecord(facts, measured),
    doubts: [...facts.doubts, ...judgeDoubts],
    failures: [],
    nodeSpans: measured?.nodeSpans ?? [],
    replicaStaleness: measured?.replicaStaleness ?? [],
    noSafeCandidate: candidatesRecord(measured),
  });
  const record = buildRecord({ ...facts, plan, judgement, measured, rpo: null });
  const options = { digest: sha256Hex(encodeRecord(record)), keyFingerprint: (await evidence.signer()).fingerprint };
  const reportHtml = renderHtml(record, options);
  const paper = await reportOnPaper(place, registration.drill, reportHtml, process.env);
  const chains = [chain, proberChain({ dir: ledgerDir })].filter((each) => each.length > 0);
  await writeManifest(place, registration.drill, plan, facts, [...(await readAllEvents(store, bundle)).flat(), ...chains.flat()]);
  await sealIn(hand.home, evidence, {
    prefix: bundle,
    plan,
    record,
    reportHtml,
    reportMarkdown: renderMarkdown(record, options),
    files: [...paper, ...(await ledgerFiles({ dir: ledgerDir })), ...renderFurther(record, options)],
    events: [...(await readAllEvents(store, bundle)), ...chains],
    sealedAt: nowUtc(),
  });
}

/** Leases of this run and the guardian's chain. One that is silent is waited for; a guardian that is gone for good is said to be. */
async function askGuardian(
  plan: Plan,
  { drill, owner, registeredAt }: Registration,
): Promise<{ readonly leases: readonly LeaseView[]; readonly chain: readonly ChainedEvent[]; readonly silent: string | null }> {
  const guardian = guardianOf(plan.target);
  try {
    const leases = (await guardian.list()).filter(({ key }) => key.runId === owner.runId);
    return { leases, chain: await guardian.events({ drill }), silent: null };
  } catch (error) {
    if (Date.now() - Date.parse(registeredAt) < GUARDIAN_PATIENCE_MS) throw error;
    return { leases: [], chain: [], silent: `nobody knows what this drill left broken: its guardian did not answer: ${messageOf(error)}` };
  }
}

function holdsLedger(dir: string): boolean {
  return existsSync(dir) && readdirSync(dir).some((name) => /^ledger-\d+\.gdl(\.gz)?$/.test(name));
}

function lostCourse(registration: Registration, registrationSha256: string): Omit<KeptFacts, 'leases' | 'doubts' | 'left' | 'judged'> {
  const { drill, sequence, planSha256, startedBy, registeredAt } = registration;
  return {
    planSha256,
    drill,
    sequence,
    registration: {
      registrationSha256,
      previousRegistrationSha256: registration.previousRegistrationSha256,
      registeredAt,
      custody: registration.custody ?? null,
      amended: registration.amended ?? null,
    },
    state: 'lost',
    startedBy,
    trigger: { kind: 'command', name: null },
    startedAt: registeredAt,
    endedAt: nowUtc(),
    restores: [],
    phases: [],
    steps: [],
    readiness: [],
    verification: [],
    redundancy: null,
    redundancySkipped: 'the drill was lost',
    failures: [],
    people: [],
    postgresVersion: null,
    predicted: null,
    joined: false,
    circumstances: unknownCircumstances('the drill was lost, and with it what its pre-flight saw'),
  };
}
