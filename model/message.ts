/** Names and payloads of the drill workflow's messages and results; shared by the workflow, the command line and schedules. */
import type { SignedApproval } from './approval';
import type { LeaseView } from './fault';
import type { ObjectiveResult, Verdict } from './measurement';
import type { Plan } from './plan';
import type { DrillState, DrillTrigger, Phase } from './record';

export interface DrillInput {
  readonly plan: Plan;
  readonly planSha256: string;
  readonly startedBy: string;
  readonly trigger: DrillTrigger;
  /** Whether those who run the target were told of it before; absent: nobody said. */
  readonly announced?: boolean;
  /** Absolute path of GAMEDAY_HOME on the workers' machine. */
  readonly home: string;
  /** Brought along by whoever starts it; what lies in the workers' home counts besides. */
  readonly approvals?: readonly SignedApproval[];
}

export interface HaltInput {
  readonly by: string;
  readonly reason: string;
}
export interface AnswerInput {
  readonly step: string;
  /** `done` for a manual step; `go` or `no-go` for a gate. */
  readonly answer: 'done' | 'go' | 'no-go';
  readonly by: string;
  readonly note: string | null;
}

/** A step that waits for a person. */
export interface OpenQuestion {
  readonly step: string;
  readonly kind: 'manual' | 'gate';
  readonly text: string;
  readonly owner: string;
  readonly answers: readonly AnswerInput['answer'][];
  readonly since: string;
}

/** Answer of the `progress` query: enough to follow a drill live. `log` grows only at its end. */
export interface DrillProgress {
  readonly drill: string | null;
  readonly sequence: number | null;
  readonly phase: Phase;
  readonly step: string | null;
  readonly open: readonly OpenQuestion[];
  readonly halted: HaltInput | null;
  readonly log: readonly { readonly at: string; readonly phase: Phase; readonly text: string }[];
}

export interface DrillResult {
  readonly drill: string;
  readonly sequence: number;
  readonly state: DrillState;
  readonly verdict: Verdict;
  readonly objectives: readonly ObjectiveResult[];
  readonly faults: readonly { readonly fault: string; readonly confirmed: boolean; readonly healed: boolean }[];
  /** Directory of the evidence bundle. */
  readonly evidence: string;
  readonly reasons: readonly string[];
  readonly unhealed: readonly LeaseView[];
}
