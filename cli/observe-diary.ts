/**
 * What an observation writes down as it goes: its phases for the record, and the operator's chain of events, written at once so that a killed command
 * leaves its beginning. A store that refuses an event does not end the observation; the event is kept and written with the next.
 */
import { nowUtc } from '../core/clock';
import { messageOf } from '../core/errors';
import { openChain, recordIn } from '../evidence/drill-evidence';
import { recordEvents } from '../evidence/events';
import type { FactsPlace } from '../evidence/kept-facts';
import type { EvidencePlace } from '../evidence/store';
import type { EventBody } from '../model/event';
import type { Json } from '../model/json';
import type { Phase, PhaseRecord } from '../model/record';
import type { ObjectStore } from '../objects/store';

export class ObservationDiary {
  readonly phases: PhaseRecord[] = [];
  private waiting: EventBody[] = [];
  private end: ObjectStore | null = null;

  constructor(
    private readonly drill: string,
    private readonly person: string,
    private readonly place: EvidencePlace,
    private readonly bundle: string,
  ) {}

  /** Runs one phase and records how it ended; `work` may say why in words. A failure is recorded and thrown on. */
  async phase<T>(phase: Phase, work: () => Promise<{ readonly value: T; readonly reason: string | null }>): Promise<T> {
    const startedAt = nowUtc();
    const end = (outcome: PhaseRecord['outcome'], reason: string | null): void =>
      void this.phases.push({ phase, startedAt, endedAt: nowUtc(), outcome, reason });
    try {
      const { value, reason } = await work();
      end('done', reason);
      return value;
    } catch (error) {
      end('failed', messageOf(error));
      throw error;
    }
  }

  /** One event of each kind: an observation does nothing twice. */
  async note(kind: string, text: string, facts: Readonly<Record<string, Json>> = {}): Promise<void> {
    const event = {
      drill: this.drill,
      writer: 'operator',
      step: 'observe',
      kind,
      attempt: 1,
      at: nowUtc(),
      actor: this.person,
      text,
      facts,
    } as const;
    this.waiting.push(event);
    await this.flush().catch(() => undefined);
  }

  /** Chooses where the chain ends, and writes there what waits; `away` says why that is not the shared store. */
  async settle(): Promise<FactsPlace & { readonly away: string | null }> {
    const { store, away } = await openChain(this.place, this.bundle, false);
    this.end = store;
    await this.flush();
    return { store, away, bundle: this.bundle, writer: 'operator', step: 'observe', actor: this.person };
  }

  /** Throws `store_unreachable` while the store takes nothing. */
  async flush(): Promise<void> {
    if (this.end === null) await recordIn(this.place, this.bundle, 'operator', this.waiting);
    else await recordEvents(this.end, this.bundle, 'operator', this.waiting);
    this.waiting = [];
  }
}
