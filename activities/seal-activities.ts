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
import { buildRecord } from '../evidence/build-record';
import { encodeRecord, sealBundle, type BundleFile } from '../evidence/bundle';
import { readAllEvents, recordEvents } from '../evidence/events';
import { bundlePrefix } from '../evidence/register';
import { openSigner } from '../evidence/signing';
import { openEvidenceStore } from '../evidence/store';
import { packLedger } from '../probe/ledger-pack';
import { renderHtml } from '../report/html';
import { renderMarkdown } from '../report/markdown';
import { openTarget } from '../targets/open-target';
import type { ControlActivities, ProbeRef, SealInput, SealResult } from './contract';
import type { Measured } from './judge-activities';
import { drillsDir, guardianOf, type Hand } from './open-drill';

export async function seal(hand: Hand, input: SealInput): Promise<SealResult> {
  const { plan, drill } = input;
  const store = openEvidenceStore(drillsDir(hand));
  const prefix = bundlePrefix(plan.target.name, drill.drill);
  const measured = input.judge.measurementFile === null ? null : readJsonFile<Measured>(input.judge.measurementFile);
  const guardian = await guardianChain(input);
  const record = buildRecord({
    ...input,
    left: [...input.left, ...guardian.left],
    drill: drill.drill,
    sequence: drill.sequence,
    endedAt: input.phases.at(-1)?.endedAt ?? nowUtc(),
    judgement: input.judge.judgement,
    measured: measured?.ledger ?? null,
    rpo: input.rpoFile === null ? null : readJsonFile<RpoMeasurement>(input.rpoFile),
    postgresVersion: await postgresVersion(input),
    predicted: measured?.band ?? null,
  });
  const pending = input.pendingEvents.map((event) => ({ ...event, drill: drill.drill }));
  if (pending.length > 0) await recordEvents(store, prefix, 'workflow', pending);
  const signer = openSigner(homePaths(hand.home).keys);
  const options = { digest: sha256Hex(encodeRecord(record)), keyFingerprint: signer.fingerprint };
  const sealed = await sealBundle({
    store,
    prefix,
    plan,
    record,
    reportHtml: renderHtml(record, options),
    reportMarkdown: renderMarkdown(record, options),
    files: await ledgerFiles(input.probe),
    events: [...(await readAllEvents(store, prefix)), ...(guardian.events.length === 0 ? [] : [guardian.events])],
    sealedAt: nowUtc(),
    signer,
  });
  return {
    verdict: record.verdict,
    objectives: record.judgement.objectives,
    evidence: join(drillsDir(hand), plan.target.name, drill.drill),
    sealSha256: sealed.sealSha256,
  };
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

/** The ledger goes into the bundle packed: unpacked, it is every byte that the judge read. */
async function ledgerFiles(probe: ProbeRef | null): Promise<readonly BundleFile[]> {
  if (probe === null || !existsSync(probe.dir)) return [];
  await packLedger(probe.dir);
  return readdirSync(probe.dir)
    .filter((name) => name.endsWith('.gdl') || name.endsWith('.gz') || name === 'measurement.json' || name === 'rpo.json')
    .sort()
    .map((name) => ({ name: `ledger/${name}`, path: join(probe.dir, name) }));
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
