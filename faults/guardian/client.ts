/** The guardian from outside: its calls over a unix socket. Activities, the worker's start and the command line use this and nothing else. */
import { join } from 'node:path';
import { callRpc } from '../../core/rpc';
import type { SignedApproval } from '../../model/approval';
import type { ChainedEvent } from '../../model/event';
import type { FaultHandle, FaultProof, LeaseKey, LeaseView, SandboxLeaseView } from '../../model/fault';
import type { JsonObject } from '../../model/json';
import type { Plan } from '../../model/plan';
import type { Target } from '../../model/target';
import { viewLease } from './lease-machine';
import { readHalt, readLeases, writeHalt, type StandingHalt } from './lease-store';

export interface ArmRequest {
  readonly key: LeaseKey;
  readonly handle: FaultHandle;
  readonly target: Target;
  readonly ttlMs: number;
  /** Hard maximum that nothing extends; the policy's and the allow file's count as well. */
  readonly maxMs: number;
  /** The whole plan that the step belongs to: refusals name its target's line, and on production it must be the one approved. */
  readonly plan?: Plan;
  readonly approvals?: readonly SignedApproval[];
  /** Who started the drill: nobody approves his own. */
  readonly startedBy?: string;
}
/** Asked for before anything of a restored copy is on disk. */
export interface SandboxRequest extends Pick<SandboxLeaseView, 'dir' | 'drill' | 'step' | 'workflowId' | 'runId'> {
  readonly target: Target;
  readonly ttlMs: number;
  /** Hard maximum that no renewal extends. */
  readonly maxMs: number;
}
export interface Injected {
  readonly facts: JsonObject;
  readonly confirmed: FaultProof;
  readonly lease: LeaseView;
}
export interface Renewal {
  readonly renewed: readonly LeaseKey[];
  /** Leases of this run that ended without its asking (expired, halted, reconciled). */
  readonly gone: readonly LeaseKey[];
}
export interface GuardianStatus {
  readonly pid: number;
  readonly bootId: string;
  readonly live: number;
  readonly tombstones: number;
  readonly standingHalt: StandingHalt | null;
  /** Lease files that could not be read: nothing is injected until they are dealt with. */
  readonly unreadable: readonly string[];
}
export type { StandingHalt };

export interface GuardianClient {
  /** Asks before anything begins whether the allow file lists this system and these faults; arming asks again. Throws `fault_refused`. */
  requirePermitted(request: { readonly systemIdentifier: string; readonly faults: readonly string[] }): Promise<void>;
  /**
   * Checks the allow file, the system's identity, the policy's limits and on production the approvals, then stores the lease. Idempotent for the same key.
   * Throws `fault_refused`, `approval_missing`, `halt_standing`, `lease_gone`, `lease_conflict`.
   */
  arm(request: ArmRequest): Promise<LeaseView>;
  /** Injects once and confirms; a repeated call returns the first one's result. Throws `lease_gone`, `halt_standing`, or the fault's error, after which it is undone. */
  inject(key: LeaseKey): Promise<Injected>;
  /** Undoes and proves it gone, with a few retries; if the lease is still `undoing` the guardian goes on by itself. Idempotent; a key never armed gets a tombstone. */
  undo(request: { readonly key: LeaseKey; readonly by: string }): Promise<LeaseView>;
  /** The steps of a run that still stand, undone together: all come off newest first, then each is proven gone. Returns those; others are left out. */
  undoSteps(request: {
    readonly workflowId: string;
    readonly runId: string;
    readonly steps: readonly string[];
    readonly by: string;
  }): Promise<readonly LeaseView[]>;
  renew(request: { readonly workflowId: string; readonly runId: string; readonly ttlMs: number }): Promise<Renewal>;
  /** A lease on a restored copy's directory; renewed with the run's other leases. Idempotent for the same run. Throws `lease_conflict`, `fault_refused`. */
  holdSandbox(request: SandboxRequest): Promise<SandboxLeaseView>;
  /** `target` may be missing where a lease knows it. Removes a restored copy and says what was seen after it; throws while anything of it stays. Idempotent. */
  removeSandbox(request: { readonly target?: Target; readonly dir: string; readonly by: string }): Promise<string>;
  sandboxes(): Promise<readonly SandboxLeaseView[]>;
  /** Every lease, tombstones too, newest armed first. */
  list(): Promise<readonly LeaseView[]>;
  describe(key: LeaseKey): Promise<LeaseView | null>;
  /** Sets the standing halt, then undoes everything, newest first. */
  haltAll(request: {
    readonly by: string;
    readonly reason: string;
  }): Promise<{ readonly halt: StandingHalt; readonly leases: readonly LeaseView[] }>;
  release(request: { readonly by: string; readonly reason: string }): Promise<void>;
  standingHalt(): Promise<StandingHalt | null>;
  /** Removes what carries gameday's label on any known target and is held by no lease; returns each in words. */
  removeStrays(): Promise<readonly string[]>;
  events(request: { readonly drill: string }): Promise<readonly ChainedEvent[]>;
  status(): Promise<GuardianStatus>;
}

/**
 * What the guardian of this home has on disk, for when it does not run: every lease that is not gone, the standing halt, files that cannot be read.
 * Changes nothing.
 */
export function readGuardianFiles(guardianDir: string): {
  readonly leases: readonly LeaseView[];
  readonly halt: StandingHalt | null;
  readonly unreadable: readonly string[];
} {
  const { leases, unreadable } = readLeases(join(guardianDir, 'leases'));
  return {
    leases: leases.map(viewLease).filter((lease) => lease.state !== 'gone'),
    halt: readHalt(join(guardianDir, 'halt.json')),
    unreadable,
  };
}

/** For when no guardian runs and none comes: the halt stands from now on, and the next guardian begins by healing everything. Durable when it returns. */
export function writeGuardianHalt(guardianDir: string, halt: StandingHalt): void {
  writeHalt(join(guardianDir, 'halt.json'), halt);
}

/** Longer than the guardian's own deadlines for the same call, so that its answer, not the socket's, is what callers see. */
const TIMEOUTS_MS = { quick: 10_000, arm: 30_000, inject: 150_000, undo: 210_000, halt: 600_000 };

export function openGuardian(socket: string): GuardianClient {
  const call = <T>(name: string, params: unknown, timeoutMs: number): Promise<T> =>
    callRpc<T>(socket, name, params, { timeoutMs, unreachable: 'guardian_unreachable' });
  return {
    requirePermitted: async (request) => {
      await call('requirePermitted', request, TIMEOUTS_MS.quick);
    },
    arm: (request) => call('arm', request, TIMEOUTS_MS.arm),
    inject: (key) => call('inject', key, TIMEOUTS_MS.inject),
    undo: (request) => call('undo', request, TIMEOUTS_MS.undo),
    undoSteps: (request) => call('undoSteps', request, TIMEOUTS_MS.undo),
    renew: (request) => call('renew', request, TIMEOUTS_MS.quick),
    holdSandbox: (request) => call('holdSandbox', request, TIMEOUTS_MS.arm),
    removeSandbox: (request) => call('removeSandbox', request, TIMEOUTS_MS.undo),
    sandboxes: () => call('sandboxes', null, TIMEOUTS_MS.quick),
    list: () => call('list', null, TIMEOUTS_MS.quick),
    describe: (key) => call('describe', key, TIMEOUTS_MS.quick),
    haltAll: (request) => call('haltAll', request, TIMEOUTS_MS.halt),
    release: async (request) => {
      await call('release', request, TIMEOUTS_MS.quick);
    },
    standingHalt: () => call('standingHalt', null, TIMEOUTS_MS.quick),
    removeStrays: () => call('removeStrays', null, TIMEOUTS_MS.undo),
    events: (request) => call('events', request, TIMEOUTS_MS.quick),
    status: () => call('status', null, TIMEOUTS_MS.quick),
  };
}
