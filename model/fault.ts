/** What travels about faults: handles on the workflow's undo stack, leases in the guardian, receipts in the record. */
import type { Json, JsonObject } from './json';

/** Who a lease belongs to. One workflow run and step has at most one. */
export interface LeaseKey {
  readonly workflowId: string;
  readonly runId: string;
  readonly step: string;
}

/** A fault resolved against the live target: late words are gone, so undoing needs nothing but this. */
export interface FaultHandle {
  readonly fault: string;
  readonly drill: string;
  /** Settings with every late word resolved to names, pids, addresses. */
  readonly resolved: JsonObject;
  /** One sentence for people: what will be broken. */
  readonly preview: string;
  /** Commands a person can type when nothing else works. */
  readonly manualUndo: readonly string[];
}

export type LeaseState = 'armed' | 'injecting' | 'active' | 'undoing' | 'gone';
export type LeaseEnd = 'undone' | 'expired' | 'halted' | 'reconciled';

/** What the guardian tells about one lease. Times are RFC 3339 UTC for people; the guardian itself decides by boot-time clock. */
export interface LeaseView {
  readonly key: LeaseKey;
  readonly handle: FaultHandle;
  readonly state: LeaseState;
  readonly armedAt: string;
  readonly expiresAt: string;
  readonly hardMaximumAt: string;
  /** When inject returned; null if it never did. */
  readonly injectedAt: string | null;
  /** When it was proven gone; null until then. */
  readonly goneAt: string | null;
  readonly endedBy: LeaseEnd | null;
  /** Proof that it bites (from `confirm`) and that it is gone (from `confirmGone`). */
  readonly confirmed: FaultProof | null;
  readonly gone: FaultProof | null;
  readonly lastError: string | null;
  readonly undoAttempts: number;
}

export interface FaultProof {
  readonly holds: boolean;
  /** How it was checked, in words: `commit through n2→n1 took 312 ms (0.4 ms before)`. */
  readonly by: string;
  readonly facts: { readonly [name: string]: Json };
}

/** A node or service that a standing fault keeps down: its undo's to bring back, nobody else's. */
export interface HeldDown {
  readonly name: string;
  readonly fault: string;
  readonly drill: string;
}

/** A restored copy that stands, or may: it is removed at `expiresAt` unless its drill renews it. */
export interface SandboxLeaseView {
  readonly dir: string;
  readonly drill: string;
  readonly step: string;
  readonly workflowId: string;
  readonly runId: string;
  readonly heldAt: string;
  readonly expiresAt: string;
}
