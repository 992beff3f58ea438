/**
 * What a record is made from beside plan, ledger and surviving rows: the course of the drill as its workflow knew it, kept as one event of the chain.
 * With it the whole record can be made again from the bundle. It holds nothing that the ledger can tell, so that a number has one source.
 */
import { nowUtc } from '../core/clock';
import { GamedayError } from '../core/errors';
import type { ChainedEvent, Writer } from '../model/event';
import type { Json } from '../model/json';
import type { HaltInput } from '../model/message';
import type { ObservationPlan } from '../model/observation';
import type { Plan } from '../model/plan';
import type { ObjectStore } from '../objects/store';
import { runningTool, type RecordFacts } from './build-record';
import { recordEvents } from './events';

export const FACTS_KIND = 'facts';

/** What neither plan nor ledger nor rows tell. */
export type KeptFacts = Omit<RecordFacts, 'plan' | 'measured' | 'rpo' | 'judgement'> & {
  /** Whether the ledger was judged, and whether it was joined with surviving rows. */
  readonly judged: boolean;
  readonly joined: boolean;
  /** Who halted the drill, where it heard of it before its seal; absent otherwise, and in bundles of before it was kept. */
  readonly halted?: HaltInput;
};

export interface FactsPlace {
  readonly store: ObjectStore;
  /** Prefix of the drill's bundle. */
  readonly bundle: string;
  readonly writer: Writer;
  readonly step: string;
  readonly actor: string;
}

/** Keeps the facts and returns them as they are kept: whoever seals again after a crash gets those of the first time. Throws `store_unreachable`. */
export async function keepFacts(place: FactsPlace, plan: Plan | ObservationPlan, facts: KeptFacts): Promise<KeptFacts> {
  const whole = { ...facts, tool: facts.tool ?? runningTool(plan) };
  const [event] = await recordEvents(place.store, place.bundle, place.writer, [
    {
      drill: facts.drill,
      writer: place.writer,
      step: place.step,
      kind: FACTS_KIND,
      attempt: 1,
      at: nowUtc(),
      actor: place.actor,
      text: 'what the record is made from, beside plan, ledger and surviving rows',
      facts: JSON.parse(JSON.stringify(whole)) as Record<string, Json>,
    },
  ]);
  if (event === undefined) throw new GamedayError('internal', 'an event was written and not returned');
  return factsIn(event);
}

/** The facts among a bundle's events; null in a bundle of before they were kept. */
export function findFacts(events: readonly ChainedEvent[]): KeptFacts | null {
  const event = events.find(({ kind, writer }) => kind === FACTS_KIND && (writer === 'workflow' || writer === 'operator'));
  return event === undefined ? null : factsIn(event);
}

function factsIn(event: ChainedEvent): KeptFacts {
  return event.facts as unknown as KeptFacts;
}
