/**
 * The manifest: which events a drill of this plan must have left, each `written` or `not recorded` with the reason; the last event before the seal. A chain
 * shows that nothing was taken out of it; only this shows that nothing was never written. Pure but for writing it.
 */
import { nowUtc } from '../core/clock';
import { GamedayError } from '../core/errors';
import type { ChainedEvent, EventKey, Writer } from '../model/event';
import type { Json } from '../model/json';
import type { ObservationPlan } from '../model/observation';
import type { Plan } from '../model/plan';
import { flattenSteps } from '../model/plan-steps';
import { recordEvents } from './events';
import { findFacts, type FactsPlace, type KeptFacts } from './kept-facts';

const MANIFEST_KIND = 'manifest';
/** Step of a halt's events: a halt belongs to no step of the plan. */
export const HALT_STEP = 'halt';
const SHOWN = 5;
const NO_PROBER = 'no prober ran, or its own chain of events is not in this bundle';
const NO_HALT = 'whoever halted wrote no event of their own before the seal';
const NO_GUARDIAN = 'the guardian’s own chain of events is not in this bundle';

type Course = Pick<KeptFacts, 'state' | 'steps' | 'leases' | 'circumstances' | 'halted'>;

interface ExpectedEvent {
  readonly writer: Writer;
  readonly step: string;
  /** Several where one of them is enough. */
  readonly kinds: readonly string[];
  /** Why it may be missing; null: it must be there. */
  readonly excuse: string | null;
}

export interface ManifestEntry extends Omit<EventKey, 'drill'> {
  /** `written`, or `not recorded: ` and the reason. */
  readonly state: string;
}

/** What must have been written, in the plan's order. */
export function expectedEvents(
  plan: Plan | ObservationPlan,
  { state, steps, leases, circumstances, halted }: Course,
  writers: { readonly guardian: boolean; readonly prober: boolean },
): readonly ExpectedEvent[] {
  if ('observation' in plan) {
    const observed = (kind: string): ExpectedEvent => ({ writer: 'operator', step: 'observe', kinds: [kind], excuse: null });
    return [observed('registered'), observed('verdict')];
  }
  const lost = state === 'lost' ? 'the drill was lost: nobody wrote its end' : null;
  const own = (step: string, kinds: readonly string[], excuse: string | null): ExpectedEvent => ({
    writer: 'workflow',
    step,
    kinds,
    excuse: excuse ?? lost,
  });
  return [
    own('register', ['registered'], null),
    ...flattenSteps(plan.steps).flatMap(({ id }) => {
      const step = steps.find((one) => one.id === id);
      const excuse = step?.outcome === 'not executed' ? `the step was not executed: ${step.reason ?? 'no reason recorded'}` : null;
      return [own(id, ['started'], excuse), own(id, step?.outcome === 'failed' ? ['failed'] : ['ended'], excuse)];
    }),
    ...leases.flatMap(({ key, injectedAt, confirmed, state: lease }) => {
      const guardian = (kinds: readonly string[]): ExpectedEvent => ({
        writer: 'guardian',
        step: key.step,
        kinds,
        excuse: writers.guardian ? null : NO_GUARDIAN,
      });
      return [
        guardian(['armed']),
        ...(injectedAt === null ? [] : [guardian(['injected', 'inject-failed'])]),
        ...(confirmed === null ? [] : [guardian([confirmed.holds ? 'confirmed' : 'unconfirmed'])]),
        ...(lease === 'gone' ? [guardian(['gone'])] : []),
      ];
    }),
    // Probers of before kept no chain; what they left is as whole as it was.
    ...(circumstances === undefined
      ? []
      : ['started', 'ended'].map((kind): ExpectedEvent => {
          const excuse = writers.prober ? (kind === 'ended' ? lost : null) : NO_PROBER;
          return { writer: 'prober', step: 'probe', kinds: [kind], excuse };
        })),
    // By what the workflow heard and not by whether the chain is there: one that comes while the seal is made must not change what was expected.
    ...(halted === undefined
      ? []
      : ['asked', 'answered'].map((kind): ExpectedEvent => ({ writer: 'halt', step: HALT_STEP, kinds: [kind], excuse: NO_HALT }))),
    own('seal', ['verdict'], null),
  ];
}

/** Each expected key with whether its event is there. */
export function manifestOf(plan: Plan | ObservationPlan, course: Course, events: readonly ChainedEvent[]): readonly ManifestEntry[] {
  return expectedEvents(plan, course, writersIn(events)).map((expected) => {
    const found = findEvent(events, expected);
    const { writer, step, kinds, excuse } = expected;
    const base = { writer, step, kind: found?.kind ?? kinds[0] ?? '', attempt: found?.attempt ?? 1 };
    return { ...base, state: found === undefined ? `not recorded: ${excuse ?? 'nobody wrote it'}` : 'written' };
  });
}

/** Appends the manifest to the chain; whoever seals again after a crash keeps that of the first time. Throws `store_unreachable`. */
export async function writeManifest(
  place: FactsPlace,
  drill: string,
  plan: Plan | ObservationPlan,
  course: Course,
  events: readonly ChainedEvent[],
): Promise<void> {
  const entries = manifestOf(plan, course, events);
  const missing = entries.filter(({ state }) => state !== 'written').length;
  await recordEvents(place.store, place.bundle, place.writer, [
    {
      drill,
      writer: place.writer,
      step: place.step,
      kind: MANIFEST_KIND,
      attempt: 1,
      at: nowUtc(),
      actor: place.actor,
      text: `${entries.length - missing} of ${entries.length} expected events are written`,
      facts: { keys: JSON.parse(JSON.stringify(entries)) as Json },
    },
  ]);
}

/**
 * Holds the plan, the course and the manifest of a bundle against its events. Returns what was found; throws `bundle_invalid` with the events that are missing
 * without a reason, or that the manifest tells otherwise.
 */
export function checkManifest(plan: Plan | ObservationPlan, events: readonly ChainedEvent[]): string {
  const manifest = events.find(({ kind, writer }) => kind === MANIFEST_KIND && (writer === 'workflow' || writer === 'operator'));
  const facts = findFacts(events);
  if (manifest === undefined || facts === null) return 'no manifest: sealed by a version before it';
  const entries = manifest.facts['keys'] as unknown as readonly ManifestEntry[];
  const problems: string[] = [];
  const excused: string[] = [];
  const expected = expectedEvents(plan, facts, writersIn(events));
  for (const each of expected) {
    const name = `${each.writer} "${each.kinds.join('" or "')}" of ${each.step}`;
    const told = entries.find(({ writer, step, kind }) => writer === each.writer && step === each.step && each.kinds.includes(kind));
    if (told === undefined) problems.push(`the manifest does not name ${name}`);
    if (findEvent(events, each) !== undefined) continue;
    if (each.excuse === null) problems.push(`${name} is missing`);
    else excused.push(`${name}: ${each.excuse}`);
  }
  for (const { writer, step, kind, attempt, state } of entries) {
    const isThere = events.some(
      (event) => event.writer === writer && event.step === step && event.kind === kind && event.attempt === attempt,
    );
    if (state === 'written' && !isThere)
      problems.push(`the manifest says that ${writer} "${kind}" of ${step} was written, and it is not there`);
  }
  if (problems.length > 0) throw new GamedayError('bundle_invalid', [...new Set(problems)].slice(0, 20).join('; '));
  const more = excused.length > SHOWN ? `; and ${excused.length - SHOWN} more` : '';
  return `${expected.length - excused.length} of ${expected.length} expected events are there${
    excused.length === 0 ? '' : `; not recorded: ${excused.slice(0, SHOWN).join('; ')}${more}`
  }`;
}

function findEvent(events: readonly ChainedEvent[], { writer, step, kinds }: ExpectedEvent): ChainedEvent | undefined {
  return events.find((event) => event.writer === writer && event.step === step && kinds.includes(event.kind));
}

function writersIn(events: readonly ChainedEvent[]): { readonly guardian: boolean; readonly prober: boolean } {
  const wrote = (name: Writer): boolean => events.some(({ writer }) => writer === name);
  return { guardian: wrote('guardian'), prober: wrote('prober') };
}
