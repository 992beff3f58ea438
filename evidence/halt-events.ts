/**
 * The halt's own chain: whoever halts says so in the evidence of each drill that is stopped, beside what its workflow and the guardian say. It is a witness
 * and nothing more: it begins once the halt is on its way, no store is waited for longer than its deadline, and what could not be written is told, never thrown.
 */
import { existsSync, readFileSync, readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { canonicalJson } from '../core/canonical-json';
import { nowUtc, sleep } from '../core/clock';
import { GamedayError, messageOf } from '../core/errors';
import { homePaths } from '../core/home';
import type { ChainedEvent, EventBody } from '../model/event';
import type { JsonObject } from '../model/json';
import type { HaltInput } from '../model/message';
import type { Plan } from '../model/plan';
import type { ObjectStore } from '../objects/store';
import { recordEvents } from './events';
import { EVENTS_FILE, PLAN_FILE, REGISTRATION_FILE, SEAL_FILE } from './layout';
import { HALT_STEP } from './manifest';
import { bundlePrefix, decodeRegistration } from './register';
import { openEvidence } from './store';

/** A drill that runs is among the newest of its target. */
const LOOK_BACK = 10;
const PATIENCE_MS = 5_000;
/** Each halt of a drill has a number of its own; nobody halts one drill this often. */
const MAX_HALTS = 100;

export interface HaltOrder extends HaltInput {
  readonly what: 'this drill' | 'everything';
  /** When it was asked for, RFC 3339 UTC. */
  readonly at: string;
}

interface HaltedDrill {
  readonly drill: string;
  readonly bundle: string;
  /** Where events are appended, and where the seal comes first. */
  readonly shared: ObjectStore;
  readonly local: ObjectStore;
}

interface Asked extends HaltedDrill {
  readonly attempt: number;
}

/** One per halt. Drills are named by the run of their workflow, the one name that leases, Temporal and registrations share. */
export class HaltWitness {
  private readonly runs = new Map<string, Promise<Asked | null>>();
  private readonly answers: Promise<void>[] = [];
  private readonly written: { readonly of: HaltedDrill; readonly event: ChainedEvent }[] = [];
  private problems: string[] = [];

  constructor(
    private readonly home: string,
    private readonly order: HaltOrder,
    private readonly patienceMs = PATIENCE_MS,
  ) {}

  /** Event `asked` of this drill, once. */
  asked(runId: string): void {
    void this.begin(runId);
  }

  /** Event `answered`, after `asked`: what came back, and what is healed. */
  answered(runId: string, text: string, facts: JsonObject): void {
    const answer = this.begin(runId).then(async (asked) => {
      if (asked !== null) await this.write(asked, { ...this.body(asked.drill, 'answered', text, facts), attempt: asked.attempt });
    });
    this.answers.push(answer.catch((error: unknown) => this.failed(runId, error)));
  }

  /** Waits until all is written, at most for the deadline. Returns what is not in the evidence and why, each told once; it never throws. */
  async settled(): Promise<readonly string[]> {
    const late = new AbortController();
    const deadline = sleep(this.patienceMs, late.signal).then(
      () =>
        void this.problems.push(`the halt’s own events are not all in the evidence: they were not written within ${this.patienceMs} ms`),
      () => undefined,
    );
    await Promise.race([this.everything(), deadline]);
    late.abort();
    const told = this.problems;
    this.problems = [];
    return told;
  }

  private async everything(): Promise<void> {
    await Promise.all([...this.runs.values(), ...this.answers]);
    for (const { of, event } of this.written.splice(0)) {
      if ((await of.local.head(`${of.bundle}/${SEAL_FILE}`)) === null) this.written.push({ of, event });
      else if (!(await isSealedWith(of, event))) this.problems.push(tooLate(of.drill, event.kind));
    }
  }

  private begin(runId: string): Promise<Asked | null> {
    const known = this.runs.get(runId);
    if (known !== undefined) return known;
    const begun = this.noteAsked(runId).catch((error: unknown) => {
      this.failed(runId, error);
      return null;
    });
    this.runs.set(runId, begun);
    return begun;
  }

  private async noteAsked(runId: string): Promise<Asked | null> {
    const found = findDrill(this.home, runId);
    const { by, reason, what, at } = this.order;
    const body = { ...this.body(found.drill, 'asked', `${by} halts ${what}: ${reason}`, { what, reason }), at };
    for (let attempt = 1; attempt <= MAX_HALTS; attempt += 1) {
      const event = await this.write(found, { ...body, attempt });
      if (event === null) return null;
      // The number is another's, who halted before: both stand in the chain.
      if (event.at === at && event.text === body.text) return { ...found, attempt };
    }
    throw new GamedayError('internal', `${found.drill} was halted ${MAX_HALTS} times; no more are written`);
  }

  private async write(of: HaltedDrill, body: EventBody): Promise<ChainedEvent | null> {
    if ((await of.local.head(`${of.bundle}/${SEAL_FILE}`)) !== null) {
      this.problems.push(tooLate(of.drill, body.kind));
      return null;
    }
    const [event] = await recordEvents(of.shared, of.bundle, 'halt', [body]);
    if (event === undefined) throw new GamedayError('internal', 'an event was written and not returned');
    this.written.push({ of, event });
    return event;
  }

  private body(drill: string, kind: 'asked' | 'answered', text: string, facts: JsonObject): Omit<EventBody, 'attempt'> {
    return { drill, writer: 'halt', step: HALT_STEP, kind, at: nowUtc(), actor: this.order.by, text, facts };
  }

  private failed(runId: string, error: unknown): void {
    this.problems.push(`the halt’s own event is not in the evidence of run ${runId}: ${messageOf(error)}`);
  }
}

const tooLate = (drill: string, kind: string): string =>
  `the halt’s event "${kind}" is not in the evidence of ${drill}: it was sealed before; what its workflow and the guardian saw of the halt is`;

/** Each line holds its event in the one form that it has. */
async function isSealedWith({ local, bundle }: HaltedDrill, event: ChainedEvent): Promise<boolean> {
  const lines = await local.get(`${bundle}/${EVENTS_FILE}`);
  return lines !== null && Buffer.from(lines).includes(canonicalJson(event));
}

/** The drill of this run, by its registration in this home: that needs neither Temporal nor the guardian. */
function findDrill(home: string, runId: string): HaltedDrill {
  const { drills } = homePaths(home);
  for (const dir of newestDrills(drills)) {
    const path = join(dir, REGISTRATION_FILE);
    if (!existsSync(path)) continue;
    const { owner, target, drill } = decodeRegistration(readFileSync(path), path);
    if (owner.runId !== runId) continue;
    const { kind } = (JSON.parse(readFileSync(join(dir, PLAN_FILE), 'utf8')) as Plan).target;
    const { shared, local, isShared } = openEvidence(home, kind);
    const { uid } = statSync(path);
    // Workers could not read what another user puts among their events, and would not seal.
    if (!isShared && uid !== process.getuid?.())
      throw new GamedayError('file_unreadable', `${drills} belongs to uid ${uid}`, 'halt as the user that the workers run as.');
    return { drill, bundle: bundlePrefix(target, drill), shared, local };
  }
  throw new GamedayError('drill_unknown', `${drills} holds no registration of it`);
}

function newestDrills(drills: string): readonly string[] {
  const targets = existsSync(drills) ? readdirSync(drills, { withFileTypes: true }).filter((entry) => entry.isDirectory()) : [];
  return targets.flatMap(({ name }) =>
    readdirSync(join(drills, name))
      .filter((drill) => /^drill-\d{6}$/.test(drill))
      .sort()
      .slice(-LOOK_BACK)
      .map((drill) => join(drills, name, drill)),
  );
}
