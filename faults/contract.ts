/**
 * What a fault is: seven verbs. The guardian alone calls inject, confirm, undo and confirmGone; `resolve` and `preview` touch nothing.
 * Undo works when inject never happened, works twice, and needs nothing but the handle.
 */
import type { ZodType } from 'zod';
import { GamedayError } from '../core/errors';
import type { JsonObject } from '../model/json';
import type { FaultProof } from '../model/fault';
import type { Target } from '../model/target';
import type { CheckResult } from '../model/record';
import type { LiveTarget } from '../targets/ports';

export interface FaultContext {
  readonly live: LiveTarget;
  readonly drill: string;
  /** `gd-<drill>-<step>`, by `faultLabel`: what every toxic, rule, row and file made is labelled with, so that reconciliation finds it. */
  readonly label: string;
  /**
   * What `inject` finds out and `undo` will need (the version id it made, the verifier it replaced), apart from the settings. `write` is durable
   * before it returns, so call it before the act that needs it; `read` is null until then. Whoever only resolves or checks reads null.
   */
  readonly memory: FaultMemory;
  /** Set by the guardian: writes a fact of its own event chain, e.g. that undoing had to restart Toxiproxy. */
  readonly note?: (kind: string, text: string, facts: JsonObject) => void;
}

export interface FaultMemory {
  read(): JsonObject | null;
  /** Replaces what was there. Throws when it cannot be made durable: then do not act. */
  write(state: JsonObject): void;
}

/** For those who touch nothing: resolving and pre-flight. */
export const NO_MEMORY: FaultMemory = {
  read: () => null,
  write: () => {
    throw new GamedayError('internal', 'only the guardian keeps a fault’s memory');
  },
};

/**
 * What a fault may hurt, for the limits of the target's policy. Names of nodes, and of services, whose work it stops, slows or spoils; clients' links hurt
 * no node.
 */
export interface Reach {
  readonly nodes: readonly string[];
}

export function faultLabel(drill: string, step: string): string {
  return `gd-${drill}-${step}`;
}

/** What is no such name is a stranger's and is never touched. */
export const OUR_LABEL = /^gd-drill-[0-9]{6,}-[a-z]/;

export interface Stray {
  /** In words, e.g. `toxic gd-drill-000001-cut-upstream on n2-n1`. */
  readonly what: string;
  /** Labels whose lease would hold it; more than one where a suffix could belong to the step's name. */
  readonly labels: readonly string[];
  remove(): Promise<void>;
}

/** `S`: settings as people write them. `R`: settings resolved against the live target. Both plain data. */
export interface Fault<S, R extends JsonObject> {
  readonly name: string;
  /** One line for lists and docs. */
  readonly summary: string;
  /** May it lose acknowledged writes? Then the target must say `acceptDataLoss` (labs always may). */
  mayLoseWrites(settings: S): boolean;
  /** Optional: does it take a whole node away, with its controller's agent? What a controller predicts of a lost primary then holds. */
  takesNodeAway?(settings: S): boolean;
  readonly schema: ZodType<S>;
  /** Late words become names, pids, addresses. Throws `fault_refused` with the reason when it cannot be done here. */
  resolve(settings: S, context: FaultContext): Promise<R>;
  preview(resolved: R): string;
  reach(resolved: R): Reach;
  /**
   * Optional: the nodes and services that do not run, or must not be touched, while it stands. To bring them back is its undo's, and nobody else starts
   * them meanwhile; whatever else is down may be started at any time, for an undo may need it.
   */
  holdsDown?(resolved: R): readonly string[];
  manualUndo(resolved: R, target: Target): readonly string[];
  /** Pre-flight: would it work and could it be undone? Touches nothing. */
  ready(settings: S, context: FaultContext): Promise<readonly CheckResult[]>;
  /** Returns facts that others need later (e.g. the xid of a bad statement), merged into the lease's events. */
  inject(resolved: R, context: FaultContext): Promise<JsonObject>;
  /** Independent proof that it bites. */
  confirm(resolved: R, context: FaultContext): Promise<FaultProof>;
  undo(resolved: R, context: FaultContext): Promise<void>;
  /** Proof by traffic or state, never by status alone. */
  confirmGone(resolved: R, context: FaultContext): Promise<FaultProof>;
  /**
   * Optional power: the fault may cut the guardian off from the host. Called before `inject`: leaves a timer on that host which undoes the fault by
   * itself after `maxMs`, whatever happens to us. `undo` takes the timer away again.
   */
  armOnHost?(resolved: R, context: FaultContext, maxMs: number): Promise<void>;
  /**
   * The fault is something that the guardian's own process holds (sessions, a loop; see `residents.ts`), so it ends with that process: a restarted
   * guardian then undoes it, and the drill learns that it ended early.
   */
  readonly resident?: true;
  /**
   * The fault is over by itself once it is injected: `confirm` then goes on holding as a fact of the past, and `confirmGone` may hold at once.
   */
  readonly momentary?: true;
  /** The fault lives inside Toxiproxy: a restart of Toxiproxy ends it early. */
  readonly insideToxiproxy?: true;
}
