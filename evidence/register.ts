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
import type { ObjectStore } from '../objects/store';
import { REGISTRATION_FILE } from './layout';
import { objectiveSchema } from './record-schema';
import { REGISTRATION_PAYLOAD_TYPE, decodeEnvelope, encodeEnvelope, type Signer } from './signing';

/** Numbers tried in a row when others register at the same time. */
const MAX_ATTEMPTS = 100;
/** How many of the newest registrations are read to find one's own after a crash. */
const LOOK_BACK = 10;
const SEQUENCE_DIGITS = 6;

export interface RegistrationRequest {
  readonly store: ObjectStore;
  /** The key prefix: drills are numbered per target name. */
  readonly targetName: string;
  readonly systemIdentifier: string;
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
  for (let sequence = newest + 1; sequence <= newest + MAX_ATTEMPTS; sequence += 1) {
    const previous = sequence === 1 ? null : await digestBefore(store, targetName, sequence);
    const drill = drillName(sequence);
    const key = `${bundlePrefix(targetName, drill)}/${REGISTRATION_FILE}`;
    const data = signRegistration(request, sequence, drill, previous);
    if (await store.create(key, data)) {
      return { sequence, drill, registrationSha256: sha256Hex(data), previousRegistrationSha256: previous, registeredAt: request.at, key };
    }
    const mine = await ownRegistration(request, sequence);
    if (mine !== null) return mine;
  }
  throw new GamedayError('registration_failed', `${MAX_ATTEMPTS} numbers in a row after ${newest} were taken by others on ${targetName}`);
}

function signRegistration(request: RegistrationRequest, sequence: number, drill: string, previous: string | null): Buffer {
  const registration: Registration = {
    formatVersion: FORMAT_VERSION,
    target: request.targetName,
    systemIdentifier: request.systemIdentifier,
    sequence,
    drill,
    previousRegistrationSha256: previous,
    planSha256: request.planSha256,
    objectives: [...request.objectives],
    owner: { workflowId: request.owner.workflowId, runId: request.owner.runId },
    startedBy: request.startedBy,
    registeredAt: request.at,
  };
  return encodeEnvelope(request.signer.sign(REGISTRATION_PAYLOAD_TYPE, Buffer.from(canonicalJson(registration))));
}

async function ownRegistration(request: RegistrationRequest, sequence: number): Promise<Registered | null> {
  const drill = drillName(sequence);
  const key = `${bundlePrefix(request.targetName, drill)}/${REGISTRATION_FILE}`;
  const data = await request.store.get(key);
  if (data === null) return null;
  const found = decodeRegistration(data, key);
  if (found.owner.workflowId !== request.owner.workflowId || found.owner.runId !== request.owner.runId) return null;
  return {
    sequence,
    drill,
    registrationSha256: sha256Hex(data),
    previousRegistrationSha256: found.previousRegistrationSha256,
    registeredAt: found.registeredAt,
    key,
  };
}

/** Digest of the nearest earlier registration that is still there. A deleted one shows as a gap in the series. */
async function digestBefore(store: ObjectStore, targetName: string, sequence: number): Promise<string | null> {
  for (let at = sequence - 1; at > Math.max(0, sequence - 1 - LOOK_BACK); at -= 1) {
    const data = await store.get(`${bundlePrefix(targetName, drillName(at))}/${REGISTRATION_FILE}`);
    if (data !== null) return sha256Hex(data);
  }
  return null;
}

/** Highest number in use, 0 if none: found digit by digit from the left, so that it costs at most 60 listings however many drills there are. */
async function newestSequence(store: ObjectStore, targetName: string): Promise<number> {
  let digits = '';
  while (digits.length < SEQUENCE_DIGITS) {
    let found: string | null = null;
    for (let digit = 9; digit >= 0 && found === null; digit -= 1) {
      if (await holdsAny(store, `${targetName}/drill-${digits}${digit}`)) found = String(digit);
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
