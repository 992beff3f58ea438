/**
 * What a fault is: seven verbs. The guardian alone calls inject, confirm, undo and confirmGone; `resolve` and `preview` touch nothing.
 * Undo works when inject never happened, works twice, and needs nothing but the handle.
 */
import type { ZodType } from 'zod';
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
  /** Set by the guardian: writes a fact of its own event chain, e.g. that undoing had to restart Toxiproxy. */
  readonly note?: (kind: string, text: string, facts: JsonObject) => void;
}

export function faultLabel(drill: string, step: string): string {
  return `gd-${drill}-${step}`;
}

/** `S`: settings as people write them. `R`: settings resolved against the live target. Both plain data. */
export interface Fault<S, R extends JsonObject> {
  readonly name: string;
  /** One line for lists and docs. */
  readonly summary: string;
  /** May it lose acknowledged writes? Then the target must say `acceptDataLoss` (labs always may). */
  mayLoseWrites(settings: S): boolean;
  readonly schema: ZodType<S>;
  /** Late words become names, pids, addresses. Throws `fault_refused` with the reason when it cannot be done here. */
  resolve(settings: S, context: FaultContext): Promise<R>;
  preview(resolved: R): string;
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
}
