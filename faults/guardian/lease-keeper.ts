/**
 * The guardian's heart: holds every lease, carries out what the machine allows, and undoes what expires. One mutex per lease.
 * It never acts before the transition that permits it is on disk; only an undo goes ahead when the disk refuses, because not healing is worse.
 */
import { bootId, bootTimeMs, nowUtc } from '../../core/clock';
import { GamedayError, messageOf } from '../../core/errors';
import type { FaultHandle, FaultProof, HeldDown, LeaseEnd, LeaseKey, LeaseView } from '../../model/fault';
import type { JsonObject } from '../../model/json';
import type { Target } from '../../model/target';
import { maxFaultMsOf } from '../../targets/policy';
import type { LiveTarget } from '../../targets/ports';
import { atLine, findForbidden, type Hurt } from '../blast-radius';
import { faultLabel, type FaultContext } from '../contract';
import type { AnyFault } from '../registry';
import { whyEnded } from '../residents';
import { writeActive } from './active-file';
import { refuseByAllow, requireAllowed, requirePinned, type Allow } from './allow';
import { isProduction, requireApproved, requireConsentLeft } from './approved-plan';
import type { ArmRequest, Injected, Renewal } from './client';
import { withDeadline } from './deadline';
import type { Journal } from './journal';
import { advance, armLease, buryLease, isExpired, remainingMs, viewLease, type Lease, type LeaseEvent, type Moment } from './lease-machine';
import { leaseId, readHalt, writeHalt, type LeaseStore, type StandingHalt } from './lease-store';

export interface KeeperLimits {
  readonly injectMs: number;
  readonly confirmMs: number;
  /** One attempt: undo and proof together. */
  readonly undoMs: number;
  readonly retryFirstMs: number;
  readonly retryMostMs: number;
  readonly sweepEveryMs: number;
  /** Of several undone together, the next waits this long for the one before. */
  readonly orderMs: number;
  /** Attempts that one `undo` call waits for; after that the guardian goes on by itself. */
  readonly undoTries: number;
}

export const KEEPER_LIMITS: KeeperLimits = {
  injectMs: 30_000,
  confirmMs: 30_000,
  undoMs: 60_000,
  retryFirstMs: 500,
  retryMostMs: 30_000,
  sweepEveryMs: 200,
  orderMs: 2_000,
  undoTries: 3,
};

export interface KeeperParts {
  readonly store: LeaseStore;
  readonly journal: Journal;
  readonly allowFile: string;
  readonly haltFile: string;
  /** Where `ACTIVE` and `undo.sh` stand while anything does. */
  readonly activeDir: string;
  readonly open: (target: Target) => LiveTarget;
  readonly find: (fault: string) => AnyFault;
  readonly log: (text: string) => void;
  readonly limits: KeeperLimits;
}

const MAX_LEASES = 10_000;
const nodesOf = ({ target }: Lease): readonly string[] => (target?.nodes ?? []).map(({ name }) => name);
const now = (): Moment => ({ bootId: bootId(), bootMs: bootTimeMs(), utc: nowUtc() });
const endOf = (by: string): LeaseEnd => (by === 'expired' || by === 'halted' || by === 'reconciled' ? by : 'undone');

/** A signal that is given once; `given` resolves then, or after `ms`. */
function signalled(): { readonly give: () => void; readonly given: (ms: number) => Promise<void>; readonly whenGiven: Promise<void> } {
  let give: () => void = () => undefined;
  const done = new Promise<void>((resolve) => (give = resolve));
  return {
    give: () => give(),
    whenGiven: done,
    async given(ms) {
      let timer: NodeJS.Timeout | undefined;
      const late = new Promise<void>((resolve) => (timer = setTimeout(resolve, ms)));
      await Promise.race([done, late]);
      clearTimeout(timer);
    },
  };
}

/** Resolves when the work has settled, or after `ms`. */
async function soon(work: Promise<unknown>, ms: number): Promise<void> {
  const end = signalled();
  work.then(end.give, end.give);
  await end.given(ms);
}

export class LeaseKeeper {
  private readonly leases = new Map<string, Lease>();
  private readonly queues = new Map<string, Promise<unknown>>();
  /** Injections whose deadline passed while they still ran: nothing is gone before they have settled. */
  private readonly running = new Map<string, Promise<unknown>>();
  /** Cuts short what an injection or its proof still waits for: whoever undoes does not stand in line behind it. */
  private readonly cuts = new Map<string, AbortController>();
  private readonly retryAt = new Map<string, number>();
  /** What is being undone together with others; settles when its attempt has ended. */
  private readonly busy = new Map<string, Promise<void>>();
  /** A halt that the disk refused: it stands all the same, and is written as soon as it can be. */
  private unwritten: StandingHalt | null = null;
  private readonly unreadable: readonly string[];
  private order = 0;
  private timer: NodeJS.Timeout | null = null;

  constructor(private readonly parts: KeeperParts) {
    const { leases, unreadable } = parts.store.load();
    this.unreadable = unreadable;
    for (const lease of leases) this.leases.set(leaseId(lease.key), lease);
    this.order = leases[0]?.order ?? 0;
  }

  /**
   * Takes up what a dead guardian left, then watches deadlines. What was injecting or undoing, was held by the dead process, or is of another boot, is
   * undone; under a standing halt, everything is: the guardian that was asked may have died of it.
   */
  start(): void {
    const halted = this.standingHalt() !== null;
    const ended = (lease: Lease): boolean =>
      lease.state === 'injecting' || (lease.state === 'active' && this.faultOf(lease)?.resident === true);
    const left = this.newestFirst().filter(
      (lease) => lease.state === 'undoing' || ended(lease) || (lease.state !== 'gone' && (halted || isExpired(lease, now()))),
    );
    void this.undoSeveral(left, (lease) => (ended(lease) ? 'reconciled' : isExpired(lease, now()) ? 'expired' : 'halted'));
    this.orLog('writing ACTIVE', () => writeActive(this.parts.activeDir, this.live()));
    this.timer = setInterval(() => this.sweep(), this.parts.limits.sweepEveryMs);
  }

  stop(): void {
    if (this.timer !== null) clearInterval(this.timer);
  }

  list(): readonly LeaseView[] {
    return this.newestFirst().map(viewLease);
  }

  /** Of a fault of another version nobody here can say, so every node of its target counts. */
  heldDown(): readonly HeldDown[] {
    return this.live().flatMap((lease) => {
      const { fault: name, drill, resolved } = lease.handle;
      const fault = this.faultOf(lease);
      const held = fault === null ? nodesOf(lease) : (fault.holdsDown?.(resolved) ?? []);
      return held.map((each) => ({ name: each, fault: name, drill }));
    });
  }

  describe(key: LeaseKey): LeaseView | null {
    const lease = this.leases.get(leaseId(key));
    return lease === undefined ? null : viewLease(lease);
  }

  /** Leases that are not gone, with their targets. */
  live(): readonly Lease[] {
    return this.newestFirst().filter((lease) => lease.state !== 'gone');
  }

  status(): {
    readonly live: number;
    readonly tombstones: number;
    readonly standingHalt: StandingHalt | null;
    readonly unreadable: readonly string[];
  } {
    const live = this.live().length;
    return { live, tombstones: this.leases.size - live, standingHalt: this.standingHalt(), unreadable: this.unreadable };
  }

  standingHalt(): StandingHalt | null {
    return readHalt(this.parts.haltFile) ?? this.unwritten;
  }

  /** Throws `fault_refused` where this machine's file does not list the system, or one of the faults. Arms nothing. */
  requirePermitted({ systemIdentifier, faults }: { readonly systemIdentifier: string; readonly faults: readonly string[] }): void {
    requireAllowed(this.parts.allowFile, { systemIdentifier, faults });
  }

  async arm(request: ArmRequest): Promise<LeaseView> {
    const { key, target } = request;
    this.refuseWhenHalted();
    const fault = this.parts.find(request.handle.fault);
    const allow = requireAllowed(this.parts.allowFile, { systemIdentifier: target.systemIdentifier, faults: [fault.name] });
    requirePinned(this.parts.allowFile, allow, target);
    this.refuseForbidden(request, [], []);
    await this.requireIdentity(target);
    const asked = { handle: request.handle, maxMs: request.maxMs, ttlMs: request.ttlMs };
    // A repeated call finds its lease below, even when the approvals have run out since.
    const production = isProduction(target, allow);
    const approved =
      production && !this.leases.has(leaseId(key))
        ? await requireApproved(request, {
            allow,
            allowFile: this.parts.allowFile,
            fault,
            open: this.parts.open,
            resolveMs: this.parts.limits.confirmMs / 2,
          })
        : null;
    const { handle, ttlMs } = approved ?? asked;
    return this.locked(leaseId(key), async () => {
      const known = this.leases.get(leaseId(key));
      if (known?.state === 'armed' || known?.state === 'active') return viewLease(known);
      if (known !== undefined)
        throw new GamedayError(
          'lease_gone',
          `cannot arm ${handle.fault} of step ${key.step} again: its lease is ${known.state} (${known.endedBy ?? 'in between'})`,
        );
      this.refuseWhenHalted();
      this.refuseConflict(key, target);
      // Nodes were asked and signatures checked meanwhile: what the machine's owner says now is what counts.
      const allow = requireAllowed(this.parts.allowFile, { systemIdentifier: target.systemIdentifier, faults: [handle.fault] });
      requirePinned(this.parts.allowFile, allow, target);
      if (isProduction(target, allow) !== production)
        refuseByAllow(
          this.parts.allowFile,
          `productionSystems was changed while ${handle.fault} was being armed`,
          'start the drill again.',
        );
      this.refuseBlast(request, allow, handle);
      if (this.leases.size >= MAX_LEASES)
        throw new GamedayError(
          'fault_refused',
          `the guardian holds ${MAX_LEASES} leases, its limit`,
          'remove old tombstones (state "gone") from its leases directory and restart it.',
        );
      const askedMs = approved === null ? asked.maxMs : Math.min(approved.maxMs, requireConsentLeft(approved.endsAtMs, target));
      const maxMs = Math.max(1, Math.min(askedMs, allow.maxFaultMs, maxFaultMsOf(target.policy, handle.fault)));
      this.order += 1;
      const lease = armLease({ key, handle, target, ttlMs, maxMs, order: this.order }, now());
      this.parts.store.save(lease);
      this.hold(leaseId(key), lease);
      const consent: JsonObject = approved === null ? {} : { planSha256: approved.planSha256, approvedBy: [...approved.approvedBy] };
      const { expiresAt, hardMaximumAt } = lease;
      this.note(lease, 'armed', `armed: ${handle.preview}`, { expiresAt, hardMaximumAt, ...consent });
      return viewLease(lease);
    });
  }

  async inject(key: LeaseKey): Promise<Injected> {
    const id = leaseId(key);
    return this.locked(id, async () => {
      const lease = this.leases.get(id);
      if (lease === undefined) throw new GamedayError('lease_gone', `step ${key.step} was never armed, so it cannot be injected`);
      // The first call's answer was lost on its way: tell it again.
      if (lease.state === 'active' && lease.confirmed !== null)
        return { facts: lease.facts ?? {}, confirmed: lease.confirmed, lease: viewLease(lease) };
      if (lease.state !== 'active') await this.injectOnce(lease);
      const confirmed = await this.confirmOnce(this.require(id));
      const after = this.require(id);
      return { facts: after.facts ?? {}, confirmed, lease: viewLease(after) };
    });
  }

  async undo(key: LeaseKey, by: string): Promise<LeaseView> {
    const id = leaseId(key);
    await this.undoOtherRuns(key);
    await this.locked(id, async () => {
      if (this.leases.has(id)) return;
      this.order += 1;
      const tombstone = buryLease(key, this.order, endOf(by), now());
      this.orLog(`saving the tombstone ${id}`, () => this.parts.store.save(tombstone));
      this.leases.set(id, tombstone);
    });
    for (let tries = 0; tries < this.parts.limits.undoTries && this.require(id).state !== 'gone'; tries += 1)
      await this.undoOnce(id, endOf(by), by);
    return viewLease(this.require(id));
  }

  /**
   * Temporal runs one run of a workflow id at a time. A reset begins another, which replays that the fault was injected and asks for its undo under a
   * run id that never armed it: what stands is the earlier run's, and the answer must not be that there is nothing.
   */
  private async undoOtherRuns(key: LeaseKey): Promise<void> {
    const others = this.live().filter((lease) => lease.key.workflowId === key.workflowId && lease.key.runId !== key.runId);
    await this.undoSeveral(others, () => 'reconciled');
    const [left] = others.map((lease) => this.require(leaseId(lease.key))).filter((lease) => lease.state !== 'gone');
    if (left !== undefined)
      throw new GamedayError(
        'undo_failed',
        `${left.handle.fault} of an earlier run (${left.key.step}) is not proven gone: ${left.lastError ?? left.state}`,
      );
  }

  /** What of these steps of a run still stands, undone together; in the order of undoing. Steps that were never armed are left out. */
  async undoSteps(request: {
    readonly workflowId: string;
    readonly runId: string;
    readonly steps: readonly string[];
    readonly by: string;
  }): Promise<readonly LeaseView[]> {
    const chosen = this.live().filter(
      ({ key }) => key.workflowId === request.workflowId && key.runId === request.runId && request.steps.includes(key.step),
    );
    await this.undoSeveral(chosen, () => endOf(request.by), request.by);
    return chosen.map((lease) => viewLease(this.require(leaseId(lease.key))));
  }

  renew(request: { readonly workflowId: string; readonly runId: string; readonly ttlMs: number }): Renewal {
    const renewed: LeaseKey[] = [];
    const gone: LeaseKey[] = [];
    // One moment for all: what is renewed together expires together, and is then undone newest first.
    const moment = now();
    const halted = this.standingHalt() !== null;
    for (const lease of this.newestFirst()) {
      if (lease.key.workflowId !== request.workflowId || lease.key.runId !== request.runId) continue;
      if (halted) {
        if (lease.endedBy !== 'undone') gone.push(lease.key);
        continue;
      }
      try {
        this.advance(leaseId(lease.key), { kind: 'renew', ttlMs: request.ttlMs }, moment);
        renewed.push(lease.key);
      } catch (error) {
        if (!(error instanceof GamedayError && error.code === 'lease_gone')) throw error;
        if (lease.endedBy !== 'undone') gone.push(lease.key);
      }
    }
    return { renewed, gone };
  }

  async haltAll(by: string, reason: string): Promise<{ readonly halt: StandingHalt; readonly leases: readonly LeaseView[] }> {
    const halt: StandingHalt = { by, reason, at: nowUtc() };
    // A full disk must not keep a halt from healing.
    this.unwritten = halt;
    this.writeHalt();
    const live = this.live();
    this.parts.log(`halted by ${by}: ${reason}; ${live.length} leases to undo`);
    await this.undoSeveral(live, () => 'halted', by);
    return { halt, leases: live.map((lease) => viewLease(this.require(leaseId(lease.key)))) };
  }

  private writeHalt(): void {
    const halt = this.unwritten;
    if (halt === null) return;
    this.orLog('writing the standing halt', () => {
      writeHalt(this.parts.haltFile, halt);
      this.unwritten = null;
    });
  }

  release(by: string, reason: string): void {
    writeHalt(this.parts.haltFile, null);
    this.unwritten = null;
    this.parts.log(`released by ${by}: ${reason}`);
  }

  /** Null for a fault that this guardian does not know, left by another version: its lease runs out like any other. */
  private faultOf(lease: Lease): AnyFault | null {
    try {
      return this.parts.find(lease.handle.fault);
    } catch {
      return null;
    }
  }

  private newestFirst(): readonly Lease[] {
    return [...this.leases.values()].sort((a, b) => b.order - a.order);
  }

  private require(id: string): Lease {
    const lease = this.leases.get(id);
    if (lease === undefined) throw new GamedayError('internal', `lease ${id} vanished`);
    return lease;
  }

  private refuseWhenHalted(): void {
    const halt = this.standingHalt();
    if (halt !== null) throw new GamedayError('halt_standing', `all drills are halted by ${halt.by} since ${halt.at}: ${halt.reason}`);
    if (this.unreadable.length > 0)
      throw new GamedayError(
        'fault_refused',
        `lease files cannot be read: ${this.unreadable.join('; ')}`,
        'check by hand whether those faults are gone, remove the files, and restart the guardian.',
      );
  }

  private refuseConflict(key: LeaseKey, target: Target): void {
    const other = this.live().find(
      (lease) =>
        lease.target?.systemIdentifier === target.systemIdentifier &&
        (lease.key.workflowId !== key.workflowId || lease.key.runId !== key.runId),
    );
    if (other !== undefined)
      throw new GamedayError(
        'lease_conflict',
        `${other.handle.fault} of ${other.handle.drill} still stands on ${target.name} (${other.state}${other.lastError === null ? '' : `: ${other.lastError}`})`,
      );
  }

  private refuseForbidden({ target, plan, handle }: ArmRequest, standing: readonly Hurt[], nodes: readonly string[]): void {
    const forbidden = findForbidden(target, standing, { fault: handle.fault, nodes });
    if (forbidden === null) return;
    const why = plan === undefined ? `target ${target.name}: ${forbidden.why}` : atLine(plan.targetSource, forbidden);
    throw new GamedayError('fault_refused', why, forbidden.hint);
  }

  /** The last word on how much may be broken at once: the target's policy and this machine's file, against all that stands on the same system. */
  private refuseBlast(request: ArmRequest, allow: Allow, handle: FaultHandle): void {
    const { target } = request;
    const standing = this.live()
      .filter((lease) => lease.target?.systemIdentifier === target.systemIdentifier)
      .map((lease) => this.hurtOf(lease));
    const { nodes } = this.parts.find(handle.fault).reach(handle.resolved);
    this.refuseForbidden(request, standing, nodes);
    const hurt = [...new Set([...standing.flatMap((each) => each.nodes), ...nodes])];
    if (nodes.length > 0 && allow.maxNodesAtOnce !== undefined && hurt.length > allow.maxNodesAtOnce)
      refuseByAllow(
        this.parts.allowFile,
        `maxNodesAtOnce is ${allow.maxNodesAtOnce}; with ${handle.fault} the faults that stand would hurt ${hurt.length} nodes (${hurt.join(', ')})`,
        'heal the earlier one first, or ask the owner of this machine to raise it.',
      );
  }

  /** What a fault of another version may hurt nobody here can say, so it counts for every node. */
  private hurtOf(lease: Lease): Hurt {
    const fault = this.faultOf(lease);
    const nodes = fault === null ? nodesOf(lease) : fault.reach(lease.handle.resolved).nodes;
    return { fault: lease.handle.fault, nodes };
  }

  /** A target file may claim any identifier: what answers at its addresses must be that very system. */
  private async requireIdentity(target: Target): Promise<void> {
    const nodes = await withDeadline(this.parts.limits.confirmMs / 2, 'asking the nodes who they are', async () =>
      this.parts.open(target).controller.status(),
    );
    const found = [...new Set(nodes.map((node) => node.systemIdentifier).filter((each) => each !== null))];
    if (found.length === 1 && found[0] === target.systemIdentifier) return;
    throw new GamedayError(
      'fault_refused',
      `the nodes of target ${target.name} say system identifier ${found.join(', ') || 'nothing'}, not ${target.systemIdentifier}`,
      'the target file describes another cluster, or no node is up.',
    );
  }

  private contextOf(lease: Lease): FaultContext {
    if (lease.target === null) throw new GamedayError('internal', `lease of step ${lease.key.step} has no target`);
    return {
      live: this.parts.open(lease.target),
      drill: lease.handle.drill,
      label: faultLabel(lease.handle.drill, lease.key.step),
      memory: {
        read: () => this.require(leaseId(lease.key)).memory ?? null,
        write: (memory) => this.advance(leaseId(lease.key), { kind: 'remember', memory }),
      },
      note: (kind, text, facts) => {
        this.note(lease, kind, text, facts);
        if (kind === 'proxy-restarted') this.endLostWithProxy(lease);
      },
    };
  }

  /** A restarted Toxiproxy has lost every other lease's toxics: those faults ended early, which their objectives must learn. */
  private endLostWithProxy(cause: Lease): void {
    const lost = this.live().filter(
      (lease) =>
        lease.order !== cause.order &&
        lease.state === 'active' &&
        this.faultOf(lease)?.insideToxiproxy === true &&
        lease.target?.links?.api === cause.target?.links?.api,
    );
    void this.undoSeveral(lost, () => 'reconciled');
  }

  private async injectOnce(lease: Lease): Promise<void> {
    const id = leaseId(lease.key);
    // Refused before anything is looked up: a tombstone's fault may be none that exists.
    advance(lease, { kind: 'inject' }, now());
    this.refuseWhenHalted();
    const fault = this.parts.find(lease.handle.fault);
    this.advance(id, { kind: 'inject' });
    this.note(lease, 'injecting', lease.handle.preview, {});
    const work = this.injectArmed(fault, lease);
    const cut = this.cutOf(id);
    this.running.set(
      id,
      work.catch(() => undefined).finally(() => this.running.delete(id)),
    );
    try {
      const facts = await withDeadline(
        Math.max(1, Math.min(this.parts.limits.injectMs, remainingMs(lease, now()))),
        `injecting ${lease.handle.fault}`,
        () => work,
        cut,
      );
      this.advance(id, { kind: 'injected', facts });
      this.note(lease, 'injected', `injected: ${lease.handle.preview}`, facts);
    } catch (error) {
      // It failed or hangs, so it may have happened: put it back.
      this.note(lease, 'inject-failed', messageOf(error), {});
      // Whoever cut it short stands next in line to undo it.
      if (cut.aborted) throw error;
      await this.attempt(id, 'undone', 'guardian');
      throw error;
    }
    if (!isExpired(this.require(id), now())) return;
    await this.attempt(id, 'expired', 'guardian');
    throw new GamedayError('lease_gone', `${lease.handle.fault} of step ${lease.key.step} expired while it was being injected`);
  }

  /** What may cut us off from its host leaves its end there before it begins. */
  private async injectArmed(fault: AnyFault, lease: Lease): Promise<JsonObject> {
    const context = this.contextOf(lease);
    await fault.armOnHost?.(lease.handle.resolved, context, Math.max(1, lease.hardMaximumBootMs - now().bootMs));
    return fault.inject(lease.handle.resolved, context);
  }

  private async confirmOnce(lease: Lease): Promise<FaultProof> {
    const limitMs = Math.max(1, Math.min(this.parts.limits.confirmMs, remainingMs(lease, now())));
    let proof: FaultProof;
    try {
      proof = await withDeadline(
        limitMs,
        `confirming ${lease.handle.fault}`,
        () => this.parts.find(lease.handle.fault).confirm(lease.handle.resolved, this.contextOf(lease)),
        this.cutOf(leaseId(lease.key)),
      );
    } catch (error) {
      proof = { holds: false, by: `could not be checked: ${messageOf(error)}`, facts: {} };
    }
    this.advance(leaseId(lease.key), { kind: 'confirmed', proof });
    this.note(lease, proof.holds ? 'confirmed' : 'unconfirmed', proof.by, proof.facts);
    return proof;
  }

  /** One for an injection and its proof; undoing aborts it. */
  private cutOf(id: string): AbortSignal {
    const cut = this.cuts.get(id) ?? new AbortController();
    this.cuts.set(id, cut);
    return cut.signal;
  }

  /** Next in line for the lease: what it injects or proves now is waited for no longer. */
  private lockedForUndo(id: string, work: () => Promise<void>): Promise<void> {
    const mine = this.locked(id, work);
    this.cuts.get(id)?.abort(new GamedayError('step_failed', 'its undo came first'));
    return mine;
  }

  /** One attempt under the lease's mutex, after waiting out the pace of earlier failures. */
  private async undoOnce(id: string, end: LeaseEnd, actor: string): Promise<void> {
    const wait = (this.retryAt.get(id) ?? 0) - bootTimeMs();
    if (wait > 0) await new Promise((resolve) => setTimeout(resolve, Math.min(wait, this.parts.limits.retryMostMs)));
    await this.lockedForUndo(id, () => this.attempt(id, end, actor));
  }

  /**
   * Everything comes off newest first; the proofs, which take longest, are then made side by side. One that hangs holds the next up for `orderMs`
   * only, and one that fails is left to the sweep. What somebody else undoes already is waited for, so that the answer is about all of them.
   */
  private async undoSeveral(leases: readonly Lease[], end: (lease: Lease) => LeaseEnd, actor = 'guardian'): Promise<void> {
    const others = leases.flatMap((lease) => this.busy.get(leaseId(lease.key)) ?? []);
    const chosen = leases.filter((lease) => !this.busy.has(leaseId(lease.key)));
    const ends = new Map(chosen.map((lease) => [leaseId(lease.key), signalled()]));
    for (const [id, ended] of ends) this.busy.set(id, ended.whenGiven);
    const attempts: Promise<void>[] = [];
    for (const lease of chosen) {
      const off = signalled();
      const ended = ends.get(leaseId(lease.key));
      attempts.push(this.undoOneOfSeveral(lease, end, actor, off.give).finally(() => ended?.give()));
      await off.given(this.parts.limits.orderMs);
    }
    await Promise.all([...attempts, ...others]);
  }

  private async undoOneOfSeveral(lease: Lease, end: (lease: Lease) => LeaseEnd, actor: string, isOff: () => void): Promise<void> {
    const id = leaseId(lease.key);
    try {
      await this.lockedForUndo(id, () => this.attempt(id, end(this.require(id)), actor, isOff));
    } catch (error) {
      this.parts.log(`undoing ${lease.handle.fault} of ${lease.handle.drill}: ${messageOf(error)}`);
    } finally {
      isOff();
      this.busy.delete(id);
    }
  }

  /** `isOff` is called when the fault is taken off and only its proof is left. */
  private async attempt(id: string, end: LeaseEnd, actor: string, isOff: () => void = () => undefined): Promise<void> {
    const before = this.require(id);
    if (before.state === 'gone') return;
    this.advance(id, { kind: 'undo', by: end });
    const lease = this.require(id);
    if (before.state !== 'undoing') this.note(lease, 'undoing', `undo (${end}): ${lease.handle.preview}`, { by: actor }, actor);
    if (lease.state === 'gone') return this.note(lease, 'gone', lease.gone?.by ?? 'gone', { endedBy: end }, actor);
    try {
      const proof = await withDeadline(this.parts.limits.undoMs, `undoing ${lease.handle.fault}`, () =>
        this.undoAndProve(id, lease, isOff),
      );
      this.advance(id, { kind: 'proven-gone', proof });
      this.retryAt.delete(id);
      this.note(lease, 'gone', proof.by, { ...proof.facts, endedBy: lease.endedBy }, actor);
    } catch (error) {
      this.advance(id, { kind: 'attempt-failed', error: messageOf(error) });
      const attempts = this.require(id).undoAttempts;
      const pause = Math.min(this.parts.limits.retryMostMs, this.parts.limits.retryFirstMs * 2 ** Math.min(attempts - 1, 16));
      this.retryAt.set(id, bootTimeMs() + pause);
      // For ever, but not one event each time for ever.
      if (attempts <= 10 || attempts % 100 === 0)
        this.note(
          lease,
          'undo-failed',
          `attempt ${attempts}: ${messageOf(error)}`,
          { attempts, manualUndo: [...lease.handle.manualUndo] },
          actor,
        );
    }
  }

  private async undoAndProve(id: string, lease: Lease, isOff: () => void): Promise<FaultProof> {
    const fault = this.parts.find(lease.handle.fault);
    const context = this.contextOf(lease);
    const begun = this.running.get(id);
    // Most injections end in a moment, and undoing one beside itself is for those that do not.
    if (begun !== undefined) await soon(begun, this.parts.limits.orderMs);
    await fault.undo(lease.handle.resolved, context);
    const late = this.running.get(id);
    if (late !== undefined) {
      // An injection that hangs may still bite after this undo: nothing is gone before it has ended and been undone again.
      await late;
      await fault.undo(lease.handle.resolved, context);
    }
    isOff();
    const proof = await fault.confirmGone(lease.handle.resolved, context);
    if (!proof.holds) throw new GamedayError('undo_failed', proof.by);
    return proof;
  }

  /** Why what this process held for the lease is over before its time; null where it goes on, or needs no holding. */
  private whyOver(lease: Lease): string | null {
    if (lease.state !== 'active' || this.faultOf(lease)?.resident !== true) return null;
    return whyEnded(faultLabel(lease.handle.drill, lease.key.step));
  }

  private sweep(): void {
    const moment = now();
    this.writeHalt();
    // Written by whoever found no guardian, or by one that died of it: a halt heals everything, whoever was asked.
    const halted = this.standingHalt() !== null;
    const due = this.newestFirst().filter((lease) => {
      const id = leaseId(lease.key);
      if (this.busy.has(id) || this.queues.has(id)) return false;
      if (lease.state === 'undoing') return (this.retryAt.get(id) ?? 0) <= moment.bootMs;
      if (lease.state !== 'armed' && lease.state !== 'active') return false;
      return halted || isExpired(lease, moment) || this.whyOver(lease) !== null;
    });
    if (due.length === 0) return;
    // Its proof was made before: without this the record would say to the end that it bit.
    for (const lease of due) {
      const why = this.whyOver(lease);
      if (why !== null) this.note(lease, 'ended-early', `what the guardian held for it is over: ${why}`, {});
    }
    void this.undoSeveral(due, (lease) => (isExpired(lease, moment) ? 'expired' : halted ? 'halted' : 'reconciled'));
  }

  /** Saves, then holds. Undoing goes on from memory when the disk refuses; everything else is refused with it. */
  private advance(id: string, event: LeaseEvent, moment: Moment = now()): void {
    const before = this.require(id);
    const after = advance(before, event, moment);
    if (after === before) return;
    const heals =
      event.kind === 'undo' ||
      event.kind === 'attempt-failed' ||
      event.kind === 'proven-gone' ||
      (event.kind === 'remember' && before.state === 'undoing');
    if (heals) this.orLog(`saving lease ${id}`, () => this.parts.store.save(after));
    else this.parts.store.save(after);
    this.hold(id, after);
  }

  private hold(id: string, lease: Lease): void {
    this.leases.set(id, lease);
    if (lease.state === 'gone') this.cuts.delete(id);
    this.orLog('writing ACTIVE', () => writeActive(this.parts.activeDir, this.live(), lease.state === 'armed'));
  }

  private note(lease: Lease, kind: string, text: string, facts: JsonObject, actor = 'guardian'): void {
    this.parts.log(`${lease.handle.drill} ${lease.key.step} ${lease.handle.fault}: ${kind}: ${text}`);
    this.orLog('journal', () =>
      this.parts.journal.append({
        drill: lease.handle.drill,
        step: lease.key.step,
        kind,
        actor,
        text,
        facts: { fault: lease.handle.fault, ...facts },
      }),
    );
  }

  private orLog(what: string, work: () => void): void {
    try {
      work();
    } catch (error) {
      this.parts.log(`${what} failed: ${messageOf(error)}`);
    }
  }

  private locked<T>(id: string, work: () => Promise<T>): Promise<T> {
    const before = this.queues.get(id) ?? Promise.resolve();
    const mine = before.then(work, work);
    const settled = mine
      .catch(() => undefined)
      .then(() => {
        if (this.queues.get(id) === settled) this.queues.delete(id);
      });
    this.queues.set(id, settled);
    return mine;
  }
}
