/**
 * The life of one lease as a pure function: armed → injecting → active → undoing → gone. It decides what may happen; the keeper does it.
 * `gone` is a tombstone and nothing leads out of it; nothing but `inject` on an armed lease ever leads to an injection, and that at most once.
 */
import { unreachable } from '../../core/assert';
import { GamedayError } from '../../core/errors';
import type { FaultHandle, FaultProof, LeaseEnd, LeaseKey, LeaseState, LeaseView } from '../../model/fault';
import type { JsonObject } from '../../model/json';
import type { Target } from '../../model/target';

/** A moment: boot-time clock for deciding, wall clock for people. */
export interface Moment {
  readonly bootId: string;
  readonly bootMs: number;
  readonly utc: string;
}

/** One lease as stored. Deadlines are boot-time milliseconds of `bootId`; in another boot the lease counts as expired. */
export interface Lease {
  readonly formatVersion: 1;
  readonly key: LeaseKey;
  readonly handle: FaultHandle;
  /** Null only for the tombstone of a key that was never armed. */
  readonly target: Target | null;
  readonly state: LeaseState;
  /** Order of arming over the guardian's whole life; several leases are undone highest first. */
  readonly order: number;
  readonly bootId: string;
  readonly expiresBootMs: number;
  readonly hardMaximumBootMs: number;
  readonly armedAt: string;
  readonly expiresAt: string;
  readonly hardMaximumAt: string;
  readonly injectedAt: string | null;
  readonly goneAt: string | null;
  readonly facts: JsonObject | null;
  /** What the fault wrote down for its undo; absent in leases of older guardians. */
  readonly memory?: JsonObject | null;
  readonly confirmed: FaultProof | null;
  readonly gone: FaultProof | null;
  readonly endedBy: LeaseEnd | null;
  readonly lastError: string | null;
  readonly undoAttempts: number;
}

export type LeaseEvent =
  | { readonly kind: 'inject' }
  | { readonly kind: 'remember'; readonly memory: JsonObject }
  | { readonly kind: 'injected'; readonly facts: JsonObject }
  | { readonly kind: 'confirmed'; readonly proof: FaultProof }
  | { readonly kind: 'renew'; readonly ttlMs: number }
  | { readonly kind: 'undo'; readonly by: LeaseEnd }
  | { readonly kind: 'attempt-failed'; readonly error: string }
  | { readonly kind: 'proven-gone'; readonly proof: FaultProof };

const NEVER_INJECTED: FaultProof = { holds: true, by: 'it was never injected', facts: {} };

const plus = (utc: string, ms: number): string => new Date(Date.parse(utc) + ms).toISOString();
const nameOf = (lease: Lease): string => `${lease.handle.fault} (${lease.handle.drill}, step ${lease.key.step})`;

/** A new lease. `ttlMs` is what renewals give again; `maxMs` is what nothing extends. */
export function armLease(
  input: {
    readonly key: LeaseKey;
    readonly handle: FaultHandle;
    readonly target: Target;
    readonly ttlMs: number;
    readonly maxMs: number;
    readonly order: number;
  },
  now: Moment,
): Lease {
  const ttlMs = Math.min(input.ttlMs, input.maxMs);
  return {
    formatVersion: 1,
    key: input.key,
    handle: input.handle,
    target: input.target,
    state: 'armed',
    order: input.order,
    bootId: now.bootId,
    expiresBootMs: now.bootMs + ttlMs,
    hardMaximumBootMs: now.bootMs + input.maxMs,
    armedAt: now.utc,
    expiresAt: plus(now.utc, ttlMs),
    hardMaximumAt: plus(now.utc, input.maxMs),
    injectedAt: null,
    goneAt: null,
    facts: null,
    confirmed: null,
    gone: null,
    endedBy: null,
    lastError: null,
    undoAttempts: 0,
  };
}

/** The tombstone of a key that was undone before it was ever armed: a late arm or inject finds it and is refused. */
export function buryLease(key: LeaseKey, order: number, by: LeaseEnd, now: Moment): Lease {
  const handle: FaultHandle = {
    fault: 'never-armed',
    drill: 'unknown',
    resolved: {},
    preview: 'nothing: it was never armed',
    manualUndo: [],
  };
  const base = {
    formatVersion: 1,
    key,
    handle,
    target: null,
    order,
    bootId: now.bootId,
    expiresBootMs: now.bootMs,
    hardMaximumBootMs: now.bootMs,
  } as const;
  return {
    ...base,
    armedAt: now.utc,
    expiresAt: now.utc,
    hardMaximumAt: now.utc,
    injectedAt: null,
    goneAt: now.utc,
    state: 'gone',
    facts: null,
    confirmed: null,
    gone: { holds: true, by: 'it was never armed', facts: {} },
    endedBy: by,
    lastError: null,
    undoAttempts: 0,
  };
}

export function isExpired(lease: Lease, now: Moment): boolean {
  return lease.bootId !== now.bootId || now.bootMs >= Math.min(lease.expiresBootMs, lease.hardMaximumBootMs);
}

/** Milliseconds until it expires; 0 when it has. */
export function remainingMs(lease: Lease, now: Moment): number {
  return isExpired(lease, now) ? 0 : Math.min(lease.expiresBootMs, lease.hardMaximumBootMs) - now.bootMs;
}

function refuse(lease: Lease, what: string): never {
  throw new GamedayError(
    'lease_gone',
    `${what} ${nameOf(lease)}: its lease is ${lease.state}${lease.endedBy === null ? '' : ` (${lease.endedBy})`}`,
  );
}

function inject(lease: Lease, now: Moment): Lease {
  if (lease.state !== 'armed') refuse(lease, 'cannot inject');
  if (isExpired(lease, now))
    throw new GamedayError('lease_gone', `cannot inject ${nameOf(lease)}: its lease expired at ${lease.expiresAt}`);
  return { ...lease, state: 'injecting' };
}

function renew(lease: Lease, ttlMs: number, now: Moment): Lease {
  if (lease.state === 'gone' || lease.state === 'undoing' || isExpired(lease, now)) refuse(lease, 'cannot renew');
  const until = Math.min(now.bootMs + ttlMs, lease.hardMaximumBootMs);
  // A shorter ttl asked for later never takes away what was promised.
  return until <= lease.expiresBootMs ? lease : { ...lease, expiresBootMs: until, expiresAt: plus(now.utc, until - now.bootMs) };
}

function undo(lease: Lease, by: LeaseEnd, now: Moment): Lease {
  if (lease.state === 'gone' || lease.state === 'undoing') return lease;
  if (lease.state === 'armed') return { ...lease, state: 'gone', endedBy: by, gone: NEVER_INJECTED, goneAt: now.utc };
  return { ...lease, state: 'undoing', endedBy: by };
}

/** The lease after the event. Throws `lease_gone` for what is refused; the lease is then unchanged. */
export function advance(lease: Lease, event: LeaseEvent, now: Moment): Lease {
  switch (event.kind) {
    case 'inject':
      return inject(lease, now);
    case 'remember':
      if (lease.state !== 'injecting' && lease.state !== 'undoing') refuse(lease, 'nothing may be remembered for');
      return { ...lease, memory: event.memory };
    case 'injected':
      if (lease.state !== 'injecting') refuse(lease, 'cannot activate');
      return { ...lease, state: 'active', facts: event.facts, injectedAt: now.utc };
    case 'confirmed':
      if (lease.state !== 'active') refuse(lease, 'cannot confirm');
      return { ...lease, confirmed: event.proof };
    case 'renew':
      return renew(lease, event.ttlMs, now);
    case 'undo':
      return undo(lease, event.by, now);
    case 'attempt-failed':
      if (lease.state !== 'undoing') refuse(lease, 'no undo under way for');
      return { ...lease, lastError: event.error, undoAttempts: lease.undoAttempts + 1 };
    case 'proven-gone':
      if (lease.state !== 'undoing' || !event.proof.holds) refuse(lease, 'cannot bury');
      return { ...lease, state: 'gone', gone: event.proof, goneAt: now.utc, lastError: null, undoAttempts: lease.undoAttempts + 1 };
    default:
      return unreachable(event, 'lease event');
  }
}

export function viewLease(lease: Lease): LeaseView {
  const { key, handle, state, armedAt, expiresAt, hardMaximumAt, injectedAt, goneAt, endedBy, confirmed, gone, lastError, undoAttempts } =
    lease;
  return { key, handle, state, armedAt, expiresAt, hardMaximumAt, injectedAt, goneAt, endedBy, confirmed, gone, lastError, undoAttempts };
}
