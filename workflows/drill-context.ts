/**
 * What one drill run knows and collects while it goes through its phases. Everything here is rebuilt by replay;
 * nothing is measured here, because a duration taken from workflow time is not a measurement.
 */
import { log, setCurrentDetails, workflowInfo } from '@temporalio/workflow';
import type { DrillRef, InjectResult, MarkResult, ProbeRef, RegistrationRef, SecurityBefore, Topology } from '../activities/contract';
import { present } from '../core/assert';
import type { EventBody } from '../model/event';
import type { LeaseKey, LeaseView } from '../model/fault';
import type { Json } from '../model/json';
import type { AnswerInput, DrillInput, HaltInput, OpenQuestion } from '../model/message';
import type {
  CheckResult,
  ClockReading,
  DrillRecord,
  Phase,
  PhaseRecord,
  RefusedRestore,
  RestoreRecord,
  Safeguards,
  StepRecord,
} from '../model/record';
import { failureText } from './failure-text';
import type { Hands } from './proxies';
import { UndoStack } from './undo-stack';

const LOG_LIMIT = 2_000;

export class DrillContext {
  readonly undo = new UndoStack();
  readonly phases: PhaseRecord[] = [];
  readonly steps = new Map<string, StepRecord>();
  readonly leases = new Map<string, LeaseView>();
  readonly injected = new Map<string, InjectResult>();
  readonly readiness: CheckResult[] = [];
  readonly restores: RestoreRecord[] = [];
  readonly refusedRestores: RefusedRestore[] = [];
  /** By the name that the scenario gave the restore point. */
  readonly marks = new Map<string, MarkResult>();
  /** Directories of every restore that was begun. */
  readonly sandboxes = new Set<string>();
  /** Standbys whose making anew was begun and is not known to have ended, by step. */
  readonly rebuilding = new Map<string, string>();
  /** Of these, what heal could not bring back, in words; untrue once redundancy is regained. */
  readonly notBack: string[] = [];
  readonly people: DrillRecord['people'][number][] = [];
  readonly open = new Map<string, OpenQuestion>();
  readonly answers = new Map<string, AnswerInput>();
  readonly lines: { at: string; phase: Phase; text: string }[] = [];
  /** Reasons why nothing may pass, and reasons why the drill fails. */
  readonly blocked: string[] = [];
  readonly failed: string[] = [];
  /** What stays behind on the target, in words. */
  readonly left: string[] = [];
  phase: Phase = 'register';
  step: string | null = null;
  halted: HaltInput | null = null;
  /** The same where a person halted, and not a stop condition, a limit or Temporal: whoever did writes an event of their own. */
  haltedBySomebody: HaltInput | null = null;
  registration: RegistrationRef | null = null;
  probe: ProbeRef | null = null;
  startTopology: Topology | null = null;
  safeguards: Safeguards | undefined = undefined;
  security: SecurityBefore | null | undefined = undefined;
  /** As found by the pre-flight, and before judging. */
  readonly clocks: { before?: ClockReading; after?: ClockReading } = {};
  baselineP99Ms: number | null = null;
  /** Who took writes before the last fault, until a failover step has ended; null: no fault since, or nobody did. */
  primaryBeforeFault: string | null = null;
  /** Why the method ended before its last step; null if it did not. */
  methodEnded: string | null = null;
  private events: EventBody[] = [];
  private readonly eventAttempts = new Map<string, number>();

  constructor(
    readonly input: DrillInput,
    readonly hands: Hands,
  ) {}

  get ref(): DrillRef {
    const registration = present(this.registration, 'registration');
    const info = workflowInfo();
    return { drill: registration.drill, sequence: registration.sequence, workflowId: info.workflowId, runId: info.runId };
  }

  /** Who started it, and the approvals brought along: what production asks for. */
  get consent(): Pick<DrillInput, 'startedBy' | 'approvals'> {
    const { startedBy, approvals } = this.input;
    return approvals === undefined ? { startedBy } : { startedBy, approvals };
  }

  leaseKey(step: string): LeaseKey {
    const info = workflowInfo();
    return { workflowId: info.workflowId, runId: info.runId, step };
  }

  /** One line for whoever follows, and one event for the chain. */
  say(step: string, kind: string, text: string, facts: { readonly [name: string]: Json } = {}): void {
    const at = new Date().toISOString();
    if (this.lines.length < LOG_LIMIT) this.lines.push({ at, phase: this.phase, text });
    log.info(text);
    setCurrentDetails(`**${this.phase}** · ${text}`);
    this.note(step, kind, text, facts);
  }

  /** An event for the chain alone: what nobody who follows must read. */
  note(step: string, kind: string, text: string, facts: { readonly [name: string]: Json } = {}): void {
    const at = new Date().toISOString();
    const name = `${step} ${kind}`;
    const attempt = (this.eventAttempts.get(name) ?? 0) + 1;
    this.eventAttempts.set(name, attempt);
    const drill = this.registration?.drill ?? '';
    this.events.push({ drill, writer: 'workflow', step, kind, attempt, at, actor: this.input.startedBy, text, facts });
  }

  /** Events that the store has not taken yet; the seal writes them. */
  get pendingEvents(): readonly EventBody[] {
    return this.events;
  }

  /** Writes the events collected so far. A store that is away never stops a drill: they are kept, and written with the next ones. */
  async flushEvents(): Promise<void> {
    const registration = this.registration;
    if (registration === null || this.events.length === 0) return;
    const events = this.events.map((event) => ({ ...event, drill: registration.drill }));
    this.events = [];
    try {
      await this.hands.scribe.recordEvents({ plan: { target: this.input.plan.target }, drill: registration.drill, events });
    } catch (error) {
      this.events = [...events, ...this.events];
      log.warn(`events are kept until the store answers: ${failureText(error)}`);
    }
  }
}
