/**
 * An observation: prober, sampler and judge alone, on a database that gameday neither manages nor breaks. Its plan is frozen and registered like a
 * drill's; where it has the same facts they stand in the same places, so that whoever judges or reads one can read the other.
 */
import type { Objective, PlanStep, ProbeSettings, SteadyState } from './plan';
import type { HostPort, TargetKind, TargetRole } from './target';

export interface ObservedNode extends HostPort {
  readonly name: string;
}

export interface ObservedPath {
  readonly name: string;
  readonly hosts: readonly HostPort[];
  readonly database: string;
}

export interface ObservationPlan {
  readonly formatVersion: number;
  readonly toolVersion: string;
  readonly scenario: { readonly name: 'observe'; readonly title: string; readonly hypothesis: string; readonly description: string };
  readonly target: {
    readonly name: string;
    readonly kind: TargetKind;
    readonly systemIdentifier: string;
    /** Observed from outside: what does failover there, if anything, is not known. */
    readonly controller: { readonly kind: 'unknown' };
    readonly nodes: readonly ObservedNode[];
    /** The first is the clients' way, `entry`. */
    readonly paths: readonly ObservedPath[];
    readonly roles: { readonly probe: TargetRole; readonly observe: TargetRole };
    readonly labels: { readonly [name: string]: string };
  };
  readonly objectives: readonly Objective[];
  readonly probe: ProbeSettings;
  readonly steady: SteadyState;
  /** Always empty: nothing is done to the database. */
  readonly steps: readonly PlanStep[];
  readonly observation: {
    /** After the baseline. */
    readonly forMs: number;
    /** In schema `gameday`; null: nothing is written. */
    readonly table: string | null;
    /** What the table may grow to by these settings, and the most that was allowed. */
    readonly expectedBytes: number;
    readonly maxBytes: number;
    /** The person said that an application's database may be written to. */
    readonly applicationDatabase: boolean;
  };
}

/** Why an observation that only reads has no RPO. */
export const READ_ONLY = 'read-only: nothing was written, so nothing could be lost';
