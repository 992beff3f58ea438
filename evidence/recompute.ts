/**
 * Makes a record again from the bundle alone: the ledger is judged and joined anew, the verdict is reached anew, and every group of fields is compared with
 * what was sealed, byte for byte. It reads files and never a server; what only servers could tell is named, with where in the bundle it is kept.
 */
import { existsSync, readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { canonicalJson } from '../core/canonical-json';
import { GamedayError, messageOf } from '../core/errors';
import { sha256Hex } from '../core/files';
import type { ChainedEvent } from '../model/event';
import type { LeaseView } from '../model/fault';
import type { Judgement, RpoMeasurement } from '../model/measurement';
import { READ_ONLY, type ObservationPlan } from '../model/observation';
import type { Plan } from '../model/plan';
import type { DrillRecord, FaultRecord } from '../model/record';
import type { LedgerJudgement } from '../probe/contract';
import { joinLedger } from '../probe/join';
import { judgeLedger } from '../probe/judge';
import { readSurvivorFile, SURVIVORS_FILE } from '../probe/survivor-file';
import { judgeDrill } from '../probe/verdict';
import { readAgentLogs } from './agent-logs';
import { buildRecord, candidatesRecord, faultRecord, predictedRecord, rebuildRecord, redundancyRecord } from './build-record';
import { encodeRecord } from './bundle';
import { findFacts, type KeptFacts } from './kept-facts';
import { EVENTS_FILE, PLAN_FILE, RECORD_FILE, REGISTRATION_FILE } from './layout';
import { decodeRegistration } from './register';

export interface RecomputedGroup {
  /** What is compared, in the record's own names. */
  readonly fields: string;
  /** What it was made from. */
  readonly from: string;
  readonly ok: boolean;
  /** The first difference, or how many values are equal. */
  readonly detail: string;
}

export interface Recomputation {
  readonly ok: boolean;
  readonly groups: readonly RecomputedGroup[];
  /** What the bundle cannot tell a second time, and where it keeps what was found. */
  readonly notDerived: readonly string[];
}

type Field = keyof DrillRecord;
/** Every field of the record stands in one group. */
const GROUPS: readonly { readonly from: string; readonly fields: readonly Field[] }[] = [
  {
    from: 'registration and plan',
    fields: [
      'formatVersion',
      'drill',
      'sequence',
      'type',
      'target',
      'scenario',
      'planSha256',
      'registrationSha256',
      'previousRegistrationSha256',
      'registeredAt',
      'custody',
      'amended',
      'startedBy',
    ],
  },
  { from: 'ledger and agents’ logs', fields: ['rto', 'controllerLog'] },
  { from: 'ledger', fields: ['views', 'latencies'] },
  { from: 'ledger', fields: ['series', 'probeEpoch'] },
  { from: 'ledger', fields: ['splitBrain', 'unlocked', 'nodeSpans', 'replicaStaleness', 'replicaLag', 'noSafeCandidate'] },
  { from: 'ledger and surviving rows', fields: ['rpo'] },
  { from: 'the judge’s rules', fields: ['verdict', 'judgement'] },
  { from: 'the findings’ rules', fields: ['findings', 'controls'] },
  { from: 'ledger and events', fields: ['redundancy'] },
  { from: 'ledger', fields: ['rebuilds'] },
  { from: 'events', fields: ['faults', 'restores', 'refusedRestores', 'predicted', 'forks'] },
  { from: 'events', fields: ['lastDrill'] },
  { from: 'plan and events', fields: ['planning', 'incidents', 'deviations', 'communications'] },
  { from: 'ledger and events', fields: ['unintendedImpact'] },
  { from: 'events', fields: ['archiveExposure', 'watchdog', 'securityParity', 'clocks'] },
  {
    from: 'events',
    fields: [
      'state',
      'trigger',
      'startedAt',
      'endedAt',
      'phases',
      'steps',
      'readiness',
      'verification',
      'doubts',
      'failures',
      'people',
      'left',
      'notExercised',
      'tool',
    ],
  },
];

const ON_SERVERS: readonly string[] = [
  'restores, forks and salvaged WAL: measured on servers that are gone; the events keep what was found',
  'predicted: read from the controller’s live settings; the events keep it',
  'readiness, verification, what redundancy lacked, the server’s version: answers of servers; the events keep them',
  'rpo.replicas, rpo.rpoBytes, rpo.joinedOn: counted on servers; the file of surviving rows keeps the counts',
  'archiveExposure, watchdog, securityParity, planning.approvals: what stood around the drill; the events keep it',
  'clocks: read on servers and on the worker’s machine; the events keep what they said',
  'lastDrill: another bundle; the events keep what it said when this record was made',
  'phases, steps, people: the workflow’s own clock and what people answered; the events keep them',
];

/** Throws `bundle_invalid` or `file_unreadable` when the bundle lacks what a record is made from. */
export async function recomputeBundle(dir: string): Promise<Recomputation> {
  const recorded = readJson<DrillRecord>(dir, RECORD_FILE);
  const events = readEvents(dir);
  const facts = findFacts(events);
  if (facts === null)
    throw new GamedayError(
      'bundle_invalid',
      `${join(dir, EVENTS_FILE)} holds no event "facts", so the record cannot be made again`,
      'bundles of versions before it was kept can be verified, not recomputed.',
    );
  const made = await makeRecord(dir, facts, { planSha256: recorded.planSha256 });
  const groups = [...GROUPS.map((group) => compare(group, made, recorded)), compareBytes(dir, made), guardianGroup(events, facts.leases)];
  const silent = facts.leases.length > 0 && !events.some(({ writer }) => writer === 'guardian');
  return {
    ok: groups.every(({ ok }) => ok),
    groups,
    notDerived: silent ? [...ON_SERVERS, 'faults a second time from the guardian’s chain: it is not in this bundle'] : ON_SERVERS,
  };
}

async function makeRecord(dir: string, facts: KeptFacts, recorded: Pick<DrillRecord, 'planSha256'>): Promise<DrillRecord> {
  const planText = read(dir, PLAN_FILE);
  const plan = JSON.parse(planText.toString('utf8')) as Plan | ObservationPlan;
  const planSha256 = sha256Hex(planText);
  if (planSha256 !== recorded.planSha256)
    throw new GamedayError('bundle_invalid', `${PLAN_FILE} has the digest ${planSha256}, the record names ${recorded.planSha256}`);
  const registration = read(dir, REGISTRATION_FILE);
  const registered = decodeRegistration(registration, REGISTRATION_FILE);
  const doubts = [...facts.doubts];
  const ledger = await judgeAgain(dir, plan, facts, doubts);
  const rpo = facts.joined ? await joinAgain(dir, plan) : null;
  const measured = facts.judged ? ledger : null;
  return buildRecord({
    ...facts,
    plan,
    planSha256,
    drill: registered.drill,
    sequence: registered.sequence,
    startedBy: registered.startedBy,
    registration: {
      registrationSha256: sha256Hex(registration),
      previousRegistrationSha256: registered.previousRegistrationSha256,
      registeredAt: registered.registeredAt,
      custody: registered.custody ?? null,
      amended: registered.amended ?? null,
    },
    measured,
    rpo,
    judgement: verdictAgain(plan, { ...facts, doubts }, measured, rpo),
  });
}

/** As the drill judged it. A ledger that could not be judged is a doubt here as it was there. */
async function judgeAgain(dir: string, plan: Plan | ObservationPlan, facts: KeptFacts, doubts: string[]): Promise<LedgerJudgement | null> {
  const ledger = join(dir, 'ledger');
  if (!facts.judged && !holdsLedger(ledger)) return null;
  try {
    return await judgeLedger(ledger, {
      settings: plan.probe,
      steady: plan.steady,
      faults: facts.leases.map((lease) => ({
        step: lease.key.step,
        confirmed: lease.confirmed?.holds ?? false,
        endedEarly: lease.endedBy === 'expired' || lease.endedBy === 'halted' || lease.endedBy === 'reconciled',
      })),
      fromMs: null,
      toMs: null,
      agentLogs: readAgentLogs(ledger, facts.circumstances?.clocks),
    });
  } catch (error) {
    if (facts.judged) throw error;
    doubts.push(`the ledger could not be judged: ${messageOf(error).replaceAll(ledger, 'ledger')}`);
    return null;
  }
}

async function joinAgain(dir: string, plan: Plan | ObservationPlan): Promise<RpoMeasurement> {
  const ledger = join(dir, 'ledger');
  const { info, rows } = await readSurvivorFile(join(ledger, SURVIVORS_FILE));
  // Which outage is meant depends on clients alone, not on what was broken.
  const { rto } = await judgeLedger(ledger, { settings: plan.probe, steady: plan.steady, faults: [], fromMs: null, toMs: null });
  return joinLedger(ledger, rows, { ...info, t0: rto.outages[0]?.t0 ?? null });
}

function verdictAgain(
  plan: Plan | ObservationPlan,
  facts: KeptFacts,
  ledger: LedgerJudgement | null,
  rpo: RpoMeasurement | null,
): Judgement {
  const readOnly = 'observation' in plan && plan.observation.table === null;
  return judgeDrill({
    objectives: plan.objectives,
    rto: ledger?.rto ?? { notRecorded: 'no ledger was judged' },
    predicted: predictedRecord(facts.predicted),
    views: ledger?.views ?? [],
    rpo: rpo ?? { notRecorded: readOnly ? READ_ONLY : 'the ledger was not joined with the surviving rows' },
    splitBrain: ledger?.splitBrain ?? [],
    restores: facts.restores,
    ...rebuildRecord(ledger),
    faults: facts.leases.map(faultRecord),
    verification: facts.verification,
    redundancy: redundancyRecord(facts, ledger),
    doubts: facts.doubts,
    failures: facts.failures,
    nodeSpans: ledger?.nodeSpans ?? [],
    replicaStaleness: ledger?.replicaStaleness ?? [],
    noSafeCandidate: candidatesRecord(ledger),
  });
}

function compare({ from, fields }: (typeof GROUPS)[number], made: DrillRecord, recorded: DrillRecord): RecomputedGroup {
  const pick = (record: DrillRecord): Record<string, unknown> => Object.fromEntries(fields.map((field) => [field, record[field]]));
  // Through JSON, as it is stored: what cannot be stored cannot differ.
  const [a, b] = [pick(made), pick(recorded)].map((value) => JSON.parse(canonicalJson(value)) as unknown);
  const difference = firstDifference(a, b, '');
  const detail = difference ?? `${countValues(b)} values equal`;
  return { fields: fields.join(', '), from, ok: difference === null, detail };
}

function compareBytes(dir: string, made: DrillRecord): RecomputedGroup {
  const [found, again] = [sha256Hex(read(dir, RECORD_FILE)), sha256Hex(encodeRecord(made))];
  const ok = found === again;
  return {
    fields: RECORD_FILE,
    from: 'all of the above',
    ok,
    detail: ok ? `made again byte for byte: ${found}` : `made again it has the digest ${again}, sealed was ${found}`,
  };
}

/** The guardian's own chain, written by another process than the workflow's, tells of each fault the same. */
function guardianGroup(events: readonly ChainedEvent[], leases: readonly LeaseView[]): RecomputedGroup {
  const chain = events.filter(({ writer }) => writer === 'guardian');
  const base = { fields: 'faults', from: 'the guardian’s own chain' };
  if (chain.length === 0) return { ...base, ok: true, detail: leases.length === 0 ? 'no fault' : 'not compared: it is not in this bundle' };
  for (const lease of leases) {
    const told = toldByGuardian(chain.filter(({ step }) => step === lease.key.step));
    const record = faultRecord(lease);
    for (const name of ['confirmed', 'confirmedBy', 'endedBy', 'goneBy'] as const) {
      const [a, b] = [told[name], plain(record[name])];
      if (a !== b)
        return { ...base, ok: false, detail: `${lease.key.step}.${name}: the guardian says ${String(a)}, the record says ${String(b)}` };
    }
  }
  return { ...base, ok: true, detail: `${leases.length} of ${leases.length} confirmed, ended and gone as the guardian wrote itself` };
}

function plain(value: FaultRecord[keyof FaultRecord]): unknown {
  return typeof value === 'object' && value !== null && 'notRecorded' in value ? null : value;
}

function toldByGuardian(events: readonly ChainedEvent[]): Record<'confirmed' | 'confirmedBy' | 'endedBy' | 'goneBy', unknown> {
  const confirmed = events.findLast(({ kind }) => kind === 'confirmed' || kind === 'unconfirmed');
  const gone = events.findLast(({ kind }) => kind === 'gone');
  const undoing = events.findLast(({ kind }) => kind === 'undoing');
  return {
    confirmed: confirmed?.kind === 'confirmed',
    confirmedBy: confirmed?.text ?? null,
    endedBy: gone?.facts['endedBy'] ?? /^undo \((\w+)\)/.exec(undoing?.text ?? '')?.[1] ?? null,
    // What never stood is gone without a proof, and the guardian says just that.
    goneBy: gone === undefined || gone.text === 'gone' ? null : gone.text,
  };
}

/** The first place at which two JSON values differ, with both values; null if none does. `made` first. */
function firstDifference(made: unknown, recorded: unknown, at: string): string | null {
  if (made === recorded) return null;
  if (typeof made === 'object' && typeof recorded === 'object' && made !== null && recorded !== null) {
    const names = [...new Set([...Object.keys(recorded), ...Object.keys(made)])];
    for (const name of names) {
      const [a, b] = [made, recorded].map((value) => (value as Record<string, unknown>)[name]);
      const difference = firstDifference(a, b, at === '' ? name : `${at}.${name}`);
      if (difference !== null) return difference;
    }
    return null;
  }
  return `${at}: made again ${short(made)}, recorded ${short(recorded)}`;
}

function short(value: unknown): string {
  const text = value === undefined ? 'nothing' : JSON.stringify(value);
  return text.length > 120 ? `${text.slice(0, 117)}…` : text;
}

function countValues(value: unknown): number {
  if (typeof value !== 'object' || value === null) return 1;
  return Object.values(value).reduce((sum: number, each) => sum + countValues(each), 0);
}

function holdsLedger(dir: string): boolean {
  return existsSync(dir) && readdirSync(dir).some((name) => /^ledger-\d+\.gdl(\.gz)?$/.test(name));
}

function readEvents(dir: string): readonly ChainedEvent[] {
  return read(dir, EVENTS_FILE)
    .toString('utf8')
    .split('\n')
    .filter((row) => row !== '')
    .map((row, at) => {
      try {
        return (JSON.parse(row) as { readonly event: ChainedEvent }).event;
      } catch (error) {
        throw new GamedayError('bundle_invalid', `line ${at + 1} of ${EVENTS_FILE} is no JSON`, null, { cause: error });
      }
    });
}

function readJson<T>(dir: string, name: string): T {
  try {
    return JSON.parse(read(dir, name).toString('utf8')) as T;
  } catch (error) {
    if (error instanceof GamedayError) throw error;
    throw new GamedayError('bundle_invalid', `${name} holds no JSON`, null, { cause: error });
  }
}

function read(dir: string, name: string): Buffer {
  const path = join(dir, name);
  try {
    return readFileSync(path);
  } catch (error) {
    throw new GamedayError('file_unreadable', `${path} cannot be read: ${messageOf(error)}`, 'name the directory of a bundle.', {
      cause: error,
    });
  }
}
