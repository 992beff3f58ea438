/**
 * Registration: signed before anything is touched. Creating `<target>/drill-000042/registration.dsse.json` exclusively *is* the allocation
 * of the number; each registration names the digest of the one before. A number is never given twice, not even one whose object was deleted in between.
 */
import { z } from 'zod';
import { canonicalJson } from '../core/canonical-json';
import { GamedayError, messageOf } from '../core/errors';
import { sha256Hex } from '../core/files';
import { drillName } from '../core/ids';
import { FORMAT_VERSION } from '../model/constants';
import type { Objective } from '../model/plan';
import type { Amendment, Custody } from '../model/record';
import type { ObjectStore } from '../objects/store';
import { REGISTRATION_FILE } from './layout';
import { amendmentSchema, custodySchema, objectiveSchema } from './record-schema';
import { REGISTRATION_PAYLOAD_TYPE, decodeEnvelope, encodeEnvelope, type Signer } from './signing';

/** Numbers tried in a row when others register at the same time. */
const MAX_ATTEMPTS = 100;
/** How many registrations are read back to find the last one of the same scenario. */
const SCENARIO_LOOK_BACK = 100;
/** How many of the newest registrations are read to find one's own after a crash. */
const LOOK_BACK = 10;
const SEQUENCE_DIGITS = 6;

export interface RegistrationRequest {
  readonly store: ObjectStore;
  /** The key prefix: drills are numbered per target name. */
  readonly targetName: string;
  readonly systemIdentifier: string;
  /** Name of the scenario: drills of one scenario are compared. */
  readonly scenario: string;
  readonly custody: Custody;
  /** One workflow run has one number, however often it asks. */
  readonly owner: { readonly workflowId: string; readonly runId: string };
  readonly planSha256: string;
  readonly objectives: readonly Objective[];
  readonly startedBy: string;
  /** RFC 3339 UTC. */
  readonly at: string;
  readonly signer: Signer;
}

export interface Registered {
  readonly sequence: number;
  /** `drill-000042` */
  readonly drill: string;
  /** SHA-256 of the stored registration object. */
  readonly registrationSha256: string;
  readonly previousRegistrationSha256: string | null;
  readonly registeredAt: string;
  /** Null where an older version registered. */
  readonly custody: Custody | null;
  readonly amended: Amendment | null;
  /** Key of the registration object. */
  readonly key: string;
}

export const registrationSchema = z.strictObject({
  formatVersion: z.number().int(),
  target: z.string(),
  systemIdentifier: z.string(),
  sequence: z.number().int().positive(),
  drill: z.string(),
  previousRegistrationSha256: z.string().nullable(),
  planSha256: z.string(),
  objectives: z.array(objectiveSchema).readonly(),
  owner: z.strictObject({ workflowId: z.string(), runId: z.string() }),
  startedBy: z.string(),
  registeredAt: z.string(),
  // Registrations of before these existed do not hold them.
  scenario: z.string().optional(),
  custody: custodySchema.optional(),
  amended: amendmentSchema.nullable().optional(),
});
/** What is signed: the payload of the registration's envelope. */
export type Registration = z.infer<typeof registrationSchema>;

/** Key prefix of a drill's bundle. */
export function bundlePrefix(targetName: string, drill: string): string {
  return `${targetName}/${drill}`;
}

/**
 * Allocates the drill's number and signs what is about to be done. Idempotent for one owner.
 * Throws `registration_failed` if the store cannot be reached or read, or if others keep taking the number.
 */
export async function registerDrill(request: RegistrationRequest): Promise<Registered> {
  try {
    return await register(request);
  } catch (error) {
    if (error instanceof GamedayError && error.code === 'registration_failed') throw error;
    throw new GamedayError('registration_failed', `drill on ${request.targetName} was not registered: ${messageOf(error)}`, null, {
      cause: error,
    });
  }
}

/** Reads one stored registration without judging its signature; null if there is none. */
export function decodeRegistration(data: Uint8Array, what: string): Registration {
  const envelope = decodeEnvelope(data, what);
  const parsed = registrationSchema.safeParse(parseJson(Buffer.from(envelope.payload, 'base64').toString('utf8'), what));
  if (!parsed.success) throw new GamedayError('bundle_invalid', `${what} is no registration: ${parsed.error.issues[0]?.message ?? ''}`);
  return parsed.data;
}

async function register(request: RegistrationRequest): Promise<Registered> {
  const { store, targetName } = request;
  const newest = await newestSequence(store, targetName);
  for (let sequence = newest; sequence > Math.max(0, newest - LOOK_BACK); sequence -= 1) {
    const mine = await ownRegistration(request, sequence);
    if (mine !== null) return mine;
  }
  const amended = await amendmentBefore(request, newest);
  for (let sequence = newest + 1; sequence <= newest + MAX_ATTEMPTS; sequence += 1) {
    const previous = sequence === 1 ? null : await digestBefore(store, targetName, sequence);
    const drill = drillName(sequence);
    const key = `${bundlePrefix(targetName, drill)}/${REGISTRATION_FILE}`;
    const { data, registration } = await signRegistration(request, sequence, previous, amended);
    if (await store.create(key, data)) return registeredAs(registration, data, key);
    const mine = await ownRegistration(request, sequence);
    if (mine !== null) return mine;
  }
  throw new GamedayError('registration_failed', `${MAX_ATTEMPTS} numbers in a row after ${newest} were taken by others on ${targetName}`);
}

async function signRegistration(
  request: RegistrationRequest,
  sequence: number,
  previous: string | null,
  amended: Amendment | null,
): Promise<{ readonly data: Buffer; readonly registration: Registration }> {
  const registration: Registration = {
    formatVersion: FORMAT_VERSION,
    target: request.targetName,
    systemIdentifier: request.systemIdentifier,
    sequence,
    drill: drillName(sequence),
    previousRegistrationSha256: previous,
    planSha256: request.planSha256,
    objectives: [...request.objectives],
    owner: { workflowId: request.owner.workflowId, runId: request.owner.runId },
    startedBy: request.startedBy,
    registeredAt: request.at,
    scenario: request.scenario,
    custody: request.custody,
    amended,
  };
  const envelope = await request.signer.sign(REGISTRATION_PAYLOAD_TYPE, Buffer.from(canonicalJson(registration)));
  return { data: encodeEnvelope(envelope), registration };
}

function registeredAs(registration: Registration, data: Uint8Array, key: string): Registered {
  const { sequence, drill, previousRegistrationSha256, registeredAt, custody = null, amended = null } = registration;
  return { sequence, drill, registrationSha256: sha256Hex(data), previousRegistrationSha256, registeredAt, custody, amended, key };
}

async function ownRegistration(request: RegistrationRequest, sequence: number): Promise<Registered | null> {
  const key = `${bundlePrefix(request.targetName, drillName(sequence))}/${REGISTRATION_FILE}`;
  const data = await request.store.get(key);
  if (data === null) return null;
  const found = decodeRegistration(data, key);
  if (found.owner.workflowId !== request.owner.workflowId || found.owner.runId !== request.owner.runId) return null;
  return registeredAs(found, data, key);
}

/** What the objectives differ in from those of the last drill of the same scenario; null if in nothing, or if there was none. */
async function amendmentBefore(
  { store, targetName, scenario, objectives }: RegistrationRequest,
  newest: number,
): Promise<Amendment | null> {
  for (let sequence = newest; sequence > Math.max(0, newest - SCENARIO_LOOK_BACK); sequence -= 1) {
    const key = `${bundlePrefix(targetName, drillName(sequence))}/${REGISTRATION_FILE}`;
    const data = await store.get(key);
    if (data === null) continue;
    const before = decodeRegistration(data, key);
    if (before.scenario !== scenario) continue;
    const changes = objectiveChanges(before.objectives, objectives);
    return changes.length === 0 ? null : { since: before.drill, changes };
  }
  return null;
}

/** In words, one an objective: added, removed, or with another target. */
export function objectiveChanges(before: readonly Objective[], after: readonly Objective[]): readonly string[] {
  const nameOf = ({ name, step, path }: Objective): string => [name, step, path].filter((part) => part != null).join(' ');
  const targets = (all: readonly Objective[]): Map<string, string> =>
    new Map(all.map((each) => [nameOf(each), `${each.target} ${each.unit}`]));
  const [old, now] = [targets(before), targets(after)];
  return [...new Set([...old.keys(), ...now.keys()])].sort().flatMap((name) => {
    const [from, to] = [old.get(name), now.get(name)];
    if (from === to) return [];
    return [
      from === undefined
        ? `${name}: new, ${to ?? ''}`
        : to === undefined
          ? `${name}: ${from}, no longer asked for`
          : `${name}: ${from} before, ${to} now`,
    ];
  });
}

/** Digest of the nearest earlier registration that is still there. A deleted one shows as a gap in the series. */
async function digestBefore(store: ObjectStore, targetName: string, sequence: number): Promise<string | null> {
  for (let at = sequence - 1; at > Math.max(0, sequence - 1 - LOOK_BACK); at -= 1) {
    const data = await store.get(`${bundlePrefix(targetName, drillName(at))}/${REGISTRATION_FILE}`);
    if (data !== null) return sha256Hex(data);
  }
  return null;
}

/** Highest number in use, 0 if none. The events beside the bundles count too: a drill whose bundle was deleted has had its number. */
export async function newestSequence(store: ObjectStore, targetName: string): Promise<number> {
  return Math.max(await highestUnder(store, `${targetName}/drill-`), await highestUnder(store, `${targetName}/events/drill-`));
}

/** Found digit by digit from the left, so that it costs at most 60 listings however many drills there are. */
async function highestUnder(store: ObjectStore, prefix: string): Promise<number> {
  let digits = '';
  while (digits.length < SEQUENCE_DIGITS) {
    let found: string | null = null;
    for (let digit = 9; digit >= 0 && found === null; digit -= 1) {
      if (await holdsAny(store, `${prefix}${digits}${digit}`)) found = String(digit);
    }
    if (found === null) return 0;
    digits += found;
  }
  return Number(digits);
}

async function holdsAny(store: ObjectStore, prefix: string): Promise<boolean> {
  for await (const head of store.list(prefix)) if (head.key.startsWith(prefix)) return true;
  return false;
}

function parseJson(text: string, what: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new GamedayError('bundle_invalid', `${what} holds no JSON`, null, { cause: error });
  }
}
