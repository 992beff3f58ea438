/** What a schedule hands to its guard, and what the guard hands back; what is recorded of slots that were missed. */
import type { DrillResult } from '../model/message';
import type { Plan } from '../model/plan';

export interface ScheduleInput {
  readonly plan: Plan;
  readonly planSha256: string;
  /** The schedule's name, without the prefix `gameday/`. */
  readonly name: string;
  /** Absolute path of GAMEDAY_HOME on the workers' machine. */
  readonly home: string;
  readonly startedBy: string;
}

/** `dueAt`: the slot of the schedule, RFC 3339 UTC. */
export type ScheduleOutcome =
  | { readonly kind: 'ran'; readonly dueAt: string; readonly result: DrillResult }
  | { readonly kind: 'skipped'; readonly dueAt: string; readonly reason: string };

/** Slots found to have passed without an action; `slots` are RFC 3339 UTC. */
export interface MissedSlots {
  readonly schedule: string;
  readonly home: string;
  readonly target: string;
  readonly scenario: string;
  readonly site: string;
  readonly slots: readonly string[];
}
