/**
 * The evidence of one drill while it runs, in both places at once: numbers and events in the shared store, a copy of everything on this machine. A shared
 * store that goes away while a drill runs never stops it: the rest of the chain is kept here, and the sealed bundle is delivered later.
 */
import { readFileSync } from 'node:fs';
import { GamedayError, messageOf } from '../core/errors';
import type { ChainedEvent, EventBody, Writer } from '../model/event';
import type { ObservationPlan } from '../model/observation';
import type { Plan } from '../model/plan';
import type { ObjectStore } from '../objects/store';
import { encodePlan, sealBundle, type Sealed, type SealRequest } from './bundle';
import { deliverOrWait } from './deliver';
import { copyEvents, readEvents, recordEvents, WRITERS } from './events';
import {
  PLAN_FILE,
  PUBLIC_KEY_FILE,
  REGISTRATION_FILE,
  SEAL_FILE,
  SEAL_TIMESTAMP_FILE,
  TIMESTAMP_CA_FILE,
  REGISTRATION_TIMESTAMP_FILE,
} from './layout';
import { bundlePrefix, registerDrill, type Registered, type RegistrationRequest } from './register';
import type { EvidencePlace } from './store';
import { requestTimestamp } from './timestamp';

export interface DrillToRegister extends Pick<RegistrationRequest, 'owner' | 'planSha256' | 'startedBy' | 'at'> {
  readonly plan: Plan | ObservationPlan;
}

/**
 * Allocates the number in the shared store, and keeps registration and plan here and there: a drill that is lost can be sealed with its plan. Idempotent.
 * Throws `registration_failed`: then nothing has begun.
 */
export async function registerIn(place: EvidencePlace, drill: DrillToRegister): Promise<Registered> {
  const { plan, owner, planSha256, startedBy, at } = drill;
  const signer = await place.signer().catch((error: unknown) => notRegistered(plan.target.name, error));
  const registered = await registerDrill({
    store: place.shared,
    targetName: plan.target.name,
    systemIdentifier: plan.target.systemIdentifier,
    scenario: plan.scenario.name,
    custody: place.custody(signer),
    owner,
    planSha256,
    objectives: plan.objectives,
    startedBy,
    at,
    signer,
  });
  const prefix = bundlePrefix(plan.target.name, registered.drill);
  try {
    await place.shared.create(`${prefix}/${PLAN_FILE}`, encodePlan(plan));
    const registration = await place.shared.get(registered.key);
    if (registration === null) throw new GamedayError('object_missing', `${registered.key} was written and is not there`);
    await place.local.create(`${prefix}/${REGISTRATION_FILE}`, registration);
    await place.local.create(`${prefix}/${PLAN_FILE}`, encodePlan(plan));
    for (const store of new Set([place.shared, place.local]))
      await store.create(`${prefix}/${PUBLIC_KEY_FILE}`, Buffer.from(signer.publicKeyPem));
    await stampRegistration(place, prefix, registration);
  } catch (error) {
    notRegistered(plan.target.name, error);
  }
  return registered;
}

function notRegistered(target: string, error: unknown): never {
  if (error instanceof GamedayError && error.code === 'registration_failed') throw error;
  throw new GamedayError('registration_failed', `drill on ${target} was not registered: ${messageOf(error)}`, null, { cause: error });
}

/** Where timestamps are configured, a registration without one is none: its time is what they are for. */
async function stampRegistration({ timestamps, local }: EvidencePlace, prefix: string, registration: Uint8Array): Promise<void> {
  if (timestamps === null || (await local.head(`${prefix}/${REGISTRATION_TIMESTAMP_FILE}`)) !== null) return;
  const authority = readFileSync(timestamps.ca);
  await local.create(`${prefix}/${REGISTRATION_TIMESTAMP_FILE}`, await requestTimestamp(timestamps, registration));
  await local.create(`${prefix}/${TIMESTAMP_CA_FILE}`, authority);
}

/** Appends to the chain in the shared store and copies it here. Throws `store_unreachable` while the shared one is away. */
export async function recordIn(
  place: EvidencePlace,
  bundle: string,
  writer: Writer,
  events: readonly EventBody[],
): Promise<readonly ChainedEvent[]> {
  const stored = await recordEvents(place.shared, bundle, writer, events);
  if (place.isShared) await mirror(place, bundle, writer);
  return stored;
}

/** Brings this machine's copy of one chain up to the shared one. */
async function mirror({ local, shared }: EvidencePlace, bundle: string, writer: Writer): Promise<void> {
  const have = await readEvents(local, bundle, writer);
  await copyEvents(local, bundle, (await readEvents(shared, bundle, writer)).slice(have.length));
}

/**
 * Where the end of the chain is written: the shared store with everything copied here, or, once nobody is `patient` any more, this machine. `away` says why.
 * Throws `store_unreachable` while patient.
 */
export async function openChain(
  place: EvidencePlace,
  bundle: string,
  patient: boolean,
): Promise<{ readonly store: ObjectStore; readonly away: string | null }> {
  if (!place.isShared) return { store: place.local, away: null };
  try {
    for (const writer of WRITERS) await mirror(place, bundle, writer);
    return { store: place.shared, away: null };
  } catch (error) {
    if (patient || !(error instanceof GamedayError) || error.code !== 'store_unreachable') throw error;
    return {
      store: place.local,
      away: `the evidence store could not be reached when this was sealed, and events that other machines wrote may be missing: ${messageOf(error)}`,
    };
  }
}

/** Seals here, stamps the seal, and delivers, or leaves the bundle to be delivered. `waiting` says why it is not delivered. */
export async function sealIn(
  home: string,
  place: EvidencePlace,
  request: Omit<SealRequest, 'store' | 'signer'>,
): Promise<Sealed & { readonly waiting: string | null }> {
  const signer = await place.signer();
  const sealed = await sealBundle({ ...request, store: place.local, signer });
  const problem = await stampSeal(place, request.prefix);
  if (problem !== null) process.stderr.write(`${request.prefix}: the seal has no timestamp: ${problem}\n`);
  const waiting = await deliverOrWait(home, place, request.prefix, request.plan.target.kind);
  return { ...sealed, waiting };
}

/** A seal without a timestamp holds as well; the registration's bounds it from below. Returns why there is none. */
async function stampSeal({ timestamps, local }: EvidencePlace, prefix: string): Promise<string | null> {
  const key = `${prefix}/${SEAL_TIMESTAMP_FILE}`;
  if (timestamps === null || (await local.head(key)) !== null) return null;
  try {
    const seal = await local.get(`${prefix}/${SEAL_FILE}`);
    if (seal === null) return 'there is no seal';
    await local.create(key, await requestTimestamp(timestamps, seal));
    return null;
  } catch (error) {
    return messageOf(error);
  }
}
