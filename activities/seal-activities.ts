/** The end of a drill: record, reports, bundle, seal, and a line for whoever waits. */
import { activityInfo } from '@temporalio/activity';
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { nowUtc } from '../core/clock';
import { messageOf } from '../core/errors';
import { readJsonFile, sha256Hex } from '../core/files';
import { homePaths } from '../core/home';
import type { ChainedEvent } from '../model/event';
import type { RpoMeasurement } from '../model/measurement';
import type { FaultReach, Maybe } from '../model/record';
import { findFault } from '../faults/registry';
import { circumstancesOf, clocksOf } from '../evidence/beside-plan';
import { buildRecord } from '../evidence/build-record';
import { encodeRecord, type BundleFile } from '../evidence/bundle';
import { openChain, sealIn } from '../evidence/drill-evidence';
import { readAllEvents, recordEvents } from '../evidence/events';
import { keepFacts, type KeptFacts } from '../evidence/kept-facts';
import { recordFrame } from '../evidence/record-frame';
import { writeManifest } from '../evidence/manifest';
import { bundlePrefix } from '../evidence/register';
import { reportOnPaper } from '../evidence/report-pdf';
import { packLedger } from '../probe/ledger-pack';
import { readProberEvents } from '../probe/prober-journal';
import { renderFurther } from '../report/further';
import { renderHtml } from '../report/html';
import { renderMarkdown } from '../report/markdown';
import { openTarget } from '../targets/open-target';
import type { ControlActivities, ProbeRef, SealInput, SealResult } from './contract';
import type { Measured } from './judge-activities';
import { excerptFiles } from './excerpt-files';
import { evidenceOf, guardianOf, type Hand } from './open-drill';
import { compareSecurity } from './security-parity';

/** Attempts at sealing that insist on the shared store; after them the bundle is sealed here and delivered later. */
const STORE_ATTEMPTS = 2;

export async function seal(hand: Hand, input: SealInput): Promise<SealResult> {
  const { plan, drill } = input;
  const evidence = evidenceOf(hand, plan);
  const prefix = bundlePrefix(plan.target.name, drill.drill);
  const measured = input.judge.measurementFile === null ? null : readJsonFile<Measured>(input.judge.measurementFile);
  const guardian = await guardianChain(input);
  const { store, away } = await openChain(evidence, prefix, activityInfo().attempt <= STORE_ATTEMPTS);
  const pending = input.pendingEvents.map((event) => ({ ...event, drill: drill.drill }));
  if (pending.length > 0) await recordEvents(store, prefix, 'workflow', pending);
  const place = { store, bundle: prefix, writer: 'workflow', step: 'seal', actor: input.startedBy } as const;
  const { problems, ...frame } = recordFrame(homePaths(hand.home).drills, plan, drill.drill, nowUtc().slice(0, 10));
  const kept = await keepFacts(place, plan, {
    ...courseOf(input),
    ...frame,
    left: [...input.left, ...guardian.left, ...(away === null ? [] : [away]), ...problems],
    circumstances: circumstancesOf(input.announced, input.safeguards, {
      securityParity: await compareSecurity(plan, input.security),
      clocks: clocksOf(input.clocks ?? {}),
      reach: reachOf(input.leases),
    }),
    postgresVersion: await postgresVersion(input),
    predicted: measured?.band ?? null,
    judged: measured !== null,
    joined: input.rpoFile !== null,
  });
  const record = buildRecord({
    ...kept,
    plan,
    judgement: input.judge.judgement,
    measured: measured?.ledger ?? null,
    rpo: input.rpoFile === null ? null : readJsonFile<RpoMeasurement>(input.rpoFile),
  });
  const options = { digest: sha256Hex(encodeRecord(record)), keyFingerprint: (await evidence.signer()).fingerprint };
  const reportHtml = renderHtml(record, options);
  const paper = reportOnPaper(place, drill.drill, reportHtml, process.env);
  // Side by side: the browser starts while the ledger is packed.
  const files = (await Promise.all([paper, ledgerFiles(input.probe)])).flat();
  const chains = [guardian.events, proberChain(input.probe)].filter((chain) => chain.length > 0);
  await writeManifest(place, drill.drill, plan, kept, [...(await readAllEvents(store, prefix)).flat(), ...chains.flat()]);
  const sealed = await sealIn(hand.home, evidence, {
    prefix,
    plan,
    record,
    reportHtml,
    reportMarkdown: renderMarkdown(record, options),
    files: [...files, ...renderFurther(record, options)],
    events: [...(await readAllEvents(store, prefix)), ...chains],
    sealedAt: nowUtc(),
  });
  if (sealed.waiting !== null) process.stderr.write(`${prefix} is sealed here and waits for the evidence store: ${sealed.waiting}\n`);
  return {
    verdict: record.verdict,
    objectives: record.judgement.objectives,
    evidence: join(evidence.localDir, plan.target.name, drill.drill),
    sealSha256: sealed.sealSha256,
  };
}

/** The drill as its workflow tells it. */
function courseOf(input: SealInput): Omit<KeptFacts, 'circumstances' | 'postgresVersion' | 'predicted' | 'judged' | 'joined'> {
  const { drill, registration } = input;
  return {
    planSha256: input.planSha256,
    drill: drill.drill,
    sequence: drill.sequence,
    registration: {
      registrationSha256: registration.registrationSha256,
      previousRegistrationSha256: registration.previousRegistrationSha256,
      registeredAt: registration.registeredAt,
      custody: registration.custody,
      amended: registration.amended,
    },
    state: input.state,
    startedBy: input.startedBy,
    trigger: input.trigger,
    startedAt: input.startedAt,
    endedAt: input.phases.at(-1)?.endedAt ?? nowUtc(),
    leases: input.leases,
    restores: input.restores,
    ...(input.refusedRestores === undefined ? {} : { refusedRestores: input.refusedRestores }),
    phases: input.phases,
    steps: input.steps,
    readiness: input.readiness,
    verification: input.verification,
    redundancy: input.redundancy,
    redundancySkipped: input.redundancySkipped,
    doubts: input.doubts,
    failures: input.failures,
    people: input.people,
    left: input.left,
    ...(input.halted === undefined ? {} : { halted: input.halted }),
  };
}

/** As each fault tells it of what it was resolved to. */
function reachOf(leases: SealInput['leases']): Maybe<readonly FaultReach[]> {
  try {
    return leases.map(({ key, handle }) => ({ step: key.step, nodes: findFault(handle.fault).reach(handle.resolved).nodes }));
  } catch (error) {
    return { notRecorded: `what the faults were declared to reach cannot be told: ${messageOf(error)}` };
  }
}

/** Attempts at sealing that insist on the guardian's chain: it is back within seconds when the supervisor restarts it. */
const GUARDIAN_ATTEMPTS = 5;

/** The guardian's own chain. One that stays silent is said to be missing; it is never left out without a word. */
async function guardianChain({
  plan,
  drill,
}: SealInput): Promise<{ readonly events: readonly ChainedEvent[]; readonly left: readonly string[] }> {
  try {
    return { events: await guardianOf(plan.target).events({ drill: drill.drill }), left: [] };
  } catch (error) {
    if (activityInfo().attempt < GUARDIAN_ATTEMPTS) throw error;
    return { events: [], left: [`the guardian’s own chain of events is not in this bundle: ${messageOf(error)}`] };
  }
}

/** The prober's own chain; empty without a prober. */
export function proberChain(probe: Pick<ProbeRef, 'dir'> | null): readonly ChainedEvent[] {
  return probe === null ? [] : readProberEvents(probe.dir);
}

/** The ledger goes into the bundle packed: unpacked, it is every byte that the judge read. With it goes what the nodes left. */
export async function ledgerFiles(probe: Pick<ProbeRef, 'dir'> | null): Promise<readonly BundleFile[]> {
  if (probe === null || !existsSync(probe.dir)) return [];
  await packLedger(probe.dir);
  const ledger = readdirSync(probe.dir)
    .filter((name) => name.endsWith('.gdl') || name.endsWith('.gz') || name === 'measurement.json' || name === 'rpo.json')
    .sort()
    .map((name) => ({ name: `ledger/${name}`, path: join(probe.dir, name) }));
  return [...ledger, ...excerptFiles(probe.dir)];
}

async function postgresVersion({ plan }: SealInput): Promise<string | null> {
  const live = openTarget(plan.target);
  for (const node of plan.target.nodes) {
    try {
      return await live.sql(node.name, 'observe', async (sql) => (await sql.query('SHOW server_version'))[0]?.['server_version'] ?? null);
    } catch {
      // The next node may answer.
    }
  }
  return null;
}

export async function notify({ drill, state, verdict, evidence, reasons }: Parameters<ControlActivities['notify']>[0]): Promise<void> {
  const loud = state === 'unsafe' ? '!!! UNSAFE: something is still broken on purpose; run `gameday status` now. ' : '';
  process.stderr.write(`${loud}${drill}: ${verdict} (${state})${reasons.length === 0 ? '' : `: ${reasons.join('; ')}`} · ${evidence}\n`);
  return Promise.resolve();
}
