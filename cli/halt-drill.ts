/** Halting one drill through Temporal, as `gameday halt` and Ctrl-C twice do it: the halt first, the witness's own events after it. */
import type { WorkflowHandle } from '@temporalio/client';
import { nowUtc } from '../core/clock';
import { messageOf } from '../core/errors';
import { HaltWitness } from '../evidence/halt-events';
import type { HaltInput } from '../model/message';
import { haltUpdate } from '../workflows/messages';
import type { TemporalAccess } from './temporal';
import type { Terminal } from './terminal';

export interface HaltDrillRequest {
  readonly home: string;
  readonly temporal: TemporalAccess;
  readonly terminal: Terminal;
  readonly handle: WorkflowHandle;
  readonly runId: string;
  readonly halt: HaltInput;
  /** How long the drill has to take the halt. */
  readonly timeoutMs: number;
}

/** Returns the witness once the drill has taken the halt, for whoever waits for the seal. Throws what the update failed with. */
export async function haltDrill({ home, temporal, terminal, handle, runId, halt, timeoutMs }: HaltDrillRequest): Promise<HaltWitness> {
  const witness = new HaltWitness(home, { ...halt, what: 'this drill', at: nowUtc() });
  try {
    await temporal.call(() => handle.executeUpdate(haltUpdate, { args: [halt] }), timeoutMs);
    witness.answered(runId, 'the drill took the halt and heals', { taken: true });
  } catch (error) {
    witness.answered(runId, `the drill did not take the halt: ${messageOf(error)}`, { taken: false });
    await tellNotRecorded(terminal, witness);
    throw error;
  }
  await tellNotRecorded(terminal, witness);
  return witness;
}

/** What of the halt is not in the evidence, once what can be written is; the halt itself does not depend on it. */
export async function tellNotRecorded(terminal: Terminal, witness: HaltWitness): Promise<void> {
  for (const line of await witness.settled()) terminal.progress(line);
}
